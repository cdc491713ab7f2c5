"""Small ONNX graphs for the tests, built node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, INT64, BOOL, STRING = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.BOOL,
    TensorProto.STRING,
)
# what the pinned onnxruntime takes, and older ones too
IR_VERSION, OPSET, ML_OPSET = 9, 17, 3
ML = "ai.onnx.ml"

Port = tuple[str, int, Sequence[int | str | None]]


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(op, list(inputs), list(outputs), domain=domain, **attributes)


def constant(name: str, values: Any, kind: type = np.float32) -> Any:
    return numpy_helper.from_array(np.array(values, kind), name)


def model(nodes: Sequence[Any], inputs: Sequence[Port], outputs: Sequence[Port], weights: Sequence[Any] = ()) -> Any:
    def ports(of: Sequence[Port]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, kind, list(shape) if shape is not None else None)
            for name, kind, shape in of
        ]

    graph = helper.make_graph(list(nodes), "graph", ports(inputs), ports(outputs), list(weights))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def graph(*args: Any, **kwargs: Any) -> bytes:
    """The bytes of `model`."""
    data: bytes = model(*args, **kwargs).SerializeToString()
    return data


def logistic(
    weights: Sequence[float], rows: int | str | None = None, output: str = "anomaly", kind: int = FLOAT
) -> bytes:
    """sigmoid(x . weights): the input `x` (rows, features), one output (rows, 1)."""
    number = np.float64 if kind == DOUBLE else np.float32
    return graph(
        [node("MatMul", ["x", "w"], ["z"]), node("Sigmoid", ["z"], [output])],
        [("x", kind, [rows, len(weights)])],
        [(output, kind, [rows, 1])],
        [constant("w", [[each] for each in weights], number)],
    )


def external(where: str) -> bytes:
    """A logistic graph whose weights stand in another file."""
    proto = onnx.ModelProto.FromString(logistic([1.0, 1.0]))
    tensor = proto.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", where), ("offset", "0"), ("length", str(len(data)))):
        tensor.external_data.add(key=key, value=value)
    made: bytes = proto.SerializeToString()
    return made
