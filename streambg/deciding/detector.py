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

import numpy as np
import numpy.typing as npt

from streambg.deciding.bets import BETS, WEIGHTS
from streambg.deciding.grid import ONE, Ints

Floats = npt.NDArray[np.float64]

# At least so many events on average between two false alarms: 1 / alpha.
ALARM_AT = 100_000.0
# A value this large says all there is to say; without an end it would overflow and never come back from infinity.
_LARGEST = 1e200
# Runs of events without a difference are passed in powers of two; 2**40 of them fit no topic.
_POWERS = 40


@dataclass(slots=True)
class Detector:
    """Of one metric, one partition and one color as the one that might harm.

    values: float64 (bets,) after the last event with a difference; quiet: events without one since then. Both are a
    function of the differences in their order, and of nothing else.
    """

    abort_margin: float
    values: Floats = field(default_factory=lambda: np.zeros(len(BETS)))
    quiet: int = 0

    def feed(self, differences: Ints) -> None:
        """n differences in steps of grid.py, in source order; positive is better."""
        moving = np.flatnonzero(differences)
        if len(moving) == 0:
            self.quiet += len(differences)
            return
        gaps = np.diff(moving, prepend=-1) - 1
        gaps[0] += self.quiet
        factors = 1 + BETS * self._harm(differences[moving])[:, None]
        values = self.values
        for gap, factor in zip(gaps.tolist(), factors, strict=True):
            values = np.minimum((self._after_quiet(values, gap) + 1) * factor, _LARGEST)
        self.values = values
        self.quiet = len(differences) - 1 - int(moving[-1])

    def value(self) -> float:
        """Against `ALARM_AT`; of all that was fed."""
        return float((WEIGHTS * self._after_quiet(self.values, self.quiet)).sum())

    def _harm(self, differences: Ints) -> Floats:
        """y of each difference; a whole step is taken off, so that rounding makes no alarm."""
        harm: Floats = -(differences / ONE + self.abort_margin + 1 / ONE) / (1 + self.abort_margin + 1 / ONE)
        return harm

    def _after_quiet(self, values: Floats, events: int) -> Floats:
        """After events without a difference, 2**i at a time: additions and products only, the same on every machine."""
        if events == 0:
            return values
        factor = 1 + BETS * self._harm(np.zeros(1, np.int64))
        grown = factor.copy()  # what the events' own starts are worth after them
        for power in range(_POWERS):
            if events >> power & 1:
                values = values * factor + grown
            if events >> power <= 1:
                break
            grown = grown * factor + grown
            factor = factor * factor
        return np.minimum(values, _LARGEST)


def total(detectors: Iterable[tuple[int, Detector]]) -> float:
    """The value over partitions: (partition, its detector), added in ascending order."""
    return sum(detector.value() for _, detector in sorted(detectors, key=lambda entry: entry[0]))
