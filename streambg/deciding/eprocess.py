"""The gate's e-process: how much a gambler wins who bets that the candidate is good enough, or that it harms.

E(margin) = sum_j w_j prod_i (1 + l_j (d_i + margin) / scale), with fixed bets l_j in (0, 1) and scale such that no
factor is negative. Source: Waudby-Smith & Ramdas 2024 (betting), Choe & Ramdas 2110.00115 (forecasters, running mean).

Guarantee: with conditional means mu_i of x_i = (d_i + margin) / scale, prod (1 + l x_i) / (1 + l mu_i) is a martingale,
and prod (1 + l mu_i) <= exp(l sum mu_i) <= 1 whenever the running mean of the d is at most -margin. So, by Ville, the
chance that E ever reaches 1 / alpha at a moment when the running mean is at most -margin is at most alpha: whatever the
dependence, the drift, the peeking or the stopping. `log_harm` is the same with the signs turned.

Range: counts of grid.py (int64, POINTS); margins in [0, 1). The counts stand for differences rounded by at most half a
step; a whole step is taken off every factor, so rounding never helps either side.
"""

from __future__ import annotations

import numpy as np

from streambg.deciding.bets import BETS, Floats, log_mixture
from streambg.deciding.grid import ONE, PARTS, VALUES, Ints

_STEP = 1 / ONE


def log_good(counts: Ints, margin: float) -> float:
    """ln E against "the candidate is worse by the margin or more": what promotes."""
    return log_mixture(good_logs(counts, margin))


def log_harm(counts: Ints, abort_margin: float) -> float:
    """ln E against "the candidate is worse by at most the abort margin": what aborts."""
    return log_mixture(harm_logs(counts, abort_margin))


def good_logs(counts: Ints, margin: float) -> Floats:
    """ln of what each bet made, float64 (bets,)."""
    return _logs(counts, good_factors(margin))


def harm_logs(counts: Ints, abort_margin: float) -> Floats:
    """As `good_logs`, against the candidate."""
    return _logs(counts, harm_factors(abort_margin))


def good_factors(margin: float) -> Floats:
    """What one event at each point makes of each bet's wealth, float64 (bets, POINTS); none is negative."""
    return 1 + BETS[:, None] * ((VALUES + margin - _STEP) / (1 - margin + _STEP))[None, :]


def harm_factors(abort_margin: float) -> Floats:
    """As `good_factors`, against the candidate."""
    return 1 - BETS[:, None] * ((VALUES + abort_margin + _STEP) / (1 + abort_margin + _STEP))[None, :]


def _logs(counts: Ints, each: Floats) -> Floats:
    # no BLAS: its order of adding depends on the machine
    logs: Floats = (np.log(each) * (counts / PARTS)[None, :]).sum(axis=1)
    return logs
