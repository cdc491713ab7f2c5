"""One color of a pair in one partition: the fold of its batches (P8, P12) and the rows that wait for the other color.

Everything kept here is a pure function of the log up to `place`, and `place` of the source offset compared: so the
read positions in a snapshot are the same whoever wrote it (P30, P32).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streambg.records.batch import Batch, Carried
from streambg.records.coverage import Coverage, Standing, Take, standing

Scalar = TypeVar("Scalar", bound=np.generic)
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# P20, per (partition, color): a color that runs ahead is paused here. What one answer of the broker brings of a
# partition (CO_FETCH_BYTES) fits four times; 64 partitions of one color that waits stay at 64 MiB on the wire, and rows
# cost three times as much here as there.
MAX_ROWS = 16_000
MAX_BYTES = 1024 * 1024
# A paused color is read again when half of it is compared: each pause throws away what the client had prefetched.
RESUME_AT = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading resumes: the next log offset, and the fold's state there (P30)."""

    log_offset: int
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class _Segment:
    """What counts of one accepted batch: its rows in (start, upto]; and what was dropped since the one before."""

    log_offset: int
    size: int
    batch: Batch
    start: int
    upto: int
    sample: bool
    coverage: Coverage  # after it
    drops: Counter[str]


@dataclass(frozen=True, slots=True)
class Part:
    """A color's rows in an interval of source offsets, in order, n of them.

    offsets int64, latency int64 ms (scored_at - event time, not below 0), times int64 ms, ok bool, scores float64
    (n, outputs); NaN where a batch has another number of outputs.
    """

    offsets: Ints
    times: Ints
    latency: Ints
    ok: Bools
    scores: Floats
    values: list[bytes]
    pieces: list[tuple[Batch, int, int]]

    def __len__(self) -> int:
        return len(self.offsets)

    def locate(self, row: int) -> tuple[Batch, int]:
        """The batch that holds a row, and the row's number there."""
        for batch, first, last in self.pieces:
            if row < last - first:
                return batch, first + row
            row -= last - first
        raise IndexError(row)

    def key(self, row: int) -> bytes | None:
        batch, at = self.locate(row)
        return batch.keys[at]

    def column(self, name: str) -> list[Carried]:
        """A carried field of every row; None where a batch does not carry it."""
        found: list[Carried] = []
        for batch, first, last in self.pieces:
            column = batch.carry.get(name)
            found += [None] * (last - first) if column is None else column[first:last]
        return found

    def carry(self, row: int) -> Mapping[str, Carried]:
        batch, at = self.locate(row)
        return {name: column[at] for name, column in batch.carry.items()}


class Side:
    """`offer` batches in log order; `part` gives rows; `retire` forgets what was compared."""

    def __init__(self, place: Place, outputs: int) -> None:
        self.place = place
        self.coverage = place.coverage
        self.next_offset = place.log_offset
        self.rows = 0
        self.bytes = 0
        self.newest_ms: int | None = None  # when the last accepted batch was scored
        self.open_drops: Counter[str] = Counter()  # dropped since the last accepted batch, by why
        self._outputs = outputs
        self._folded = -1
        self._was_full = False
        self._segments: deque[_Segment] = deque()
        self._blocked: deque[tuple[int, int, Batch]] = deque()

    @property
    def covered(self) -> int | None:
        return self.coverage.covered

    def full(self) -> bool:
        """P20: is there enough for now? An empty queue may always take one batch."""
        share = RESUME_AT if self._was_full else 1.0
        over = self.rows >= MAX_ROWS * share or self.bytes >= MAX_BYTES * share
        self._was_full = over and bool(self._segments or self._blocked)
        return self._was_full

    @property
    def blocked(self) -> int:
        """Batches that wait for the control log to be folded to them (P12)."""
        return len(self._blocked)

    def control(self, folded: int) -> None:
        """The control log is folded to here: batches that waited for it are judged (P12)."""
        self._folded = folded
        blocked, self._blocked = self._blocked, deque()
        for log_offset, size, batch in blocked:
            self.rows -= len(batch)
            self.bytes -= size
            self._fold(log_offset, size, batch)

    def offer(self, log_offset: int, size: int, batch: Batch | None) -> None:
        """The record at `log_offset`; None: it is no batch. Any but the next one is a leftover of before a seek."""
        if log_offset != self.next_offset:
            return
        self.next_offset += 1
        if batch is None:
            self.open_drops["not a batch"] += 1
        else:
            self._fold(log_offset, size, batch)

    def _fold(self, log_offset: int, size: int, batch: Batch) -> None:
        verdict = standing(batch.deployment, self.coverage.deployment, self._folded)
        if self._blocked or verdict is Standing.BLOCKED:
            self._blocked.append((log_offset, size, batch))  # behind one that blocks, order is kept
        elif verdict is not Standing.IN_FORCE:
            self.open_drops[verdict.value] += 1
            return
        else:
            before = self.coverage
            take, self.coverage = before.take(batch.after, batch.upto, batch.sample)
            if take is not Take.ACCEPTED:
                self.open_drops[take.value] += 1
                return
            self.newest_ms = batch.scored_at
            start = batch.after if before.covered is None else before.covered
            drops, self.open_drops = self.open_drops, Counter()
            self._segments.append(
                _Segment(log_offset, size, batch, start, batch.upto, batch.sample, self.coverage, drops)
            )
        self.rows += len(batch)
        self.bytes += size

    def reach(self, limit: int) -> int | None:
        """The source offset to which about `limit` rows go, whole batches; `covered` where there are fewer."""
        rows = 0
        for segment in self._segments:
            rows += len(segment.batch)
            if rows >= limit:
                return segment.upto
        return self.covered

    def part(self, low: int, high: int) -> Part:
        """The rows in (low, high]."""
        pieces = []
        for segment in self._segments:
            if segment.start >= high:
                break
            batch = segment.batch
            first = int(np.searchsorted(batch.offsets, max(low, segment.start), "right"))
            last = len(batch) if high >= segment.upto else int(np.searchsorted(batch.offsets, high, "right"))
            if first < last:
                pieces.append((batch, first, last))
        return part_of(pieces, self._outputs)

    def unanswered(self, offsets: Ints) -> Bools:
        """For offsets without a row here: does the silence say nothing (P9)? bool (n,).

        True in a sample, and before the first answer. False: an accepted batch that is no sample covers the offset.
        """
        if not self._segments:
            return np.ones(len(offsets), np.bool_)
        uptos = np.array([segment.upto for segment in self._segments])
        starts = np.array([segment.start for segment in self._segments])
        samples = np.array([segment.sample for segment in self._segments])
        at = np.minimum(np.searchsorted(uptos, offsets, "left"), len(uptos) - 1)
        result: Bools = samples[at] | (offsets <= starts[at])
        return result

    def retire(self, compared: int, counted: int, start: int) -> Counter[str]:
        """Forget the batches that hold nothing above `compared`; what was dropped between them.

        Drops before a batch that ends at or below `counted` were told already. Those before the first batch that goes
        beyond `start`, where the evidence begins, depend on where the search for it ended: they are no evidence (P32).
        """
        told: Counter[str] = Counter()
        while self._segments and self._segments[0].upto <= compared:
            segment = self._segments.popleft()
            self.rows -= len(segment.batch)
            self.bytes -= segment.size
            self.place = Place(segment.log_offset + 1, segment.coverage)
            if segment.upto > counted and segment.start > start:
                told += segment.drops
        return told


def part_of(pieces: list[tuple[Batch, int, int]], outputs: int) -> Part:
    """(batch, first row, last row + 1) each, in source order."""
    none: list[Ints] = [np.empty(0, np.int64)]
    times = [batch.times[first:last] for batch, first, last in pieces]
    latency = [np.maximum(batch.scored_at - batch.times[first:last], 0) for batch, first, last in pieces]
    return Part(
        _joined([batch.offsets[first:last] for batch, first, last in pieces] or none),
        _joined(times or none),
        _joined(latency or none),
        _joined([batch.statuses[first:last] for batch, first, last in pieces] or [np.empty(0, np.uint8)]) == 0,
        _joined([_conform(batch.scores, outputs)[first:last] for batch, first, last in pieces] or [_NO_SCORES]),
        [value for batch, first, last in pieces for value in batch.values[first:last]],
        pieces,
    )


_NO_SCORES: Floats = np.empty((0, 0), np.float64)


def _conform(scores: Floats, outputs: int) -> Floats:
    """NaN for a batch of another shape than the contract says: counted as not comparable, never guessed."""
    return scores if scores.shape[1] == outputs else np.full((len(scores), outputs), np.nan)


def _joined(arrays: list[npt.NDArray[Scalar]]) -> npt.NDArray[Scalar]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
