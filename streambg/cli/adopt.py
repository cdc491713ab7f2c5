"""`streambg adopt`: take over a running service's topics and group, and give them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import typer
from rich.table import Table

from streambg.adopting import giveback
from streambg.adopting.giveback import Back
from streambg.adopting.group import survey
from streambg.adopting.takeover import Survey, Takeover, decide
from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    ReasonOption,
    actor,
    connected_pipeline,
    print_json,
    stdout,
)
from streambg.cli.completing import version_argument
from streambg.cli.control import say
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.verbs import Said
from streambg.errors import ConfigError, Refused
from streambg.models.registry import Registry
from streambg.records.source import COLORS

app = typer.Typer()


class ResetChoice(str, Enum):  # noqa: UP042 - Typer wants a str that is an Enum
    """takeover.Reset for Typer."""

    EARLIEST = "earliest"
    LATEST = "latest"


@app.command(
    epilog="Example:  streambg adopt fraud:7 --from-group fraud-scoring --yes;  "
    "streambg adopt --give-back --from-group fraud-scoring --yes"
)
def adopt(
    from_group: Annotated[str, typer.Option("--from-group", help="The old service's consumer group.")],
    model: Annotated[str | None, version_argument("For blue: what the old service answers")] = None,
    reset: Annotated[
        ResetChoice | None,
        typer.Option(
            "--reset",
            help="Where to begin in a partition whose committed offset is missing or has expired: as the old "
            "service's auto.offset.reset would.",
        ),
    ] = None,
    give_back: Annotated[
        bool, typer.Option("--give-back", help="The way back: let the group go on behind what was published.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it. Without: only say what would be done.")] = False,
    reason: ReasonOption = "",
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take over from a running service: begin where its consumer group stands, as this pipeline's first deploy.

    Shows what it would do, what speaks against it, and the steps; --yes does it. Exit code 5 while something speaks
    against it, such as members of the old group.
    """
    config = connected_pipeline(pipeline, by_offsets=True)
    said = Said(actor(), reason)
    if give_back:
        if model is not None or reset is not None:
            raise ConfigError("--give-back takes neither a model nor --reset", way_out="leave them out")
        _give_back(config, from_group, said, yes, output)
    elif model is None:
        raise ConfigError("which model answers from now on?", way_out="streambg adopt NAME:VERSION --from-group ...")
    else:
        _adopt(config, from_group, model, reset, said, yes, output)


def _adopt(
    config: Pipeline, group: str, model: str, reset: ResetChoice | None, said: Said, yes: bool, output: Output
) -> None:
    Registry(config.registry).get(model).check_fits(verbs.schema(config))
    with verbs.client(config) as control:
        found = survey(config, group)
        ours = {config.groups.publisher, config.groups.comparator, *(config.groups.scorer(color) for color in COLORS)}
        plan = decide(found, control.state(), ours, reset.value if reset else None)
        if output is Output.TEXT:
            stdout.print(_plan_table(group, plan))
        elif plan.objections or not yes:
            print_json(_plain(config, model, found, plan))
        if plan.objections:
            raise Refused("\n".join(plan.objections), way_out="nothing was changed; put this right, then say it again")
        if not yes:
            if output is Output.TEXT:
                _say_steps(
                    "Nothing was changed. The steps:",
                    "stop the old service and what would start it again",
                    f"streambg adopt {model} --from-group {group} --yes      (refused while the group has members)",
                    "where none run yet, start the processes: streambg up, or your own way",
                )
                _say_way_back(group)
            return
        sent = verbs.deploy(
            control, config, "blue", model, Said(said.actor, plan.reason(group, said.reason)), start=plan.starts
        )
    if output is Output.JSON and sent.accepted:
        print_json({**_plain(config, model, found, plan), "epoch": sent.epoch})
        return
    say(sent, output)
    stdout.print(
        f"{group} is taken over. The processes go on now; where none run, start them: streambg up, or your own way.",
        highlight=False,
    )
    _say_way_back(group)


def _give_back(config: Pipeline, group: str, said: Said, yes: bool, output: Output) -> None:
    with verbs.client(config) as control:
        state = control.state()
        backs = giveback.survey(config, group, state)
        if output is Output.JSON:
            partitions = [asdict(back) for back in backs]
            print_json({"pipeline": config.name, "group": group, "given_back": yes, "partitions": partitions})
        else:
            stdout.print(_back_table(group, backs))
        if not yes:
            if output is Output.TEXT:
                _say_steps(
                    "Nothing was changed. The steps:",
                    "stop the processes of this pipeline and what would start them again",
                    "streambg audit: once the old service writes again, its records are foreign to the audit",
                    f"streambg adopt --give-back --from-group {group} --yes",
                    "start the old service",
                )
            return
        giveback.give_back(config, group, state, backs)
        # no verb of its own: a pause keeps anybody from promoting on, and its reason stands in the history
        words = f"given back to consumer group {group}" + (f"; {said.reason}" if said.reason else "")
        verbs.plain(control, "pause", Said(said.actor, words))
    if output is Output.TEXT:
        stdout.print(
            f"{group} goes on at these offsets: start the old service. This pipeline must not run again; to take over "
            "anew, give it another name in its file.",
            highlight=False,
        )


def _plan_table(group: str, plan: Takeover) -> Table:
    table = Table("partition", "committed", "input holds", "begins at", "waiting", "why", title=f"from {group}")
    for each in plan.begins:
        lane = each.lane
        holds = f"{lane.first}..{lane.end - 1}" if lane.first < lane.end else "nothing"
        cells = (lane.partition, _or_dash(lane.committed), holds, _or_dash(each.start), each.waiting, each.why)
        table.add_row(*map(str, cells))
    return table


def _back_table(group: str, backs: Sequence[Back]) -> Table:
    table = Table("partition", "published up to", f"{group} stands at", "goes on at", title=f"back to {group}")
    for back in backs:
        table.add_row(str(back.partition), str(back.next - 1), _or_dash(back.committed), str(back.next))
    return table


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def _plain(config: Pipeline, model: str, found: Survey, plan: Takeover) -> dict[str, Any]:
    """{pipeline, group, model, partitions, members, objections, epoch}; epoch None: nothing was changed."""
    partitions = [{**asdict(each.lane), "start": each.start, "why": each.why} for each in plan.begins]
    return {
        "pipeline": config.name,
        "group": found.group,
        "model": model,
        "partitions": partitions,
        "members": [asdict(member) for member in found.members],
        "objections": list(plan.objections),
        "epoch": None,
    }


def _say_steps(head: str, *steps: str) -> None:
    stdout.print(head, highlight=False)
    for number, step in enumerate(steps, 1):
        stdout.print(f"  {number}. {step}", highlight=False, markup=False, soft_wrap=True)


def _say_way_back(group: str) -> None:
    _say_steps(
        "The way back:",
        "stop the processes of this pipeline",
        f"streambg adopt --give-back --from-group {group} --yes",
        "start the old service: it goes on behind what was published",
    )
