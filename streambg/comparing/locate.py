"""Where a pair's evidence begins, and from which log offsets it is read (P31).

Evidence begins at the first `after` of the younger deployment; the other color is read from the batch that covers
it. Log offsets are found by reading single records: a binary search, then a look around, because a log is not quite
sorted: a scorer that crashed repeats some batches, and a dead one may still write a few old ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streambg.comparing.pair import Pair
from streambg.comparing.side import Place
from streambg.records.batch import Head
from streambg.records.coverage import Coverage
from streambg.records.source import Color, other

# How far before the place found reading begins. A scorer repeats what it had not committed: seconds of batches, with
# the 5 ms linger at most 200 a second and partition; or, under full load, some 10,000 rows a second and partition.
SLACK_RECORDS = 1_000
SLACK_OFFSETS = 50_000
# Batches of an older deployment that come late, from a process that did not know better: a poll or two.
SLACK_FIRST = 64


class PredictionLog(Protocol):
    """One partition of a color's predictions, from `low` up to `high` (not included)."""

    low: int
    high: int

    def head(self, offset: int) -> Head | None:
        """Of the batch at `offset`; None where the record is no batch."""


@dataclass(frozen=True, slots=True)
class Start:
    """New evidence: for the source offsets above `compared`, read from these places."""

    compared: int
    places: Mapping[Color, Place]


def locate(pair: Pair, logs: Mapping[Color, PredictionLog]) -> Start | None:
    """None while one of the two has not answered yet."""
    younger, older = pair.younger, other(pair.younger)
    first = first_of(logs[younger], pair.of(younger))
    first_older = first_of(logs[older], pair.of(older))
    if first is None or first_older is None:
        return None
    offset, head = first
    begin = head.after
    places: dict[Color, Place] = {younger: Place(offset, Coverage(pair.of(younger), begin))}
    offset_older, head_older = first_older
    if head_older.after > begin:
        # its answers begin later (or what was before is gone from the log): silent until then, and that says nothing
        places[older] = Place(offset_older, Coverage(pair.of(older)))
    else:
        at = covering(logs[older], offset_older, pair.of(older), begin)
        places[older] = Place(at, Coverage(pair.of(older), begin))
    return Start(begin, places)


def first_of(log: PredictionLog, deployment: int) -> tuple[int, Head] | None:
    """The first batch of a deployment in the log, as far as the log still reaches."""
    near = _boundary(log, log.low, log.high, lambda head: head.deployment >= deployment)
    for offset in range(max(log.low, near - SLACK_FIRST), min(log.high, near + SLACK_FIRST)):
        head = log.head(offset)
        if head is not None and head.deployment == deployment:
            return offset, head
    return None


def covering(log: PredictionLog, first: int, deployment: int, source_offset: int) -> int:
    """A log offset at or before the first batch with `after` <= source_offset < `upto`; with slack for repeats.

    A fold that begins there with covered = source_offset accepts that batch first: everything below is a repeat.
    """

    def beyond(offset: int) -> Callable[[Head], bool]:
        return lambda head: head.deployment > deployment or (head.deployment == deployment and head.upto > offset)

    at = _boundary(log, first, log.high, beyond(source_offset))
    earlier = _boundary(log, first, at, beyond(source_offset - SLACK_OFFSETS))
    return max(first, earlier, at - SLACK_RECORDS)


def _boundary(log: PredictionLog, low: int, high: int, beyond: Callable[[Head], bool]) -> int:
    """The offset in [low, high] from which records are `beyond`, in a log that is almost sorted by it."""
    while low < high:
        middle = (low + high) // 2
        offset, head = middle, log.head(middle)
        while head is None and offset + 1 < high:
            offset += 1  # no batch: the next record speaks for it
            head = log.head(offset)
        if head is None or beyond(head):
            high = middle
        else:
            low = offset + 1
    return low
