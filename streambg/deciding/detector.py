"""After the promote: the Shiryaev-Roberts e-detector of harm, which remembers no more than it needs to forget.

For every bet l: R <- (R + 1) (1 + l y) at each event, y = -(d + abort_margin) / (1 + abort_margin); the detector's
value is sum_j w_j R_j. Source: Shin, Ramdas & Rinaldo, "E-detectors" (2203.03532).

Guarantee: while every event's conditional mean of d is at least -abort_margin, the value minus the number of events is
a supermartingale, so an alarm at 1 / alpha comes after 1 / alpha events or more on average, whatever the dependence. It
says nothing of a candidate that was harmful before and is no longer.

Partitions: each has its own detector, a sequential state (P32: strictly in source order, carried over restarts), and
values are added in ascending order of the partitions. The sum is a detector again, with the same guarantee in events
of all partitions: each value minus its own events is a supermartingale, whatever happens in the others. What it costs:
harm that is spread evenly over P partitions is found after up to P times the events that one partition would need,
because evidence of different partitions is not multiplied (that would need a common moment from which on to count).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from streambg.deciding.bets import BETS, WATCHING
from streambg.deciding.grid import ONE, Ints
from streambg.records.source import COLORS, Color

Floats = npt.NDArray[np.float64]

# At least so many events on average between two false alarms: 1 / alpha.
ALARM_AT = 100_000.0
# A value this large says all there is to say; beyond, the next quiet event makes it this, so that it can come back.
_LARGEST = 1e200
# Runs of events without a difference: below 2**6 by a table, longer ones in powers of two; 2**40 fit no topic.
_TABLE_BITS, _POWERS = 6, 40


@dataclass(slots=True)
class Detector:
    """Of one metric in one partition.

    values: float64 (2, bets) after the last event with a difference: blue as the color that might harm, then green.
    quiet: events without a difference since then. Both are a function of the differences in their order alone.
    """

    abort_margin: float
    values: Floats = field(default_factory=lambda: np.zeros((len(COLORS), len(BETS))))
    quiet: int = 0

    def feed(self, differences: Ints) -> None:
        """n differences in steps of grid.py, in source order; positive where green did better."""
        moving = np.flatnonzero(differences)
        if len(moving) == 0:
            self.quiet += len(differences)
            return
        gaps = np.diff(moving, prepend=-1) - 1
        gaps[0] += self.quiet
        moved = differences[moving]
        factors = event_factors(np.stack([-moved, moved], axis=1), self.abort_margin)
        values = self.values
        with np.errstate(over="ignore"):  # infinity is above every limit, and ends at the next quiet event
            for gap, factor in zip(gaps.tolist(), factors, strict=True):
                values = (self._after(values, gap) + 1) * factor
        self.values = values
        self.quiet = len(differences) - 1 - int(moving[-1])

    def value(self, color: Color) -> float:
        """Of this color as the one that might harm, against `ALARM_AT`; of all that was fed."""
        of_color = self._after(self.values, self.quiet)[COLORS.index(color)]
        return float((WATCHING * np.minimum(of_color, _LARGEST)).sum())

    def _after(self, values: Floats, quiet: int) -> Floats:
        """After events without a difference: additions and products only, the same on every machine."""
        if quiet == 0:
            return values
        table, powers = _quiet(self.abort_margin)
        factor, started = table[quiet & ((1 << _TABLE_BITS) - 1)]
        values = np.minimum(values, _LARGEST) * factor + started
        left = quiet >> _TABLE_BITS
        for power in range(_POWERS):
            if left >> power == 0:
                break
            if left >> power & 1:
                factor, started = powers[power]
                values = values * factor + started
        return values


def event_factors(differences: Ints, abort_margin: float) -> Floats:
    """What an event makes of each R, 1 + l y for every bet: float64 (..., bets).

    A whole step is taken off, so that rounding makes no alarm.
    """
    harm = -(differences / ONE + abort_margin + 1 / ONE) / (1 + abort_margin + 1 / ONE)
    factors: Floats = 1 + BETS * harm[..., None]
    return factors


_Passed = tuple[Floats, Floats]  # k quiet events make R into R * first + second


@lru_cache(maxsize=256)
def _quiet(abort_margin: float) -> tuple[list[_Passed], list[_Passed]]:
    """What 0, 1, 2, ... quiet events do, up to 2**6 - 1; and 2**6, 2**7, ... of them."""
    factor = event_factors(np.zeros(1, np.int64), abort_margin)[0]
    table = [(np.ones_like(factor), np.zeros_like(factor))]
    for _ in range(1 << _TABLE_BITS):
        grown, started = table[-1]
        table.append((grown * factor, (started + 1) * factor))
    powers = [table.pop()]
    for _ in range(1, _POWERS):
        grown, started = powers[-1]
        powers.append((grown * grown, started * grown + started))
    return table, powers


def total(detectors: Iterable[tuple[int, Detector]], color: Color) -> float:
    """The value over partitions: (partition, its detector), added in ascending order."""
    return sum(detector.value(color) for _, detector in sorted(detectors, key=lambda entry: entry[0]))
