"""From evidence to an interval: where the running mean of the differences lies, at every moment at once.

A confidence sequence by inversion: the mean is above every -margin that `log_good` refutes, and below every one that
`log_harm` refutes. Guarantee: with chance 1 - alpha a bound holds at all moments at once (Ville), so it may be looked
at as often as one likes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

from streambg.deciding.eprocess import log_good, log_harm
from streambg.deciding.grid import Ints, mirrored

# Halvings: 2**-20 is a step of the differences.
_HALVINGS = 21


def lower(counts: Ints, alpha: float) -> float:
    """A lower bound of the running mean difference, in [-1, 1]; -1 where nothing is known."""
    return _largest_refuted(lambda mean: _refuted_low(counts, mean), log(1 / alpha))


def upper(counts: Ints, alpha: float) -> float:
    """An upper bound, in [-1, 1]."""
    return -lower(mirrored(counts), alpha)


def _refuted_low(counts: Ints, mean: float) -> float:
    """ln E against "the running mean is at most `mean`"."""
    return log_good(counts, -mean) if mean <= 0 else log_harm(mirrored(counts), mean)


def _largest_refuted(log_e: Callable[[float], float], needed: float) -> float:
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if log_e(middle) >= needed:
            low = middle
        else:
            high = middle
    return low
