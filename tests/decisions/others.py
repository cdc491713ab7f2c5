"""What others do, on the same streams: looked at as often, and without the guarantee."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from decisions.streams import Streams

Ints = npt.NDArray[np.int64]

# One-sided 5 % of a fixed-horizon test, and its 1 %: what a rollout tool compares with after every interval.
Z_05, Z_01 = 1.6449, 2.3263
# From here on a normal approximation is usual.
_FIRST_LOOK = 100


def peeked(streams: Streams, margin: float, z: float, harm: bool = False) -> npt.NDArray[np.bool_]:
    """Did a paired z-test, looked at after every event, ever say "better than -margin" (or, harm: "worse than 0")?"""
    said: npt.NDArray[np.bool_] = (z_values(-streams if harm else streams, margin) >= z).any(axis=1)
    return said


def z_values(streams: Streams, margin: float) -> npt.NDArray[np.float32]:
    """Of the test against "the mean is -margin", after every event; minus infinity before the first look."""
    n = np.arange(1, streams.shape[1] + 1, dtype=np.float32)
    mean = np.cumsum(streams, axis=1, dtype=np.float32) / n
    squares = np.cumsum(streams != 0, axis=1, dtype=np.float32)
    values: npt.NDArray[np.float32] = (mean + margin) / np.sqrt(np.maximum(squares / n - mean**2, 1e-6) / n)
    values[:, :_FIRST_LOOK] = -np.inf
    return values


def adaptive(streams: Streams, margin: float, alpha: float, window: int = 200) -> npt.NDArray[np.bool_]:
    """Did a bettor that stakes on what the last `window` events showed ever reach 1 / alpha?"""
    log_wealth = np.zeros(len(streams))
    said = np.zeros(len(streams), np.bool_)
    total, squares = np.zeros(len(streams)), np.zeros(len(streams))
    for at in range(streams.shape[1]):
        d = streams[:, at].astype(np.float64)
        seen = min(at, window)
        mean = (total + margin * seen) / max(1, seen)
        bet = np.clip(mean / np.maximum(squares / max(1, seen), 0.01), 0.0, 0.9)
        log_wealth += np.log1p(bet * (d + margin) / (1 - margin))
        said |= log_wealth >= -np.log(alpha)
        total += d
        squares += d * d
        if at >= window:
            old = streams[:, at - window].astype(np.float64)
            total -= old
            squares -= old * old
    return said


def adwin_delays(streams: Streams, before: int) -> Ints:
    """Events after `before` until river's ADWIN, at its defaults, sees the candidate's errors rise; 0: never."""
    from river import drift  # noqa: PLC0415 - a second to import, for one question

    delays = np.zeros(len(streams), np.int64)
    for row, errors in enumerate((streams < 0).astype(float)):
        detector = drift.ADWIN()  # type: ignore[no-untyped-call]  # river is not typed
        for at, error in enumerate(errors.tolist()):
            detector.update(error)
            if at >= before and detector.drift_detected:
                delays[row] = at - before + 1
                break
    return delays


def fastest(old: float, new: float, every: float) -> float:
    """Mean delay of a detector that is told both rates: no other with as few false alarms is faster in the long run.

    Pairs of models that err independently; `every`: events between false alarms. G. Lorden, "Procedures for reacting
    to a change in distribution" (1971): log(every) / the information of one pair, -1, 0 or 1, after the change.
    """
    before, after = _pair(old, old), _pair(old, new)
    return float(np.log(every) / (after * np.log(after / before)).sum())


def _pair(old: float, candidate: float) -> npt.NDArray[np.float64]:
    """Chances that only the candidate errs, only the old color, and neither or both."""
    worse, better = candidate * (1 - old), old * (1 - candidate)
    return np.array([worse, better, 1 - worse - better])
