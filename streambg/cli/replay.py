"""`streambg replay`: a range of the input scored by a model, off to the side, and compared with what was published."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streambg.cli import replay_reports
from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    connected_pipeline,
    print_json,
    stderr,
    typed_of,
)
from streambg.cli.completing import checked_ref, complete_ref, one_of
from streambg.cli.control import weight_of
from streambg.errors import ConfigError
from streambg.looking.words import parse_since
from streambg.records.source import COLORS
from streambg.replaying import run as replays
from streambg.replaying.request import PUBLISHED, Bound, Request
from streambg.running.stopping import Stopping

app = typer.Typer()
app.registered_commands.extend(replay_reports.app.registered_commands)

FOLDER = Path("replays")
CTRL_C = 130
RANGE_WAY_OUT = "an offset (1200), partition@offset (3@1200, repeatable), a time (2026-11-27T14:30), or an age (2h)"
_POSITION = re.compile(r"(?:[a-zA-Z0-9._-]+/)?(\d{1,10})@(\d{1,19})")
# An interval of progress as a person reads it; events a second are over what has passed since the start.
REFRESH_HZ = 4


SIDES = (PUBLISHED, *COLORS)


def complete_side(ctx: typer.Context, incomplete: str) -> list[str]:
    """What was published, a color, or a version of the registry."""
    return [*one_of(SIDES)(incomplete), *complete_ref(ctx, incomplete)]


@app.callback(
    invoke_without_command=True,
    epilog="Example:  streambg replay --model fraud:8 --against published --last 24h --as-if-weight 50",
)
def replay(  # noqa: PLR0913 - Typer: one parameter an option
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME:VERSION", help="Of the registry; repeatable.", autocompletion=complete_ref
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="published|blue|green|NAME:VERSION",
            help="What it is compared with.",
            autocompletion=complete_side,
        ),
    ] = PUBLISHED,
    begin: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="POINT", help="Offset, PARTITION@OFFSET (repeatable), time, or age (2h)."),
    ] = None,
    end: Annotated[
        list[str] | None, typer.Option("--to", metavar="POINT", help="As --from; up to there, without it.")
    ] = None,
    last: Annotated[str | None, typer.Option(help="The last so long: 24h is --from 24h.")] = None,
    partition: Annotated[list[int] | None, typer.Option(help="Only this one; repeatable.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=1.0, help="At most so many events a second, beside a busy pipeline.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes, over partitions.")] = 1,
    labels: Annotated[bool, typer.Option("--labels", help="Read the labels of these events, too.")] = False,
    as_if_weight: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="What would have been published at this weight.")
    ] = None,
    publish_to: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Write the answers there, each once: a topic of its own."),
    ] = None,
    folder: Annotated[Path, typer.Option("--dir", help="Reports stand in DIR/<id>/.")] = FOLDER,
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE.parquet", help="Each event's row, for notebooks.", show_default=False),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Go on with an interrupted replay; the beginning of its id will do."),
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Score a range of the input again, off to the side, and compare with what production published for it.

    No group of the pipeline is touched, and nothing is published but what --publish-to asks for. Exit code 0:
    promote, 10: abort, 11: continue, 12: inconclusive, as `streambg verdict` says it with all of this evidence. Ctrl-C
    keeps what was found.
    """
    if context.invoked_subcommand is not None:
        return
    if resume is not None:
        _check_only_resumed(context)
    else:
        request = _request(
            model or [], against, (begin or [], end or [], last), partition or [], rate, workers, labels, as_if_weight
        )
        request = replace(request, publish_to=publish_to)
    config = connected_pipeline(pipeline, "audit", by_offsets=True)
    try:
        with Stopping() as stopping, _bars() as progress:
            # a second Ctrl-C does not wait for the window under way
            stopping.listen(at_once=_at_once)
            wished = stopping.wished.is_set
            if resume is None:
                report = replays.run(config, request, folder, rows=rows, progress=progress, stopping=wished)
            else:
                report = replays.resume(
                    config, resume, folder, workers=workers, rate=rate, progress=progress, stopping=wished
                )
    except replays.Interrupted as interrupted:
        stderr.print(str(interrupted), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(CTRL_C) from None
    if output is Output.JSON:
        print_json({**msgspec.to_builtins(report), "exit_code": report.exit_code})
    else:
        replay_reports.print_report(report)
        replay_reports.print_where(folder / report.id)
    raise typer.Exit(report.exit_code)


# What an interrupted replay reads, and for whom, was pinned when it began.
PINNED = ("model", "against", "begin", "end", "last", "partition", "labels", "as_if_weight", "publish_to", "rows")


def _check_only_resumed(context: typer.Context) -> None:
    """Raises ConfigError where --resume stands beside an option that it would not heed."""
    if given := typed_of(context, PINNED):
        raise ConfigError(
            f"--resume goes on with what was asked for when the replay began; there is {', '.join(given)}, too",
            way_out="leave that out (--rate, --workers, --dir may stay), or begin a new replay without --resume",
        )


def _at_once() -> None:
    raise KeyboardInterrupt


def _request(
    models: Sequence[str],
    against: str,
    span: tuple[Sequence[str], Sequence[str], str | None],
    partitions: Sequence[int],
    rate: float | None,
    workers: int,
    labels: bool,
    as_if_weight: str | None,
) -> Request:
    """Raises ConfigError."""
    begin, end, last = span
    if not models:
        raise ConfigError(
            "which model? none was named", way_out="--model NAME:VERSION; `streambg models list` has them"
        )
    for model in models:
        checked_ref(model)
    if len(set(models)) < len(models):
        raise ConfigError("a model is named twice", way_out="name each once")
    if against not in SIDES and ":" not in against:
        raise ConfigError(f"--against {against!r}: no such side", way_out=f"{', '.join(SIDES)} or NAME:VERSION")
    if last is not None and last.isdecimal():
        raise ConfigError(f"--last {last} has no unit", way_out=f"--last {last}h, {last}m or {last}s")
    if last is not None and (begin or end):
        raise ConfigError("--last says the whole range; there is --from or --to, too", way_out="give one of them")
    weight = None if as_if_weight is None else weight_of(as_if_weight)
    return Request(
        tuple(models),
        against,
        bound([last] if last is not None else begin, "--last" if last is not None else "--from"),
        bound(end, "--to"),
        tuple(partitions),
        rate,
        workers,
        labels,
        weight,
    )


def bound(said: Sequence[str], option: str) -> Bound:
    """One end of the range as it was typed. Raises ConfigError."""
    offsets: dict[int, int] = {}
    others: list[str] = []
    for text in said:
        match = _POSITION.fullmatch(text)
        if match is None:
            others.append(text)
            continue
        if int(match[1]) in offsets:
            raise ConfigError(f"{option} {text}: partition {match[1]} is named twice", way_out=RANGE_WAY_OUT)
        offsets[int(match[1])] = int(match[2])
    if len(others) > 1:
        raise ConfigError(f"{option} {others[1]}: there is {others[0]} already", way_out=RANGE_WAY_OUT)
    if not others:
        return Bound(offsets=offsets)
    if others[0].isdecimal():
        return Bound(offset=int(others[0]), offsets=offsets)
    try:
        return Bound(time_ms=parse_since(others[0], int(time.time() * 1_000)), offsets=offsets)
    except ValueError:
        raise ConfigError(f"{option} {others[0]!r} says no place in the input", way_out=RANGE_WAY_OUT) from None


@contextmanager
def _bars() -> Iterator[Callable[[replays.Progress], None]]:
    columns = (
        TextColumn("replay {task.fields[id]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:,.0f} events/s"),
        TimeRemainingColumn(),
    )
    there = stderr.is_interactive  # elsewhere the end of a bar is an empty line
    with Progress(*columns, console=stderr, transient=True, refresh_per_second=REFRESH_HZ, disable=not there) as bars:
        task = bars.add_task("replay", total=None, id="", rate=0.0)
        started = time.monotonic()
        first: list[int] = []

        def show(progress: replays.Progress) -> None:
            if not first or progress.passed == 0:
                first[:] = [progress.passed]
            rate = (progress.passed - first[0]) / max(1e-3, time.monotonic() - started)
            bars.update(task, completed=progress.passed, total=max(1, progress.total), id=progress.id[:12], rate=rate)

        yield show
