"""Exact sums: integers, so that they do not depend on batch borders or on the order of partitions (P32)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Scores are rounded to multiples of 2**-20 (9.5e-7): the mean of any number of them is off by at most half a step,
# 4.8e-7, and the smallest margin that is worth declaring (0.01 %) is 200 times that.
SCORE_STEP_BITS = 20
# Beyond 2**31 a score is counted as 2**31: then a score is at most 2**51 steps and still exact as a float64.
SCORE_LIMIT = float(1 << 31)
# 2**14 at a time (pairing.CHUNK_ROWS and one batch more are fewer): below these magnitudes their sum, and the sum of
# their squares, stay within the 63 bits of int64; beyond, Python's integers add up.
_AT_ONCE = 1 << 14
_SUM_SAFE = 1 << 48
_HALF_BITS = 24
_SQUARE_SAFE = 1 << _HALF_BITS


def quantised(scores: Floats) -> Ints:
    """Finite scores as multiples of 2**-20, int64 (n,)."""
    steps: Ints = np.rint(np.clip(scores, -SCORE_LIMIT, SCORE_LIMIT) * float(1 << SCORE_STEP_BITS)).astype(np.int64)
    return steps


@dataclass(slots=True)
class Sum:
    """n integers: their sum, the sum of their squares and of their magnitudes, the smallest and the largest."""

    n: int = 0
    total: int = 0
    squares: int = 0
    magnitudes: int = 0
    low: int | None = None
    high: int | None = None

    def add(self, values: Ints) -> None:
        for first in range(0, len(values), _AT_ONCE):
            self._add(values[first : first + _AT_ONCE])

    def _add(self, values: Ints) -> None:
        low, high = int(values.min()), int(values.max())
        largest = max(-low, high)
        self.n += len(values)
        if largest < _SUM_SAFE:
            self.total += int(values.sum())
            self.magnitudes += int(np.abs(values).sum())
        else:
            self.total += sum(values.tolist())
            self.magnitudes += sum(map(abs, values.tolist()))
        if largest < _SQUARE_SAFE:
            self.squares += int(np.dot(values, values))
        elif largest < _SUM_SAFE:
            self.squares += _squares_by_halves(values)
        else:
            self.squares += sum(value * value for value in values.tolist())
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def plus(self, other: Sum) -> Sum:
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Sum(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
            self.magnitudes + other.magnitudes,
            min(lows, default=None),
            max(highs, default=None),
        )

    def negated(self) -> Sum:
        return Sum(
            self.n,
            -self.total,
            self.squares,
            self.magnitudes,
            None if self.high is None else -self.high,
            None if self.low is None else -self.low,
        )

    def mean(self, step: float) -> float | None:
        """In units: `step` is what one stands for."""
        return self.total / self.n * step if self.n else None

    def deviation(self, step: float) -> float | None:
        """The population's standard deviation; the integers are exact, so nothing cancels."""
        if not self.n:
            return None
        return float(max(0, self.n * self.squares - self.total * self.total) ** 0.5) / self.n * step


def _squares_by_halves(values: Ints) -> int:
    """The sum of the squares of less than _AT_ONCE values below _SUM_SAFE, such as times: (h * 2**24 + l)**2 each."""
    high, low = values >> _HALF_BITS, values & (_SQUARE_SAFE - 1)
    mixed = int(np.dot(high, low)) << (_HALF_BITS + 1)
    return (int(np.dot(high, high)) << (2 * _HALF_BITS)) + mixed + int(np.dot(low, low))
