"""Where the outcome of an event stands: a binary search, because outcomes are in source order. Pure.

Offsets of a transactional topic have gaps (markers, aborted records), and records of others or of an earlier input
topic may stand between: a log answers with the next record that says where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mark:
    """A record of an outcome topic: its log offset, and the source offset it is about.

    Of an earlier input topic of the same name (P25) it is below every event there is: source -1.
    """

    offset: int
    source: int


class OutcomeLog(Protocol):
    """One partition of the output or the dead letters, from `low` up to `high` (not included)."""

    low: int
    high: int

    def mark(self, offset: int) -> Mark | None:
        """The first record at or above `offset` that says where it is; None where there is none below `high`."""


def first_reaching(log: OutcomeLog, source: int) -> Mark | None:
    """The first outcome of this source offset or a later one; None where all are of earlier ones.

    About log2(high - low) looks; the record is the event's own where `mark.source == source`.
    """
    low, high = log.low, log.high
    best: Mark | None = None
    while low < high:
        middle = (low + high) // 2
        mark = log.mark(middle)
        if mark is None:
            high = middle
        elif mark.source >= source:
            best, high = mark, middle
        else:
            low = mark.offset + 1
    return best


def behind(log: OutcomeLog, source: int) -> int:
    """The log offset behind the last outcome of an earlier source offset."""
    low, high = log.low, log.high
    while low < high:
        middle = (low + high) // 2
        mark = log.mark(middle)
        if mark is None or mark.source >= source:
            high = middle
        else:
            low = mark.offset + 1
    return low
