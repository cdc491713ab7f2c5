"""(o) What the gate's counts cost a joined pair, in one process and without a server.

The join and the evidence of one partition, with and without a gate of five metrics in ten segments each, in turns; each
poll compared at once, as a comparator that keeps up does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from streambg.comparing.comparison import Comparison
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.side import Place
from streambg.errors import StreambgError
from streambg.records.batch import Batch
from streambg.records.coverage import Coverage
from streambg.records.gate import Gate, Metric
from streambg.records.source import COLORS, Color

# A scorer's batch under load; eight of each color come with one poll.
ROWS, AT_ONCE = 1_000, 8
# The two ways take turns, so that a moment in which the machine is slow is seen by one pair of turns only.
TURNS = 3
PAIR = Pair(3, 7)
# Nine that are named and one for all others: ten segments.
MACHINES = tuple(f"m{number}" for number in range(9))

Logs = Mapping[Color, list[Batch]]


def gate() -> Gate:
    """Five metrics: two have differences on a percent of the events each, one on nearly all, two on a few."""
    common: dict[str, Any] = {"segments": ("machine",), "segment_margin": 0.05, "segment_abort_margin": 0.025}
    kinds = (
        ("errors", "error_rate", None),
        ("flips", "flip_rate", None),
        ("shift", "score_shift", None),
        ("slow", "latency_over", 217),
        ("slower", "latency_over", 218),
    )
    metrics = tuple(
        Metric(name, kind, "guardrail", 0.0, 1.0, "lower", False, 0.01, 0.005, limit_ms=limit, **common)
        for name, kind, limit in kinds
    )
    return Gate(metrics, {"machine": MACHINES}, 0.05, 0.01, 0.999, 0.95)


def cost(events: int) -> dict[str, float]:
    """CPU microseconds a joined pair: without a gate, with it, and what lies between. Medians of the turns."""
    logs = _logs(events)
    _run(gate(), logs, events)  # what is imported on the way
    turns = [(_run(None, logs, events), _run(gate(), logs, events)) for _ in range(TURNS)]
    return {
        "without_us": median(without for without, _ in turns),
        "with_us": median(counted for _, counted in turns),
        "evidence_us": median(counted - without for without, counted in turns),
    }


def _run(counted: Gate | None, logs: Logs, events: int) -> float:
    """CPU microseconds a pair of this process, whatever else the machine does."""
    places = {color: Place(0, Coverage(PAIR.of(color))) for color in COLORS}
    comparison = Comparison.begin(0, PAIR, Terms(1, 0, 0.5, counted), places, -1)
    comparison.control(max(PAIR.blue, PAIR.green))
    began = time.process_time()
    for number in range(len(logs["blue"])):
        for color in COLORS:
            comparison.offer(color, number, 100, logs[color][number])
        if number % AT_ONCE == AT_ONCE - 1:
            while comparison.advance():
                pass
    while comparison.advance():
        pass
    spent = time.process_time() - began
    matched = comparison.evidence.figures.counts["matched"]
    if matched != events:
        raise StreambgError(f"{matched} of {events} events were compared", way_out="measure again")
    return spent / events * 1e6


def _logs(events: int) -> Logs:
    """Both colors' batches: scores a hundredth apart, half a percent of each failed."""
    rng = np.random.default_rng(1)
    scores = rng.random(events)
    return {
        "blue": _batches(PAIR.blue, rng, scores),
        "green": _batches(PAIR.green, rng, np.clip(scores + rng.normal(0, 0.01, events), 0, 1)),
    }


def _batches(deployment: int, rng: np.random.Generator, scores: npt.NDArray[np.float64]) -> list[Batch]:
    events = len(scores)
    failed, latency = rng.random(events) < 0.005, rng.integers(0, 220, events)
    machines = [f"m{number}" for number in rng.integers(0, 12, events).tolist()]
    made = []
    for first in range(0, events, ROWS):
        last = min(events, first + ROWS)
        part, rows = slice(first, last), last - first
        made.append(
            Batch(
                deployment,
                first - 1,
                last - 1,
                False,
                10_000,
                1,
                np.arange(first, last),
                10_000 - latency[part],
                failed[part].astype(np.uint8),
                scores[part].reshape(-1, 1),
                [b"k"] * rows,
                [b"v"] * rows,
                {"machine": machines[part]},
            )
        )
    return made
