"""What is counted for each metric: of all events and of each segment, and the detectors of harm.

Of one pair and one partition (or of several, added up): a pure function of the events in their order, however they were
cut (P32). Of each metric `counts` holds int64 (1 + places, POINTS): all events first, then `Gate.places` in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streambg.deciding import grid
from streambg.deciding.detector import Detector, total
from streambg.deciding.grid import POINTS, Ints
from streambg.deciding.kinds import Answers, BadMeasure, Hook, Seen, differences
from streambg.records.gate import Gate, Metric
from streambg.records.source import COLORS, Color

# A metric's name, its differences, and the rows that have one where not all have.
Watch = Callable[[str, Ints, Ints | None], None]


@dataclass(slots=True)
class Tally:
    """One metric. Differences are positive where green did better. failed: events that its function failed on.

    detector: of harm; only of metrics that decide and are directed.
    """

    counts: Ints
    detector: Detector | None = None
    failed: int = 0

    def for_candidate(self, metric: Metric, candidate: Color) -> Ints:
        """Counts with positive where the candidate did better."""
        return grid.mirrored(self.counts) if metric.directed and candidate == "blue" else self.counts


@dataclass(slots=True)
class Tallies:
    """By metric. `said`: the last complaint of each metric's function; for people, no part of the evidence."""

    metrics: dict[str, Tally] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)


def begun(gate: Gate | None, labelled: bool) -> Tallies:
    """Nothing counted yet, for the gate's metrics that need labels or for those that need none."""
    metrics = [metric for metric in gate.metrics if metric.needs_label == labelled] if gate else []
    return Tallies({metric.name: _empty(metric, gate) for metric in metrics if gate})


def _empty(metric: Metric, gate: Gate) -> Tally:
    places = 1 + sum(1 for _ in gate.places(metric))
    detector = Detector(metric.abort_margin or 0.0) if metric.decides and metric.directed else None
    return Tally(np.zeros((places, POINTS), np.int64), detector)


def add(tallies: Tallies, gate: Gate, seen: Seen, hooks: Mapping[str, Hook], watch: Watch | None = None) -> None:
    """The next events, in their order. hooks: the team's functions, by kind. watch: is told of what is counted."""
    if len(seen) == 0:
        return
    groups = {name: grouped(seen.carry.get(name), values, len(seen)) for name, values in gate.segments.items()}
    for name, tally in tallies.metrics.items():
        metric = gate.metric(name)
        found, kept = _measured(tallies, metric, seen, hooks.get(metric.kind))
        tally.failed += len(seen) - len(found)
        if watch is not None:
            watch(name, found, kept)
        _count(
            tally, metric, gate, found, {name: code if kept is None else code[kept] for name, code in groups.items()}
        )


def _count(tally: Tally, metric: Metric, gate: Gate, found: Ints, groups: Mapping[str, Ints]) -> None:
    first, whole = 1, None
    for name in metric.segments:
        size = len(gate.segments[name]) + 1
        counts = grid.counted(found, groups[name], size)
        tally.counts[first : first + size] += counts
        first, whole = first + size, counts.sum(axis=0)  # every field holds every event
    tally.counts[0] += grid.counted(found)[0] if whole is None else whole
    if tally.detector is not None:
        tally.detector.feed(found)


def grouped(column: Sequence[object] | None, values: Sequence[str], rows: int) -> Ints:
    """The number of each row's value among the declared ones; len(values) for all others. int64 (rows,)."""
    if column is None:
        return np.full(rows, len(values), np.int64)
    numbers = {value: number for number, value in enumerate(values)}
    get, rest = numbers.get, len(values)
    return np.array([get(value if type(value) is str else _text(value), rest) for value in column], np.int64)


def _text(value: object) -> str:
    """As the pipeline file's values are compared: 1 is `1`, true is `true`; no value is the empty text."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _measured(tallies: Tallies, metric: Metric, seen: Seen, hook: Hook | None) -> tuple[Ints, Ints | None]:
    """Differences, and the rows that have one where not all have: a function fails on rows, never on a batch (P32)."""
    try:
        return differences(metric, seen, hook), None
    except BadMeasure as error:
        tallies.said[metric.name] = str(error)
        if len(seen) == 1:
            return np.empty(0, np.int64), np.empty(0, np.int64)
    half = len(seen) // 2
    parts = [
        (first, *_measured(tallies, metric, _rows(seen, first, last), hook))
        for first, last in ((0, half), (half, len(seen)))
    ]
    kept = [first + (np.arange(len(found)) if which is None else which) for first, found, which in parts]
    return np.concatenate([found for _, found, _ in parts]), np.concatenate(kept)


def _rows(seen: Seen, first: int, last: int) -> Seen:
    part = slice(first, last)

    def of(answers: Answers) -> Answers:
        return Answers(
            answers.answered[part],
            answers.failed[part],
            answers.scores[part],
            answers.decided[part],
            None if answers.yes is None else answers.yes[part],
            answers.latency[part],
        )

    labels = None if seen.labels is None else seen.labels[part]
    return Seen(of(seen.blue), of(seen.green), labels, {name: column[part] for name, column in seen.carry.items()})


@dataclass(frozen=True, slots=True)
class Merged:
    """Over partitions. harm: the detectors' values by color (detector.py says how they add up)."""

    counts: Ints
    failed: int
    harm: Mapping[Color, float]

    def for_candidate(self, metric: Metric, candidate: Color) -> Ints:
        """Counts with positive where the candidate did better."""
        return Tally(self.counts).for_candidate(metric, candidate)


def merged(parts: Iterable[tuple[int, Tallies]]) -> dict[str, Merged]:
    """(partition, its tallies), by metric; in any order, for counts are whole numbers and `total` has its own (P32)."""
    found: dict[str, list[tuple[int, Tally]]] = {}
    for partition, tallies in parts:
        for name, tally in tallies.metrics.items():
            found.setdefault(name, []).append((partition, tally))
    return {name: _merged(tallies) for name, tallies in found.items()}


def _merged(parts: Sequence[tuple[int, Tally]]) -> Merged:
    watched = [(partition, tally.detector) for partition, tally in parts if tally.detector is not None]
    return Merged(
        np.sum([tally.counts for _, tally in parts], axis=0),
        sum(tally.failed for _, tally in parts),
        {color: total(watched, color) for color in COLORS} if watched else {},
    )
