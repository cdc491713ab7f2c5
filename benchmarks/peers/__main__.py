"""`python -m benchmarks.peers`: measure, print the table, write the page."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.peers import driver, report, results, table
from benchmarks.peers.driver import Wanted
from streambg.cli.common import Output, OutputOption, print_json
from streambg.errors import StreambgError
from streambg.process import logs
from streambg.running.stopping import Stopping
from streambg.servers.kafka_config import KAFKA_VERSION

CTRL_C = 130
WRONG = 1
# Of the table, where there is no terminal to ask.
WIDTH = 170

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command(epilog="Example:  python -m benchmarks.peers --only kafka-streams:join --only streambg:join")
def peers(
    only: Annotated[
        list[str] | None,
        typer.Option(help="A contender, or contender:row; several times for several. What was measured before stays."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few seconds a row, to see that everything runs.")] = False,
    page: Annotated[
        Path | None, typer.Option("--report", help="Write the page with settings, method and table here.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Or only show what was measured before.")
    ] = True,
    output: OutputOption = Output.TEXT,
) -> None:
    """streambg beside Kafka Streams, Quix Streams, Bytewax, FastStream, Faust and a loop by hand, doing the same work.

    Starts a broker of its own, makes each peer's environment at the first run, and kills what it measures ten times.
    Everything takes 25 minutes. Exit code 1 where a row has no figures.
    """
    console = Console(stderr=True, highlight=False)
    wanted = Wanted(tuple(only or ()), quick)
    began = time.monotonic()
    fine = True
    if measure:
        with Stopping():
            fine = driver.run(
                wanted, lambda text: console.print(f"{time.monotonic() - began:6.1f} s  {text}", soft_wrap=True)
            )
    found = driver.everything(wanted)
    if page is not None:
        page.write_text(report.page(found, results.machine(), KAFKA_VERSION), encoding="utf-8")
        console.print(f"written: {page}")
    if output is Output.JSON:
        print_json({name: results.as_json(each) for name, each in found.items()})
    else:
        _show(table.rows(found, report.titles()))
    if not fine:
        raise typer.Exit(WRONG)


def _show(lines: list[list[str]]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    shown = Table(*table.HEADS)
    for line in lines:
        shown.add_row(*line)
    console.print(shown)


def main() -> None:
    """Exit codes: streambg/errors.py."""
    logs.configure("bench-peers", console=True, level="error")
    try:
        app()
    except StreambgError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(CTRL_C)


if __name__ == "__main__":
    main()
