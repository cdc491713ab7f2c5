"""Which batches of a deployment hold an event, and what the fold makes of each (P8). Pure.

The batch that counts is the first whose interval reaches the event without a hole before it; found by the search of
`comparing.locate` and a fold of the records around, never by reading a partition from its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from streambg.comparing.locate import PredictionLog, covering, first_of
from streambg.records.batch import Head
from streambg.records.coverage import Coverage, Take

# A crashed scorer repeats what it had not committed, half a second of batches: with the 5 ms linger 100 of them, and as
# many of its last moments in between. Under full load batches are large: two seconds of 10,000 rows.
LOOK_ON_RECORDS = 256
LOOK_ON_OFFSETS = 20_000
# Where the batch that holds the event seems to leave a hole, the fold begins this many times further back.
WIDEN = 8


class Verdict(Enum):
    """What one batch means for one event."""

    ACCEPTED = "accepted"  # its row counts
    REPEAT = "repeat"  # an earlier batch had answered
    HOLE = "hole"  # it begins above what was covered: not accepted
    REPLACED = "replaced"  # of a deployment that was no longer in force (P12)


@dataclass(frozen=True, slots=True)
class Held:
    """A batch whose interval holds the event: where it stands, what it says, what it means."""

    log_offset: int
    head: Head
    verdict: Verdict


class Reach(Enum):
    """What a deployment's log says of an event before any row is looked at."""

    HELD = "held"  # a batch that counts holds it
    NOT_YET = "not yet"  # its answers have not come so far
    BEFORE = "before"  # its answers begin above (P9: unanswered)
    GONE = "gone"  # its batches of that time are no longer kept


@dataclass(frozen=True, slots=True)
class Search:
    """begins: the `after` of the deployment's first batch that is kept; None: none is. upto: how far the fold came."""

    reach: Reach
    held: tuple[Held, ...]
    begins: int | None
    upto: int | None


def search(log: PredictionLog, deployment: int, source: int) -> Search:
    """The batches of `deployment` that hold the source offset, in log order."""
    first = first_of(log, deployment)
    if first is None:
        return Search(Reach.GONE if log.low > 0 else Reach.NOT_YET, (), None, None)
    offset, head = first
    if source <= head.after:
        gone = offset == log.low > 0
        return Search(Reach.GONE if gone else Reach.BEFORE, (), head.after, None)
    start = covering(log, offset, deployment, source - 1)
    held, upto = _fold(log, deployment, source, start)
    while start > offset and held and held[0].verdict is Verdict.HOLE:
        # what came before the hole may have stood further back
        start = max(offset, start - WIDEN * max(1, held[0].log_offset - start))
        held, upto = _fold(log, deployment, source, start)
    counts = any(each.verdict is Verdict.ACCEPTED for each in held)
    return Search(Reach.HELD if counts else Reach.NOT_YET, tuple(held), head.after, upto)


def _fold(log: PredictionLog, deployment: int, source: int, start: int) -> tuple[list[Held], int | None]:
    """The fold from `start` on, as if what stands before its first batch were covered there: at most too little."""
    fold = Coverage(deployment)
    held: list[Held] = []
    end = log.high
    counted = False
    offset = start
    while offset < end:
        head = log.head(offset)
        if head is not None and head.deployment == deployment:
            take, fold = fold.take(head.after, head.upto, head.sample)
            if head.after < source <= head.upto:
                held.append(Held(offset, head, _verdict(take, counted)))
                if not counted and take is Take.ACCEPTED:
                    counted, end = True, min(end, offset + LOOK_ON_RECORDS)
            if counted and head.after > source + LOOK_ON_OFFSETS:
                break
        offset += 1
    return held, fold.covered


def _verdict(take: Take, counted: bool) -> Verdict:
    if counted:
        return Verdict.REPEAT
    if take is Take.HOLE:
        return Verdict.HOLE
    return Verdict.ACCEPTED if take is Take.ACCEPTED else Verdict.REPEAT
