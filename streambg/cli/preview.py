"""`streambg preview`: what another weight would change, before it is given."""

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
    counted,
    print_json,
    stdout,
)
from streambg.cli.control import weight_of
from streambg.comparing.pair import terms_of
from streambg.control import verbs
from streambg.kafka import profiles
from streambg.previewing.collect import Looked, preview
from streambg.previewing.preview import Counts

app = typer.Typer()
# Both colors' rows of a partition stand in memory, some 500 bytes an event: 200 MB with one partition.
MAX_LAST = 400_000


@app.command("preview", epilog="Example:  streambg preview --weight 50;  streambg preview --weight 100 --last 100000")
def show(
    weight: Annotated[str, typer.Option(help="The candidate's share of the keys: 0 to 100, two decimals")],
    last: Annotated[int, typer.Option(min=1, max=MAX_LAST, help="Of about so many of the newest events.")] = 10_000,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """How many published answers would have been others at this weight, by segment, and which decisions turn.

    From the answers that both colors gave already; nothing is scored, and nothing changes.
    """
    share = weight_of(weight)
    config = connected_pipeline(pipeline)
    with verbs.client(config) as control:
        state = control.state()
    reader = {**profiles.reader(config, verbs.CLIENT), **verbs.QUIET}
    with counted("partitions") as progress:
        looked = preview(
            config, reader, state, terms_of(state), share, last, verbs.partitions_of_input(config), progress
        )
    if output is Output.JSON:
        print_json({"weight": share / 100, **_where(looked), **looked.preview.as_json()})
    else:
        _print(looked, share)


def _where(looked: Looked) -> dict[str, Any]:
    return {
        "epoch": looked.epoch,
        "blue": looked.pair.blue,
        "green": looked.pair.green,
        "ranges": {str(partition): list(ends) for partition, ends in looked.ranges.items()},
    }


def _print(looked: Looked, share: int) -> None:
    whole = looked.preview.whole
    if whole.events == 0:
        stdout.print("No event has been answered by both colors yet.", highlight=False)
        return
    stdout.print(
        f"Of the last {whole.events:,} events, {whole.changed:,} published answers would be others at "
        f"{share / 100:g} % ({_share(whole.changed, whole)}).",
        highlight=False,
    )
    table = Table("", "events", "changed", "to yes", "to no", "by candidate now", "then", "dead letters now", "then")
    table.add_row("all", *_cells(whole))
    for (name, value), counts in sorted(looked.preview.segments.items()):
        table.add_row(f"{name}={value}", *_cells(counts))
    stdout.print(table)
    for name, gained in sorted(looked.preview.gained.items()):
        stdout.print(f"{name}: {gained / whole.events * 100:+.3f} points of its range an event", highlight=False)
    for name, why in sorted(looked.preview.failed.items()):
        stdout.print(f"[yellow]{name}[/]: not counted: {why}", highlight=False)


def _cells(counts: Counts) -> list[str]:
    numbers = (
        counts.changed,
        counts.to_yes,
        counts.to_no,
        counts.candidate_now,
        counts.candidate_then,
        counts.letters_now,
        counts.letters_then,
    )
    return [f"{counts.events:,}", *(f"{number:,}" for number in numbers)]


def _share(part: int, whole: Counts) -> str:
    return f"{part / whole.events:.2%}"
