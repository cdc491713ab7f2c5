"""The charts of a report: which series, on which axes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isfinite, log, log10

from streambg.replaying.axes import Axis, counts, decades, linear, times
from streambg.replaying.document import Latency, Report, Scored
from streambg.replaying.plotted import Charts, Moment, Path
from streambg.replaying.svg import Chart, Limit, Point, Series, Side, outline
from streambg.replaying.words import against_words

# An e-value beyond the square of its limit says nothing more; without a lid the limit would lie on the floor.
LID = 2.0


def charts(report: Report, scored: Scored, number: int) -> list[Chart]:
    """Those that there is something to draw for; `number` tells the charts of several models apart."""
    names = {"model": scored.model.ref, "against": against_words(report.identity.against)}
    found = scored.charts
    drawn = [
        _scores(report, found, names),
        *_time(found, names),
        *(_path(path, at) for at, path in enumerate(found.paths, 1)),
    ]
    if found.calibration:
        drawn.append(_calibration(found, names))
    return [
        replace(chart, name=f"{chart.name}-{number}")
        for chart in drawn
        if any(series.points for series in chart.series)
    ]


def _scores(report: Report, found: Charts, names: dict[str, str]) -> Chart:
    bins = [each for each in found.scores if isfinite(each.low) and isfinite(each.high)]
    limits = "" if report.threshold is None else f" From {report.threshold:g} on the decision is yes."
    return Chart(
        "scores",
        "How scores are distributed",
        f"The number of events is on a logarithmic scale.{limits}",
        linear(report.decision, [edge for each in bins for edge in (each.low, each.high)]),
        counts("events", [log10(max(1, each.against, each.model)) for each in bins]),
        [
            Series(names["against"], "against", outline([(b.low, b.high, log10(1 + b.against)) for b in bins])),
            Series(names["model"], "model", outline([(b.low, b.high, log10(1 + b.model)) for b in bins])),
        ],
    )


def _time(found: Charts, names: dict[str, str]) -> Iterator[Chart]:
    moments = found.moments
    if not moments:
        return
    ends = (moments[0].start_ms, moments[-1].start_ms + found.width_ms)
    axis = times("time of the event, UTC", ends)
    width = f"A point is {found.width_ms / 1_000:g} s of events."
    agreed = _curve(moments, found.width_ms, lambda each: each.agree / each.compared if each.compared else None)
    yield Chart(
        "agreement",
        "How much both sides agree over time",
        width,
        axis,
        linear("agree", [1.0, *(point[1] for point in agreed if point)], percent=True),
        [Series("share of events that both answer alike", "model", agreed)],
    )
    means: tuple[tuple[Side, list[Point | None]], ...] = (
        ("against", _curve(moments, found.width_ms, lambda each: each.against_mean)),
        ("model", _curve(moments, found.width_ms, lambda each: each.model_mean)),
    )
    yield Chart(
        "means",
        "Mean score over time",
        width,
        axis,
        linear("mean score", [point[1] for _, points in means for point in points if point]),
        [Series(names[side], side, points) for side, points in means],
    )


def _curve(moments: Sequence[Moment], width_ms: int, value_of: Callable[[Moment], float | None]) -> list[Point | None]:
    """A point in the middle of each moment; where there are no events the line is broken."""
    points: list[Point | None] = []
    end: int | None = None
    for moment in moments:
        value = value_of(moment)
        if value is None or (end is not None and moment.start_ms > end):
            points.append(None)
        if value is not None:
            points.append((moment.start_ms + width_ms / 2, value))
        end = moment.start_ms + width_ms
    return points if any(points) else []


def _path(path: Path, number: int) -> Chart:
    good, harm = path.needed_good / log(10), path.needed_harm / log(10)
    lid = LID * max(good, harm)
    lines = {
        "good": [max(-lid, min(lid, value / log(10))) for value in path.log_good],
        "harm": [max(-lid, min(lid, value / log(10))) for value in path.log_harm],
    }
    return Chart(
        f"path{number}",
        f"Evidence on {path.metric}",
        "E-values as they grew, on a logarithmic scale. Above its dashed line the evidence is enough: that it is good "
        "enough, or that it does harm. What is beyond the picture stands at its edge.",
        linear("events", [0, *path.events]),
        decades("e-value", [0.0, good, harm, *lines["good"], *lines["harm"]]),
        [
            Series("good enough", "good", list(zip(path.events, lines["good"], strict=True))),
            Series("harm", "harm", list(zip(path.events, lines["harm"], strict=True))),
        ],
        [Limit("limit of good enough", "good", good), Limit("limit of harm", "harm", harm)],
    )


def _calibration(found: Charts, names: dict[str, str]) -> Chart:
    sides: tuple[Side, Side] = ("against", "model")
    points: dict[Side, list[Point | None]] = {
        side: [(each.score_mean, each.label_mean) for each in found.calibration if each.side == side] for side in sides
    }
    values = [value for side in sides for point in points[side] if point for value in point]
    axis = [0.0, 1.0, *values]
    return Chart(
        "calibration",
        "Calibration: is a score what happens?",
        "A point is the labelled events with scores in one interval. On the diagonal the mean score is the share that "
        "came true.",
        linear("mean score", axis),
        linear("came true", axis, percent=True),
        [Series(names[side], side, points[side], dots=True) for side in sides],
        diagonal=True,
    )


def latency(models: Sequence[Latency]) -> Chart:
    """Of one run: what an event took each model."""
    shown = [(each, [each.p50_us, each.mean_us, each.p99_us]) for each in models]
    top = max((value for _, values in shown for value in values), default=1.0)
    return Chart(
        "latency",
        "What an event takes the model",
        "Measured in this run: the model with its checks, without reading and comparing.",
        Axis("", 0.5, 3.5, ((1.0, "median"), (2.0, "mean"), (3.0, "99th percentile"))),
        linear("\u00b5s an event", [0.0, top]),
        [
            Series(each.model, "model", [(at, value) for at, value in enumerate(values, 1)], dots=True)
            for each, values in shown
        ],
    )
