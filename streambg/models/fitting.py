"""Does a candidate keep the contract that readers of the output rely on? Compared with live on the same events. Pure.

What is looked at, in the order in which it is said:

- features: declared by the pipeline, of the same type; and there in every event that live can be asked about.
- outputs: the pipeline's and live's, in the same order; a decision where live has one.
- answers: one to every event that live answered. What raises, or is not finite, is none.
- kind: the published values are JSON (or not) with the same fields of the same types.
- range: scores where live's are, in the smallest of RANGES that holds them; and not in a narrower one in which most
  of live's could not be (a probability where live answers percent).
- labels: a field of few words (the decision, where it is words) says none that live never said.

How good the answers are is not looked at: that is the gate's business (records/gate.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streambg.models.answering import Answered
from streambg.models.contract import Floats, Row, Schema
from streambg.models.features import feature_reasons
from streambg.models.reasons import MAX_REASON_BYTES
from streambg.records.batch import OK

# What live never said in so many answers it says in at most 3 % of all (rule of three, 95 %): from here on a range
# and a set of labels mean something.
ENOUGH = 100
# A field with more different texts than this holds names or sentences, not labels.
MAX_LABELS = 20
# Reasons, and labels, that one line names; the rest is counted.
MAX_NAMED = 3
MAX_LABEL_SHOWN = 60
# From the narrowest on; every finite score is in the last.
RANGES: tuple[tuple[float, float], ...] = ((0.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (-math.inf, math.inf))

# The fields of a JSON object by name; any other value has one field, without a name; it is `bytes` where no JSON.
Fields = Mapping[str, Any]
_WHOLE = ""
_TYPES: Mapping[type, str] = {
    dict: "object",
    list: "array",
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    bytes: "no JSON",
}
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Mismatch:
    """`about`: what is looked at, one of those at the head of this module; `live`: live itself cannot be
    asked; or `steady`: a row has one answer (verifying.py).
    """

    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.about}: {self.what}"


@dataclass(frozen=True, slots=True)
class Side:
    """A version, the contract it answers by, the events as it is asked them (a text: no row), and what it answered."""

    ref: str
    schema: Schema
    rows: Sequence[Row | str]
    answered: Answered


@dataclass(frozen=True, slots=True)
class Fit:
    """`notes`: what could not be judged, and why. compared: the events that both answered."""

    mismatches: tuple[Mismatch, ...]
    compared: int = 0
    notes: tuple[str, ...] = field(default=())


def declared(ref: str, mine: Schema, pipeline: Schema, live: Schema | None) -> list[Mismatch]:
    """What the declarations alone show: a version's own schema, the pipeline's, and live's as its deploy carried it."""
    found = [
        Mismatch("features", f"{ref} needs {name} ({kind}), declared is {pipeline.features.get(name, 'none of it')}")
        for name, kind in mine.features.items()
        if pipeline.features.get(name) != kind
    ]
    if mine.outputs != pipeline.outputs:
        found.append(Mismatch("outputs", f"{ref} answers {_names(mine)}, the pipeline's are {_names(pipeline)}"))
    if live is None:
        return found
    if pipeline.outputs != live.outputs:
        found.append(Mismatch("outputs", f"the pipeline's are now {_names(pipeline)}, live answers {_names(live)}"))
    if pipeline.decision_output != live.decision_output:
        said = f"is now made on {pipeline.decision_output or 'nothing'}, live's on {live.decision_output or 'nothing'}"
        found.append(Mismatch("outputs", f"the decision {said}"))
    return found


def alone(mine: Side) -> Fit:
    """A first deploy: there is no live to compare with, so only what concerns every event is a mismatch."""
    readable = [not isinstance(row, str) for row in mine.rows]
    unfit = feature_reasons(mine.rows, mine.schema.features)
    wrong = Counter(reason for reason, reads in zip(unfit, readable, strict=True) if reads and reason is not None)
    found = [
        Mismatch("features", f"{reason} in all {count:,} events")
        for reason, count in wrong.items()
        if count == sum(readable)
    ]
    fit = np.array([reason is None for reason in unfit], bool)
    if fit.any() and not (fit & (mine.answered.statuses == OK)).any():
        found.append(Mismatch("answers", f"none to {int(fit.sum()):,} events: {_reasons(mine.answered, fit)}"))
    return Fit(tuple(found), notes=("nothing is live: there are no answers to compare with",))


def beside(live: Side, mine: Side) -> Fit:
    """Both were asked the same events, each as its own deploy has them decoded."""
    asked = _fit(live)
    able = _fit(mine)
    answered = asked & (live.answered.statuses == OK)
    found = [*_missing(mine, asked & ~able), *_unanswered(mine, answered & able)]
    both = np.flatnonzero(answered & (mine.answered.statuses == OK))
    values = [[_fields(side.answered.values[at]) for at in both.tolist()] for side in (live, mine)]
    found += _kinds(*values)
    notes = []
    if len(both) < ENOUGH:
        notes.append(f"{len(both):,} events were answered by both, {ENOUGH} are needed to compare ranges and labels")
    else:
        found += [*_ranges(live, mine, both), *_labels(*values)]
    return Fit(tuple(found), len(both), tuple(notes))


def range_of(scores: Floats) -> tuple[float, float]:
    """The narrowest of RANGES that holds all of them; they are finite."""
    return next(each for each in RANGES if bool(_within(scores, each).all()))


def _within(scores: Floats, range_: tuple[float, float]) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = (scores >= range_[0]) & (scores <= range_[1])
    return inside


def _fit(side: Side) -> npt.NDArray[np.bool_]:
    """The events that reach the model."""
    return np.array([reason is None for reason in feature_reasons(side.rows, side.schema.features)], bool)


def _missing(mine: Side, where: npt.NDArray[np.bool_]) -> Iterator[Mismatch]:
    if where.any():
        yield Mismatch(
            "features",
            f"{int(where.sum()):,} of {len(where):,} events that live can be asked about do not fit: "
            f"{_reasons(mine.answered, where)}",
        )


def _unanswered(mine: Side, where: npt.NDArray[np.bool_]) -> Iterator[Mismatch]:
    bad = where & (mine.answered.statuses != OK)
    if bad.any():
        yield Mismatch(
            "answers",
            f"none to {int(bad.sum()):,} of {int(where.sum()):,} events that live answered: "
            f"{_reasons(mine.answered, bad)}",
        )


def _reasons(answered: Answered, where: npt.NDArray[np.bool_]) -> str:
    """The most frequent reasons of these error rows with their numbers."""
    counts = Counter(answered.values[at][:MAX_REASON_BYTES].decode("utf-8", "replace") for at in np.flatnonzero(where))
    named = [f"{reason} ({count:,})" for reason, count in counts.most_common(MAX_NAMED)]
    return "; ".join(named) + (f"; and {len(counts) - MAX_NAMED} other reasons" if len(counts) > MAX_NAMED else "")


def _fields(value: bytes) -> Fields:
    """A published value's fields."""
    try:
        read = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read = value
    return read if isinstance(read, dict) else {_WHOLE: read}


def _kinds(live: Sequence[Fields], mine: Sequence[Fields]) -> Iterator[Mismatch]:
    theirs, ours = _types(live), _types(mine)
    for name in dict.fromkeys([*theirs, *ours]):
        before, after = theirs.get(name, frozenset()), ours.get(name, frozenset())
        shown = f"field {name!r}" if name else "the published value"
        if not after:
            yield Mismatch("kind", f"{shown} ({_or(before)}) is gone")
        elif not before:
            yield Mismatch("kind", f"{shown} ({_or(after)}) is new")
        elif more := after - before:
            yield Mismatch("kind", f"{shown} is {_or(more)}, live's is {_or(before)}")


def _types(values: Sequence[Fields]) -> dict[str, frozenset[str]]:
    """Each field's types; `nothing` is one where some values lack the field."""
    types: dict[str, set[str]] = {}
    seen: Counter[str] = Counter()
    for fields in values:
        for name, value in fields.items():
            types.setdefault(name, set()).add(_TYPES[type(value)])
            seen[name] += 1
    return {name: frozenset(its | ({"nothing"} if seen[name] < len(values) else set())) for name, its in types.items()}


def _ranges(live: Side, mine: Side, both: npt.NDArray[np.intp]) -> Iterator[Mismatch]:
    for name in mine.schema.outputs:
        if name not in live.schema.outputs:
            continue
        theirs, ours = (side.answered.scores[both, side.schema.outputs.index(name)] for side in (live, mine))
        usual, now = range_of(theirs), range_of(ours)
        shown = f"{name} is {ours.min():.6g} to {ours.max():.6g}, live's {theirs.min():.6g} to {theirs.max():.6g}"
        if outside := int((~_within(ours, usual)).sum()):
            yield Mismatch("range", f"{shown}: {outside:,} of {len(both):,} are outside {_interval(usual)}")
        elif (lost := int((~_within(theirs, now)).sum())) * 2 > len(both):
            yield Mismatch("range", f"{shown}: within {_interval(now)}, where {lost:,} of live's {len(both):,} are not")


def _labels(live: Sequence[Fields], mine: Sequence[Fields]) -> Iterator[Mismatch]:
    theirs, ours = _texts(live), _texts(mine)
    for name, known in theirs.items():
        new = Counter({text: count for text, count in ours.get(name, Counter()).items() if text not in known})
        if len(known) <= MAX_LABELS and new:
            said = ", ".join(f"{text[:MAX_LABEL_SHOWN]!r} ({count:,})" for text, count in new.most_common(MAX_NAMED))
            usual = ", ".join(repr(text[:MAX_LABEL_SHOWN]) for text in sorted(known))
            shown = f"field {name!r}" if name else "the published value"
            yield Mismatch("labels", f"{shown} says {said}; live says only {usual}")


def _texts(values: Sequence[Fields]) -> dict[str, Counter[str]]:
    """Each field's different texts with their numbers; a value that is no JSON may be a bare word, too."""
    found: dict[str, Counter[str]] = {}
    for fields in values:
        for name, value in fields.items():
            if isinstance(value, str | bytes):
                text = value if isinstance(value, str) else value.decode("utf-8", "replace")
                found.setdefault(name, Counter())[text] += 1
    return found


def _interval(range_: tuple[float, float]) -> str:
    low, high = range_
    return f"[{low:g}, {high:g}]" if math.isfinite(high) else f"{low:g} and more"


def _or(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))


def _names(schema: Schema) -> str:
    return ", ".join(schema.outputs)
