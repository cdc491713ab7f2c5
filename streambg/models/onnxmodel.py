"""An ONNX graph as a Model: which input takes which features, which outputs are the contract's, rows in fixed blocks.

Inputs: either one matrix (rows, features) with the features in declared order, or one input a feature, of its name,
with the shape (rows,) or (rows, 1). Outputs, the first that fits: an output for each name of the contract; else the
only float output, with a column for each name; else, where the contract has one name, the second column of the only
float output with two: the probability of class 1 of two, as scikit-learn's converters write it.

onnxruntime's kernels round by the number of rows (measured: LinearRegressor, Softplus and Sin answer one row alone
with other last bits than the same row among others), and the answer to a row must not depend on its neighbours. So
the graph always sees BLOCK rows: what is missing is filled with the first row, and what it says of that thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streambg.errors import ModelError
from streambg.models.contract import Answers, Events, Floats
from streambg.models.manifest import Manifest
from streambg.models.onnxfile import libraries, read_opsets
from streambg.models.reasons import words

# Twice the 16 floats of the widest vector registers, so that no kernel meets a rest that it computes otherwise. A
# single row costs as much as 32: 20-50 us instead of 20 for a small graph; in full blocks a row costs 0.3 us.
BLOCK = 32
# float64, as which events hold numbers, counts whole numbers one by one up to here.
WHOLE = 2**53

_NUMERIC: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
_KINDS: Mapping[str, tuple[str, ...]] = {
    "number": tuple(_NUMERIC),
    "boolean": (*_NUMERIC, "tensor(bool)"),
    "string": ("tensor(string)",),
}
_ZEROS: Mapping[str, float | str | bool] = {"number": 0.0, "string": "", "boolean": False}

Array = npt.NDArray[Any]


class _Port(Protocol):
    """What onnxruntime says of an input or output; a size in the shape is a number, or a name or None if free."""

    name: str
    type: str
    shape: list[int | str | None]


class _Session(Protocol):
    def get_inputs(self) -> list[_Port]: ...
    def get_outputs(self) -> list[_Port]: ...
    def run(self, outputs: list[str], feeds: dict[str, Array]) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Feed:
    """One input: the features it takes, its type, whether it has a second dimension."""

    name: str
    features: tuple[str, ...]
    type: str
    flat: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """One output of the contract: the graph's output and the column in it."""

    output: str
    column: int


def load_onnx(manifest: Manifest, artifact: bytes, threads: int) -> OnnxModel:
    """A session made of these very bytes, and tried once on zeros.

    threads: of one operator. One by default: a scorer is one process a core, more of them are the way to more cores,
    and onnxruntime's own pool would have each of them spin on all.
    Raises ModelError: not installed, no ONNX file, external data, or a graph that does not fit the contract.
    """
    read_opsets(manifest.ref, artifact)
    session = _session(manifest.ref, artifact, threads)
    feeds, block = feeds_of(manifest.ref, session.get_inputs(), manifest.features)
    model = OnnxModel(session, feeds, block, [port.name for port in session.get_outputs()])
    zeros = [{name: _ZEROS[kind] for name, kind in manifest.features.items()}]
    try:
        said = model.run(Events(zeros, [None], [0]))
    except Exception as error:  # the graph is a team's; the runtime has errors of its own for each operator
        raise ModelError(
            f"{manifest.ref}: the graph does not run on {block} rows of zeros: {words(error)[:500]}",
            way_out="export it with a free first dimension, so that it takes any number of rows",
        ) from error
    return model.taking(taken_of(manifest.ref, said, manifest.outputs))


def _session(ref: str, artifact: bytes, threads: int) -> _Session:
    _, runtime = libraries()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised, too
    options.add_session_config_entry("session.load_model_format", "ONNX")  # what was checked, not what it looks like
    try:
        session: _Session = runtime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a class of its own for each thing it finds, all just exceptions
        raise ModelError(
            f"{ref}: onnxruntime {runtime.__version__} does not take the graph: {words(error)[:500]}",
            way_out="a newer onnxruntime knows newer operator sets; or export for an older one (target_opset)",
        ) from error
    return session


def feeds_of(ref: str, inputs: Sequence[_Port], features: Mapping[str, str]) -> tuple[list[Feed], int]:
    """How the features reach the inputs, and the rows of a block. Raises ModelError with both sides."""
    shown = ", ".join(f"{port.name} {port.type}{port.shape}" for port in inputs)
    names = {port.name for port in inputs}
    matrix = len(inputs) == 1 and len(inputs[0].shape) == 2 and (len(features) > 1 or names != set(features))
    if matrix:
        feeds = [Feed(inputs[0].name, tuple(features), inputs[0].type, flat=False)]
        if isinstance(width := inputs[0].shape[1], int) and width != len(features):
            raise ModelError(
                f"{ref}: the graph's input {shown} takes {width} features, the version has {len(features)}: "
                f"{', '.join(features)}",
                way_out="give the features the model was trained on, in that order (--feature)",
            )
    elif names == set(features):
        feeds = [Feed(port.name, (port.name,), port.type, flat=len(port.shape) == 1) for port in inputs]
        if odd := [port.name for port in inputs if len(port.shape) != 1 and list(port.shape[1:]) not in ([1], [None])]:
            raise ModelError(
                f"{ref}: the input {odd[0]} of {shown} is no column of one feature",
                way_out="shape (rows,) or (rows, 1)",
            )
    else:
        raise ModelError(
            f"{ref}: the graph's inputs ({shown}) do not fit the features: no feature "
            f"{sorted(names - set(features))}, no input {sorted(set(features) - names)}",
            way_out="one matrix (rows, features), or one input for each feature, of its name",
        )
    for feed in feeds:
        for feature in feed.features:
            if feed.type not in _KINDS[features[feature]]:
                raise ModelError(
                    f"{ref}: the feature {feature} is a {features[feature]}, the input {feed.name} a {feed.type}",
                    way_out=f"a {features[feature]} goes into {' or '.join(_KINDS[features[feature]])}",
                )
    return feeds, _block(ref, inputs)


def _block(ref: str, inputs: Sequence[_Port]) -> int:
    """The number of rows the graph was exported for, else BLOCK."""
    fixed = {port.shape[0] for port in inputs if isinstance(port.shape[0], int)}
    if len(fixed) > 1 or any(size < 1 for size in fixed):
        raise ModelError(
            f"{ref}: the graph's inputs want different numbers of rows: {sorted(fixed)}",
            way_out="export it with a free first dimension",
        )
    return fixed.pop() if fixed else BLOCK


def taken_of(ref: str, said: Mapping[str, Any], wanted: Sequence[str]) -> list[Taken]:
    """Which of the outputs are the contract's, from what the graph said of one row. Raises ModelError."""
    columns = {name: array.shape[1] for name, array in said.items() if isinstance(array, np.ndarray)}
    floats = [name for name in columns if said[name].dtype.kind == "f"]
    if all(columns.get(name) == 1 and said[name].dtype.kind in "fiub" for name in wanted):
        return [Taken(name, 0) for name in wanted]
    if len(floats) == 1 and columns[floats[0]] == len(wanted):
        return [Taken(floats[0], at) for at in range(len(wanted))]
    if len(floats) == 1 and columns[floats[0]] == 2 and len(wanted) == 1:
        return [Taken(floats[0], 1)]
    shown = [
        f"{name} {array.dtype} x {columns[name]}" if name in columns else f"{name} ({type(array).__name__})"
        for name, array in said.items()
    ]
    raise ModelError(
        f"{ref}: the graph's outputs ({', '.join(shown)}) do not fit the contract's {list(wanted)}",
        way_out="name the graph's outputs as the contract does, or let it have one float output with a column for "
        "each; scikit-learn's converters need options={'zipmap': False}",
    )


class OnnxModel:
    """A session behind `predict_many`. The graph gets blocks of one size; see the head of this module."""

    __slots__ = ("_block", "_feeds", "_outputs", "_session", "_taken")

    def __init__(
        self,
        session: _Session,
        feeds: Sequence[Feed],
        block: int,
        outputs: Sequence[str],
        taken: Sequence[Taken] = (),
    ) -> None:
        self._session = session
        self._feeds = list(feeds)
        self._block = block
        self._outputs = list(outputs)
        self._taken = list(taken)

    def taking(self, taken: Sequence[Taken]) -> OnnxModel:
        """The same session, asked for these outputs only."""
        wanted = dict.fromkeys(each.output for each in taken)
        return OnnxModel(self._session, self._feeds, self._block, list(wanted), taken)

    def predict_many(self, events: Events) -> Answers:
        """float64 (n, outputs); a row that holds what an input's type cannot say is an error."""
        errors: dict[int, str] = {}
        if not len(events):
            return Answers(np.empty((0, len(self._taken))))
        said = self.run(events, errors)
        scores = np.column_stack([said[each.output][:, each.column] for each in self._taken])
        return Answers(scores.astype(np.float64), errors=errors)

    def run(self, events: Events, errors: dict[int, str] | None = None) -> dict[str, Any]:
        """Every output by name for n > 0 events, arrays as (n, columns). Raises what the runtime does, ValueError."""
        errors = {} if errors is None else errors
        fed = {feed.name: _values(feed, events, errors) for feed in self._feeds}
        parts = [self._one(fed, start, len(events)) for start in range(0, len(events), self._block)]
        said: dict[str, Any] = {}
        for name in self._outputs:
            found = [part[name] for part in parts]
            said[name] = np.concatenate(found) if isinstance(found[0], np.ndarray) else found[0]
        return said

    def _one(self, fed: Mapping[str, Array], start: int, rows: int) -> dict[str, Any]:
        real = min(self._block, rows - start)
        take = np.arange(start, start + self._block)
        take[real:] = start
        said = self._session.run(self._outputs, {name: array[take] for name, array in fed.items()})
        return {name: self._rows(name, each, real) for name, each in zip(self._outputs, said, strict=True)}

    def _rows(self, name: str, said: Any, real: int) -> Any:
        if not isinstance(said, np.ndarray):
            return said  # a sequence of maps, which no contract takes
        if said.ndim not in (1, 2) or len(said) != self._block:
            raise ValueError(f"output {name} has the shape {said.shape} for {self._block} rows")
        return said.reshape(self._block, -1)[:real]


def _values(feed: Feed, events: Events, errors: dict[int, str]) -> Array:
    """The features of one input in its type, (n,) or (n, features). Rows it cannot hold become zero and an error."""
    if feed.type == "tensor(string)":
        values: Array = np.array([[row[name] for name in feed.features] for row in events.rows], dtype=object)
    else:
        numbers = events.matrix(feed.features)
        values = numbers.astype(bool) if feed.type == "tensor(bool)" else _cast(feed, numbers, errors)
    return values[:, 0] if feed.flat else values


def _cast(feed: Feed, numbers: Floats, errors: dict[int, str]) -> Array:
    kind = _NUMERIC[feed.type]
    with np.errstate(over="ignore", invalid="ignore"):
        values: Array = numbers.astype(kind)
    whole = np.issubdtype(kind, np.integer)
    bad = (values != numbers) | (np.abs(numbers) > WHOLE) if whole else ~np.isfinite(values)
    for at, column in np.argwhere(bad).tolist():
        errors.setdefault(at, f"feature {feed.features[column]} is {numbers[at, column]:g}: no {feed.type}")
    values[bad] = 0
    return values
