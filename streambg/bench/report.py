"""The result as tables for a terminal and as a page with pictures. What people wrote into the page stays."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table

from streambg.bench.machine import LIBRARIES
from streambg.bench.picture import Bar, bars, short
from streambg.bench.result import BY_KEY, Goal, Result
from streambg.errors import ConfigError

BEGIN, END = "<!-- generated: bench -->", "<!-- end of generated -->"
NEW_PAGE = f"# Performance\n\n{BEGIN}\n{END}\n"
THROUGHPUT = ("a", "b", "b0", "c", "c0", "d", "e", "f", "g1", "g2", "g3", "h1", "h2", "m", "m1", "m2")
COLUMNS: Mapping[str, str] = {
    "events_per_s": "events/s",
    "client_us": "CPU us/event, process",
    "broker_us": "CPU us/event, broker",
    "peak_mb": "peak MB",
    "ratio": "ratio to",
    "plain_ratio": "ratio to plain",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "alone_p50_ms": "p50 ms alone",
    "p50_grown": "p50 / alone",
    "without_us": "CPU us/pair without a gate",
    "with_us": "CPU us/pair with it",
    "evidence_us": "of these the gate's",
    "p50_s": "p50 s",
    "p95_s": "p95 s",
    "count": "times",
}
MUST = "What must be reached"
NOTES: Mapping[str, str] = {
    MUST: "The limits of d and f were set against the plain copy loops (b0, c0); the tuned ones (b, c) do little but "
    "call the client's library, so no process that also decodes, decides and stamps each event comes near them."
}
RAW = ("a", "b", "b0", "c", "c0", "h1")
RATE_COLUMNS = ("events_per_s", "client_us", "broker_us", "peak_mb", "ratio", "plain_ratio")
Cells = list[list[str]]


def tables(result: Result) -> list[tuple[str, Cells]]:
    """(title, rows of cells; the first names the columns), for every part that was measured."""
    found = [
        ("Throughput", _table(result, THROUGHPUT, RATE_COLUMNS)),
        (
            "Latency, input to a read_committed reader",
            _table(result, _keys(result, "i"), ("p50_ms", "p99_ms", "p999_ms", "client_us", "broker_us")),
        ),
        ("Latency beside a replay", _table(result, ("n",), ("alone_p50_ms", "p50_ms", "p99_ms", "p50_grown"))),
        ("Commands", _table(result, ("j",), ("p50_ms", "p99_ms", "count"))),
        ("Starts and kills", _table(result, ("k1", "k2", "k3"), ("p50_s", "p95_s", "count"))),
        ("Evidence", _table(result, ("o",), ("without_us", "with_us", "evidence_us"))),
        ("Growth", _table(result, _keys(result, "l"), ("events_per_s", "client_us", "broker_us", "peak_mb"))),
        (MUST, _goals(result)),
    ]
    return [(title, cells) for title, cells in found if len(cells) > 1]


def _keys(result: Result, group: str) -> list[str]:
    return [row.key for row in BY_KEY.values() if row.group == group and row.key in result.runs]


def _table(result: Result, keys: Sequence[str], names: Sequence[str]) -> Cells:
    cells = [["row", "what", *(COLUMNS[name] for name in names)]]
    for key in keys:
        figures = result.figures(key)
        if figures:
            cells.append([key, BY_KEY[key].what, *(_cell(key, name, figures) for name in names)])
    return cells


def _cell(key: str, name: str, figures: Mapping[str, float]) -> str:
    if name not in figures:
        return ""
    base = BY_KEY[key].ratios.get(name)
    return f"{figures[name]:.2f} x {base}" if base else short(figures[name])


def _goals(result: Result) -> Cells:
    cells = [["row", "what", "figure", "must be", "aim", "measured", "reached"]]
    for goal, value in result.judged():
        aim = "" if goal.aim is None else short(goal.aim)
        base = BY_KEY[goal.row].ratios.get(goal.figure)
        name = f"ratio to {base}" if base else COLUMNS[goal.figure]
        cells.append(
            [
                goal.row,
                BY_KEY[goal.row].what,
                name,
                f"{goal.side} {short(goal.limit)}",
                aim,
                short(value),
                "yes" if goal.met(value) else "**no**",
            ]
        )
    return cells


def render(result: Result) -> RenderableType:
    """For a terminal."""
    parts: list[RenderableType] = []
    for title, (head, *rows) in tables(result):
        table = Table(title=title, title_justify="left", caption=NOTES.get(title), caption_justify="left")
        for number, name in enumerate(head):
            table.add_column(name, justify="left" if number < 2 else "right", overflow="fold")
        for row in rows:
            wrong = row[-1] == "**no**"
            table.add_row(*(cell.strip("*") for cell in row), style="red" if wrong else None)
        parts.append(table)
    return Group(*parts)


LINE = 118  # as the other pages


def page(result: Result, folder: str) -> str:
    """The generated part in Markdown; `folder`: of the pictures, as the page names it."""
    machine, settings = result.machine, result.settings
    pinned = settings["pinned"]
    how = (
        f"Measured on {result.date[:10]} by `streambg bench`: {settings['rounds']} rounds (medians; a ratio is the "
        f"median of the rounds' ratios), {settings['events']:,} events of {settings['event_bytes']} bytes of JSON in "
        f"{settings['partitions']} partitions, the first fifth not counted. Measured processes on CPU "
        f"{_cpus(pinned['measured'])}, the broker on CPU {_cpus(pinned['broker'])}; not pinned: "
        f"{settings['not_pinned']}."
    )
    what = (
        f"{machine['processor']}, {machine['cpus']} CPUs, {machine['memory_gb']} GB; {machine['kernel']}, Python "
        f"{machine['python']}; {machine['broker']}; librdkafka {machine['librdkafka']}, "
        + ", ".join(f"{name} {machine[name]}" for name in LIBRARIES)
        + "."
    )
    lines = [textwrap.fill(how, LINE), "", textwrap.fill(what, LINE), ""]
    for title, cells in tables(result):
        lines += [f"### {title}", "", *_markdown(cells), ""]
        lines += [textwrap.fill(NOTES[title], LINE), ""] if title in NOTES else []
    lines += [f"![{name}]({folder}/{name}.svg)\n" for name in pictures(result)]
    return "\n".join(lines).rstrip() + "\n"


def _cpus(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _markdown(cells: Cells) -> list[str]:
    head, *rows = cells
    rule = ["---" if number < 2 else "---:" for number in range(len(head))]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]


def pictures(result: Result) -> dict[str, str]:
    """Name -> SVG, for what was measured."""
    limits = {(goal.row, goal.figure): goal for goal, _ in result.judged()}
    found = {
        "throughput": ("Events a second", "/s", _bars(result, THROUGHPUT, "events_per_s", limits)),
        "latency": ("Latency, p99", "ms", _bars(result, _keys(result, "i"), "p99_ms", limits)),
        "growth": ("CPU of the measured processes", "us/event", _bars(result, _keys(result, "l"), "client_us", limits)),
    }
    return {name: bars(title, unit, rows) for name, (title, unit, rows) in found.items() if rows}


def _bars(result: Result, keys: Sequence[str], name: str, limits: Mapping[tuple[str, str], Goal]) -> list[Bar]:
    made = []
    for key in keys:
        value = result.figure(key, name)
        if value is None:
            continue
        mark = limits[key, name].limit if (key, name) in limits else _mark(result, key, limits)
        made.append(Bar(BY_KEY[key].what, value, raw=key in RAW, mark=mark))
    return made


def _mark(result: Result, key: str, limits: Mapping[tuple[str, str], Goal]) -> float | None:
    """A ratio that must be reached, as a rate: that share of the raw loop's."""
    goal, base = limits.get((key, "ratio")), BY_KEY[key].base
    raw = result.figure(base, "events_per_s") if base else None
    return None if goal is None or raw is None else goal.limit * raw


def write(file: Path, result: Result) -> None:
    """Renew the generated part of the page and its pictures. Raises ConfigError where the page has no such part."""
    text = file.read_text(encoding="utf-8") if file.exists() else NEW_PAGE
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ConfigError(
            f"{file} has no generated part", way_out=f"write the lines `{BEGIN}` and `{END}` where it is to stand"
        )
    folder = file.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(result).items():
        (folder / f"{name}.svg").write_text(picture, encoding="utf-8")
    file.write_text(f"{before}{BEGIN}\n\n{page(result, folder.name)}\n{END}{after}", encoding="utf-8")
