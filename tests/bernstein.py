"""The empirical-Bernstein form of the same evidence: the cross-check of eprocess.py.

State: n, S = sum d, V = sum (d - m)^2 with a predictable mean m; log E = ln sum_j w_j exp(l_j (S + margin n) - psi(l_j)
V) for l_j in (0, 1/2), psi(l) = (-ln(1 - 2 l) - 2 l) / 4. Source: Howard, Ramdas, McAuliffe & Sekhon 2021, theorem 4.

Guarantee: exp(t x - (-ln(1 - t) - t) x^2) <= 1 + t x for x >= -1 and t in [0, 1) (Fan, Grama & Liu 2015). Differences
and m lie in [-1, 1], so x = (d - m) / 2 >= -1; with t = 2 l the exponent is l (d - m) - psi(l) (d - m)^2. Its mean,
given the past, is at most 1 + l (mu - m); with l (mu - m) taken off the exponent it is at most
(1 + l (mu - m)) exp(-l (mu - m)) <= 1. Hence the 2 and the 4. As in
streambg/deciding/eprocess.py it holds at every moment when the running mean is at most -margin.

It is never more powerful than the bets and always safe; it depends on the order of events and merges with nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streambg.deciding.bets import BETS, log_mixture

Floats = npt.NDArray[np.float64]


def psi(bets: Floats) -> Floats:
    """For bets in (0, 1/2)."""
    return (-np.log1p(-2 * bets) - 2 * bets) / 4


def log_good(differences: Floats, margin: float) -> float:
    """ln E after all n differences in [-1, 1], in their order."""
    n = len(differences)
    before = np.concatenate([[0.0], np.cumsum(differences)[:-1]])[:n]
    # shrunk towards 0 by one event, so that the first mean is known before the first event
    means = before / (np.arange(n) + 1)
    spread = float(np.sum((differences - means) ** 2))
    half = BETS / 2
    return log_mixture(half * (float(np.sum(differences)) + margin * n) - psi(half) * spread)
