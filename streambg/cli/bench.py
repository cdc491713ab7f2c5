"""`streambg bench`: this machine's figures, beside the raw client's on the same broker."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from streambg.bench import run as runs
from streambg.bench.report import render, write
from streambg.bench.result import GROUPS, chosen
from streambg.cli.common import Output, OutputOption, print_json, stdout
from streambg.errors import ConfigError
from streambg.running.stopping import Stopping

# Fewer are through before the warm-up is over.
FEWEST_EVENTS = 20_000
MISSED = 1
# Of the widest table, where there is no terminal to ask.
TABLE_WIDTH = 130

app = typer.Typer()


@app.command(epilog="Example:  streambg bench --quick --only a,b,d")
def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="One round, fewer events, rough figures: four minutes.")
    ] = False,
    only: Annotated[
        str,
        typer.Option(help=f"Rows by letter, with commas: {','.join(GROUPS)}. Those they are divided by run, too."),
    ] = "",
    events: Annotated[
        int | None, typer.Option(min=FEWEST_EVENTS, max=100_000_000, help="Events of a throughput row.")
    ] = None,
    output: OutputOption = Output.TEXT,
    report: Annotated[
        Path | None, typer.Option(help="Write the page (and pictures beside it); what people wrote in it stays.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 where a figure is not reached.")] = False,
) -> None:
    """Measure streambg beside the raw client's loops: one broker, the same events, in one run.

    Brings its own broker and Redis. The rows are ratios to the raw loop of the same round; figures of different runs
    or machines are not to be compared.
    """
    try:
        groups = chosen([word.strip() for word in only.split(",") if word.strip()])
    except ValueError as error:
        raise ConfigError(f"--only {only}: {error}", way_out="letters with commas: --only a,b,d") from error
    wanted = runs.quick(groups) if quick else runs.full(groups)
    if events is not None:
        wanted = replace(wanted, events=events)
    errors, began = Console(stderr=True, highlight=False), time.monotonic()

    def told(line: str) -> None:
        errors.print(f"{time.monotonic() - began:6.0f} s  {line}", style="dim", markup=False, soft_wrap=True)

    with Stopping():
        result = runs.run(wanted, told)
    if report is not None:
        write(report, result)
    if output is Output.JSON:
        print_json(result.as_json())
    else:
        if not stdout.is_terminal:
            stdout.width = TABLE_WIDTH
        stdout.print(render(result))
    if strict and not all(goal.met(value) for goal, value in result.judged()):
        raise typer.Exit(MISSED)
