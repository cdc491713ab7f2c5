"""One color's answers in one partition: the fold (P8), the rows that wait, and the position to commit (P26)."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streambg.records.batch import OK, Batch, Carried, Headers
from streambg.records.coverage import Coverage, Standing, Take, standing

Scalar = TypeVar("Scalar", bound=np.generic)
# Rows looked at beyond what the other color has answered: little of them can be settled. A color that is a whole queue
# ahead was viewed five times for each row that was published; 1,000 are one batch of the largest.
BEYOND = 1_000


@dataclass(frozen=True, slots=True)
class Fetch:
    """A batch as it came: its log offset, its size on the wire, and when it was fetched (monotonic seconds)."""

    log_offset: int
    size: int
    fetched_at: float
    batch: Batch


@dataclass(frozen=True, slots=True)
class _Segment:
    """The rows of one accepted batch that count, and the fold's state before it."""

    fetch: Fetch
    before: Coverage
    first_row: int


@dataclass(frozen=True, slots=True)
class View:
    """Rows beyond settled, in source order. offsets int64 (n,), ok bool (n,).

    covered: up to here a missing row is a fact; sample_upto: up to here it means *unanswered* (P9).
    """

    offsets: npt.NDArray[np.int64]
    ok: npt.NDArray[np.bool_]
    covered: int
    sample_upto: int
    keys: list[bytes | None]
    values: list[bytes]
    times: npt.NDArray[np.int64]
    bucket_column: list[Carried] | None
    forwarded: list[Headers] | None


EMPTY = View(
    np.empty(0, np.int64), np.empty(0, np.bool_), -2, -1, [], [], np.empty(0, np.int64), None, None
)  # covered -2: below every source offset, nothing is a fact


class Answers:
    """Folds the batches of one color's predictions partition in log order; `offer`, then `view`, then `settle`."""

    def __init__(self, next_offset: int, coverage: Coverage | None = None) -> None:
        self.next_offset = next_offset
        self.coverage = coverage
        self.dropped: Counter[str] = Counter()  # repeat, hole, replaced, unknown -> batches
        self.rows = 0
        self.bytes = 0
        # (log offset, `after`) of the deployment's first batch here, and of one that nothing leads to yet (P8)
        self.first: tuple[int, int] | None = None
        self.hole: tuple[int, int] | None = None
        self._segments: deque[_Segment] = deque()
        self._blocked: deque[Fetch] = deque()
        self._folded = -1

    def control(self, deployment: int | None, folded: int) -> None:
        """The deployment in force for this color as the control log folded to `folded` says (P12).

        Another one than before discards what waits: the new epoch begins at settled + 1.
        """
        self._folded = folded
        if deployment != (self.coverage.deployment if self.coverage else None):
            self._segments.clear()
            self.first = self.hole = None
            self.coverage = Coverage(deployment) if deployment is not None else None
        blocked, self._blocked = self._blocked, deque()
        for fetch in blocked:
            self._fold(fetch)
        self._count()

    def offer(self, fetch: Fetch) -> None:
        """The next batch of the partition, in log order."""
        self.next_offset = fetch.log_offset + 1
        self.rows += len(fetch.batch)
        self.bytes += fetch.size
        self._fold(fetch)

    def skip(self, log_offset: int) -> None:
        """A record that is no batch is passed."""
        self.next_offset = log_offset + 1
        self.dropped["not a batch"] += 1

    def _fold(self, fetch: Fetch) -> None:
        if self._blocked:
            self._blocked.append(fetch)  # behind one that blocks, order is kept (P12)
            return
        batch = fetch.batch
        verdict = standing(batch.deployment, self.coverage.deployment if self.coverage else None, self._folded)
        if verdict is Standing.BLOCKED:
            self._blocked.append(fetch)
            return
        if verdict is not Standing.IN_FORCE or self.coverage is None:
            self._drop(fetch, verdict.value)
            return
        before = self.coverage
        take, self.coverage = before.take(batch.after, batch.upto, batch.sample)
        self._note(take, before, fetch)
        if take is not Take.ACCEPTED:
            self._drop(fetch, take.value)
            return
        reach = before.covered if before.covered is not None else batch.after
        self._segments.append(_Segment(fetch, before, int(np.searchsorted(batch.offsets, reach, "right"))))

    def _note(self, take: Take, before: Coverage, fetch: Fetch) -> None:
        here = fetch.log_offset, fetch.batch.after
        if before.covered is None:
            self.first = here
        if take is Take.HOLE:
            self.hole = self.hole or here
        elif self.hole is not None and take is Take.ACCEPTED and fetch.batch.upto >= self.hole[1]:
            self.hole = None

    def _drop(self, fetch: Fetch, why: str) -> None:
        self.dropped[why] += 1
        self.rows -= len(fetch.batch)
        self.bytes -= fetch.size

    def _count(self) -> None:
        fetches = [segment.fetch for segment in self._segments] + list(self._blocked)
        self.rows = sum(len(fetch.batch) for fetch in fetches)
        self.bytes = sum(fetch.size for fetch in fetches)

    def settle(self, settled: int) -> None:
        """Forget the batches that hold nothing above `settled`."""
        while self._segments and self._segments[0].fetch.batch.upto <= settled:
            fetch = self._segments.popleft().fetch
            self.rows -= len(fetch.batch)
            self.bytes -= fetch.size

    @property
    def covered(self) -> int | None:
        return self.coverage.covered if self.coverage else None

    @property
    def waiting_batches(self) -> int:
        return len(self._segments) + len(self._blocked)

    def position(self) -> tuple[int, Coverage | None]:
        """P26: the log offset to commit, and the fold's state there.

        The first accepted batch that still holds something unsettled, else the first that blocks, else the next.
        """
        if self._segments:
            return self._segments[0].fetch.log_offset, self._segments[0].before
        if self._blocked:
            return self._blocked[0].log_offset, self.coverage
        return self.next_offset, self.coverage

    def fetched_at(self, source_offset: int) -> float | None:
        """When the batch was fetched whose interval holds `source_offset` (P18)."""
        for segment in self._segments:
            if segment.fetch.batch.upto >= source_offset:
                return segment.fetch.fetched_at
        return None

    def view(self, settled: int, limit: int, bucket_field: str | None, other_covered: int | None = None) -> View:
        """At most about `limit` rows above `settled`; whole batches, so one batch more than the limit at the most.

        And about BEYOND of what lies above `other_covered`, where the other color's answers play a part.
        """
        if self.coverage is None or self.coverage.covered is None:
            return EMPTY
        parts: list[tuple[Batch, int]] = []
        taken = beyond = 0
        covered = self.coverage.covered
        for segment in self._segments:
            batch = segment.fetch.batch
            first = max(segment.first_row, int(np.searchsorted(batch.offsets, settled, "right")))
            if taken >= limit or beyond >= BEYOND:
                covered = parts[-1][0].upto
                break
            parts.append((batch, first))
            taken += len(batch) - first
            if other_covered is not None and batch.upto > other_covered:
                beyond += len(batch) - first
        if not parts:
            return View(EMPTY.offsets, EMPTY.ok, covered, self.coverage.sample_upto, [], [], EMPTY.times, None, None)
        return View(
            _joined([batch.offsets[first:] for batch, first in parts]),
            _joined([batch.statuses[first:] for batch, first in parts]) == OK,
            covered,
            self.coverage.sample_upto,
            list(chain.from_iterable([batch.keys[first:] for batch, first in parts])),
            list(chain.from_iterable([batch.values[first:] for batch, first in parts])),
            _joined([batch.times[first:] for batch, first in parts]),
            _bucket_column(parts, bucket_field),
            _forwarded(parts),
        )


def _joined(arrays: list[npt.NDArray[Scalar]]) -> npt.NDArray[Scalar]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _bucket_column(parts: list[tuple[Batch, int]], name: str | None) -> list[Carried] | None:
    if name is None:
        return None
    empty: list[Carried] = []
    column: list[Carried] = []
    for batch, first in parts:
        carried = batch.carry.get(name, empty)
        column.extend(carried[first:] if carried else [None] * (len(batch) - first))
    return column


def _forwarded(parts: list[tuple[Batch, int]]) -> list[Headers] | None:
    if all(batch.forwarded is None for batch, _ in parts):
        return None
    none: Headers = []
    return [
        headers
        for batch, first in parts
        for headers in (batch.forwarded[first:] if batch.forwarded is not None else [none] * (len(batch) - first))
    ]
