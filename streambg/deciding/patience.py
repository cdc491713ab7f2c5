"""How many events a decision takes: at the very least, typically, and still. Pure arithmetic on the bets.

Guarantee: none; these are forecasts for people, so that nobody waits for what cannot come. `at_least` is exact for a
candidate that answers exactly like live.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np

from streambg.deciding.bets import Floats, log_mixture
from streambg.deciding.eprocess import good_logs, harm_logs
from streambg.deciding.grid import GRID, PARTS, POINTS, Ints, events

# Beyond this nobody waits: at 1,000 events a second it is four months.
MOST = 10_000_000_000


def at_least(margin: float, alpha: float) -> int:
    """Events until a candidate that never differs is good enough; the fewest for metrics that cannot get better."""
    return _until(lambda n: n * good_logs(_spread(0.0, 0.0), margin), log(1 / alpha)) or MOST


def typically(margin: float, alpha: float, discordance: float, mean: float = 0.0) -> int | None:
    """Median events, about: for a mean difference and a share of events that differ at all; None: beyond MOST."""
    return _until(lambda n: n * good_logs(_spread(discordance, mean), margin), log(1 / alpha))


def to_abort(abort_margin: float, alpha: float, discordance: float, mean: float) -> int | None:
    """As `typically`: until harm of this mean (negative) is found."""
    return _until(lambda n: n * harm_logs(_spread(discordance, mean), abort_margin), log(1 / alpha))


def still(counts: Ints, margin: float, alpha: float) -> int | None:
    """Events more until promote-ready, if they go on as so far; None where that does not come."""
    seen = events(counts)
    if seen == 0:
        return None
    logs = good_logs(counts, margin)
    needed = _until(lambda n: logs * (n / seen), log(1 / alpha))
    return None if needed is None else max(0, needed - seen)


def _spread(discordance: float, mean: float) -> Ints:
    """One event, as counts: -1, 0 and 1 with this mean and this chance of not 0."""
    counts = np.zeros(POINTS, np.int64)
    worse, better = (discordance - mean) / 2, (discordance + mean) / 2
    counts[0], counts[-1] = round(PARTS * worse), round(PARTS * better)
    counts[GRID == 0] = PARTS - counts.sum()
    return counts


def _until(logs: Callable[[float], Floats], needed: float) -> int | None:
    """The smallest n at which the mixture reaches `needed`, where it grows with n."""
    if log_mixture(logs(MOST)) < needed:
        return None
    low, high = 0, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if log_mixture(logs(middle)) >= needed else (middle, high)
    return high
