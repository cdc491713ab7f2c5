"""Streams of paired differences with a known truth: int8 (streams, events) of -1, 0, 1; 1 is better."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Streams = npt.NDArray[np.int8]


def paired(rng: np.random.Generator, size: tuple[int, int], mean: float, discordance: float) -> Streams:
    """The two models differ on a share of the events, and by `mean` in favor of the candidate."""
    drawn = rng.random(size, np.float32)
    worse, better = (discordance - mean) / 2, (discordance + mean) / 2
    return (drawn < better).astype(np.int8) - (drawn >= 1 - worse).astype(np.int8)


def oscillating(
    rng: np.random.Generator, size: tuple[int, int], means: tuple[float, float], discordance: float, period: int
) -> Streams:
    """`period` events of the first mean, as many of the second, and so on: good in every other window."""
    parts = []
    for number, first in enumerate(range(0, size[1], period)):
        length = min(period, size[1] - first)
        parts.append(paired(rng, (size[0], length), means[number % 2], discordance))
    return np.concatenate(parts, axis=1)


def independent_errors(rng: np.random.Generator, size: tuple[int, int], old: float, candidate: float) -> Streams:
    """Two models that err independently of each other, at these rates."""
    wrong = [rng.random(size, np.float32) < rate for rate in (old, candidate)]
    return wrong[0].astype(np.int8) - wrong[1].astype(np.int8)
