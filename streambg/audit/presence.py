"""Is there exactly one outcome of each event? What is missing is kept as intervals: small even where a million are."""

from __future__ import annotations

import bisect

import numpy as np
import numpy.typing as npt

from streambg.audit.columns import Behind, Column
from streambg.audit.parsing import distinct
from streambg.audit.sources import Role
from streambg.audit.tally import Check, Kind, Tally

Int64 = npt.NDArray[np.int64]

# An interval costs about 100 bytes: 10 MB at the most. Where more stand open the oldest are lost for good, so an
# outcome that comes still later is called a double; the audit has failed a hundred thousand times by then.
MAX_INTERVALS = 100_000


class Missing:
    """Source offsets that the outcomes have passed without naming them; a late outcome may still rescue one."""

    def __init__(self) -> None:
        self.count = 0
        self._lows: list[int] = []
        self._highs: list[int] = []
        self._final: list[int] = []  # the first offsets of intervals that were given up

    def add(self, offsets: npt.NDArray[np.int64]) -> None:
        """Ascending, above all that were added before."""
        if not len(offsets):
            return
        self.count += len(offsets)
        breaks = np.flatnonzero(np.diff(offsets) > 1)
        self._lows.extend(offsets[np.concatenate(([0], breaks + 1))].tolist())
        self._highs.extend(offsets[np.concatenate((breaks, [len(offsets) - 1]))].tolist())
        surplus = len(self._lows) - MAX_INTERVALS
        if surplus > 0:
            self._final.extend(self._lows[: max(0, 100 - len(self._final))][:surplus])
            del self._lows[:surplus], self._highs[:surplus]

    def rescue(self, offset: int) -> bool:
        """Was it missing? It is no longer."""
        at = bisect.bisect_right(self._lows, offset) - 1
        if at < 0 or offset > self._highs[at]:
            return False
        self.count -= 1
        low, high = self._lows[at], self._highs[at]
        left = [(low, offset - 1)] if low < offset else []
        right = [(offset + 1, high)] if offset < high else []
        self._lows[at : at + 1] = [interval[0] for interval in left + right]
        self._highs[at : at + 1] = [interval[1] for interval in left + right]
        return True

    def first(self, number: int) -> list[int]:
        """The first of them, in source order."""
        found = self._final[:number]
        for low, high in zip(self._lows, self._highs, strict=True):
            if len(found) >= number:
                break
            found.extend(range(low, min(high + 1, low + number - len(found))))
        return found


class Presence:
    """Lost, doubled, extra, out of order: one partition, window after window. compacted: events may vanish by key."""

    def __init__(self, tally: Tally, compacted: bool) -> None:
        self.missing = Missing()
        self._tally = tally
        self._compacted = compacted

    def check(
        self, owed: Int64 | None, outputs: Column, letters: Column, complete: int
    ) -> tuple[Column, Column, Int64]:
        """The outcomes that are left to judge, and the owed events without one, which may have been dead letters.

        owed: the window's events, None where they are gone; complete: from there on no outcome has expired.
        """
        tally, none = self._tally, np.empty(0, np.int64)
        self._count(outputs, letters)
        have = outputs.offsets
        if len(letters):
            twice = np.isin(letters.offsets, have, assume_unique=True)
            for row in np.flatnonzero(twice).tolist():
                record = self._at("dead-letters", letters, row)
                tally.add(Kind.DOUBLED, int(letters.offsets[row]), "one outcome", "a dead letter too", record)
            letters = letters.without(twice)
            have = np.union1d(have, letters.offsets)
        if owed is None:
            tally.gone += len(have)
            return outputs, letters, none
        tally.events += len(owed)
        if np.array_equal(have, owed):
            return outputs, letters, none
        outputs, letters = self._unasked("output", outputs, owed), self._unasked("dead-letters", letters, owed)
        missing = np.setdiff1d(owed, have, assume_unique=True)
        blind = missing < complete
        if blind.any():
            tally.blind(Check.PRESENCE, int(missing[blind][-1]), int(blind.sum()))
        return outputs, letters, missing[~blind]

    def late(self, behind: list[tuple[Role, Behind]]) -> None:
        """Outcomes that came behind one of a later event: of an event that is missing, or doubles."""
        for role, item in behind:
            record = f"{role}/{self._tally.partition}@{item.log_offset}"
            if self.missing.rescue(item.offset):
                kind, expected, found = Kind.OUT_OF_ORDER, "in source order", "behind the outcome of a later event"
                self._count_late(item)
            else:
                kind, expected, found = Kind.DOUBLED, "one outcome", "another one"
            self._tally.add(kind, item.offset, expected, found, record)

    def _count(self, outputs: Column, letters: Column) -> None:
        tally = self._tally
        tally.outcomes += len(outputs) + len(letters)
        for said, number in distinct(outputs.says):
            tally.by_color[said.color] += number
            tally.by_why[said.why or ""] += number
        if len(letters):
            tally.by_why["dead-letter"] += len(letters)

    def _count_late(self, item: Behind) -> None:
        self._tally.outcomes += 1
        self._tally.by_why[item.says.why or "dead-letter"] += 1
        if item.says.why:
            self._tally.by_color[item.says.color] += 1

    def _unasked(self, role: Role, column: Column, owed: Int64) -> Column:
        """Outcomes of no event: extra, unless the event may have been compacted away (P35)."""
        if not len(column):
            return column
        unasked = ~np.isin(column.offsets, owed, assume_unique=True)
        if self._compacted:
            self._tally.gone += int(unasked.sum())
            return column
        for row in np.flatnonzero(unasked).tolist():
            record = self._at(role, column, row)
            self._tally.add(Kind.EXTRA, int(column.offsets[row]), "no outcome: not in the input", "an outcome", record)
        return column.without(unasked)

    def _at(self, role: Role, column: Column, row: int) -> str:
        return f"{role}/{self._tally.partition}@{column.log_offsets[row]}"
