"""What the gate's counts cost a joined pair: `PYTHONPATH=tests:. .venv/bin/python tests/evidence_bench.py`.

The join and the evidence of one partition, with and without a gate of five metrics in ten segments each, in turns; each
poll compared at once, and gathered to steps of pairing.GATHER_ROWS.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from rich.console import Console

from streambg.comparing.comparison import Comparison
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.side import Place
from streambg.records.batch import Batch
from streambg.records.coverage import Coverage
from streambg.records.gate import Gate, Metric

EVENTS, ROUNDS = 100_000, 3
# A scorer's batch under load, and one of a quiet pipeline; eight of each color come at a time.
BATCHES, AT_ONCE = (1_000, 20), 8
PAIR = Pair(3, 7)
PLACES = {"blue": Place(0, Coverage(PAIR.blue)), "green": Place(0, Coverage(PAIR.green))}
MACHINES = tuple(f"m{number}" for number in range(9))


def gate() -> Gate:
    """Two of the metrics have differences on 2 % of the events, one on all of them."""
    metrics = tuple(
        Metric(
            name, kind, "guardrail", 0.0, 1.0, "lower", False, 0.01, 0.005,
            limit_ms=limit, segments=("machine",), segment_margin=0.05, segment_abort_margin=0.025,
        )
        for name, kind, limit in (
            ("errors", "error_rate", None), ("flips", "flip_rate", None), ("shift", "score_shift", None),
            ("slow", "latency_over", 217), ("slower", "latency_over", 218),
        )
    )  # fmt: skip
    return Gate(metrics, {"machine": MACHINES}, 0.05, 0.01, 0.999, 0.95)


def batches(deployment: int, rng: np.random.Generator, scores: np.ndarray, rows: int) -> list[Batch]:
    failed, latency = rng.random(EVENTS) < 0.005, rng.integers(0, 220, EVENTS)
    machines = [f"m{number}" for number in rng.integers(0, 12, EVENTS).tolist()]
    made = []
    for first in range(0, EVENTS, rows):
        last = min(EVENTS, first + rows)
        part = slice(first, last)
        made.append(
            Batch(
                deployment, first - 1, last - 1, False, 10_000, 1, np.arange(first, last), 10_000 - latency[part],
                failed[part].astype(np.uint8), scores[part].reshape(-1, 1), [b"k"] * (last - first),
                [b"v"] * (last - first), {"machine": machines[part]},
            )
        )  # fmt: skip
    return made


def cost_us(counted: Gate | None, logs: dict[str, list[Batch]], gathering: bool) -> float:
    """CPU microseconds a joined pair."""
    comparison = Comparison.begin(0, PAIR, Terms(1, 0, 0.5, counted), dict(PLACES), -1)  # type: ignore[arg-type]  # colors
    comparison.control(10)
    began = time.process_time()
    for number, pair in enumerate(zip(logs["blue"], logs["green"], strict=True)):
        for color, batch in zip(("blue", "green"), pair, strict=True):
            comparison.offer(color, number, 100, batch)  # type: ignore[arg-type]  # colors
        if number % AT_ONCE == AT_ONCE - 1:
            while (not gathering or comparison.pairing.gathered()) and comparison.advance():
                pass
    while comparison.advance():
        pass
    assert comparison.evidence.figures.counts["matched"] == EVENTS
    return (time.process_time() - began) / EVENTS * 1e6


def main() -> int:
    console = Console()
    rng = np.random.default_rng(1)
    scores = rng.random(EVENTS)
    other = np.clip(scores + rng.normal(0, 0.01, EVENTS), 0, 1)
    for rows in BATCHES:
        logs = {"blue": batches(PAIR.blue, rng, scores, rows), "green": batches(PAIR.green, rng, other, rows)}
        cost_us(gate(), logs, False)  # river is imported on the way
        for gathering in (False, True):
            found = [(cost_us(None, logs, gathering), cost_us(gate(), logs, gathering)) for _ in range(ROUNDS)]
            without, with_gate = np.median(found, axis=0)
            more, how = with_gate - without, "gathered" if gathering else "at once"
            said = f"{without:.2f} us without, {with_gate:.2f} with: {more:.2f} us more a pair"
            console.print(f"{rows} rows a batch, {how}: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
