"""`streambg accept-gap`: the recorded way on where events that are owed are gone (P29)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    ReasonOption,
    actor,
    confirm,
    connected_pipeline,
    stderr,
)
from streambg.cli.control import EpochOption, say
from streambg.control import gaps, verbs
from streambg.control.verbs import Said
from streambg.errors import ConfigError

app = typer.Typer()


@app.command(
    "accept-gap", epilog="Example:  streambg accept-gap 3 --to 120000 --reason 'retention overtook us in the outage'"
)
def accept_gap(
    partition: Annotated[int, typer.Argument(help="Of the input.")],
    first: Annotated[
        int | None, typer.Option("--from", help="First source offset given up. Default: settled + 1.")
    ] = None,
    end: Annotated[
        int | None, typer.Option("--to", help="First offset to be answered again. Default: where the input begins.")
    ] = None,
    reason: ReasonOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    expected_epoch: EpochOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give up events that nobody can answer any more: what is left of them becomes dead letters, and answering goes on.

    Every color that is not retired scores on as a new deployment of the same model, at weight 0.
    """
    if not reason:
        raise ConfigError("accept-gap needs a --reason: it stands in the control log", way_out="say why")
    if output is Output.JSON and not yes:
        raise ConfigError("--output json asks nobody", way_out="add --yes")
    config = connected_pipeline(pipeline, by_offsets=True)
    with verbs.client(config) as control:
        gap = gaps.decide(gaps.measure(config, partition, control.state()), first, end)
        if not yes:
            stderr.print(
                f"{config.input.topic}/{partition}: {gap.first} to {gap.end - 1} will not be answered; at most "
                f"{gap.dead_letters_at_most:,} dead letters",
                highlight=False,
            )
            confirm("Give them up for good?")
        sent = gaps.accept(control, gap, Said(actor(), reason), expected_epoch=expected_epoch)
    say(sent, output, gap=asdict(gap))
