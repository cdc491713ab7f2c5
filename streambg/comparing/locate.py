"""Where a pair's evidence begins, and from which log offsets it is read (P31).

Evidence begins at the first `after` of the younger deployment; the other color is read from the batch that covers
it. Log offsets are found by reading single records: a binary search, then a look around, because a log is not quite
sorted: a scorer that crashed repeats some batches, and a dead one may still write a few old ones.
"""

from __future__ import annotations

from collections.abc import Mapping
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
# Batches of an older deployment that come late, from a process that did not know better, say nothing: what it had
# queued for one partition is a poll or two. So many are looked past at each step of a search, which may therefore end
# as many records early; and more around its end.
LOOK_PAST = 16
SLACK_FIRST = 4 * LOOK_PAST


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


def locate(pair: Pair, logs: Mapping[Color, PredictionLog]) -> Start | Color:
    """Where to begin; or the color that has not answered yet."""
    younger, older = pair.younger, other(pair.younger)
    first = first_of(logs[younger], pair.of(younger))
    if first is None:
        return younger
    first_older = first_of(logs[older], pair.of(older))
    if first_older is None:
        return older
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
    near = _boundary(log, log.low, log.high, deployment, -1)
    for offset in range(max(log.low, near - SLACK_FIRST), min(log.high, near + SLACK_FIRST)):
        head = log.head(offset)
        if head is not None and head.deployment == deployment:
            return offset, head
    return None


def covering(log: PredictionLog, first: int, deployment: int, source_offset: int) -> int:
    """A log offset at or before the first batch with `after` <= source_offset < `upto`; with slack for repeats.

    A fold that begins there with covered = source_offset accepts that batch first: everything below is a repeat.
    Where a log is so disturbed that the search cannot be trusted, that is `first`, the deployment's first batch.
    """
    at = _boundary(log, first, log.high, deployment, source_offset)
    if not _trusted(log, first, at, deployment, source_offset):
        return first
    earlier = _boundary(log, first, at, deployment, source_offset - SLACK_OFFSETS)
    return max(first, earlier, at - SLACK_RECORDS)


def _trusted(log: PredictionLog, first: int, at: int, deployment: int, source_offset: int) -> bool:
    """Does the batch found cover the source offset, or is there really none that reaches it yet?"""
    if at < log.high:
        head = _speaking(log, at, log.high, deployment)
        return head is not None and head[1].deployment == deployment and head[1].after <= source_offset
    last = _speaking(log, max(first, log.high - LOOK_PAST), log.high, deployment)
    return last is not None and last[1].deployment == deployment and last[1].upto <= source_offset


def _boundary(log: PredictionLog, low: int, high: int, deployment: int, source_offset: int) -> int:
    """The offset in [low, high] from which batches of the deployment reach beyond the source offset.

    For a log that is almost sorted. source_offset -1: from which there are batches of it at all.
    """
    while low < high:
        middle = (low + high) // 2
        found = _speaking(log, middle, high, deployment)
        if found is None and _silent(log, middle, high):
            high = middle  # no batch at all up to there: to begin here is to begin there
        elif found is None:
            low = middle + 1
        elif found[1].deployment > deployment or found[1].upto > source_offset:
            high = middle
        else:
            low = found[0] + 1
    return low


def _silent(log: PredictionLog, offset: int, high: int) -> bool:
    """Are all records from `offset` up to `high` no batches, and few enough to look at?"""
    return high - offset <= LOOK_PAST and all(log.head(at) is None for at in range(offset, high))


def _speaking(log: PredictionLog, offset: int, high: int, deployment: int) -> tuple[int, Head] | None:
    """The first record from `offset` on that says where this is: of the deployment, or of a later one."""
    for at in range(offset, min(high, offset + LOOK_PAST)):
        head = log.head(at)
        if head is not None and head.deployment >= deployment:
            return at, head
    return None
