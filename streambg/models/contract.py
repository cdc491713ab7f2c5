"""What a model is, for those who write one.

A model is an object with one method:

    class Fraud:
        def __init__(self, artifact: bytes) -> None:        # no argument where the version has no artifact
            self.w = np.array(json.loads(artifact)["weights"])

        def predict_many(self, events: Events) -> np.ndarray:
            z = (events.matrix(["amount", "age"]) * self.w).sum(axis=1)
            return 1 / (1 + np.exp(-z))

`predict_many` gets n events, all with the features that the pipeline declares (present, of the declared type, finite;
an event that is not so never reaches a model), and answers float64 of shape (n, outputs); (n,) will do where there is
one output. What is published is then compact JSON of the outputs and the decision:
`{"anomaly":0.0123,"decision":true}`, the decision being `score >= threshold`.

A model that publishes something else, or cannot answer some rows, returns `Answers(scores, values, errors)`:
`values` are the bytes to publish, one an event; `errors` says for row numbers why there is no answer.

What becomes an *error row* (an answer that says why there is none; the other color or a dead letter then stands in):
a row named in `errors`; a row for which the model raises (the batch is halved until only the raising rows are left);
NaN or infinity in a row's outputs; a value over the size limit; and all rows of a batch answered with another
number of rows or outputs.

`predict_many` is pure: the same row has the same answer, to the last bit, whatever stands beside it in the batch and
whatever was asked before. Cutover, replay and audit rest on it, and `streambg models verify` tries it. So: no learning
while scoring, no clock, no randomness, nothing written into `events.rows`. One thing surprises: `X @ w` goes to a BLAS
that rounds differently by batch size; `(X * w).sum(axis=1)` and `np.einsum("ij,j->i", X, w)` do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from streambg.errors import ModelError

FeatureType = Literal["number", "string", "boolean"]
FEATURE_TYPES: tuple[FeatureType, ...] = ("number", "string", "boolean")
DECISION = "decision"
# it becomes a key of the published JSON, written without escapes
_OUTPUT_NAME = re.compile(r'[^"\\\x00-\x1f]{1,200}')

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Schema:
    """What every version must fit: features by name with their types, outputs in order, the decision.

    Raises ModelError where the parts contradict each other.
    """

    features: Mapping[str, str]
    outputs: tuple[str, ...]
    decision_output: str | None = None
    decision_threshold: float | None = None

    def __post_init__(self) -> None:
        for name, kind in self.features.items():
            if kind not in FEATURE_TYPES:
                raise ModelError(
                    f"feature {name} has the type {kind!r}", way_out=f"a feature is one of {', '.join(FEATURE_TYPES)}"
                )
        if not self.outputs or len(set(self.outputs)) != len(self.outputs) or DECISION in self.outputs:
            raise ModelError(
                f"outputs {list(self.outputs)}",
                way_out=f"name at least one output, none twice, none {DECISION!r} (that name is for the decision)",
            )
        for name in self.outputs:
            if _OUTPUT_NAME.fullmatch(name) is None:
                raise ModelError(
                    f"the output name {name[:80]!r}", way_out="leave out quotes, backslashes and control characters"
                )
        if (self.decision_output is None) != (self.decision_threshold is None):
            raise ModelError("half a decision", way_out="a decision has both an output and a threshold")
        if self.decision_output is not None and self.decision_output not in self.outputs:
            raise ModelError(
                f"the decision's output {self.decision_output!r} is none of {list(self.outputs)}",
                way_out="name one of them",
            )


class Events:
    """n events of one partition, in source order.

    rows: the decoded events; all fields, also those that are no features. Shared: read only.
    keys: the record keys. times: int64 (n,), ms since 1970, the record timestamps.
    """

    __slots__ = ("_columns", "_matrices", "keys", "rows", "times")

    def __init__(self, rows: Sequence[Row], keys: Sequence[bytes | None], times: Ints | Sequence[int]) -> None:
        self.rows: list[Row] = rows if isinstance(rows, list) else list(rows)
        self.keys: list[bytes | None] = keys if isinstance(keys, list) else list(keys)
        self.times: Ints = np.asarray(times, dtype=np.int64)
        if not len(self.rows) == len(self.keys) == len(self.times):
            raise ValueError(f"{len(self.rows)} rows, {len(self.keys)} keys, {len(self.times)} times")
        self._columns: dict[str, Floats] = {}
        self._matrices: dict[tuple[str, ...], Floats] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Floats:
        """A field as float64 (n,); booleans are 0 and 1. The caller's own copy.

        Raises KeyError where a row lacks the field, TypeError where it holds no number (strings: see `rows`).
        """
        if name not in self._columns:
            self._columns[name] = _numbers([row[name] for row in self.rows], (name,), (len(self.rows),))
        return self._columns[name].copy()

    def matrix(self, names: Sequence[str]) -> Floats:
        """Fields as float64 (n, k) in C order, in the order of `names`. The caller's own copy. Raises as `column`."""
        wanted = tuple(names)
        if wanted not in self._matrices:
            self._matrices[wanted] = self._make(wanted)
        return self._matrices[wanted].copy()

    def part(self, start: int, stop: int) -> Events:
        """The events [start, stop), as a batch of their own."""
        return Events(self.rows[start:stop], self.keys[start:stop], self.times[start:stop])

    def remember(self, names: tuple[str, ...], numbers: Floats) -> None:
        """Spare `matrix(names)` the work: whoever checked the features has read these numbers already."""
        self._matrices[names] = numbers

    def _make(self, names: tuple[str, ...]) -> Floats:
        if len(names) < 2:  # itemgetter makes tuples of two and more
            cells = [tuple(row[name] for name in names) for row in self.rows]
        else:
            cells = list(map(itemgetter(*names), self.rows))
        return _numbers(cells, names, (len(self.rows), len(names)))


def _numbers(cells: list[Any], names: tuple[str, ...], shape: tuple[int, ...]) -> Floats:
    array = np.array(cells) if cells and names else np.empty(shape)
    if array.dtype.kind == "O" and all(isinstance(cell, int | float) for cell in np.ravel(array)):
        array = np.array(cells, dtype=np.float64)  # whole numbers beyond 64 bits
    if array.dtype.kind not in "fiub" or array.shape != shape:
        raise TypeError(f"{', '.join(names)}: not only numbers; read strings from events.rows")
    return array.astype(np.float64, order="C", copy=False)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model may return instead of bare scores.

    scores: float64 (n, outputs), or (n,) where there is one output. values: the bytes to publish, one a row; None: the
    default JSON. errors: row number -> why there is no answer; the row's score and value are then not looked at.
    """

    scores: npt.ArrayLike
    values: Sequence[bytes] | None = None
    errors: Mapping[int, str] = field(default_factory=dict)


class Model(Protocol):
    """Anything with a pure `predict_many` (see the head of this module)."""

    def predict_many(self, events: Events) -> npt.ArrayLike | Answers:
        """Answers to n events: (n, outputs) float64, or Answers."""
        ...


def as_model(thing: object, what: str) -> Model:
    """The object as a model. Raises ModelError where it has no `predict_many`."""
    if not callable(getattr(thing, "predict_many", None)):
        raise ModelError(
            f"{what} is {type(thing).__name__}, which has no method predict_many",
            way_out="give it `predict_many(self, events) -> float64 array (n, outputs)`; see streambg.models.contract",
        )
    return cast("Model", thing)
