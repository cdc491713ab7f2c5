"""Charts as SVG elements for the report's page: steps, lines and dots, each with its legend. Pure.

Both sides differ in color and in dash, so that they can be told apart on paper; the colors are the page's (page.css).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from streambg.replaying.axes import Axis

# Pixels of the picture, and what its labels take.
WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 44
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

Point = tuple[float, float]
# Whose it is: of the model that is tried or of what it is compared with; or what it speaks for.
Side = Literal["model", "against", "good", "harm"]


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or dots. Points in the axes' units, ascending by x; a piece ends where a point is missing (None)."""

    name: str
    side: Side
    points: Sequence[Point | None]
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A dashed line across the picture, at a value of the vertical axis."""

    name: str
    side: Side
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """`note` says how to read it. diagonal: a line from corner to corner, where both axes mean the same."""

    name: str
    title: str
    note: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    limits: Sequence[Limit] = field(default_factory=tuple)
    diagonal: bool = False


def outline(bars: Sequence[tuple[float, float, float]]) -> list[Point | None]:
    """Of bars (left, right, height) that stand on 0, ascending; where two do not touch, there is nothing between."""
    points: list[Point | None] = []
    end: float | None = None
    for left, right, height in bars:
        if left != end:
            points += [] if end is None else [(end, 0.0), None]
            points.append((left, 0.0))
        points += [(left, height), (right, height)]
        end = right
    return points if end is None else [*points, (end, 0.0)]


def draw(chart: Chart) -> ET.Element:
    """A <figure> with the picture, its legend and its note."""
    figure = ET.Element("figure", {"class": "chart", "id": f"chart-{chart.name}"})
    caption = ET.SubElement(figure, "figcaption")
    ET.SubElement(caption, "b").text = chart.title
    for series in chart.series:
        ET.SubElement(
            caption, "span", {"class": f"key {'dots ' if series.dots else ''}{series.side}"}
        ).text = series.name
    for limit in chart.limits:
        ET.SubElement(caption, "span", {"class": f"key limit {limit.side}"}).text = limit.name
    figure.append(_picture(chart))
    ET.SubElement(figure, "p", {"class": "note"}).text = chart.note
    return figure


def _picture(chart: Chart) -> ET.Element:
    svg = ET.Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img"})
    ET.SubElement(svg, "title").text = chart.title
    _grid(svg, chart)
    if chart.diagonal:
        ends = _path([(chart.x.low, chart.y.low), (chart.x.high, chart.y.high)], chart)
        ET.SubElement(svg, "path", {"class": "diagonal", "d": ends})
    for limit in chart.limits:
        ends = _path([(chart.x.low, limit.value), (chart.x.high, limit.value)], chart)
        ET.SubElement(svg, "path", {"class": f"limit {limit.side}", "d": ends})
    for series in chart.series:
        if series.dots:
            _dots(svg, series, chart)
        else:
            ET.SubElement(svg, "path", {"class": f"line {series.side}", "d": _path(series.points, chart)})
    return svg


def _grid(svg: ET.Element, chart: Chart) -> None:
    bottom = TOP + PLOT_HEIGHT
    for value, text in chart.y.ticks:
        y = _y(value, chart.y)
        ET.SubElement(svg, "path", {"class": "grid", "d": f"M{LEFT} {y}H{WIDTH - RIGHT}"})
        ET.SubElement(svg, "text", {"x": str(LEFT - 8), "y": y, "dy": "4", "text-anchor": "end"}).text = text
    for value, text in chart.x.ticks:
        x = _x(value, chart.x)
        ET.SubElement(svg, "path", {"class": "grid", "d": f"M{x} {TOP}V{bottom + 4}"})
        ET.SubElement(svg, "text", {"x": x, "y": str(bottom + 18), "text-anchor": "middle"}).text = text
    right = {"x": str(WIDTH - RIGHT), "y": str(HEIGHT - 6), "text-anchor": "end", "class": "axis"}
    ET.SubElement(svg, "text", right).text = chart.x.label
    ET.SubElement(svg, "text", {"x": str(LEFT), "y": str(HEIGHT - 6), "class": "axis"}).text = f"\u2191 {chart.y.label}"


def _dots(svg: ET.Element, series: Series, chart: Chart) -> None:
    for point in series.points:
        if point is not None:
            where = {"cx": _x(point[0], chart.x), "cy": _y(point[1], chart.y)}
            ET.SubElement(svg, "circle", {"class": f"dot {series.side}", "r": "4", **where})


def _path(points: Sequence[Point | None], chart: Chart) -> str:
    parts, begins = [], True
    for point in points:
        if point is None:
            begins = True
            continue
        parts.append(f"{'M' if begins else 'L'}{_x(point[0], chart.x)} {_y(point[1], chart.y)}")
        begins = False
    return "".join(parts)


def _x(value: float, axis: Axis) -> str:
    return f"{LEFT + PLOT_WIDTH * axis.share(value):.1f}"


def _y(value: float, axis: Axis) -> str:
    return f"{TOP + PLOT_HEIGHT * (1 - axis.share(value)):.1f}"
