"""`streambg status`: the conclusion first, then colors and partitions."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    connected_pipeline,
    print_json,
    stdout,
)
from streambg.records.outcome import short_digest
from streambg.records.source import COLORS
from streambg.status.collect import collect
from streambg.status.report import Status, as_json, attention, role

app = typer.Typer()

# `--check`: 0 OK, this where a person should look
ATTENTION = 1


@app.command(epilog="Example:  streambg status --output json")
def status(
    check: Annotated[bool, typer.Option("--check", help="Exit 1 where a person should look.")] = False,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """What the pipeline does now. Works with Redis down; then without the comparator's live view."""
    config = connected_pipeline(pipeline)
    found = collect(config)
    notes = attention(found, config.rollout.max_lag_ms)
    if output is Output.JSON:
        print_json(as_json(found, notes))
    else:
        _show(found, notes)
    if check and notes:
        raise typer.Exit(ATTENTION)


def _show(found: Status, notes: list[str]) -> None:
    if notes:
        for note in notes:
            stdout.print(f"[bold yellow]ATTENTION[/]: {note}", highlight=False)
    else:
        stdout.print(f"[bold green]OK[/]: {found.state.summary()}", highlight=False)
    stdout.print(_colors(found))
    stdout.print(_partitions(found))
    if found.redis_problem:
        stdout.print(f"no live view from Redis: {found.redis_problem}", highlight=False)
    elif found.live_view is not None:
        _compared(found.live_view)


def _compared(view: dict[str, Any]) -> None:
    """What the comparator has learnt; the whole of it is in --output json."""
    summary = view["summary"]
    agreement = "nothing compared yet" if summary["agreement"] is None else f"{summary['agreement']:.3%} agree"
    stdout.print(
        f"compared {summary['compared']:,} answers of both colors: {agreement}, {summary['flips']:,} decisions differ, "
        f"{summary['alarm_count']} drift alarms",
        highlight=False,
    )
    table = Table("answers", "rows", "errors", "unanswered", "mean score", "latency p50", "p99")
    for side in ("live", "candidate"):
        color = summary[side]
        latency = color["latency_quantiles"]
        table.add_row(
            side,
            f"{color['rows']:,}",
            f"{color['errors']:,}",
            f"{color['unanswered']:,}",
            _number(color["score_mean"]),
            _milliseconds(latency.get("p50")),
            _milliseconds(latency.get("p99")),
        )
    stdout.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _colors(found: Status) -> Table:
    table = Table("color", "role", "model", "digest", "deployment", "scorers", title=f"pipeline {found.pipeline}")
    for color in COLORS:
        deployment = found.state.slots[color]
        table.add_row(
            color,
            role(found.state, color),
            deployment.model if deployment else "",
            short_digest(deployment.digest) if deployment else "",
            str(deployment.id) if deployment else "",
            str(found.members[f"scorer {color}"]),
        )
    return table


def _partitions(found: Status) -> Table:
    table = Table("partition", "input end", "blue", "green", "settled", "behind", "waits", "cutover@epoch", "slot")
    for lane in found.lanes:
        covered = [str(lane.covered[color]) if lane.covered[color] is not None else "-" for color in COLORS]
        table.add_row(
            str(lane.partition),
            str(lane.input_end),
            *covered,
            str(lane.settled) if lane.settled is not None else "-",
            str(lane.behind),
            f"{lane.waits_ms} ms" if lane.waits_ms else "",
            f"{lane.cutover}@{lane.epoch}" if lane.cutover is not None else "-",
            lane.publisher.rsplit(".", 1)[1] if lane.publisher else "-",
        )
    return table
