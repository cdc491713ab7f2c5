"""`streambg models diff`: what changed from one version to another, in words and in answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from onnx_graphs import logistic
from typer.testing import CliRunner, Result

from streambg.cli.models import app
from streambg.errors import ConfigError, ModelError
from streambg.models.answering import Answered
from streambg.models.diffing import WORST, Change, answers_diff, changes, common_output
from streambg.records.batch import ERROR, OK

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
import json

class Plain:
    def __init__(self, artifact=b'{"x": 1.0}'):
        self.weights = json.loads(artifact)

    def predict_many(self, events):
        for row in events.rows:
            row["seen"] = True  # what one model writes, the other must not see
        return sum(events.column(name) * weight for name, weight in self.weights.items())
"""


# --- answers, one by one


def answered(scores: list[float | None], values: list[bytes] | None = None) -> Answered:
    """None: an error row that says why."""
    ok = [score is not None for score in scores]
    return Answered(
        np.array([[np.nan if score is None else score] for score in scores]),
        np.array([OK if good else ERROR for good in ok], np.uint8),
        values or [b"%r" % score if good else b"no" for score, good in zip(scores, ok, strict=True)],
    )


def test_the_figures_of_a_small_case_by_hand() -> None:
    first = answered([0.1, 0.4, 0.6, 0.9, None, 0.5])
    second = answered([0.1, 0.5, 0.35, 0.95, 0.5, None])
    found = answers_diff(first, second, (0, 0), "p", 0.5)
    assert (found.rows, found.compared, found.flips, found.flips_to_yes, found.flips_to_no) == (6, 4, 2, 1, 1)
    assert (found.agreement, found.scores_equal, found.values_equal) == (0.5, 1, 1)
    assert found.difference_mean == pytest.approx((0.1 - 0.25 + 0.05) / 4)
    assert found.difference_magnitude == pytest.approx(0.1)
    assert found.difference_max == pytest.approx(0.25)
    assert [(worst.row, worst.flip) for worst in found.worst] == [(2, True), (1, True), (3, False)]
    assert (found.first_missing.rows, found.first_missing.reason, found.second_missing.rows) == (1, "no", 1)


def test_without_a_threshold_nothing_flips_and_without_answers_nothing_agrees() -> None:
    found = answers_diff(answered([0.1]), answered([0.9]), (0, 0), "p", None)
    assert (found.agreement, found.flips, found.difference_max) == (None, None, pytest.approx(0.8))
    found = answers_diff(answered([None]), answered([0.9]), (0, 0), "p", 0.5)
    assert (found.compared, found.agreement, found.difference_mean, found.worst) == (0, None, None, [])


def test_the_worst_are_few_and_the_earlier_of_equals_comes_first() -> None:
    found = answers_diff(answered([0.0] * 50), answered([1.0] * 50), (0, 0), "p", 0.5)
    assert [worst.row for worst in found.worst] == list(range(WORST))


@pytest.mark.parametrize(
    ("first", "second", "decision", "common"),
    [
        (["a", "b"], ["b", "a"], "b", "b"),
        (["a", "b"], ["b"], "a", "b"),
        (["a"], ["b"], "a", None),
        (["a"], ["a"], None, "a"),
    ],
)
def test_which_output_is_compared(
    first: list[str], second: list[str], decision: str | None, common: str | None
) -> None:
    assert common_output(first, second, decision) == common


def test_another_order_of_features_is_a_change() -> None:
    one = {"features": {"x": "number", "y": "number"}, "libraries": {"numpy": "2"}, "entry": None}
    assert changes(one, one) == []
    other = {"features": {"y": "number", "x": "number"}, "libraries": {}, "entry": None}
    assert changes(one, other) == [
        Change("libraries.numpy", "2", None),
        Change("order of features", ["x", "y"], ["y", "x"]),
    ]


# --- the command line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A folder with a pipeline file, three versions and a sample."""
    name = f"team_{crc32(request.node.nodeid.encode())}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "registry.yaml").write_text(f"python_allow: [{name}]\n")
    (tmp_path / "w.json").write_text('{"x": 1.0, "y": 0.5}')
    (tmp_path / "m.onnx").write_bytes(logistic([1.0, 0.0]))
    rows = [{"x": at / 10, "y": 0.2 if at == 4 else 0.0} for at in range(10)]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"x": 1}\n')
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    python = ("--format", "python", "--entry", f"{name}:Plain")
    for words in (
        ("fraud:1", *python, "--training", "May", "--metric", "auc=0.9", "--feature", "x=number"),
        ("fraud:2", *python, "--training", "June", "--metric", "auc=0.95", "--artifact", "w.json"),
        ("graph:1", "--format", "onnx", "--artifact", "m.onnx"),
        ("other:1", *python, "--outputs", "risk"),
    ):
        assert run("add", *words).exit_code == 0
    return name


def run(*args: str) -> Result:
    return CliRunner().invoke(app, list(args), terminal_width=200)


def said(*args: str) -> Any:
    result = run("diff", *args, "--output", "json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def changed(found: Any) -> dict[str, tuple[Any, Any]]:
    return {change["what"]: (change["first"], change["second"]) for change in found["manifest"]}


@pytest.mark.usefixtures("place")
def test_the_manifests_differ_in_what_differs_only() -> None:
    found = changed(said("fraud:1", "fraud:2"))
    assert found["training"] == ("May", "June")
    assert found["metrics.auc"] == (0.9, 0.95)
    assert found["artifact bytes"] == (None, len('{"x": 1.0, "y": 0.5}'))
    assert found["features.y"] == (None, "number")
    assert {"digest", "artifact", "artifact_sha256"} <= set(found)
    assert not {"format", "entry", "source_sha256", "outputs", "features.x", "libraries.numpy"} & set(found)
    assert said("fraud:1", "fraud:1")["manifest"] == []


@pytest.mark.usefixtures("place")
def test_versions_of_other_names_and_formats_compare_too() -> None:
    found = changed(said("fraud:2", "graph:1"))
    assert found["format"] == ("python", "onnx")
    assert found["opset.ai.onnx"] == (None, 17)
    assert found["libraries.onnxruntime"][0] is None


@pytest.mark.usefixtures("place")
def test_the_answers_to_a_sample() -> None:
    found = said("fraud:1", "fraud:2", "--sample", "events.jsonl")["answers"]
    assert (found["rows"], found["compared"], found["output"], found["threshold"]) == (11, 10, "anomaly", 0.5)
    assert (found["flips_to_yes"], found["flips_to_no"], found["scores_equal"]) == (1, 0, 9)
    assert found["difference_max"] == pytest.approx(0.1)
    assert found["second_missing"] == {"rows": 1, "reason": "missing feature y"}
    assert found["first_missing"]["rows"] == 0
    (worst,) = found["worst"]
    assert (worst["event"], worst["flip"], worst["fields"]) == ("event 4", True, {"x": 0.4, "y": 0.2})


@pytest.mark.usefixtures("place")
def test_it_is_shown_to_people() -> None:
    shown = run("diff", "fraud:1", "fraud:2", "--sample", "events.jsonl").stdout
    for words in ("June", "90.000% agree at the threshold 0.5", "1 become yes", "event 4", "missing feature y"):
        assert words in shown, shown
    assert "say the same" in run("diff", "fraud:1", "fraud:1").stdout


@pytest.mark.usefixtures("place")
def test_what_cannot_be_compared_says_so() -> None:
    for words, what in (
        (("fraud:1", "fraud:9"), "fraud:9 is not in the registry"),
        (("fraud:1", "other:1", "--sample", "events.jsonl"), "no output is in both"),
        (("fraud:1", "fraud:2", "--sample", "events.jsonl", "--last", "5"), "both given"),
        (("fraud:1", "fraud:2", "--last", "1h"), "--last 1h: here it is a number of events, 1 to 50,000"),
        (("fraud:1", "fraud:2", "--last", "0"), "--last 0: here it is a number of events, 1 to 50,000"),
        (("fraud:1", "fraud:2", "--last", "50001"), "--last 50001: here it is a number of events, 1 to 50,000"),
        (("fraud:1", "fraud:2", "--sample", "nowhere.jsonl"), "cannot be read"),
    ):
        error = run("diff", *words).exception
        assert isinstance(error, ModelError | ConfigError)
        assert what in error.what
        assert error.way_out
    assert changed(said("fraud:1", "other:1"))["outputs"] == (["anomaly"], ["risk"])


@pytest.mark.usefixtures("place")
def test_without_a_pipeline_there_is_no_threshold_and_no_topic(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").unlink()
    found = said("fraud:1", "fraud:2", "--registry", "models", "--sample", "events.jsonl")["answers"]
    assert (found["threshold"], found["flips"], found["difference_max"]) == (None, None, pytest.approx(0.1))
    error = run("diff", "fraud:1", "fraud:2", "--registry", "models", "--last", "5").exception
    assert "--last needs a pipeline" in str(error)
