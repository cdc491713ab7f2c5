"""A stream of numbers against its own beginning: the first events are the reference, then window after window.

The cells are the reference's own tenths; a value that alone makes up a tenth or more of it has a cell for itself. So
they fit any scale, and a value's cell, from 0 to 1, is its rank among the reference: what ADWIN is fed of features.

A window is `FEWEST` events in their order, wherever chunks end: the state is a function of the values alone (P32).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streambg.deciding.divergence import FEWEST, Divergence, between

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TENTHS = np.arange(1, 10) / 10


@dataclass(frozen=True, slots=True)
class Window:
    """One whole window: of the source offsets [since, upto], events by cell."""

    since: int
    upto: int
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Crossing:
    """A window that is far from the reference, after one that was not. at: number of its last value in the chunk."""

    at: int
    window: Window
    divergence: Divergence


@dataclass(slots=True)
class Windows:
    """Of one stream in one partition; what a snapshot holds of it.

    filling: the reference's values until it is whole; then cuts (ascending; a value's cell is how many are below it)
    and reference, events by cell. counts, since: of the window under way. far: was the last one an alarm?
    """

    filling: list[float] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    reference: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    since: int | None = None
    last: Window | None = None
    far: bool = False

    def feed(self, offsets: Ints, values: Floats) -> tuple[Floats, list[Crossing]]:
        """n finite values and their source offsets. The ranks, in [0, 1], of those behind the reference; and alarms."""
        behind = self._fill(values)
        if behind == len(values):
            return np.empty(0), []
        cells = np.searchsorted(self.cuts, values[behind:], "left")
        found, first = list[Crossing](), 0
        while first < len(cells):
            last = min(len(cells), first + FEWEST - sum(self.counts))
            if self.since is None:
                self.since = int(offsets[behind + first])
            added = np.bincount(cells[first:last], minlength=len(self.reference)).tolist()
            self.counts = [before + more for before, more in zip(self.counts, added, strict=True)]
            if sum(self.counts) == FEWEST:
                found += self._close(behind + last - 1, self.since, int(offsets[behind + last - 1]))
            first = last
        return cells / len(self.cuts), found

    @property
    def divergence(self) -> Divergence | None:
        """Of the last whole window; None before there is one."""
        return None if self.last is None else between(np.array(self.reference), np.array(self.last.counts))

    def rank(self, counts: Sequence[int]) -> float:
        """Mean rank of a window's values."""
        return sum(cell * events for cell, events in enumerate(counts)) / max(1, sum(counts)) / len(self.cuts)

    def _fill(self, values: Floats) -> int:
        """How many of the values belong to the reference."""
        if self.reference:
            return 0
        taken = min(len(values), FEWEST - len(self.filling))
        self.filling += values[:taken].tolist()
        if len(self.filling) == FEWEST:
            self._begin(np.array(self.filling))
        return taken

    def _begin(self, values: Floats) -> None:
        tenths, times = np.unique(np.quantile(values, TENTHS, method="inverted_cdf"), return_counts=True)
        alone = np.nextafter(tenths[times > 1], -np.inf)
        self.cuts = np.unique(np.concatenate([tenths, alone])).tolist()
        cells = np.searchsorted(self.cuts, values, "left")
        self.reference = np.bincount(cells, minlength=len(self.cuts) + 1).tolist()
        self.counts, self.filling = [0] * len(self.reference), []

    def _close(self, at: int, since: int, upto: int) -> list[Crossing]:
        self.last = Window(since, upto, self.counts)
        self.counts, self.since = [0] * len(self.reference), None
        before, divergence = self.far, between(np.array(self.reference), np.array(self.last.counts))
        self.far = divergence.far
        return [Crossing(at, self.last, divergence)] if self.far and not before else []
