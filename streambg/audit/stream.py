"""The outcomes of one topic and partition in log order: what is not to be judged is counted and left out here."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streambg.audit.columns import Behind, Column, join, pick
from streambg.audit.parsing import Parsed, Parser, Status
from streambg.audit.sources import Chunk, Role
from streambg.audit.tally import Kind, Tally

# a finding shows enough of a record to recognise it
SHOWN_BYTES = 120

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Source offsets of one partition: owed from `origin` to `settled`; the input ends before `input_end`.

    floor_epoch: outcomes with a smaller epoch belong to an earlier topic of the input's name (P25). output_begin: what
    stands below this log offset of the output is from before this pipeline; None: nobody knows where it began. since:
    outcomes below it are not asked about.
    """

    origin: int
    settled: int
    input_end: int
    floor_epoch: int
    output_begin: int | None = None
    since: int = 0


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The judgeable records of one chunk. ahead: row numbers of those that go beyond all before them."""

    column: Column
    ahead: Int64


# Outcomes beyond the settled position that are kept for later: two largest transactions (50,000 records each) of one
# partition. Where more wait, positions stand still while outcomes go on; what lies behind is read when they move.
KEPT = 100_000


class Stream:
    """`take(upto)`: the outcomes up to a source offset, and those that came behind a later one.

    keep: the settled position will move on (`settle`), so outcomes beyond it are looked at again then. chunks: where
    they end they may go on later. superseding: is told of the superseding records, in log order.
    """

    def __init__(
        self,
        role: Role,
        chunks: Iterator[Chunk],
        parser: Parser,
        bounds: Bounds,
        tally: Tally,
        keep: bool = False,
        superseding: Callable[[Parsed], None] | None = None,
    ) -> None:
        self._role = role
        self._superseding = superseding
        self._bounds = bounds
        self._begin = bounds.output_begin if role == "output" else None
        self._tally = tally
        self._chunks = chunks
        self._parser = parser
        self._keep = keep
        self._waiting: list[Parsed] = []
        self._again: deque[Parsed] = deque()
        self._loaded: _Loaded | None = None
        self._at = 0  # the next row of the loaded chunk
        self._highest = -1
        self._last_epoch = -1
        self._began = False
        self.first: int | None = None  # source offset of the first outcome that is still there

    def begin(self) -> int | None:
        """The source offset of the first outcome that is still there; None where there is none."""
        self._load()
        return self.first

    @property
    def highest(self) -> int:
        """The largest source offset read so far, -1 before the first."""
        return self._highest

    @property
    def unsettled(self) -> int:
        """Outcomes beyond the settled position that are kept for later."""
        return sum(len(parsed) for parsed in [*self._waiting, *self._again])

    def settle(self, settled: int, input_end: int) -> None:
        """The settled position moved on, and the input with it."""
        self._bounds = replace(self._bounds, settled=settled, input_end=input_end)
        self._again.extend(self._waiting)
        self._waiting.clear()

    def take(self, upto: int) -> tuple[Column, list[Behind]]:
        """Everything in front of the first outcome beyond `upto`."""
        ahead: list[Column] = []
        behind: list[Behind] = []
        while self._load():
            assert self._loaded is not None
            column, rows = self._loaded.column, self._loaded.ahead
            reached = int(np.searchsorted(column.offsets[rows], upto, "right"))
            end = int(rows[reached]) if reached < len(rows) else len(column)
            taken = rows[(rows >= self._at) & (rows < end)]
            if len(taken):
                ahead.append(pick(column, taken))
            if len(taken) < end - self._at:
                left = np.setdiff1d(np.arange(self._at, end), taken)
                behind.extend(
                    Behind(int(column.offsets[row]), column.log_offsets[row], column.says[row]) for row in left.tolist()
                )
            self._at = end
            if end < len(column):
                break
        return join(ahead), behind

    def _next(self) -> Parsed | None:
        """What is looked at next, without what stands before the beginning, whatever its headers say."""
        if self._again:
            return self._again.popleft()
        begin = self._begin or 0
        while self.unsettled < KEPT and (chunk := next(self._chunks, None)) is not None:
            before = bisect.bisect_left(chunk.offsets, begin)
            self._tally.earlier += before
            if before < len(chunk):
                return self._parser(chunk.since(before) if before else chunk)
        return None

    def _load(self) -> bool:
        """Is there a row to take? Reads the next chunks until there is."""
        while self._loaded is None or self._at >= len(self._loaded.column):
            self._loaded = None
            parsed = self._next()
            if parsed is None:
                return False
            self._loaded, self._at = self._judgeable(parsed), 0
        return True

    def _judgeable(self, parsed: Parsed) -> _Loaded:
        good = self._sort_out(parsed)
        chunk = parsed.chunk
        whole = Column(parsed.offsets, parsed.epochs, parsed.says, chunk.times, chunk.keys, chunk.values, chunk.offsets)
        column = pick(whole, good)
        before = np.maximum.accumulate(np.concatenate(([self._highest], column.offsets)))
        ahead = np.flatnonzero(column.offsets > before[:-1])
        self._highest = int(before[-1])
        if len(ahead):
            if self.first is None:
                self.first = int(column.offsets[ahead[0]])
            self._epochs_back(column, ahead)
        return _Loaded(column, ahead)

    def _epochs_back(self, column: Column, ahead: Int64) -> None:
        epochs = np.concatenate(([self._last_epoch], column.epochs[ahead]))
        self._last_epoch = int(epochs[-1])
        for at in np.flatnonzero(np.diff(epochs) < 0).tolist():
            row = int(ahead[at])
            self._tally.add(
                Kind.EPOCH_BACK,
                int(column.offsets[row]),
                f"an epoch of at least {epochs[at]}, as the outcome before",
                f"epoch {epochs[at + 1]}",
                self._record(column.log_offsets[row]),
            )

    def _sort_out(self, parsed: Parsed) -> Int64:
        """Row numbers of the outcomes to be judged; all others are counted."""
        bounds, tally = self._bounds, self._tally
        statuses, offsets = parsed.statuses, parsed.offsets
        outcome = statuses == Status.OUTCOME
        earlier = (parsed.epochs < bounds.floor_epoch) & (statuses != Status.FOREIGN)
        beyond = outcome & ~earlier & (offsets >= bounds.input_end)
        unowed = outcome & ~earlier & (offsets < bounds.origin)
        waiting = outcome & ~earlier & (offsets > bounds.settled) & ~beyond
        skipped = self._skipped(offsets, outcome & ~earlier & ~beyond & ~unowed & ~waiting)
        tally.earlier += int(earlier.sum())
        tally.skipped += int(skipped.sum())
        if self._keep and waiting.any():
            self._waiting.append(parsed.only(np.flatnonzero(waiting)))
        elif not self._keep:
            tally.unsettled += int(waiting.sum())
        superseding = np.flatnonzero((statuses == Status.SUPERSEDES) & ~earlier)
        if len(superseding):
            tally.supersedes += len(superseding)
            if self._superseding is not None:
                self._superseding(parsed.only(superseding))
        for row in np.flatnonzero((statuses == Status.FOREIGN) | (statuses == Status.WRONG_PARTITION)).tolist():
            if not earlier[row]:
                self._misplaced(parsed, row)
        for row in np.flatnonzero(beyond | unowed).tolist():
            expected = f"no outcome: the input ends at {bounds.input_end}" if beyond[row] else self._unowed_text()
            self._add(Kind.EXTRA, parsed, row, expected, "an outcome")
        good = np.flatnonzero(outcome & ~earlier & ~beyond & ~unowed & ~waiting & ~skipped)
        self._began = self._began or bool(len(good))
        return good

    def _skipped(self, offsets: Int64, good: Bool) -> Bool:
        """Those before the place where the audit begins; one that stands behind it is late, or a double."""
        below = good & (offsets < self._bounds.since)
        if not below.any():
            return below
        if self._highest >= self._bounds.since:
            return np.zeros(len(offsets), np.bool_)
        inside = np.flatnonzero(good & ~below)
        return below & (np.arange(len(offsets)) < (inside[0] if len(inside) else len(offsets)))

    def _unowed_text(self) -> str:
        return f"no outcome: owed from {self._bounds.origin} on"

    def _misplaced(self, parsed: Parsed, row: int) -> None:
        raw = parsed.chunk.headers[row] if parsed.chunk.headers else parsed.chunk.values[row]
        found = "no streambg header" if raw is None else repr(raw[:SHOWN_BYTES])
        if parsed.statuses[row] == Status.WRONG_PARTITION:
            self._add(Kind.WRONG_PARTITION, parsed, row, f"outcomes of partition {self._tally.partition}", found)
        elif self._begin is not None or self._began or (parsed.statuses[:row] == Status.OUTCOME).any():
            self._add(Kind.FOREIGN, parsed, row, "outcomes: only the publisher writes here", found)
        else:
            self._tally.earlier += 1  # the topic had another life before

    def _add(self, kind: Kind, parsed: Parsed, row: int, expected: str, found: str) -> None:
        record = self._record(parsed.chunk.offsets[row])
        self._tally.add(kind, int(parsed.offsets[row]), expected, found, record)

    def _record(self, log_offset: int) -> str:
        return f"{self._role}/{self._tally.partition}@{log_offset}"
