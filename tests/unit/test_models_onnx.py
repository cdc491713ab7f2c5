"""Format onnx: which graphs are taken and how, and that a row's answer is its own."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from model_versions import new, overwrite, refused, scores
from onnx_graphs import (
    BOOL,
    DOUBLE,
    FLOAT,
    INT64,
    ML,
    STRING,
    constant,
    external,
    graph,
    logistic,
    model,
    node,
)

from streambg.models.answering import answer_rows
from streambg.models.contract import Answers, Events, Schema
from streambg.models.features import FeatureCheck
from streambg.models.manifest import FILE
from streambg.models.onnxmodel import BLOCK, Feed, OnnxModel, Taken
from streambg.models.policy import Policy
from streambg.models.registry import NewVersion, Registry
from streambg.models.verifying import sample_rows, verify

XY = {"x": "number", "y": "number"}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "models", Policy())


def version(data: bytes | None, **more: Any) -> NewVersion:
    return new(**{"format": "onnx", "artifact": data, "artifact_name": "model.onnx", **more})


def loaded(registry: Registry, data: bytes, **more: Any) -> Any:
    manifest = registry.add(version(data, **more))
    return registry.load(manifest.ref, manifest.digest).model


def said(model: Any, rows: list[dict[str, Any]]) -> Answers:
    answers = model.predict_many(Events(rows, [None] * len(rows), [0] * len(rows)))
    assert isinstance(answers, Answers)
    return answers


def sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z)))


# --- what goes in comes out


def test_a_graph_answers_and_its_manifest_says_what_it_was_made_for(registry: Registry) -> None:
    manifest = registry.add(version(logistic([0.5, -0.25])))
    assert manifest.opset == {"ai.onnx": 17, "ai.onnx.ml": 3}
    assert manifest.libraries["onnxruntime"] == onnxruntime.__version__
    assert registry.get("fraud:8") == manifest
    model = registry.load("fraud:8", manifest.digest).model
    assert scores(model) == pytest.approx([sigmoid(2.25), sigmoid(-0.25)], abs=1e-6)
    assert said(model, []).scores.shape == (0, 1)


def test_the_digest_covers_the_graph(registry: Registry) -> None:
    manifest = registry.add(version(logistic([0.5, -0.25])))
    overwrite(registry.path / "fraud" / "8" / "model.onnx", logistic([0.5, -0.75]))
    refused(lambda: registry.load("fraud:8", manifest.digest), "model.onnx has the SHA-256")


@pytest.mark.parametrize("rows", [None, "n", 1, 7, 64])
def test_any_number_of_rows_whatever_the_graph_was_exported_for(registry: Registry, rows: int | str | None) -> None:
    model = loaded(registry, logistic([0.5, -0.25], rows))
    count = 2 * BLOCK + 3
    answers = np.ravel(said(model, [{"x": at, "y": -1.0} for at in range(count)]).scores)
    assert answers.tolist() == pytest.approx([sigmoid(at / 2 + 0.25) for at in range(count)], abs=1e-6)


def test_one_input_a_feature_of_every_kind(registry: Registry) -> None:
    data = graph(
        [
            node("Cast", ["yes"], ["b"], to=FLOAT),
            node("Cast", ["count"], ["c"], to=FLOAT),
            node("LabelEncoder", ["word"], ["w"], ML, keys_strings=["card", "cash"], values_floats=[1.0, 2.0]),
            node("Sum", ["amount", "b", "c", "w"], ["anomaly"]),
        ],
        [
            ("amount", FLOAT, [None, 1]),
            ("yes", BOOL, [None, 1]),
            ("count", INT64, ["n", 1]),
            ("word", STRING, [None, 1]),
        ],
        [("anomaly", FLOAT, None)],
    )
    features = {"word": "string", "amount": "number", "yes": "boolean", "count": "number"}
    model = loaded(registry, data, features=features)
    rows = [
        {"word": "cash", "amount": 0.5, "yes": True, "count": 100},
        {"word": "card", "amount": 1e300, "yes": False, "count": 1},
        {"word": "card", "amount": 0.25, "yes": False, "count": 1.5},
        {"word": "card", "amount": 0.25, "yes": False, "count": 2**60},
        {"word": "card", "amount": 0.25, "yes": False, "count": 7.0},
    ]
    answers = said(model, rows)
    assert np.asarray(answers.scores)[[0, 4], 0].tolist() == [103.5, 8.25]
    assert answers.errors == {
        1: "feature amount is 1e+300: no tensor(float)",
        2: "feature count is 1.5: no tensor(int64)",
        3: "feature count is 1.15292e+18: no tensor(int64)",
    }


def test_flat_inputs_and_outputs_by_name(registry: Registry) -> None:
    data = graph(
        [node("Add", ["x", "y"], ["sum"]), node("Sub", ["x", "y"], ["gap"])],
        [("x", DOUBLE, [None]), ("y", DOUBLE, [None])],
        [("gap", DOUBLE, [None]), ("sum", DOUBLE, [None])],
    )
    model = loaded(registry, data, outputs=("sum", "gap"))
    assert np.asarray(said(model, [{"x": 3, "y": 1}, {"x": 0, "y": 1}]).scores).tolist() == [[4, 2], [1, -1]]


def classifier(**attributes: Any) -> bytes:
    """As scikit-learn's converters write one: a label, and the probabilities of both classes."""
    linear = node(
        "LinearClassifier",
        ["input"],
        ["label", "raw"],
        ML,
        coefficients=[-1.0, 0.5, 1.0, -0.5],
        intercepts=[0.0, 0.0],
        classlabels_ints=[0, 1],
        post_transform="SOFTMAX",
    )
    last = node("Identity", ["raw"], ["probabilities"])
    ports = [("label", INT64, [None]), ("probabilities", FLOAT, [None, 2])]
    return graph([linear, last], [("input", FLOAT, [None, 2])], ports, **attributes)


def test_a_classifiers_answer_is_the_probability_of_class_1(registry: Registry) -> None:
    model = loaded(registry, classifier())
    assert scores(model) == pytest.approx([sigmoid(2 * (5 - 0.5)), sigmoid(-1)], abs=1e-6)


def test_a_classifier_of_two_outputs_gives_both_columns(registry: Registry) -> None:
    model = loaded(registry, classifier(), outputs=("good", "bad"))
    first = np.asarray(said(model, [{"x": 0.0, "y": 1.0}]).scores)[0]
    assert first.tolist() == pytest.approx([sigmoid(1), sigmoid(-1)], abs=1e-6)


# --- a row's answer is its own


def soft() -> bytes:
    """Two operators whose kernels round by the number of rows, and one linear one of the same kind."""
    return graph(
        [
            node("LinearRegressor", ["x"], ["z"], ML, coefficients=[0.3, -0.7], intercepts=[0.1], targets=1),
            node("Softplus", ["z"], ["s"]),
            node("Sin", ["s"], ["anomaly"]),
        ],
        [("x", FLOAT, [None, 2])],
        [("anomaly", FLOAT, [None, 1])],
    )


def test_verify_holds_for_graphs_whose_kernels_round_by_the_number_of_rows(registry: Registry) -> None:
    rows = [*sample_rows(Schema(XY, ("anomaly",)), random.Random(5))]
    result = verify(loaded(registry, soft()), rows, Schema(XY, ("anomaly",)))
    assert result.passed, result.examples
    assert result.answered == len(rows)


class Watched:
    """A session that notes how many rows it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def run(self, outputs: list[str], feeds: dict[str, Any]) -> list[Any]:
        self.asked.append(len(feeds["x"]))
        return [feeds["x"].sum(axis=1)]


@pytest.mark.parametrize(("rows", "runs"), [(1, 1), (BLOCK - 1, 1), (BLOCK, 1), (BLOCK + 1, 2), (1_000, 32)])
def test_the_graph_sees_blocks_of_one_size_only(rows: int, runs: int) -> None:
    watched = Watched()
    model = OnnxModel(watched, [Feed("x", ("x", "y"), "tensor(float)", flat=False)], BLOCK, ["s"], [Taken("s", 0)])  # type: ignore[arg-type] # all that is asked of a session here
    answers = said(model, [{"x": at, "y": 1} for at in range(rows)])
    assert watched.asked == [BLOCK] * runs
    assert np.ravel(answers.scores).tolist() == [at + 1 for at in range(rows)]


def test_verify_catches_a_graph_that_draws_lots(registry: Registry) -> None:
    data = graph(
        [
            node("RandomUniformLike", ["x"], ["r"]),
            node("Add", ["x", "r"], ["s"]),
            node("ReduceSum", ["s", "axis"], ["anomaly"]),
        ],
        [("x", FLOAT, [None, 2])],
        [("anomaly", FLOAT, None)],
        [constant("axis", [1], np.int64)],
    )
    schema = Schema(XY, ("anomaly",))
    assert verify(loaded(registry, data), [*sample_rows(schema, random.Random(5), 50)], schema).differing == 50


def test_a_graph_that_mixes_its_rows_is_caught(registry: Registry) -> None:
    data = graph(
        [
            node("ReduceMean", ["x"], ["m"], axes=[0]),
            node("Sub", ["x", "m"], ["z"]),
            node("Gemm", ["z", "w"], ["anomaly"]),
        ],
        [("x", FLOAT, [None, 2])],
        [("anomaly", FLOAT, None)],
        [constant("w", [[1.0], [1.0]])],
    )
    schema = Schema(XY, ("anomaly",))
    assert verify(loaded(registry, data), [*sample_rows(schema, random.Random(5), 100)], schema).differing > 50


def test_nan_is_an_error_row_and_hurts_no_neighbour(registry: Registry) -> None:
    data = graph([node("Log", ["x"], ["anomaly"])], [("x", FLOAT, [None, 1])], [("anomaly", FLOAT, [None, 1])])
    schema = Schema({"x": "number"}, ("anomaly",))
    model = loaded(registry, data, features=schema.features)
    rows: list[dict[str, Any] | str] = [{"x": 1}, {"x": -1}, {"x": 1e39}, {"x": 1}]
    answered = answer_rows(model, rows, [None] * 4, np.zeros(4, np.int64), schema, FeatureCheck(schema.features))
    assert [value.decode() for value in answered.values] == [
        '{"anomaly":0.0}',
        "model answered NaN for anomaly",
        "model: feature x is 1e+39: no tensor(float)",
        '{"anomaly":0.0}',
    ]


# --- what is refused


def test_external_data_is_refused_wherever_it_hides_and_no_file_is_opened(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.ones(2, np.float32).tobytes())
    for where in ("weights.bin", str(tmp_path / "weights.bin"), "../weights.bin"):
        error = refused(lambda where=where: registry.add(version(external(where))), "other files")
        assert where in error.what
        assert "save_as_external_data=False" in error.way_out
    assert registry.list() == []


def test_external_data_in_a_subgraph_or_an_attribute_is_found_too(registry: Registry) -> None:
    hidden = onnx.ModelProto.FromString(external("elsewhere.bin")).graph.initializer[0]
    branch = onnx.helper.make_graph(
        [node("Identity", ["w"], ["b"])], "branch", [], [onnx.helper.make_tensor_value_info("b", FLOAT, None)], [hidden]
    )
    inner = model(
        [node("If", ["yes"], ["anomaly"], then_branch=branch, else_branch=branch)],
        [("yes", BOOL, [])],
        [("anomaly", FLOAT, None)],
    )
    attribute = model([node("Constant", [], ["anomaly"], value=hidden)], [], [("anomaly", FLOAT, None)])
    for proto in (inner, attribute):
        refused(lambda proto=proto: registry.add(version(proto.SerializeToString())), "elsewhere.bin")


def test_external_data_that_was_put_there_later_is_not_loaded(registry: Registry) -> None:
    manifest = registry.add(version(logistic([1.0, 1.0])))
    data = external("weights.bin")
    overwrite(registry.path / "fraud" / "8" / "model.onnx", data)
    refused(lambda: registry.load("fraud:8", manifest.digest), "has the SHA-256")


@pytest.mark.parametrize(
    ("data", "change", "what"),
    [
        (b"no graph", {}, "no ONNX"),
        (b"", {}, "names no operator set"),
        (logistic([1.0, 1.0])[:-7], {}, "no ONNX file|does not take"),
        (None, {}, "format onnx has an artifact"),
        (logistic([1.0] * 3), {}, "takes 3 features, the version has 2: x, y"),
        (logistic([1.0] * 3), {"features": {**XY, "word": "string"}}, "the feature word is a string"),
        (logistic([1.0, 1.0]), {"outputs": ("a", "b")}, r"outputs \(anomaly float32 x 1\) do not fit"),
        (logistic([1.0, 1.0]), {"entry": "os:system"}, "no entry"),
        (classifier(), {"outputs": ("a", "b", "c")}, "label int64 x 1, probabilities float32 x 2"),
        (
            graph(
                [node("Add", ["x", "z"], ["anomaly"])],
                [("x", FLOAT, [None]), ("z", FLOAT, [None])],
                [("anomaly", FLOAT, None)],
            ),
            {},
            r"no feature \['z'\], no input \['y'\]",
        ),
        (
            graph([node("ReduceSum", ["x"], ["anomaly"])], [("x", FLOAT, [None, 2])], [("anomaly", FLOAT, None)]),
            {},
            "does not run on 32 rows of zeros: output anomaly has the shape",
        ),
        (
            graph([node("NoSuchThing", ["x"], ["anomaly"])], [("x", FLOAT, [None, 2])], [("anomaly", FLOAT, None)]),
            {},
            "does not take the graph: .*NoSuchThing",
        ),
    ],
    ids=[
        "other bytes",
        "nothing",
        "cut off",
        "no artifact",
        "wider matrix",
        "string in a matrix",
        "too few outputs",
        "an entry",
        "other outputs",
        "other inputs",
        "one answer for all",
        "unknown operator",
    ],
)
def test_a_graph_that_does_not_fit_says_both_sides(
    registry: Registry, data: bytes | None, change: dict[str, Any], what: str
) -> None:
    refused(lambda: registry.add(version(data, **change)), what)
    assert registry.list() == []


def test_a_map_of_classes_is_refused_with_the_option_that_turns_it_off(registry: Registry) -> None:
    zipped = onnx.ModelProto.FromString(classifier())
    zipped.graph.node[1].CopyFrom(node("ZipMap", ["raw"], ["probabilities"], ML, classlabels_int64s=[0, 1]))
    key = onnx.helper.make_map_type_proto(INT64, onnx.helper.make_tensor_type_proto(FLOAT, []))
    zipped.graph.output[1].type.CopyFrom(onnx.helper.make_sequence_type_proto(key))
    error = refused(lambda: registry.add(version(zipped.SerializeToString())), r"probabilities \(list\)")
    assert "'zipmap': False" in error.way_out


def test_a_manifest_without_its_operator_sets_is_none(registry: Registry) -> None:
    registry.add(version(logistic([1.0, 1.0])))
    path = registry.path / "fraud" / "8" / FILE
    overwrite(path, path.read_bytes().replace(b"opset:\n  ai.onnx: 17\n  ai.onnx.ml: 3\n", b""))
    refused(lambda: registry.get("fraud:8"), "format onnx has features, opset")


def test_without_the_extra_it_says_which(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    error = refused(lambda: registry.add(version(logistic([1.0, 1.0]))), "needs the library onnxruntime")
    assert "streambg[onnx]" in error.way_out


def test_the_registry_says_how_many_threads(tmp_path: Path) -> None:
    policy = Policy(onnx_threads=2)
    registry = Registry.create(tmp_path / "models", policy)
    assert registry.policy() == policy
    assert isinstance(loaded(registry, soft()), OnnxModel)
    overwrite(registry.path / "registry.yaml", b"onnx_threads: 0\n")
    refused(registry.policy, "onnx_threads")
