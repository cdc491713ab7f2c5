"""Time as the join with labels sees it, and the events of each piece of it that are owed a label. Pure.

The time of an event is its own, or where that is later than its answer, the answer's (a clock in the future must not
stop the world); and never before that of an event before it in its partition. So times ascend with source offsets,
and cohorts, pieces of equal length, are intervals of them: what is read again from a cohort's beginning is dated as
it was the first time. Which label belongs to which event follows from these times alone, whoever was late (P33).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streambg.deciding.coverage import Coverage

Ints = npt.NDArray[np.int64]

# So much a label may be dated before its event: clocks in time are milliseconds apart, a producer's retry seconds.
EARLY_MS = 5_000
# Cohorts a horizon: memory is freed cohort by cohort, and each is one more place to look for a label's event.
CUTS = 4
# Cohorts that are told apart, sixteen horizons: what is older is complete, and one number holds it.
KEPT = 64


def width_of(horizon_ms: int) -> int:
    """Length of a cohort, ms; below EARLY_MS there would only be more places to look at."""
    return max(EARLY_MS, -(-horizon_ms // CUTS))


@dataclass(slots=True)
class Cohort:
    """Events of the times [number, number + 1) * width. after: its first event has the next matched source offset."""

    number: int
    after: int
    events: int = 0


@dataclass(slots=True)
class Awaited:
    """Of one pair and partition: a pure function of the matched rows in their order.

    high: the latest time, -1 before the first. older: events of cohorts that are no longer told apart. keyless: events
    that carry no key, which no label can find.
    """

    high: int = -1
    cohorts: list[Cohort] = field(default_factory=list)
    older: int = 0
    keyless: int = 0

    def dated(self, times: Ints) -> Ints:
        """The times of the next rows, int64 (n,), so that they never go back; `high` follows."""
        if len(times) == 0:
            return times
        ascending = np.maximum.accumulate(np.maximum(times, self.high))
        self.high = int(ascending[-1])
        return ascending

    def add(self, numbers: Ints, offsets: Ints, owed: npt.NDArray[np.bool_]) -> None:
        """Rows by cohort number (ascending), source offset, and whether a label is owed: n each."""
        if len(numbers) == 0:
            return
        first = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        counts = np.add.reduceat(owed.astype(np.int64), first)
        for at, events in zip(first.tolist(), counts.tolist(), strict=True):
            number = int(numbers[at])
            if not self.cohorts or self.cohorts[-1].number != number:
                self.cohorts.append(Cohort(number, int(offsets[at]) - 1))
            self.cohorts[-1].events += events
        for cohort in self.cohorts[:-KEPT]:
            self.older += cohort.events
        del self.cohorts[:-KEPT]

    def containing(self, offset: int) -> Cohort | None:
        """The cohort of the first row above a source offset, the oldest where that is older; None without any."""
        before = [cohort for cohort in self.cohorts if cohort.after <= offset]
        return before[-1] if before else next(iter(self.cohorts), None)


@dataclass(slots=True)
class Labelled:
    """The events that have their label, by cohort; of one label partition. older: as in Awaited."""

    cohorts: dict[int, int] = field(default_factory=dict)
    older: int = 0

    def add(self, number: int) -> None:
        self.cohorts[number] = self.cohorts.get(number, 0) + 1
        if len(self.cohorts) > KEPT:
            self.older += self.cohorts.pop(min(self.cohorts))


def coverage(awaited: Iterable[Awaited], labelled: Iterable[Labelled], until_ms: int, horizon_ms: int) -> Coverage:
    """Of the events older than the horizon at `until_ms`, the latest time of a label: how many have theirs.

    Younger cohorts may still get labels and say nothing. Where a label partition lags, or labels stop, too many are
    missing: less is never taken for more.
    """
    width = width_of(horizon_ms)

    def complete(number: int) -> bool:
        return (number + 1) * width + horizon_ms <= until_ms

    owed = sum(
        each.older + sum(cohort.events for cohort in each.cohorts if complete(cohort.number)) for each in awaited
    )
    there = sum(
        each.older + sum(events for number, events in each.cohorts.items() if complete(number)) for each in labelled
    )
    # snapshots of several comparators are not of one moment: there may be labels of events that are not counted yet
    return Coverage(min(there, owed), max(0, owed - there))
