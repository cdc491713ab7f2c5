"""Series for charts, exact and of bounded size: agreement and evidence over event time, calibration. Pure.

Time is cut into pieces of one second, which are joined two by two where there are too many. So the width follows from
the first and the last event alone, and partitions add up whatever each of them saw (P32).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from streambg.comparing.sums import quantised
from streambg.deciding import grid
from streambg.deciding.grid import POINTS, Floats, Ints
from streambg.deciding.kinds import Answers

# As many points as a chart can show; half of them at least once the range is longer than so many seconds.
MOST_PIECES = 240
FIRST_WIDTH_MS = 1_000
# Calibration is read by eye: tenths and twentieths.
CALIBRATION_BINS = 20

_COMPARED, _AGREE, _AGAINST, _MODEL = range(4)
_FIXED = 4


class Series:
    """Pieces of event time. metrics: those whose evidence is followed, in order.

    cells: int64 (pieces, 4 + metrics * POINTS): events compared, events that agree, both sums of scores (in steps of
    2**-20), and the parts of each metric's differences at each point of the grid.
    """

    def __init__(self, metrics: Sequence[str], width_ms: int = FIRST_WIDTH_MS, first: int = 0) -> None:
        self.metrics = tuple(metrics)
        self.width_ms = width_ms
        self.first = first  # the number of the first piece
        self.cells: Ints = np.zeros((0, _FIXED + POINTS * len(self.metrics)), np.int64)

    def place(self, times: Ints) -> Ints:
        """The row of each event's piece, int64 (n,); the table reaches to all of them then."""
        if len(times) == 0:
            return times
        self._reach(int(times.min()), int(times.max()))
        return times // self.width_ms - self.first

    def _reach(self, low_ms: int, high_ms: int) -> None:
        while True:
            low, high = low_ms // self.width_ms, high_ms // self.width_ms
            if len(self.cells):
                low, high = min(low, self.first), max(high, self.first + len(self.cells) - 1)
            if high - low < MOST_PIECES:
                break
            self._double()
        before = self.first - low if len(self.cells) else 0
        after = high - low + 1 - before - len(self.cells)
        if before or after:
            self.cells = np.pad(self.cells, ((before, after), (0, 0)))
        self.first = low

    def _double(self) -> None:
        pieces = (self.first + np.arange(len(self.cells))) // 2
        self.first, self.width_ms = self.first // 2, self.width_ms * 2
        joined = np.zeros((int(pieces[-1]) - self.first + 1 if len(pieces) else 0, self.cells.shape[1]), np.int64)
        np.add.at(joined, pieces - self.first, self.cells)
        self.cells = joined

    def add_answers(self, places: Ints, against: Answers, model: Answers) -> None:
        """n matched events, with the rows that `place` gave them."""
        both = np.flatnonzero(against.answered & model.answered)
        if len(both) == 0:
            return
        at, size = places[both], len(self.cells)
        if against.yes is None or model.yes is None:
            agree = against.decided[both] == model.decided[both]
        else:
            agree = against.yes[both] == model.yes[both]
        self.cells[:, _COMPARED] += np.bincount(at, minlength=size)
        self.cells[:, _AGREE] += np.bincount(at[agree], minlength=size)
        for column, side in ((_AGAINST, against), (_MODEL, model)):
            np.add.at(self.cells[:, column], at, quantised(side.decided[both]))

    def add_differences(self, places: Ints, metric: str, differences: Ints) -> None:
        """One metric's differences, in steps of the grid, with the rows of their events."""
        if metric not in self.metrics or len(differences) == 0:
            return
        self._of(metric)[...] += grid.counted(differences, places, len(self.cells))

    def _of(self, metric: str) -> Ints:
        at = _FIXED + POINTS * self.metrics.index(metric)
        return self.cells[:, at : at + POINTS]

    def take(self, other: Series) -> None:
        """Add another partition's, which is left as it is."""
        other = other.copy()
        while self.width_ms < other.width_ms:
            self._double()
        while other.width_ms < self.width_ms:
            other._double()
        if len(other.cells) == 0:
            return
        self._reach(other.first * other.width_ms, (other.first + len(other.cells)) * other.width_ms - 1)
        while other.width_ms < self.width_ms:
            other._double()
        at = other.first - self.first
        self.cells[at : at + len(other.cells)] += other.cells

    def copy(self) -> Series:
        """Of its own."""
        other = Series(self.metrics, self.width_ms, self.first)
        other.cells = self.cells.copy()
        return other

    @property
    def compared(self) -> Ints:
        return self.cells[:, _COMPARED]

    @property
    def agree(self) -> Ints:
        return self.cells[:, _AGREE]

    def sums(self) -> tuple[Ints, Ints]:
        """Of the scores of both sides, in steps."""
        return self.cells[:, _AGAINST], self.cells[:, _MODEL]

    def growing(self, metric: str) -> Ints:
        """The counts of all events up to the end of each piece, int64 (pieces, POINTS)."""
        return np.cumsum(self._of(metric), axis=0)


@dataclass(slots=True)
class Calibrated:
    """Labelled events by score, int64 (2 sides, bins, 3): events, scores in steps of 2**-20, true labels.

    outside: events with a score that is no probability, or a label that is neither 0 nor 1.
    """

    cells: Ints = field(default_factory=lambda: np.zeros((2, CALIBRATION_BINS, 3), np.int64))
    outside: int = 0

    def add(self, sides: tuple[Answers, Answers], labels: Floats) -> None:
        for number, side in enumerate(sides):
            truth = (labels == 0) | (labels == 1)
            inside = side.answered & (side.decided >= 0) & (side.decided <= 1) & truth
            self.outside += int(np.count_nonzero(side.answered & ~inside))
            scores = side.decided[inside]
            at = np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
            cells = self.cells[number]
            np.add.at(cells[:, 0], at, 1)
            np.add.at(cells[:, 1], at, quantised(scores))
            np.add.at(cells[:, 2], at, labels[inside].astype(np.int64))

    def take(self, other: Calibrated) -> None:
        self.cells += other.cells
        self.outside += other.outside


def merged(parts: Iterable[Series]) -> Series:
    """Over partitions."""
    first, *rest = parts
    whole = first.copy()
    for part in rest:
        whole.take(part)
    return whole
