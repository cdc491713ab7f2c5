"""`streambg models`: what a person types, and whether `verify` catches a model that is not pure."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from streambg.cli.models import app
from streambg.errors import ConfigError, ModelError
from streambg.models.contract import Events, Row, Schema
from streambg.models.verifying import SIZES, sample_rows, verify

SCHEMA = Schema({"x": "number", "y": "number", "word": "string", "yes": "boolean"}, ("anomaly",))
PIPELINE = """
pipeline: shuttle
kafka: {bootstrap: "127.0.0.1:9092", client: {}}
redis: redis://127.0.0.1:6379/0
input: {topic: sensors, format: json}
output: {topic: alerts}
model:
  features: {x: number, y: number}
  outputs: [anomaly]
  decision: {output: anomaly, threshold: 0.5}
"""
SOURCE = """
import numpy as np

class Pure:
    def predict_many(self, events):
        return events.column("x")

class CentredOnItsBatch:
    def predict_many(self, events):
        x = events.column("x")
        return x - x.mean()

class Refuses:
    def predict_many(self, events):
        raise ValueError("never")
"""


class Model:
    def predict_many(self, events: Events) -> Any:
        z = (events.matrix(["x", "y", "yes"]) * [0.3, -0.7, 0.1]).sum(axis=1)
        return np.tanh(z)


class BatchDependent(Model):
    def predict_many(self, events: Events) -> Any:
        x = events.column("x")
        return x + len(events) * 1e-9


class RowDependent(Model):
    """Wrong in one event only, by its neighbour."""

    def predict_many(self, events: Events) -> Any:
        scores = super().predict_many(events)
        x = events.column("y")
        scores[1:] += np.where(np.diff(x) == 0, 1e-12, 0.0)
        return scores


class Learns(Model):
    seen = 0

    def predict_many(self, events: Events) -> Any:
        self.seen += len(events)
        return super().predict_many(events) + (self.seen > 3_000)


class Writes(Model):
    def predict_many(self, events: Events) -> Any:
        for row in events.rows:
            row["x"] = float(row["x"])
            row["seen"] = True
        return super().predict_many(events)


def made_up(count: int = 2_500) -> list[Row | str]:
    return [*sample_rows(SCHEMA, random.Random(7), count)]


def test_a_pure_model_passes() -> None:
    result = verify(Model(), made_up(), SCHEMA)
    assert result.passed
    assert (result.rows, result.answered, result.differing, result.changed) == (2_500, 2_500, 0, 0)


@pytest.mark.parametrize("planted", [BatchDependent, RowDependent, Learns])
def test_a_model_that_is_not_pure_is_caught(planted: type[Model]) -> None:
    rows = made_up()
    rows[8] = sample_rows(SCHEMA, random.Random(7), 8)[7] | {"word": "b"}  # its neighbour's y
    result = verify(planted(), rows, SCHEMA)
    assert not result.passed
    assert result.differing > 0
    assert result.examples[0].size in SIZES[1:]
    assert result.examples[0].first != result.examples[0].then


def test_a_model_that_writes_into_its_events_is_caught() -> None:
    result = verify(Writes(), made_up(50), SCHEMA)
    assert not result.passed
    assert (result.differing, result.changed) == (0, 50)


def test_a_sample_that_nothing_answers_shows_nothing() -> None:
    assert not verify(Model(), [], SCHEMA).passed
    result = verify(Model(), ["not JSON: x", {"x": 1}], SCHEMA)
    assert not result.passed
    assert result.first_reason == "not JSON: x"


def test_a_sample_is_made_again_from_its_seed() -> None:
    assert made_up(100) == made_up(100)
    assert made_up(100) != [*sample_rows(SCHEMA, random.Random(8), 100)]


# --- the command line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A folder with a pipeline file, an open registry and a team's module; the module's name."""
    name = f"team_{crc32(request.node.nodeid.encode())}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "registry.yaml").write_text(f"python_allow: [{name}]\n")
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return name


def run(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def said(*args: str) -> Any:
    result = run(*args, "--output", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def failed(*args: str) -> ModelError | ConfigError:
    error = run(*args).exception
    assert isinstance(error, ModelError | ConfigError)
    return error


def test_add_list_show_verify(place: str) -> None:
    note = ("--training", "all of May", "--metric", "auc=0.97", "--metric", "rows=200")
    added = said("add", "fraud:8", "--format", "python", "--entry", f"{place}:Pure", *note)
    assert added["features"] == {"x": "number", "y": "number"}  # the pipeline's contract
    assert said("list") == [added]
    assert said("show", "fraud:8") == added
    assert added["metrics"] == {"auc": 0.97, "rows": 200}
    verified = said("verify", "fraud:8", "--seed", "5", "--digest", added["digest"])
    assert (verified["passed"], verified["batch_sizes"], verified["seed"]) == (True, [1, 7, 1000], 5)
    for verb in (("list",), ("show", "fraud:8"), ("verify", "fraud:8")):
        result = run(*verb)
        assert result.exit_code == 0
        assert "fraud:8" in result.stdout
    assert "made up with --seed" in run("verify", "fraud:8").stdout


def test_verify_ends_with_12_for_a_batch_dependent_model_and_says_which_event(place: str) -> None:
    said("add", "fraud:8", "--format", "python", "--entry", f"{place}:CentredOnItsBatch")
    error = failed("verify", "fraud:8")
    assert error.exit_code == 12
    assert "of 2500 events differently" in error.what
    result = run("verify", "fraud:8", "--output", "json")
    assert json.loads(result.stdout)["examples"][0]["size"] == 7
    assert "alone [0.0]" in run("verify", "fraud:8").stdout


def test_verify_takes_real_events_and_says_what_it_could_not_read(place: str, tmp_path: Path) -> None:
    said("add", "fraud:8", "--format", "python", "--entry", f"{place}:Pure")
    (tmp_path / "events.jsonl").write_text('{"x":1,"y":2,"z":3}\n\nno json\n{"x":1}\n')
    result = said("verify", "fraud:8", "--sample", "events.jsonl")
    assert (result["rows"], result["answered"], result["passed"]) == (3, 1, True)
    assert result["first_reason"].startswith("not JSON")
    assert result["seed"] is None
    assert "cannot be read" in failed("verify", "fraud:8", "--sample", "missing.jsonl").what


def test_verify_of_a_model_that_answers_nothing_fails(place: str) -> None:
    said("add", "fraud:8", "--format", "python", "--entry", f"{place}:Refuses")
    assert "answered none of 2500 events" in failed("verify", "fraud:8").what


def test_verify_refuses_another_digest_and_another_contract(place: str, tmp_path: Path) -> None:
    said("add", "fraud:8", "--format", "python", "--entry", f"{place}:Pure")
    assert "is expected" in failed("verify", "fraud:8", "--digest", "sha256:" + "0" * 64).what
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.replace("x: number, ", ""))
    assert "needs the feature x" in failed("verify", "fraud:8").what


def test_without_a_pipeline_file_registry_and_contract_are_options(place: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").unlink()
    add = ("add", "fraud:8", "--registry", "models", "--format", "python", "--entry", f"{place}:Pure")
    assert "no contract" in failed(*add).what
    assert "--feature name=value" in failed(*add, "--feature", "x").way_out
    added = said(*add, "--feature", "x=number", "--feature", "yes=boolean", "--outputs", "a")
    assert (added["features"], added["outputs"]) == ({"x": "number", "yes": "boolean"}, ["a"])
    assert said("verify", "fraud:8", "--registry", "models")["passed"]
    assert isinstance(failed("list"), ConfigError)


def test_a_broken_version_stands_in_the_list_with_its_problem(place: str, tmp_path: Path) -> None:
    assert "No versions" in run("list").stdout
    (tmp_path / "models" / "fraud" / "8").mkdir(parents=True)
    assert said("list") == [{"ref": "fraud:8", "problem": "no model.yaml"}]
    assert "broken" in run("list").stdout
    assert "fraud:9 is not in the registry" in failed("show", "fraud:9").what


def test_every_verb_has_an_example() -> None:
    for verb in ("add", "list", "show", "verify"):
        assert f"streambg models {verb}" in run(verb, "--help").stdout
