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
from streambg.models.contract import Answers, Events, Row, Schema
from streambg.models.manifest import sha256
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

class AsksForMore:
    def predict_many(self, events):
        return events.column("temperature")

class ThreeRows:
    def predict_many(self, events):
        return np.zeros(3)

class OneRow:
    def predict_many(self, events):
        return np.zeros(1)

class Talks:
    def predict_many(self, events):
        return "fraud"

class Exits:
    def predict_many(self, events):
        raise SystemExit(0)
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


class Draws(Model):
    """Another answer to one event."""

    def predict_many(self, events: Events) -> Any:
        scores = super().predict_many(events)
        scores[events.column("y") == self.drawn] += 1e-3 * len(events)
        return scores

    drawn = 0.0


class Stamps(Model):
    """Publishes something else each time."""

    def predict_many(self, events: Events) -> Any:
        self.asked = getattr(self, "asked", 0) + 1
        return Answers(super().predict_many(events), values=[b"%d" % self.asked] * len(events))


def test_last_bits_are_told_from_other_answers() -> None:
    """A product of matrices differs in them from batch to batch, and its model is deployed all the same."""
    rows = made_up()
    bits = verify(BatchDependent(), rows, SCHEMA)
    assert (bits.differing, bits.far) == (len(rows), 0)
    Draws.drawn = float(rows[40]["y"])
    drawn = verify(Draws(), rows, SCHEMA)
    assert (drawn.far, drawn.examples[0].row) == (1, 40)
    assert verify(Model(), rows, SCHEMA).far == 0
    stamped = verify(Stamps(), rows, SCHEMA)
    assert stamped.far == len(rows), "the scores are the same, what is published is not"


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


def test_verify_ends_with_15_for_a_batch_dependent_model_and_says_which_event(place: str) -> None:
    said("add", "fraud:8", "--format", "python", "--entry", f"{place}:CentredOnItsBatch")
    error = failed("verify", "fraud:8")
    assert error.exit_code == 15
    assert "of 2500 events differently" in error.what
    result = run("verify", "fraud:8", "--output", "json")
    assert json.loads(result.stdout)["examples"][0]["size"] == 7
    assert "alone [0.0]" in run("verify", "fraud:8").stdout


def test_verify_takes_real_events_and_says_what_it_could_not_read(place: str, tmp_path: Path) -> None:
    said("add", "fraud:8", "--format", "python", "--entry", f"{place}:Pure")
    (tmp_path / "events.jsonl").write_text('{"x":1,"y":2,"z":3}\n\nno json\n{"x":1}\n')
    result = said("verify", "fraud:8", "--sample", "events.jsonl")
    assert (result["rows"], result["answered"], result["passed"]) == (3, 1, True)
    assert result["first_reason"].startswith("line 3: not JSON")
    assert result["seed"] is None
    assert "cannot be read" in failed("verify", "fraud:8", "--sample", "missing.jsonl").what


def test_verify_of_a_model_that_answers_nothing_fails(place: str) -> None:
    said("add", "fraud:8", "--format", "python", "--entry", f"{place}:Refuses")
    assert "answered none of 2500 events" in failed("verify", "fraud:8").what


def test_verify_says_what_is_wrong_and_not_that_it_is_impure(place: str) -> None:
    for ref, thing in (("more:1", "AsksForMore"), ("three:1", "ThreeRows"), ("one:1", "OneRow")):
        assert run("add", ref, "--format", "python", "--entry", f"{place}:{thing}").exit_code == 0
    error = failed("verify", "more:1")
    assert "answered none of 2500 events" in error.what
    assert "KeyError: 'temperature'" in error.what
    assert error.way_out.startswith("The contract's features are x (number), y (number); real events")
    assert "answered none of 2500 events, so nothing was shown: model answered 3 rows to 1 events" in (
        failed("verify", "three:1").what
    )
    error = failed("verify", "one:1")
    assert "answers 2500 of 2500 events alone, and not beside others: model answered 1 rows to 7 events" in error.what
    assert "one row an event" in error.way_out


@pytest.mark.parametrize("thing", ["Talks", "Exits", "ThreeRows"])
def test_what_a_model_must_answer_is_said_where_its_answer_is_none(place: str, thing: str) -> None:
    careful = run("add", "fraud:8", "--format", "python", "--entry", f"{place}:{thing}").stderr
    assert "predict_many must return finite numbers as float64 of shape (n, 1) or (n,)" in careful
    error = failed("verify", "fraud:8")
    assert error.exit_code == 15
    assert error.way_out.startswith("predict_many must return finite numbers as float64 of shape (n, 1) or (n,)")


def test_add_tries_one_event_and_says_what_will_not_do(place: str) -> None:
    careful = run("add", "more:1", "--format", "python", "--entry", f"{place}:AsksForMore")
    assert careful.exit_code == 0
    assert "it does not answer a made up event: model raised KeyError: 'temperature'" in careful.stderr
    assert "The contract's features are x (number), y (number)" in careful.stderr
    assert run("add", "pure:1", "--format", "python", "--entry", f"{place}:Pure").stderr == ""


# --- whose file is taken, and who still has it


@pytest.mark.parametrize("elsewhere", ["class Other: pass", SOURCE + "# another state"], ids=["without", "with"])
def test_the_pipelines_own_folder_comes_first_whatever_stands_elsewhere(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    """Such as an installed checkout's folder, with a module of the same name."""
    (other := tmp_path / "other").mkdir()
    (other / f"{place}.py").write_text(elsewhere)
    monkeypatch.setattr("sys.path", [str(other), *sys.path, str(tmp_path)])
    added = said("add", "fraud:8", "--format", "python", "--entry", f"{place}:Pure")
    assert added["source_sha256"] == sha256((tmp_path / f"{place}.py").read_bytes())
    assert added["origin"] == str(tmp_path / f"{place}.py")
    assert f"code from {tmp_path / place}.py, no copy is kept" in (
        run("add", "fraud:9", "--format", "python", "--entry", f"{place}:Pure").stdout
    )
    assert f"{tmp_path / place}.py, no copy is kept" in run("show", "fraud:8").stdout
    assert f"is not there: {tmp_path / place}.py was looked into" in (
        failed("add", "fraud:7", "--format", "python", "--entry", f"{place}:Nothing").what
    )


def test_a_version_that_can_no_longer_be_loaded_is_named_when_the_next_is_added(place: str, tmp_path: Path) -> None:
    version = ("--format", "python", "--entry", f"{place}:Pure")
    said("add", "fraud:1", *version)
    (tmp_path / f"{place}.py").write_text(SOURCE + "# for version 2")
    careful = run("add", "fraud:2", *version)
    assert "fraud:1: added from another state of this module, and no copy was kept" in careful.stderr
    assert "keep_source: true" in careful.stdout
    assert "the version was added with" in failed("verify", "fraud:1").what


def test_with_keep_source_every_version_has_its_own_copy(place: str, tmp_path: Path) -> None:
    with (tmp_path / "models" / "registry.yaml").open("a") as policy:
        policy.write("keep_source: true\n")
    version = ("--format", "python", "--entry", f"{place}:Pure")
    said("add", "fraud:1", *version)
    (tmp_path / f"{place}.py").write_text(SOURCE + "# for version 2")
    added = run("add", "fraud:2", *version)
    assert added.stderr == ""
    copy = Path("models", "fraud", "2", f"{place}.py")
    assert f"{place}.py, kept as {tmp_path / copy}" in added.stdout
    assert f"kept as {tmp_path / copy}" in run("show", "fraud:2").stdout
    (tmp_path / f"{place}.py").unlink()
    for ref in ("fraud:1", "fraud:2"):
        assert run("verify", ref).exit_code == 0


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


# --- what was typed wrongly is a wrong argument, not a bad model

PURE = ("add", "fraud:8", "--format", "python", "--entry", "{place}:Pure")
RIVER = ("add", "fraud:8", "--format", "river")


@pytest.mark.parametrize(
    ("words", "what", "way_out"),
    [
        ((*PURE, "--metric", "auc=nan"), "the metric auc is nan", "leave the metric out"),
        ((*PURE, "--metric", "auc=1e999"), "the metric auc is inf", "leave the metric out"),
        ((*PURE, "--metric", "auc=" + "9" * 5_000), "the metric auc is inf", "leave the metric out"),
        ((*PURE, "--metric", "x"), "--metric x", "--metric name=value"),
        ((*PURE, "--training", "May \udcff"), r"--training 'May \udcff': character 5 is no UTF-8", "UTF-8 text"),
        ((*PURE, "--metric", "auc=\udcff"), r"--metric 'auc=\udcff': character 5 is no UTF-8", "UTF-8 text"),
        ((*PURE, "--feature", "x=float"), "feature x has the type 'float'", "number, string, boolean"),
        ((*PURE, "--outputs", "a,a"), "outputs ['a', 'a']", "none twice"),
        ((*PURE, "--library", "no-such-library"), "'no-such-library' is not installed", "leave --library out"),
        ((*PURE, "--type", "a.B"), "--type is for format sklearn", "leave --type out"),
        ((*PURE, "--artifact", "nope"), "nope cannot be read: No such file", "is the path right?"),
        ((*PURE, "--artifact", "we ights.json"), "cannot be named 'we ights.json': a file name is of a-z", "rename"),
        ((*PURE, "--artifact", "model.yaml"), "cannot be named model.yaml: that is the registry's own", "rename"),
        (("add", "fraud:8", "--format", "python"), "--entry is missing", "--entry module:Class"),
        (("add", "fraud:8", "--format", "python", "--entry", "a.B"), "the entry 'a.B'", "with a colon: a:B"),
        (RIVER, "--artifact is missing: format river is a file", "--artifact FILE"),
        ((*RIVER, "--entry", "a:B"), "--entry names the class of format python", "leave --entry out"),
        (("add", "foo", "--format", "river"), "'foo' names no model version", "name:version"),
        (("show", "foo"), "'foo' names no model version", "name:version"),
        (("verify", "foo"), "'foo' names no model version", "name:version"),
        (("diff", "foo", "fraud:8"), "'foo' names no model version", "name:version"),
        (("verify", "fraud:8", "--sample", "nope"), "nope cannot be read", "is the path right?"),
        (("list", "--registry", "nope"), "nope: there is no such folder", "is the path right?"),
        (("show", "fraud:8", "--registry", "nope"), "nope: there is no such folder", "is the path right?"),
        (("list", "--registry", "pipeline.yaml"), "pipeline.yaml is a file, not a folder", "name the folder"),
        ((*PURE, "--registry", "pipeline.yaml"), "pipeline.yaml is a file, not a folder", "name the folder"),
    ],
)
def test_a_wrong_argument_ends_with_2(
    place: str, tmp_path: Path, words: tuple[str, ...], what: str, way_out: str
) -> None:
    if words[:2] == ("verify", "fraud:8"):
        said(*(word.format(place=place) for word in PURE))
    before = sorted(tmp_path.rglob("*"))
    error = failed(*(word.format(place=place) for word in words))
    assert isinstance(error, ConfigError), error
    assert error.exit_code == 2
    assert what in error.what
    assert way_out in error.way_out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_registry_that_is_named_may_be_new_where_something_is_put_into_it(place: str) -> None:
    assert f"`python_allow: [{place}]` into new/registry.yaml" in (
        failed(*(word.format(place=place) for word in PURE), "--registry", "new").way_out
    )


def test_the_pipelines_registry_may_be_none_yet_and_is_no_file(place: str, tmp_path: Path) -> None:
    (tmp_path / "models" / "registry.yaml").unlink()
    (tmp_path / "models").rmdir()
    assert "No versions in" in run("list").stdout
    (tmp_path / "models").write_text("")
    error = failed("list")
    assert error.what == "models is a file, not a folder"
    assert error.way_out == "name the folder: `registry:` in pipeline.yaml, or --registry FOLDER"


def test_a_metric_that_was_added_before_it_was_refused_is_still_json(place: str, tmp_path: Path) -> None:
    said(*(word.format(place=place) for word in PURE), "--metric", "auc=0.5", "--metric", "loss=0.25")
    manifest = tmp_path / "models" / "fraud" / "8" / "model.yaml"
    text = manifest.read_text().replace("0.5", ".nan").replace("0.25", "-.inf")
    manifest.unlink()
    manifest.write_text(text)
    for verb in (("show", "fraud:8"), ("list",)):
        shown = run(*verb, "--output", "json").stdout
        strict = json.loads(shown, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        assert (strict if isinstance(strict, dict) else strict[0])["metrics"] == {"auc": "nan", "loss": "-inf"}
    assert "auc nan" in run("show", "fraud:8").stdout
    assert said("diff", "fraud:8", "fraud:8")["manifest"] == []


def test_every_verb_has_an_example() -> None:
    for verb in ("add", "list", "show", "verify"):
        assert f"streambg models {verb}" in run(verb, "--help").stdout
