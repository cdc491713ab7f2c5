"""What an ONNX file says of itself, read before anything is made of it: its operator sets, and that it is all there is.

Parsed by the package `onnx`, which runs nothing of it. A tensor may name a file beside the model as its data; those
bytes were never hashed, and onnxruntime would look for them wherever the process happens to stand: such a file is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from streambg.errors import ModelError
from streambg.models.reasons import words

# the default operator set has the empty name in the file, and this one in the standard
STANDARD_DOMAIN = "ai.onnx"


def libraries() -> tuple[ModuleType, ModuleType]:
    """`onnx` and `onnxruntime`, imported where they are needed only. Raises ModelError where they are not installed."""
    try:
        import onnx  # noqa: PLC0415 - both come with an extra
        import onnxruntime  # noqa: PLC0415 - and cost 0.3 s that no other format should pay
    except ImportError as error:
        raise ModelError(
            f"format onnx needs the library {error.name or 'onnxruntime'}, which is not installed here",
            way_out="pip install 'streambg[onnx]', in every scorer's environment",
        ) from error
    return onnx, onnxruntime


def read_opsets(ref: str, data: bytes) -> dict[str, int]:
    """The operator sets the graph was written for, by domain.

    Raises ModelError: no ONNX file, or one that keeps tensors in other files; or `onnx` is not installed.
    """
    onnx, _ = libraries()
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf has errors of several kinds for bytes that are none of its own
        raise ModelError(
            f"{ref}: the artifact is no ONNX file: {words(error)[:200]}",
            way_out="give the file that the exporter wrote (.onnx)",
        ) from error
    outside = sorted({where for tensor in _tensors(model, onnx) if (where := _place(tensor, onnx)) is not None})
    if outside:
        raise ModelError(
            f"{ref}: the artifact keeps {len(outside)} of its tensors' data in other files ({', '.join(outside[:3])}); "
            "a version is one file, whose digest covers all of it",
            way_out="save it as one file: onnx.save_model(onnx.load(FILE), NEW, save_as_external_data=False)",
        )
    if not model.opset_import:
        raise ModelError(f"{ref}: the artifact is no ONNX model: it names no operator set", way_out="export it anew")
    return {opset.domain or STANDARD_DOMAIN: opset.version for opset in model.opset_import}


def _tensors(message: Any, onnx: ModuleType) -> Iterator[Any]:
    """Every tensor of a protobuf message, however deep: initializers, attributes, subgraphs, functions, sparse ones."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(inner, onnx)


def _place(tensor: Any, onnx: ModuleType) -> str | None:
    """The other file in which a tensor's data stands; None where it stands in this one."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL and not tensor.external_data:
        return None
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "no place named")
