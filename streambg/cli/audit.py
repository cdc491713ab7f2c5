"""`streambg audit`: was every event answered exactly once, in order, by the right color? Once, or all the time."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from streambg import audit as audits
from streambg.audit.show import finding_line
from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    load_pipeline,
    only_with,
    print_json,
    stderr,
    stdout,
)
from streambg.config import Pipeline
from streambg.errors import ConfigError, StreambgError
from streambg.records.source import parse_source
from streambg.web.health import LOOPBACK, MAX_PORT, Endpoint

if TYPE_CHECKING:
    from streambg.audit.tally import Finding
    from streambg.errors import Unreachable

app = typer.Typer()
WRONG = 1
LAST_CUTOVER = "cutover"
# A look at a pipeline that stands still is some dozen requests: nothing at one in two seconds. More often than the
# least of it the looks themselves would be a load.
MIN_INTERVAL_S, INTERVAL_S = 0.2, 2.0


@app.command(epilog="Example:  streambg audit --output json;  streambg audit --follow --from cutover")
def audit(  # noqa: PLR0913 # each is an option of the verb
    context: typer.Context,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
    begin: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="EPOCH|cutover|POSITION",
            help="Judge from there on only: an epoch, each partition's last cutover, or a source position such as "
            "sensors/3@6821 (repeatable, one a partition).",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Go on beside the living pipeline until Ctrl-C, with /metrics and /healthz."),
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="With --follow: end with 1 at the first thing that is wrong.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=MIN_INTERVAL_S, help="With --follow: seconds between two looks.")
    ] = INTERVAL_S,
    metrics_port: Annotated[
        int,
        typer.Option(min=0, max=MAX_PORT, help="With --follow: of /metrics and /healthz; 0 takes a free one."),
    ] = 0,
    metrics_host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="With --follow: where they listen, for everybody who reaches it.")
    ] = LOOPBACK,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="End with 0 where nothing is settled yet, instead of 1.")
    ] = False,
    ignore_record: Annotated[
        list[int] | None, typer.Option(help="A control record that all processes are told to ignore; repeatable.")
    ] = None,
    uncommitted: Annotated[
        bool, typer.Option("--uncommitted", help="Judge what a read_uncommitted reader sees: aborted records too.")
    ] = False,
) -> None:
    """Prove, from the topics alone, that nothing was lost, doubled or answered wrongly.

    Judges every event from the pipeline's origin to what is settled when it begins; a pipeline may go on running.
    With --follow it goes on judging what is settled since, says at once what is wrong (with --output json a line
    each), and ends with the whole report. Exit code 0: all that could be verified is right. 1: something is wrong, or
    there was nothing to verify.
    """
    if not follow:
        only_with(context, "--follow", "fail_fast", "interval", "metrics_port", "metrics_host")
    config = load_pipeline(pipeline, ignore_record or ())
    asked = _asked(config, begin or ())
    if follow:
        metrics = Endpoint(metrics_port, metrics_host)
        report = _follow(config, output, asked, not uncommitted, interval, metrics, fail_fast)
    else:
        report = _once(config, asked, not uncommitted)
    if report is None:
        stderr.print("Ended before anything was judged.")
        raise typer.Exit(0 if allow_empty else WRONG)
    if output is Output.TEXT:
        stdout.print(audits.render(report), crop=False)
    elif follow:
        _line({"report": json.loads(report.to_json())})
    else:
        print_json(json.loads(report.to_json()))
    if not (report.ok or (report.empty and allow_empty)):
        raise typer.Exit(WRONG)


def _asked(config: Pipeline, said: Sequence[str]) -> audits.Asked | None:
    """What `--from` says. Raises ConfigError."""
    if not said:
        return None
    way_out = "--from 42, --from cutover, or --from sensors/3@6821 (repeatable, one a partition)"
    if list(said) == [LAST_CUTOVER]:
        return audits.Asked(last_cutover=True)
    if len(said) == 1 and said[0].isdecimal():
        return audits.Asked(epoch=int(said[0]))
    positions: dict[int, int] = {}
    for text in said:
        try:
            source = parse_source(text)
        except ValueError:
            raise ConfigError(f"--from {text}: neither an epoch nor a source position", way_out=way_out) from None
        if source.topic != config.input.topic:
            raise ConfigError(f"--from {text}: the input is {config.input.topic}", way_out=way_out)
        if source.partition in positions:
            raise ConfigError(f"--from {text}: partition {source.partition} is named twice", way_out=way_out)
        positions[source.partition] = source.offset
    return audits.Asked(positions=positions)


def _once(config: Pipeline, asked: audits.Asked | None, stable: bool) -> audits.Report:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
    there = stderr.is_interactive  # elsewhere the end of a bar is an empty line
    with Progress(*columns, TimeRemainingColumn(), console=stderr, transient=True, disable=not there) as bars:
        task = bars.add_task("audit", total=None)

        def show(progress: audits.Progress) -> None:
            bars.update(
                task,
                description=f"partition {progress.partition}",
                completed=progress.passed,
                total=max(1, progress.total),
            )

        return audits.run(config, progress=show, stable=stable, asked=asked)


# -- beside a living pipeline ----------------------------------------------------------------------------------------


def _follow(
    config: Pipeline,
    output: Output,
    asked: audits.Asked | None,
    stable: bool,
    every_s: float,
    metrics: Endpoint,
    fail_fast: bool,
) -> audits.Report | None:
    from streambg.audit.live import follow  # noqa: PLC0415 # one look needs neither a server nor metrics

    with _ended_by_signals() as stopping, stderr.status("looking at the topics") as shown:
        return follow(
            config,
            _Said(output, shown.update),
            stopping,
            metrics=metrics,
            every_s=every_s,
            fail_fast=fail_fast,
            asked=asked,
            stable=stable,
        )


@contextmanager
def _ended_by_signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end it between two readings, so that the report is whole; a second Ctrl-C ends it at once."""
    stopping = threading.Event()

    def end(number: int, _frame: object) -> None:
        if stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Said:
    """What a person, or a program that reads lines, is told."""

    def __init__(self, output: Output, show: Callable[[str], None]) -> None:
        self._output = output
        self._show = show
        self._away = False
        self._caught_up = False

    def began(self, address: str) -> None:
        stderr.print(f"/metrics and /healthz: {address}", highlight=False)

    def found(self, finding: Finding) -> None:
        if self._output is Output.JSON:
            _line({"finding": asdict(finding)})
            return
        stdout.print(finding_line(finding), crop=False)

    def looked(self, report: audits.Report, caught_up: bool) -> None:
        self._away = False
        if caught_up and not self._caught_up:
            self._caught_up = True
            stderr.print(f"caught up: {report.events:,} events, {report.verdict} ({report.reason})", highlight=False)
        self._show(f"{report.events:,} events, {report.verdict}" + (" so far" if caught_up else ", catching up"))

    def away(self, error: Unreachable) -> None:
        if not self._away:
            stderr.print(Text.assemble(("away", "yellow"), f": {error.what}; asking again"), soft_wrap=True)
        self._away = True


def _line(data: object) -> None:
    """One JSON document a line; whoever reads it may be gone (`| head`)."""
    try:
        sys.stdout.write(json.dumps(data, default=str) + "\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise StreambgError("nobody reads the findings any more", way_out="audit --follow to a file") from error
