"""What has been learnt about a pair: counts, exact sums, histograms, the worst examples, drift alarms.

Evidence is a pure function of the two prediction logs up to `compared`; its size does not grow with them. Everything
in it is an integer, a float copied from a batch, or ADWIN's sequential state: bit-equal at equal source positions,
however the logs were cut into batches and whatever crashed in between (P32).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import eq

import numpy as np
import numpy.typing as npt

from streambg.comparing.drift import Alarm, Drift, squashed
from streambg.comparing.histogram import LATENCY_MS, SCORES, Histogram
from streambg.comparing.measuring import numbers, seen_of, taken
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.pairing import Rows
from streambg.comparing.sums import SCORE_STEP_BITS, Sum, quantised
from streambg.comparing.worst import Example, with_rows, worst_of
from streambg.deciding import tallies
from streambg.deciding.divergence import Divergence
from streambg.labelling.cohorts import Awaited
from streambg.records.gate import Gate
from streambg.records.source import COLORS, Color

SCORE_STEP = 1 / (1 << SCORE_STEP_BITS)

# Every count that evidence holds, in the order of its wire form. `{color}` counts are per color.
COUNTS = (
    "matched",  # both colors have a row
    "both_ok",  # ... and neither is an error row
    "error_blue",  # matched, blue's is an error row and green's is not
    "error_green",
    "error_both",
    "not_comparable",  # both ok, but a score is not finite or the batch has another number of outputs
    "compared",  # both ok and comparable: what agreement and differences are about
    "agree",  # the decision is the same; without a decision: the score is bit-equal
    "flip_to_green",  # blue's decision is no, green's yes
    "flip_to_blue",  # blue's decision is yes, green's no
    "scores_equal",  # all outputs bit-equal
    "values_equal",  # both ok, and the bytes to publish are equal
    "rows_blue",  # all rows, matched or not
    "rows_green",
    "errors_blue",  # of these: error rows
    "errors_green",
    "only_blue",  # see pairing.py
    "only_green",
    "unanswered_blue",
    "unanswered_green",
)


@dataclass(slots=True)
class ColorEvidence:
    """One color's own figures: of its comparable scores, and of the latency (ms) of all its rows."""

    scores: Sum = field(default_factory=Sum)
    score_histogram: Histogram = field(default_factory=lambda: Histogram(SCORES))
    latency: Sum = field(default_factory=Sum)
    latency_histogram: Histogram = field(default_factory=lambda: Histogram(LATENCY_MS))
    # batches that the fold dropped, by why: repeat, hole, replaced, unknown, not a batch (P8, P12)
    dropped: Counter[str] = field(default_factory=Counter)

    def plus(self, other: ColorEvidence) -> ColorEvidence:
        return ColorEvidence(
            self.scores.plus(other.scores),
            self.score_histogram.plus(other.score_histogram),
            self.latency.plus(other.latency),
            self.latency_histogram.plus(other.latency_histogram),
            self.dropped + other.dropped,
        )


def _both() -> dict[Color, ColorEvidence]:
    return {color: ColorEvidence() for color in COLORS}


@dataclass(slots=True)
class Figures:
    """What adds up over partitions. Differences are green - blue; `times` are event times, ms since 1970."""

    counts: Counter[str] = field(default_factory=Counter)
    difference: Sum = field(default_factory=Sum)
    difference_histogram: Histogram = field(default_factory=lambda: Histogram(SCORES))
    colors: dict[Color, ColorEvidence] = field(default_factory=_both)
    times: Sum = field(default_factory=Sum)
    worst: list[Example] = field(default_factory=list)

    def plus(self, other: Figures) -> Figures:
        return Figures(
            self.counts + other.counts,
            self.difference.plus(other.difference),
            self.difference_histogram.plus(other.difference_histogram),
            {color: self.colors[color].plus(other.colors[color]) for color in COLORS},
            self.times.plus(other.times),
            worst_of([*self.worst, *other.worst]),
        )


class Evidence:
    """Of one pair in one partition, for the source offsets (start, compared]."""

    def __init__(self, partition: int, pair: Pair, start: int, gate: Gate | None = None) -> None:
        self.partition = partition
        self.pair = pair
        self.start = start
        self.compared = start
        self.figures = Figures()
        self.drift = Drift(partition, start)
        self.follows_drift = True  # a replay does not: its charts over time say it, and alarms are for the living
        self.features: dict[str, Drift] = {}  # by carried field
        self.tallies = tallies.begun(gate, labelled=False)
        self.awaited = Awaited()

    def add(self, rows: Rows, terms: Terms, watch: tallies.Watch | None = None) -> None:
        """The next rows: `rows.low` is what was compared so far. Raises ValueError where it is not.

        watch: is told of each metric's differences.
        """
        if rows.low != self.compared:
            raise ValueError(f"evidence reaches to {self.compared}, the rows begin after {rows.low}")
        figures, counts = self.figures, self.figures.counts
        for color in COLORS:
            part = rows.side(color)
            counts[f"rows_{color}"] += len(part)
            counts[f"errors_{color}"] += len(part) - int(np.count_nonzero(part.ok))
            counts[f"unanswered_{color}"] += rows.unanswered[color]
            # the color that has no row is silent; the other one has it alone
            counts["only_green" if color == "blue" else "only_blue"] += rows.silent[color]
            figures.colors[color].latency.add(part.latency)
            figures.colors[color].latency_histogram.add(part.latency.astype(np.float64))
        if len(rows):
            _compare(self, rows, terms)
            _watch(self, rows, terms)
            if terms.gate is not None:
                tallies.add(self.tallies, terms.gate, seen_of(rows, terms, terms.gate), terms.hooks, watch)
        self.compared = rows.high

    def dropped(self, dropped: dict[Color, dict[str, int]]) -> None:
        for color in COLORS:
            if dropped[color]:
                self.figures.colors[color].dropped.update(dropped[color])


def _compare(evidence: Evidence, rows: Rows, terms: Terms) -> None:
    figures, counts = evidence.figures, evidence.figures.counts
    blue, green = (taken(rows.side(color).scores, rows.at(color)) for color in COLORS)
    blue_ok, green_ok = (taken(rows.side(color).ok, rows.at(color)) for color in COLORS)
    both = blue_ok & green_ok
    counts["matched"] += len(rows)
    ok = int(np.count_nonzero(both))
    if ok < len(rows):
        counts["error_blue"] += int(np.count_nonzero(~blue_ok & green_ok))
        counts["error_green"] += int(np.count_nonzero(blue_ok & ~green_ok))
        counts["error_both"] += int(np.count_nonzero(~blue_ok & ~green_ok))
    counts["both_ok"] += ok
    counts["values_equal"] += _equal_values(rows, both, ok)
    figures.times.add(taken(rows.blue.times, rows.at_blue))
    finite = both & np.isfinite(blue).all(axis=1) & np.isfinite(green).all(axis=1)
    which = np.flatnonzero(finite)
    counts["not_comparable"] += ok - len(which)
    if len(which) == 0:
        return
    if len(which) < len(rows):
        blue, green = blue[which], green[which]
    _scores(evidence, rows, terms, which, blue, green)


def _scores(
    evidence: Evidence,
    rows: Rows,
    terms: Terms,
    which: npt.NDArray[np.intp],
    blue: npt.NDArray[np.float64],
    green: npt.NDArray[np.float64],
) -> None:
    """Comparable rows only: scores float64 (n, outputs), `which` their numbers among the matched."""
    figures, counts = evidence.figures, evidence.figures.counts
    equal = (blue == green).all(axis=1)
    left, right = blue[:, terms.column], green[:, terms.column]
    difference = right - left
    steps = quantised(difference)
    if terms.threshold is None:
        agree, flips = equal, np.zeros(len(which), np.bool_)
        disagreement = np.minimum(np.abs(difference), 1.0)
    else:
        yes_blue, yes_green = left >= terms.threshold, right >= terms.threshold
        flips = yes_blue != yes_green
        agree, disagreement = ~flips, flips.astype(np.float64)
        to_green = int(np.count_nonzero(flips & yes_green))
        counts["flip_to_green"] += to_green
        counts["flip_to_blue"] += int(np.count_nonzero(flips)) - to_green
    counts["compared"] += len(which)
    counts["agree"] += int(np.count_nonzero(agree))
    counts["scores_equal"] += int(np.count_nonzero(equal))
    figures.difference.add(steps)
    figures.difference_histogram.add(difference)
    for color, scores in (("blue", left), ("green", right)):
        own = figures.colors[color]  # type: ignore[index]  # a literal of the tuple above, mypy widens it to str
        own.scores.add(quantised(scores))
        own.score_histogram.add(scores)
    figures.worst = with_rows(figures.worst, evidence.partition, rows, which, np.abs(steps), (left, right), flips)
    offsets = rows.blue.offsets[rows.at_blue[which]]
    if evidence.follows_drift:
        evidence.drift.feed(offsets, (squashed(left), squashed(right), disagreement))


def _watch(evidence: Evidence, rows: Rows, terms: Terms) -> None:
    """Carried features of the matched rows in which both colors carry a number, each color's own."""
    for name in terms.drift:
        if name not in evidence.features:
            evidence.features[name] = feature(evidence.partition, evidence.compared, name)
        blue, green = (numbers(rows, color, name) for color in COLORS)
        which = np.flatnonzero(np.isfinite(blue) & np.isfinite(green))
        offsets = rows.blue.offsets[rows.at_blue[which]]
        evidence.features[name].feed(offsets, (blue[which], green[which]))


def feature(partition: int, start: int, name: str) -> Drift:
    """Of one carried field; nothing seen yet."""
    return Drift(partition, start, [f"{color} {name}" for color in COLORS], len(COLORS), ranked=True)


def _equal_values(rows: Rows, both: npt.NDArray[np.bool_], ok: int) -> int:
    """Pairs of equal bytes among the rows that are both ok."""
    blue, green = rows.blue.values, rows.green.values
    if ok == len(blue) == len(green):
        return sum(map(eq, blue, green))
    which = np.flatnonzero(both)
    at = zip(rows.at_blue[which].tolist(), rows.at_green[which].tolist(), strict=True)
    return sum(blue[left] == green[right] for left, right in at)


def merged(parts: Sequence[Evidence]) -> Figures:
    """Over partitions, in ascending order (P32). Raises ValueError where the pairs differ."""
    if len({part.pair for part in parts}) > 1:
        raise ValueError("evidence of different pairs is not added up")
    total = Figures()
    for part in sorted(parts, key=lambda part: part.partition):
        total = total.plus(part.figures)
    return total


def drifts(part: Evidence) -> list[Drift]:
    """Of the answers, then of each feature."""
    return [part.drift, *(drift for _, drift in sorted(part.features.items()))]


def alarms_of(parts: Sequence[Evidence]) -> list[Alarm]:
    """All kept alarms, by partition and then as they came: of the answers, then of each feature."""
    ordered = sorted(parts, key=lambda part: part.partition)
    return [alarm for part in ordered for drift in drifts(part) for alarm in drift.alarms]


@dataclass(frozen=True, slots=True)
class Diverged:
    """The last whole window of a stream against the stream's first events, where that is furthest over partitions."""

    partition: int
    stream: str
    since: int
    upto: int
    divergence: Divergence


def diverged(parts: Sequence[Evidence]) -> list[Diverged]:
    """One a stream, in the order of streams; of equal ones the lowest partition."""
    found = dict[str, Diverged]()
    for part in sorted(parts, key=lambda part: part.partition):
        for each in divergences(part):
            known = found.get(each.stream)
            if known is None or each.divergence.psi > known.divergence.psi:
                found[each.stream] = each
    return list(found.values())


def divergences(part: Evidence) -> Iterator[Diverged]:
    """Of every stream that has a whole window."""
    for drift in drifts(part):
        for stream, windows in zip(drift.streams, drift.windows, strict=False):
            last, divergence = windows.last, windows.divergence
            if last is not None and divergence is not None:
                yield Diverged(part.partition, stream, last.since, last.upto, divergence)
