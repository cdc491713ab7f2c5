"""Differences as exact counts on a fixed grid: mergeable by sum, independent of batch borders and of order (P32).

A difference is rounded to a multiple of 2**-20 and its event divided between the two grid points around it, in the
proportion that keeps the mean: d = (1 - f) a + f b counts as 1 - f events at a and f events at b. log(1 + l x) is
concave, so the log of a betting factor at d is never below what is counted: the division only ever weakens the
evidence, for either side. A difference on a point (-1, 0, 1: errors, flips, correctness) is counted as it is.

The points are 0 and, in both signs, 2**-10, 1.5 * 2**-10, 2**-9, ... 1: neighbours are at most 1.5 apart in ratio,
which makes the second moment at most 4.2 % larger ((r - 1)**2 / 4 r); below 2**-10, a tenth of a percent of the range,
a difference d counts as if its square were d * 2**-10.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# A step of a difference; smaller than any margin that 10**10 events could show.
STEP_BITS = 20
ONE = 1 << STEP_BITS
_LOWEST_BITS = 10
# The largest gap between neighbours (from 0.5 to 0.75) is 2**18 steps: an event is that many parts, and every division
# is a whole number of them. int64 holds 2**45 events.
PARTS_BITS = 18
PARTS = 1 << PARTS_BITS

_UP = [
    *(size for bits in range(_LOWEST_BITS, STEP_BITS) for size in (1 << bits, 3 << (bits - 1))),
    ONE,
]
# int64 (POINTS,), ascending, in steps; point i and point -1 - i are each other's negative.
GRID: Ints = np.array([*(-size for size in reversed(_UP)), 0, *_UP], np.int64)
POINTS = len(GRID)
ZERO = POINTS // 2
VALUES: Floats = GRID / ONE
_GAP_SHIFT: Ints = PARTS_BITS - np.log2(np.diff(GRID)).astype(np.int64)


def steps(differences: Floats) -> Ints:
    """Differences as multiples of 2**-20, int64; beyond [-1, 1] they count as -1 or 1. Raises ValueError for NaN."""
    if np.isnan(differences).any():
        raise ValueError("a difference is not a number")
    return np.rint(np.clip(differences, -1.0, 1.0) * ONE).astype(np.int64)


def counted(differences: Ints, groups: Ints | None = None, size: int = 1) -> Ints:
    """Parts by group and grid point, int64 (size, POINTS), of n differences in steps and their groups 0..size-1.

    Each difference adds PARTS in all; the sum of counts times GRID is PARTS times the sum of the differences, exactly.
    """
    rows = np.bincount(groups, minlength=size) if groups is not None else np.array([len(differences)])
    counts = np.zeros((size, POINTS), np.int64)
    counts[:, ZERO] = rows * PARTS
    # most events differ in nothing: what is left is a few
    moving = np.flatnonzero(differences)
    if len(moving) == 0:
        return counts
    moved = differences[moving]
    at = np.searchsorted(GRID, moved, "right") - 1
    np.minimum(at, POINTS - 2, out=at)
    upper = (moved - GRID[at]) << _GAP_SHIFT[at]
    first = np.zeros(len(moving), np.int64) if groups is None else groups[moving] * POINTS
    cells = counts.reshape(-1)
    # float64 sums of whole numbers: exact below 2**53, and a chunk of 2**14 rows has 2**32 parts
    cells -= PARTS * np.bincount(first + ZERO, minlength=len(cells))
    cells += np.bincount(first + at, PARTS - upper, len(cells)).astype(np.int64)
    cells += np.bincount(first + at + 1, upper, len(cells)).astype(np.int64)
    return counts


def events(counts: Ints) -> int:
    """How many differences were counted; over all groups."""
    return int(counts.sum()) >> PARTS_BITS


def mean(counts: Ints) -> float | None:
    """Mean difference, int64 (POINTS,) counts; None without any."""
    total = int(counts.sum())
    return int(counts @ GRID) / total / ONE if total else None


def mirrored(counts: Ints) -> Ints:
    """Of the negated differences: the same events with the colors exchanged. The last axis holds the points."""
    return counts[..., ::-1]
