"""Where somebody else is ahead of streambg: what a person who chooses should know first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.peer import GUARANTEES, Row
from benchmarks.peers.results import Found

Take = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a row; `sign` -1: less is better."""

    words: str
    row: Row
    take: Take
    sign: int = -1


MEASURES = (
    Measure("hop, events/s", "hop", lambda f: f["rate"]["per_second"], 1),
    Measure("hop, CPU us an event", "hop", lambda f: f["rate"]["cpu_us"]),
    Measure("largest process, MB", "hop", lambda f: f["peak_mb"]),
    Measure("latency p50, ms", "latency", lambda f: f["p50"]),
    Measure("latency p99, ms", "latency", lambda f: f["p99"]),
    Measure("join, pairs/s", "join", lambda f: f["rate"]["per_second"], 1),
    Measure("publisher, events/s", "publish", lambda f: f["rate"]["per_second"], 1),
    Measure("back after a kill, s", "crash", lambda f: f["back_s"]),
)


def lines(found: Mapping[str, Found], titles: Mapping[str, str], own: str) -> Iterator[str]:
    """One line a figure and guarantee in which another one than `own` is better: ours, and who is ahead with what."""
    for guarantee in GUARANTEES:
        for measure in MEASURES:
            mine = _figure(found[own], guarantee, measure)
            if mine is None:
                continue
            better = [
                f"{title} {_short(theirs)}"
                for name, title in titles.items()
                if name != own
                and (theirs := _figure(found[name], guarantee, measure)) is not None
                and (theirs - mine) * measure.sign > 0
            ]
            if better:
                yield f"- {guarantee}, {measure.words}: streambg {_short(mine)}; {', '.join(better)}."


def _figure(found: Found, guarantee: Any, measure: Measure) -> float | None:
    figures = found.figures(guarantee, measure.row)
    return None if figures is None else measure.take(figures)


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"
