"""`streambg topics`: what the pipeline needs on the broker, and how to get there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from confluent_kafka.admin import AdminClient

from streambg import topicplan
from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    confirm,
    counted,
    load_pipeline,
    print_json,
    stdout,
)
from streambg.cli.completing import one_of
from streambg.config import Pipeline
from streambg.errors import ConfigError
from streambg.printing import Paragraph, many
from streambg.topicplan import Action
from streambg.topicplan.acls import ROLES, AclRole, commands, principals
from streambg.topicplan.acls import acls as needed
from streambg.topicplan.broker import refuse_impossible

app = typer.Typer(
    help="The topics of a pipeline: compare with the broker, create, grow.",
    no_args_is_help=True,
    epilog="Example:  streambg topics plan",
)

# Each partition of the input brings four of ours: 1,000 fill a broker, which is advised to hold 4,000.
MAX_PARTITIONS = 1_000

_COLORS = {"create": "green", "change": "yellow", "unchanged": "dim"}

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
    topicplan.load_topics(config)  # what is wrong in the files needs no broker
    actions = _planned(config, topicplan.connect(config), partitions)
    if output is Output.JSON:
        print_json({"pipeline": config.name, "actions": [_shown(action) for action in actions]})
    refuse_impossible(actions, "plan")
    if output is Output.TEXT:
        _print(actions)


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
    topicplan.load_topics(config)
    admin = topicplan.connect(config)
    actions = _planned(config, admin, partitions)
    refuse_impossible(actions)
    if output is Output.TEXT:
        _print(actions)
    work = [action for action in actions if action.kind != "unchanged"]
    if work and not yes:
        confirm(f"Do this at {config.kafka.bootstrap}?")
    done: list[str] = []
    with counted("topics") as progress:

        def told(action: Action) -> None:
            done.append(action.name)
            progress(len(done), len(work))

        topicplan.apply(admin, actions, told)
    if output is Output.JSON:
        print_json({"pipeline": config.name, "actions": [_shown(action) for action in actions]})
    elif not work:
        stdout.print("Nothing to do.")
    else:
        stdout.print(f"Done: {many(len(done), 'topic')}.", highlight=False)


@app.command(epilog="Example:  streambg topics acls --principal publisher=svc-fraud-out --role publisher")
def acls(
    prefix: Annotated[
        str | None,
        typer.Option("--principal-prefix", help="Of all principals; the role follows. Default: User:<pipeline>-"),
    ] = None,
    principal: Annotated[
        list[str] | None, typer.Option("--principal", help="One role's principal: publisher=svc-out; repeatable.")
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="Only this role's rights; repeatable.", autocompletion=one_of(ROLES)),
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the rights each role needs on a cluster with ACLs, as kafka-acls commands; nothing is granted.

    Roles: scorer.blue, scorer.green, publisher, comparator, controller, operator (the verbs, status, history), audit
    (also inspect and dead-letters), topics (topics plan and apply), doctor. Needs no broker.
    """
    config = load_pipeline(pipeline)
    declared = topicplan.load_topics(config)
    who = named_principals(config, prefix, principal or ())
    wanted = {_role(name) for name in role or ROLES}
    found = [acl for acl in needed(config, declared) if acl.role in wanted]
    if output is Output.JSON:
        print_json([{"principal": who[acl.role], **asdict(acl)} for acl in found])
        return
    for each in ROLES:
        if each in wanted:
            lines = commands([acl for acl in found if acl.role == each], who, config.kafka.bootstrap)
            _plain(f"# {each}: {who[each]}", *lines)
    yours = {"Write": [], "Read": []}  # type: dict[str, list[str]]
    for topic in declared:
        yours["Write"] += [topic.name] if "yours" in topic.writers else []
        yours["Read"] += [topic.name] if "yours" in topic.readers else []
    _plain(*(f"# your own programs: {operation} on {', '.join(names)}" for operation, names in yours.items()))


def _planned(config: Pipeline, admin: AdminClient, partitions: int | None) -> list[Action]:
    declared = topicplan.load_topics(config)
    topicplan.refuse_wrong_input(config, admin, declared)
    return topicplan.plan(admin, declared, partitions)


def named_principals(config: Pipeline, prefix: str | None, said: Sequence[str]) -> dict[AclRole, str]:
    """Each role's principal, as `--principal-prefix` and `--principal ROLE=NAME` say. Raises ConfigError."""
    pairs = [text.partition("=") for text in said]
    if wrong := next((name for name, _, value in pairs if not value), None):
        raise ConfigError(f"{wrong!r} names no principal", way_out="--principal ROLE=NAME")
    return principals(config, prefix, {_role(name): value for name, _, value in pairs})


def _role(name: str) -> AclRole:
    for role in ROLES:
        if role == name:
            return role
    raise ConfigError(f"{name!r} is no role", way_out=f"one of {', '.join(ROLES)}")


def _plain(*lines: str) -> None:
    """To be copied into a shell: never wrapped."""
    for line in lines:
        typer.echo(line)


def _shown(action: Action) -> dict[str, Any]:
    """{kind, part, name, says, notes, partitions, replication, config}."""
    return {**asdict(action), "config": dict(action.config)}


def _print(actions: list[Action]) -> None:
    """A topic in two lines. None of them is impossible: that was said, and nothing else."""
    for action in actions:
        stdout.print(Paragraph((f"{action.kind:9}", _COLORS[action.kind]), f"  {action.name}", indent=11), crop=False)
        for says, style in [*((says, "") for says in action.says), *((note, "dim") for note in action.notes)]:
            stdout.print(Paragraph((f"{' ' * 11}{says}", style), indent=13), crop=False)
