"""When a gate fires that is looked at after every event: all streams at once, an event a step.

The factors are the product's own (streambg/deciding); what is multiplied up here is checked against what the product
says of the same counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from decisions.streams import Streams
from streambg.deciding import grid
from streambg.deciding.bets import BETS, WATCHING, WEIGHTS
from streambg.deciding.detector import event_factors
from streambg.deciding.eprocess import good_factors, harm_factors, log_good, log_harm
from streambg.deciding.grid import ONE, POINTS, ZERO

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Beyond this nobody multiplies on: far above every threshold, far below overflow.
_LARGEST = 1e150
# Streams whose last e-value is compared with the product's own.
_CHECKED = 5


def promoted_at(streams: Streams, margin: float, alpha: float) -> Ints:
    """Events until E reaches 1 / alpha, int64 (streams,); 0: never."""
    return _fired(streams, good_factors(margin), alpha, lambda counts: log_good(counts, margin))


def aborted_at(streams: Streams, abort_margin: float, alpha: float) -> Ints:
    return _fired(streams, harm_factors(abort_margin), alpha, lambda counts: log_harm(counts, abort_margin))


def _fired(streams: Streams, points: Floats, alpha: float, log_e: Callable[[Ints], float]) -> Ints:
    factors = points[:, [0, ZERO, POINTS - 1]].T
    fired = np.zeros(len(streams), np.int64)
    wealth = np.tile(WEIGHTS, (len(streams), 1))
    for at in range(streams.shape[1]):
        wealth *= factors[streams[:, at] + 1]
        hit = (wealth.sum(axis=1) >= 1 / alpha) & (fired == 0)
        if hit.any():
            fired[hit] = at + 1
            if fired.all():
                break
        if at % 256 == 0:
            np.minimum(wealth, _LARGEST, out=wealth)
    else:
        _check(streams, wealth, log_e)
    return fired


def _check(streams: Streams, wealth: Floats, log_e: Callable[[Ints], float]) -> None:
    """The product's arithmetic on the counts of whole streams says the same."""
    for row in range(min(_CHECKED, len(streams))):
        total = float(wealth[row].sum())
        if 1e-100 < total < _LARGEST / 1e10:
            counts = grid.counted(streams[row].astype(np.int64) * ONE)[0]
            assert abs(log_e(counts) - np.log(total)) < 1e-6, "the walk is not the product's arithmetic"


def alarmed_at(streams: Iterable[Streams], rows: int, alarm_at: float) -> Ints:
    """Events until the detector of harm reaches `alarm_at`; 0: never. `streams`: pieces of the same rows in order."""
    factors = event_factors(np.array([-ONE, 0, ONE], np.int64), 0.0)
    values = np.zeros((rows, len(BETS)))
    fired = np.zeros(rows, np.int64)
    event = 0
    for piece in streams:
        for at in range(piece.shape[1]):
            event += 1
            values += 1
            values *= factors[piece[:, at] + 1]
            hit = (values @ WATCHING >= alarm_at) & (fired == 0)
            if hit.any():
                fired[hit] = event
                np.minimum(values, _LARGEST, out=values)
                if fired.all():
                    return fired
    return fired
