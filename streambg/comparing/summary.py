"""Evidence in the words of a person: rates, means, quantiles; the candidate against live. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from streambg.comparing.drift import Alarm
from streambg.comparing.evidence import SCORE_STEP, ColorEvidence, Diverged, Figures
from streambg.comparing.histogram import Histogram
from streambg.comparing.worst import Example
from streambg.records.source import COLORS, Color, other

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class ColorSummary:
    """One color. Latency in ms from the event's time to the scoring; quantiles are within 3.1 % (histogram.py)."""

    rows: int
    errors: int
    error_rate: float | None
    unanswered: int
    score_mean: float | None
    score_deviation: float | None
    score_quantiles: Mapping[str, float | None]
    latency_quantiles: Mapping[str, float | None]
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Summary:
    """Differences are candidate - live. Rates are None where there is nothing to divide by: no evidence is no zero.

    coverage: matched events among all that a color has a row for. contradicted: the candidate has a row for an offset
    that live says is not in the input; `candidate.unanswered` also counts live's rows that the candidate passed over
    (P9 for the color that is the candidate now). diverged: how far each stream is from its beginning.
    """

    matched: int
    compared: int
    coverage: float | None
    agreement: float | None
    flips: int
    flips_to_yes: int
    flips_to_no: int
    scores_equal: int
    values_equal: int
    contradicted: int
    difference_mean: float | None
    difference_deviation: float | None
    difference_magnitude: float | None
    difference_low: float | None
    difference_high: float | None
    difference_quantiles: Mapping[str, float | None]
    live: ColorSummary
    candidate: ColorSummary
    last_event_ms: int | None
    worst: tuple[Example, ...]
    alarms: tuple[Alarm, ...]
    alarm_count: int
    diverged: tuple[Diverged, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--output json`; bytes become base64 text."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def summarize(
    figures: Figures,
    live: Color,
    alarms: tuple[Alarm, ...] = (),
    alarm_count: int = 0,
    diverged: tuple[Diverged, ...] = (),
) -> Summary:
    """`live`: the live color now; evidence itself knows none."""
    counts, candidate = figures.counts, other(live)
    toward_green = candidate == "green"
    difference = figures.difference if toward_green else figures.difference.negated()
    histogram = figures.difference_histogram if toward_green else figures.difference_histogram.mirrored()
    missing = sum(counts[f"{what}_{color}"] for what in ("only", "unanswered") for color in COLORS)
    return Summary(
        matched=counts["matched"],
        compared=counts["compared"],
        coverage=_rate(counts["matched"], counts["matched"] + missing),
        agreement=_rate(counts["agree"], counts["compared"]),
        flips=counts["flip_to_green"] + counts["flip_to_blue"],
        flips_to_yes=counts[f"flip_to_{candidate}"],
        flips_to_no=counts[f"flip_to_{live}"],
        scores_equal=counts["scores_equal"],
        values_equal=counts["values_equal"],
        contradicted=counts[f"only_{candidate}"],
        difference_mean=difference.mean(SCORE_STEP),
        difference_deviation=difference.deviation(SCORE_STEP),
        difference_magnitude=_scaled(_rate(difference.magnitudes, difference.n)),
        difference_low=_scaled(difference.low),
        difference_high=_scaled(difference.high),
        difference_quantiles=quantiles(histogram),
        live=_color(figures.colors[live], counts, live, counts[f"unanswered_{live}"]),
        candidate=_color(
            figures.colors[candidate],
            counts,
            candidate,
            counts[f"unanswered_{candidate}"] + counts[f"only_{live}"],
        ),
        last_event_ms=figures.times.high,
        worst=tuple(figures.worst),
        alarms=alarms,
        alarm_count=alarm_count,
        diverged=diverged,
    )


def quantiles(histogram: Histogram) -> dict[str, float | None]:
    """By name: p1, p5, ... p99."""
    return {f"p{q * 100:g}": histogram.quantile(q) for q in QUANTILES}


def _color(own: ColorEvidence, counts: Mapping[str, int], color: Color, unanswered: int) -> ColorSummary:
    rows, errors = counts[f"rows_{color}"], counts[f"errors_{color}"]
    return ColorSummary(
        rows,
        errors,
        _rate(errors, rows),
        unanswered,
        own.scores.mean(SCORE_STEP),
        own.scores.deviation(SCORE_STEP),
        quantiles(own.score_histogram),
        quantiles(own.latency_histogram),
        dict(sorted(own.dropped.items())),
    )


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _scaled(steps: float | None) -> float | None:
    return None if steps is None else steps * SCORE_STEP
