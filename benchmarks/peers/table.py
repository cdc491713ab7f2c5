"""The one table, for the terminal and for the page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers.peer import GUARANTEES, Guarantee, Row
from benchmarks.peers.results import Cell, Found

HEADS = (
    "who, and under which guarantee",
    "hop, events/s",
    "CPU us an event (broker's)",
    "MB",
    "latency at 2,000/s, p50 / p99 ms",
    "join, pairs/s",
    "CPU us a pair",
    "publisher, events/s",
    "10 kills: lost / doubled (of)",
    "back after s",
)
NONE = "-"


def rows(found: Mapping[str, Found], titles: Mapping[str, str]) -> list[list[str]]:
    """One row for each contender and guarantee of which anything is known."""
    return [
        _row(each, guarantee, titles[name])
        for name, each in found.items()
        for guarantee in GUARANTEES
        if any(of == guarantee for of, _ in each.cells)
    ]


def _row(found: Found, guarantee: Guarantee, title: str) -> list[str]:
    def cell(row: Row, words: Callable[[Mapping[str, Any]], str]) -> str:
        return _cell(found.cells.get((guarantee, row)), words)

    return [
        f"{title}, {guarantee}",
        cell("hop", _speed),
        cell("hop", lambda f: f"{f['rate']['cpu_us']:.1f} ({f['rate']['broker_us']:.1f})"),
        cell("hop", lambda f: f"{f['peak_mb']:.0f}"),
        cell("latency", _latency),
        cell("join", _speed),
        cell("join", lambda f: f"{f['rate']['cpu_us']:.1f}"),
        cell("publish", _speed),
        cell("crash", _crash),
        cell("crash", lambda f: f"{f['back_s']:.1f}"),
    ]


def _cell(cell: Cell | None, words: Callable[[Mapping[str, Any]], str]) -> str:
    if cell is None:
        return NONE
    return words(cell.figures) if cell.figures is not None else "failed"


def _speed(figures: Mapping[str, Any]) -> str:
    per_second = float(figures["rate"]["per_second"])
    return f"{per_second / 1_000:,.0f} k" if per_second >= 10_000 else f"{per_second / 1_000:,.1f} k"


def _latency(figures: Mapping[str, Any]) -> str:
    if figures["p50"] is None:
        return "does not keep up"
    return f"{figures['p50']:.0f} / {figures['p99']:.0f}"


def _crash(figures: Mapping[str, Any]) -> str:
    counted = figures["tally"]
    return f"{counted['lost']:,} / {counted['doubled']:,} ({counted['owed']:,})"


def markdown(lines: list[list[str]]) -> str:
    """As a table of the page."""
    body = [HEADS, tuple("---" for _ in HEADS), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in body)
