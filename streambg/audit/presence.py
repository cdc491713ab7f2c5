"""Events that have no outcome yet, as intervals: small even where a million are missing in a row."""

from __future__ import annotations

import bisect

import numpy as np
import numpy.typing as npt

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
