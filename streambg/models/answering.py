"""Rows -> answers: asks the model, believes nothing it says unchecked, and gives every event exactly one answer.

Pure but for the model. An error row has the status ERROR, NaN as scores, and its reason as value.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import msgspec
import numpy as np
import numpy.typing as npt

from streambg.models.contract import DECISION, Answers, Events, Floats, Ints, Model, Row, Schema
from streambg.models.features import FeatureCheck
from streambg.models.reasons import RAISES, reason_bytes, words
from streambg.records.batch import ERROR, MAX_VALUE_BYTES, OK

_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True, slots=True)
class Answered:
    """scores float64 (n, outputs), statuses uint8 (n,) OK or ERROR, values n: the bytes to publish, or the reason."""

    scores: Floats
    statuses: npt.NDArray[np.uint8]
    values: list[bytes]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Asked:
    """n rows with their keys and times (ms since 1970), which a sample does not have."""

    rows: Sequence[Row | str]
    keys: Sequence[bytes | None] | None = None
    times: Sequence[int] | None = None

    def own(self) -> Asked:
        """A copy of the rows: a model that writes into its events must not change what another one is asked."""
        return replace(self, rows=copy.deepcopy(list(self.rows)))


@dataclass(frozen=True, slots=True)
class _Raised:
    reason: str


def answer_rows(
    model: Model,
    rows: Sequence[Row | str],
    keys: Sequence[bytes | None],
    times: Ints,
    schema: Schema,
    check: FeatureCheck,
) -> Answered:
    """One answer a row, in order; a row that is a reason, or that lacks what is declared, never reaches the model."""
    checked = check.check(rows)
    reasons = checked.reasons
    good = [at for at, reason in enumerate(reasons) if reason is None] if reasons else range(len(rows))
    if reasons:
        chosen = [row for at in good if isinstance(row := rows[at], dict)]
        events = Events(chosen, [keys[at] for at in good], times[good])
    else:
        events = Events(rows, keys, times)  # type: ignore[arg-type] # a row that is a string has a reason
    if checked.numbers is not None:
        events.remember(check.numbers, checked.numbers)
    some = answer(model, events, schema)
    if not reasons:
        return some
    answered = _all_errors(len(rows), schema, "")
    answered.scores[good] = some.scores
    answered.statuses[good] = some.statuses
    for at, value in zip(good, some.values, strict=True):
        answered.values[at] = value
    for at, reason in enumerate(reasons):
        if reason is not None:
            answered.values[at] = reason_bytes(reason)
    return answered


def answer_in_batches(model: Model, asked: Asked, schema: Schema, check: FeatureCheck, size: int) -> Answered:
    """Every row of the sample, `size` at a time."""
    count = len(asked.rows)
    keys = [None] * count if asked.keys is None else asked.keys
    times = np.arange(count) if asked.times is None else np.array(asked.times, np.int64)
    parts = [
        answer_rows(model, asked.rows[at : at + size], keys[at : at + size], times[at : at + size], schema, check)
        for at in range(0, count, size)
    ] or [_all_errors(0, schema, "")]
    return Answered(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.statuses for part in parts]),
        [value for part in parts for value in part.values],
    )


def answer(model: Model, events: Events, schema: Schema) -> Answered:
    """The model's answers to events whose features were checked. Where it raises, the batch is halved until only
    the rows that make it raise are left; they become error rows.
    """
    if not len(events):
        return _all_errors(0, schema, "")
    outcome = _attempt(model, events, schema)
    if isinstance(outcome, Answered):
        return outcome
    if len(events) == 1:
        return _all_errors(1, schema, outcome.reason)
    half = len(events) // 2
    first, second = (answer(model, part, schema) for part in (events.part(0, half), events.part(half, len(events))))
    return Answered(
        np.concatenate((first.scores, second.scores)),
        np.concatenate((first.statuses, second.statuses)),
        first.values + second.values,
    )


def _attempt(model: Model, events: Events, schema: Schema) -> Answered | _Raised:
    try:
        said = model.predict_many(events)
        answers = said if isinstance(said, Answers) else Answers(said)
        scores = _scores(answers.scores, len(events), schema)
        return _all_errors(len(events), schema, scores) if isinstance(scores, str) else _judge(answers, scores, schema)
    except RAISES as error:  # whatever a team's code raises, or an odd Answers of its making, is about these events
        return _Raised(f"model raised {type(error).__name__}: {words(error)}")


def _scores(said: npt.ArrayLike, rows: int, schema: Schema) -> Floats | str:
    """What the model said as a new float64 array (rows, outputs), or what is wrong with it."""
    if isinstance(said, np.ma.MaskedArray):
        said = np.ma.filled(said.astype(np.float64), np.nan)  # asarray would show what the mask hides
    array = np.asarray(said)
    outputs = len(schema.outputs)
    if array.ndim == 0:
        return f"model answered {type(said).__name__}, an array ({rows}, {outputs}) is needed"
    if len(array) != rows:
        return f"model answered {len(array)} rows to {rows} events"
    if array.dtype.kind not in "fiub":
        return f"model answered {array.dtype.name}, float64 is needed"
    if array.shape != (rows, outputs) and not (array.ndim == 1 and outputs == 1):
        return f"model answered an array {array.shape}, ({rows}, {outputs}) is needed"
    with np.errstate(over="ignore"):  # a long double beyond float64 is infinite, and found below
        return array.astype(np.float64, order="C", copy=True).reshape(rows, outputs)


def _judge(answers: Answers, scores: Floats, schema: Schema) -> Answered:
    rows = len(scores)
    errors = answers.errors or {}
    if any(type(at) is not int or not 0 <= at < rows for at in errors):
        return _all_errors(rows, schema, f"model named an error for a row that is none of 0..{rows - 1}")
    if answers.values is not None and len(answers.values) != rows:
        return _all_errors(rows, schema, f"model answered {len(answers.values)} values to {rows} events")
    finite = np.isfinite(scores)
    values = list(answers.values) if answers.values is not None else _default_values(scores, schema)
    # one row's answer must not depend on its neighbours', so every row is judged alone
    bad = {int(at): _not_finite(scores[at], schema) for at in np.flatnonzero(~finite.all(axis=1))}
    if set(map(type, values)) != {bytes} or max(map(len, values)) > MAX_VALUE_BYTES:
        for at, value in enumerate(values):
            if (why := _bad_value(value)) is not None:
                bad.setdefault(at, why)
    bad.update((at, f"model: {why}") for at, why in errors.items())
    statuses = np.full(rows, OK, np.uint8)
    for at, why in bad.items():
        statuses[at] = ERROR
        scores[at] = np.nan
        values[at] = reason_bytes(why)
    return Answered(scores, statuses, values)


def _bad_value(value: object) -> str | None:
    if not isinstance(value, bytes):
        return f"model answered a value of type {type(value).__name__}, bytes are needed"
    if len(value) > MAX_VALUE_BYTES:
        return f"answer over the size limit: {len(value)} bytes, limit {MAX_VALUE_BYTES}"
    return None


def _not_finite(row: Floats, schema: Schema) -> str:
    at = int(np.flatnonzero(~np.isfinite(row))[0])
    return f"model answered {'NaN' if np.isnan(row[at]) else 'infinity'} for {schema.outputs[at]}"


def _default_values(scores: Floats, schema: Schema) -> list[bytes]:
    """Compact JSON of outputs and decision, a row a line: encoded in one go (0.14 us a row), cut at the newlines."""
    columns: list[list[float] | list[bool]] = [column.tolist() for column in scores.T]
    decided, threshold = schema.decision_output, schema.decision_threshold
    if decided is not None and threshold is not None:
        columns.append((scores[:, schema.outputs.index(decided)] >= threshold).tolist())
    line = _line_type(schema.outputs, decided is not None)
    return _encode_lines(list(map(line, *columns))).split(b"\n")[:-1]


@cache
def _line_type(outputs: tuple[str, ...], decision: bool) -> type[msgspec.Struct]:
    fields: list[tuple[str, type]] = [(f"o{at}", float) for at in range(len(outputs))]
    names = {f"o{at}": name for at, name in enumerate(outputs)}
    if decision:
        fields.append((DECISION, bool))
    return msgspec.defstruct("Line", fields, rename=names, gc=False)


def _all_errors(rows: int, schema: Schema, reason: str) -> Answered:
    return Answered(
        np.full((rows, len(schema.outputs)), np.nan),
        np.full(rows, ERROR, np.uint8),
        [reason_bytes(reason)] * rows,
    )
