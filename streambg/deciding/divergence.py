"""How far two samples lie apart, with what chance alone makes of it: diagnostics and alarms, never a gate. Pure.

Over the same cells, with shares p and q of n and m events:

    PSI = sum (p - q) ln(p / q)          the population stability index, Jeffreys' divergence (Siddiqi 2006)
    JS  = (KL(p | a) + KL(q | a)) / 2    Jensen-Shannon in nats, a = (p + q) / 2, at most ln 2 (Lin 1991)

Range: counts of whole events, at least one cell; each cell counts half an event more, so that an empty one is not
infinitely far (Krichevsky & Trofimov). Expectation under no change: both behave like a chi square with cells - 1
degrees of freedom, so E[PSI] = (cells - 1)(1/n + 1/m) and E[JS] an eighth of it (Yurdakul 2018, to first order).
Guarantee: none. A limit on them says "far enough to matter", and with `FEWEST` events a sample not "by chance".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Below, chance alone comes near the limit: at 100 events and 10 cells PSI is 0.18 on average.
FEWEST = 1_000
# Siddiqi's "significant change". At FEWEST events and 10 cells chance makes 0.018 +- 0.009 of it.
PSI_LIMIT = 0.25
JS_SHARE = 8


@dataclass(frozen=True, slots=True)
class Divergence:
    """expected_*: under no change. limit: of psi, from which on it is an alarm."""

    psi: float
    js: float
    expected_psi: float
    expected_js: float
    limit: float = PSI_LIMIT

    @property
    def far(self) -> bool:
        return self.psi >= self.limit


def between(reference: Ints, now: Ints) -> Divergence:
    """Counts by cell, int64 (cells,) each. Raises ValueError where the cells differ or a sample is below FEWEST."""
    if len(reference) != len(now):
        raise ValueError(f"{len(reference)} cells and {len(now)}")
    n, m = int(reference.sum()), int(now.sum())
    if min(n, m) < FEWEST:
        raise ValueError(f"{min(n, m)} events say nothing of a divergence, {FEWEST} are needed")
    p, q = _shares(reference), _shares(now)
    middle = (p + q) / 2
    expected = (len(p) - 1) * (1 / n + 1 / m)
    return Divergence(
        float(np.sum((p - q) * np.log(p / q))),
        float(np.sum(p * np.log(p / middle) + q * np.log(q / middle))) / 2,
        expected,
        expected / JS_SHARE,
    )


def _shares(counts: Ints) -> Floats:
    shares: Floats = (counts + 0.5) / (counts.sum() + len(counts) / 2)
    return shares
