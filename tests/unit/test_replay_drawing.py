"""Pictures of a replay's report: lines and bars in their places, axes that hold what is drawn."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from replay_documents import REPORT, SCORED

from streambg.replaying import words
from streambg.replaying.axes import Axis, counts, decades, linear, times
from streambg.replaying.drawing import charts
from streambg.replaying.svg import Series, outline


def test_a_line_is_broken_where_there_are_no_events() -> None:
    chart = next(each for each in charts(REPORT, SCORED, 1) if each.name == "agreement-1")
    assert chart.series[0].points.count(None) == 1
    assert len([point for point in chart.series[0].points if point]) == 38


def test_bars_that_do_not_touch_are_drawn_apart() -> None:
    assert outline([(0.0, 1.0, 3.0), (1.0, 2.0, 4.0), (5.0, 6.0, 1.0)]) == [
        *[(0.0, 0.0), (0.0, 3.0), (1.0, 3.0), (1.0, 4.0), (2.0, 4.0), (2.0, 0.0), None],
        *[(5.0, 0.0), (5.0, 1.0), (6.0, 1.0), (6.0, 0.0)],
    ]
    assert outline([]) == []


def test_beyond_the_square_of_its_limit_an_e_value_stands_at_the_edge() -> None:
    path = replace(SCORED.charts.paths[0], log_harm=tuple(n * 100.0 for n in range(40)))
    scored = replace(SCORED, charts=replace(SCORED.charts, paths=(path,)))
    chart = next(each for each in charts(REPORT, scored, 1) if each.name == "path1-1")
    harm = next(series for series in chart.series if series.name == "harm")
    assert isinstance(harm, Series)
    assert chart.y.high <= 6
    assert all(chart.y.share(limit.value) > 0.5 for limit in chart.limits), "the limits can be seen"


def proper(axis: Axis) -> bool:
    at = [value for value, _ in axis.ticks]
    return axis.low < axis.high and at == sorted(set(at)) and len({text for _, text in axis.ticks}) == len(at)


@example([1.7e308, -1.7e308], False)
@example([0.0, 5e-324], False)
@example([0.2, 0.2 + 1e-16, float("nan")], True)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=5), st.booleans())
def test_a_linear_axis_holds_its_values(values: list[float], percent: bool) -> None:
    axis = linear("x", values, percent=percent)
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 9
    for value in filter(isfinite, values):
        assert 0 <= axis.share(value) <= 1


@given(st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 4)), min_size=1, max_size=5))
def test_ticks_of_usual_values_tell_them_apart(values: list[float]) -> None:
    axis = linear("x", values)
    assert proper(axis)
    assert axis.low <= min(values) + 1e-6
    assert axis.high >= max(values) - 1e-6


@given(st.lists(st.floats(-700, 700), max_size=5))
def test_a_logarithmic_axis_is_proper(logs: list[float]) -> None:
    axis = decades("e", logs)
    assert proper(axis)
    assert len(axis.ticks) <= 7


@given(st.lists(st.integers(0, 10**10).map(lambda count: float(len(str(count)))), max_size=5))
def test_an_axis_of_counts_begins_at_nothing(logs: list[float]) -> None:
    axis = counts("events", logs)
    assert proper(axis)
    assert axis.share(0.0) == 0


@given(st.integers(0, 4_000_000_000_000), st.integers(0, 400 * 86_400_000))
def test_an_axis_of_time_has_a_few_ticks_inside(begin: int, length: int) -> None:
    axis = times("time", [begin, begin + length])
    assert axis.low < axis.high
    assert len(axis.ticks) <= 7
    assert all(axis.low <= value <= axis.high for value, _ in axis.ticks)


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 0, "\u2013"), (0, 9, "0.00 %"), (1, 10**6, "< 0.01 %"), (999_999, 10**6, "> 99.99 %"), (9, 9, "100.00 %")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(part: int, whole: int, said: str) -> None:
    assert words.percent(part, whole) == said
