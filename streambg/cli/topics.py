"""`streambg topics`: what the pipeline needs on the broker, and how to get there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from streambg import topicplan
from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    confirm,
    load_pipeline,
    print_json,
    stderr,
    stdout,
)
from streambg.errors import ConfigError
from streambg.topicplan import Action
from streambg.topicplan.broker import refuse_impossible

app = typer.Typer(
    help="The topics of a pipeline: compare with the broker, create, grow.",
    no_args_is_help=True,
    epilog="Example:  streambg topics plan",
)

# Each partition of the input brings four of ours: 1,000 fill a broker, which is advised to hold 4,000.
MAX_PARTITIONS = 1_000

_COLORS = {"create": "green", "change": "yellow", "impossible": "red", "unchanged": "dim"}

PartitionsOption = Annotated[
    int | None,
    typer.Option(
        "--partitions",
        min=1,
        max=MAX_PARTITIONS,
        help="Of the input where it is missing; more than it has: grow it and all that follow it.",
    ),
]


@app.command(epilog="Example:  streambg topics plan --partitions 6")
def plan(
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    partitions: PartitionsOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the difference between topics/*.yaml and the broker; change nothing. Exit 2 if something is impossible."""
    config = load_pipeline(pipeline)
    actions = topicplan.plan(topicplan.connect(config), topicplan.load_topics(config), partitions)
    if output is Output.JSON:
        print_json({"pipeline": config.name, "actions": [_shown(action) for action in actions]})
    else:
        stdout.print(_table(actions))
    refuse_impossible(actions)


@app.command(epilog="Example:  streambg topics apply --partitions 6 --yes")
def apply(
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    partitions: PartitionsOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Create what is missing and grow what is too small, after asking. Never deletes, never shrinks."""
    if output is Output.JSON and not yes:
        raise ConfigError("--output json asks nobody", way_out="add --yes")
    config = load_pipeline(pipeline)
    admin = topicplan.connect(config)
    actions = topicplan.plan(admin, topicplan.load_topics(config), partitions)
    if output is Output.TEXT:
        stdout.print(_table(actions))
    refuse_impossible(actions)
    work = [action for action in actions if action.kind != "unchanged"]
    if work and not yes:
        confirm(f"Do this at {config.kafka.bootstrap}?")
    topicplan.apply(admin, actions, lambda action: stderr.print(f"{action.kind}: {action.name}", highlight=False))
    if output is Output.JSON:
        print_json({"pipeline": config.name, "actions": [_shown(action) for action in actions]})
    elif not work:
        stdout.print("Nothing to do.")


def _shown(action: Action) -> dict[str, Any]:
    """{kind, part, name, says, notes, partitions, replication, config}."""
    return {**asdict(action), "config": dict(action.config)}


def _table(actions: list[Action]) -> Table:
    table = Table("", "topic", "what", box=None)
    for action in actions:
        color = _COLORS[action.kind]
        lines = [*action.says, *(f"[dim]{note}[/]" for note in action.notes)]
        table.add_row(f"[{color}]{action.kind}[/]", action.name, "\n".join(lines))
    return table
