"""Which event a label belongs to, and what it is: evidence, or something to be counted apart. Pure.

A label of the time t may belong to events of the times [t - horizon, t + EARLY_MS]; of several with its key, to the
first. The first label of an event is evidence. What was counted cannot be taken back without breaking the test, which
holds at every moment; so a later one is `repeated`, or with another value `corrected`, and people are told of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Literal, NamedTuple

from streambg.labelling.cohorts import EARLY_MS
from streambg.labelling.rows import ORDER_BYTES, Layout, Place, time_of

Kind = Literal["matched", "repeated", "corrected", "late", "orphan", "elsewhere"]

# label partition, offset, value
_MARK = Struct(">HQd")


class Mark(NamedTuple):
    """Which label was the first of an event."""

    partition: int
    offset: int
    value: float

    def encode(self) -> bytes:
        return _MARK.pack(*self)


def decode_mark(data: bytes) -> Mark:
    return Mark(*_MARK.unpack(data))


class Candidate(NamedTuple):
    """An event with the label's key, as it waits. mark: None where it has no label yet."""

    cohort: int
    value: bytes
    mark: Mark | None


class Dated(NamedTuple):
    """A label on its way. time: its record's, and never before that of one before it in its partition."""

    offset: int
    time: int
    place: Place
    value: float


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a label; candidate and time: of its event, where it has one. early: it was dated before it."""

    kind: Kind
    candidate: Candidate | None = None
    early: bool = False


def span(layout: Layout, time: int) -> tuple[int, int]:
    """First and last cohort in which its event may wait; and one more, to tell the late from the lost."""
    return (
        max(0, (time - layout.labels.horizon_ms) // layout.width - 1),
        (time + EARLY_MS) // layout.width,
    )


def find(layout: Layout, partition: int, label: Dated, candidates: Sequence[Candidate]) -> Found:
    """`candidates`: all that wait with its key in its span."""
    dated = sorted(
        ((time_of(layout, each.cohort, each.value), each.value[4:ORDER_BYTES], each) for each in candidates),
        key=lambda entry: entry[:2],
    )
    oldest, latest = label.time - layout.labels.horizon_ms, label.time + EARLY_MS
    for time, _, candidate in dated:
        if oldest <= time <= latest:
            return Found(_standing(partition, label, candidate.mark), candidate, label.time < time)
    return Found("late" if dated and dated[0][0] < oldest else "orphan")


def _standing(partition: int, label: Dated, mark: Mark | None) -> Kind:
    if mark is None:
        return "matched"
    if mark.partition != partition:
        return "elsewhere"
    if label.offset <= mark.offset:
        return "matched"  # read again: it is itself the first
    return "repeated" if label.value == mark.value else "corrected"
