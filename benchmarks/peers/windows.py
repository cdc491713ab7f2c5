"""From samples of progress and CPU time to events a second and CPU an event. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WINDOWS = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """At `at` (seconds): events done so far, CPU seconds of the contender's processes and of the broker so far."""

    at: float
    done: int
    cpu: float
    broker_cpu: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Medians over the windows: events a second, and microseconds of CPU an event."""

    per_second: float
    cpu_us: float
    broker_us: float


def rate(samples: Sequence[Sample]) -> Rate:
    """Cut the span at the samples nearest to its thirds and take the median. Raises ValueError for too few samples.

    Only moments of progress count as edges, so a counter that moves once a second is cut where it moved.
    """
    edges = [later for earlier, later in itertools.pairwise(samples) if later.done > earlier.done]
    windows = min(WINDOWS, len(edges) - 1)
    if windows < 1:
        raise ValueError(f"{len(edges)} moments of progress; a rate needs two")
    first, span = edges[0].at, edges[-1].at - edges[0].at
    cuts = [min(edges, key=lambda edge: abs(edge.at - first - span * n / windows)) for n in range(windows + 1)]
    pairs = [(a, b) for a, b in itertools.pairwise(cuts) if b.done > a.done]
    return Rate(
        median((b.done - a.done) / (b.at - a.at) for a, b in pairs),
        median((b.cpu - a.cpu) * 1e6 / (b.done - a.done) for a, b in pairs),
        median((b.broker_cpu - a.broker_cpu) * 1e6 / (b.done - a.done) for a, b in pairs),
    )


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed; `sorted_values` ascending, at least one."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]
