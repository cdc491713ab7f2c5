"""Prediction batches of two colors in memory: what both answered, cut into batches in any way."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streambg.comparing.comparison import Comparison
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.side import Place
from streambg.comparing.snapshot import decode, encode
from streambg.records.batch import Batch
from streambg.records.coverage import Coverage
from streambg.records.gate import Gate, Metric
from streambg.records.source import COLORS, Color

BLUE, GREEN = 3, 7
PAIR = Pair(BLUE, GREEN)
# every test of evidence counts for a gate as well
METRICS = tuple(
    Metric(
        name,
        kind,
        "guardrail",
        0.0,
        1.0,
        "lower",
        False,
        0.01,
        0.005,
        limit_ms=limit,
        segments=("event_id",),
        segment_margin=0.02,
        segment_abort_margin=0.01,
    )
    for name, kind, limit in (
        ("errors", "error_rate", None),
        ("flips", "flip_rate", None),
        ("shift", "score_shift", None),
        ("slow", "latency_over", 9_970),
    )
)
GATE = Gate(METRICS, {"event_id": ("e1", "e5", "e8")}, 0.05, 0.01, 0.999, 0.95, carried=("event_id",))
TERMS = Terms(1, 0, 0.5, GATE)
FOLDED = 100
START = -1


@dataclass(frozen=True, slots=True)
class Answer:
    """One row: a score, or None for an error row."""

    score: float | None
    value: bytes = b"v"


Answers = Mapping[int, Answer]  # by source offset


def batch(
    deployment: int, after: int, upto: int, answers: Answers, *, sample: bool = False, scored_at: int = 10_000
) -> Batch:
    """Rows of `answers` in (after, upto]; the event at offset o happened at o ms."""
    offsets = [offset for offset in sorted(answers) if after < offset <= upto]
    rows = [answers[offset] for offset in offsets]
    return Batch(
        deployment,
        after,
        upto,
        sample,
        scored_at,
        1,
        np.array(offsets, np.int64),
        np.array(offsets, np.int64),
        np.array([row.score is None for row in rows], np.uint8),
        np.array([[np.nan if row.score is None else row.score] for row in rows], np.float64).reshape(len(rows), 1),
        [f"k{offset % 5}".encode() for offset in offsets],
        [row.value for row in rows],
        {"event_id": [f"e{offset}" for offset in offsets]},
    )


def cut(
    deployment: int, answers: Answers, borders: Iterable[int], first_after: int = START, sample_upto: int = START
) -> list[Batch]:
    """Batches with these uptos (and one at `sample_upto`, below which they are samples)."""
    batches, after = [], first_after
    for upto in sorted({*borders, *([sample_upto] if sample_upto > first_after else [])}):
        if upto > after:
            batches.append(batch(deployment, after, upto, answers, sample=after < sample_upto))
            after = upto
    return batches


def begun(start: int = START, pair: Pair = PAIR, terms: Terms = TERMS, partition: int = 2) -> Comparison:
    """A comparison that reads both logs from their first record."""
    places = {color: Place(0, Coverage(pair.of(color))) for color in COLORS}
    comparison = Comparison.begin(partition, pair, terms, places, start)
    comparison.control(FOLDED)
    return comparison


def offer(comparison: Comparison, color: Color, log: Sequence[Batch | None], upto: int) -> None:
    """The records of a log from the comparison's own position up to `upto` (not included)."""
    for at in range(comparison.side(color).next_offset, upto):
        comparison.offer(color, at, 100, log[at])


def finish(comparison: Comparison, limit: int = 8_192) -> None:
    while comparison.advance(limit):
        pass


def feed(
    comparison: Comparison,
    logs: Mapping[Color, Sequence[Batch | None]],
    seed: int | None = None,
    restarts: float = 0.0,
) -> Comparison:
    """Both logs to their ends: color by color, or (seed) in a random interleaving.

    restarts: the chance, before each record, that the process dies and goes on from its snapshot's bytes.
    """
    if seed is None:
        for color in COLORS:
            offer(comparison, color, logs[color], len(logs[color]))
        finish(comparison)
        return comparison
    rng = random.Random(seed)
    while any(comparison.side(color).next_offset < len(logs[color]) for color in COLORS):
        color = rng.choice(COLORS)
        at = comparison.side(color).next_offset
        if at < len(logs[color]):
            comparison.offer(color, at, 100, logs[color][at])
        if rng.random() < 0.7:
            comparison.advance(rng.choice((1, 5, 8_192)))
        if rng.random() < restarts:
            comparison = restarted(comparison)
    finish(comparison)
    return comparison


def restarted(comparison: Comparison) -> Comparison:
    """The process dies; another one goes on from the snapshot."""
    resumed = Comparison.resume(decode(encode(comparison.snapshot())), comparison.terms)
    resumed.control(FOLDED)
    return resumed
