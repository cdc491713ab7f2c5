"""`streambg supersede`: after a bad promotion, publish what the other color had answered (P36)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    ReasonOption,
    actor,
    counted,
    load_pipeline,
    print_json,
    stderr,
    stdout,
)
from streambg.cli.completing import complete_color
from streambg.cli.control import EpochOption, color_of
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.state import Deployment, SupersededRange, Supersession
from streambg.control.verbs import Said
from streambg.errors import ConfigError, Refused
from streambg.kafka import profiles
from streambg.kafka.reading import LogReader
from streambg.looking.collect import Scenery
from streambg.process.ctrl_c import ctrl_c_is_itself
from streambg.superseding import command, plan
from streambg.superseding.measure import Counted, measure
from streambg.superseding.plan import Place

app = typer.Typer()
EXAMPLE = "streambg supersede --color blue --epoch 17 --reason 'fraud:8 let everything pass' --yes"


@app.command("supersede", epilog=f"Example:  {EXAMPLE}")
def supersede(
    color: Annotated[str, typer.Option(help="Whose answers: blue or green.", autocompletion=complete_color)],
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", help="For which events: sensors/3@100-200, both included. Repeatable."),
    ] = None,
    epoch: Annotated[int | None, typer.Option("--epoch", help="For what was published under this epoch.")] = None,
    since_cutover: Annotated[
        int | None, typer.Option("--since-cutover", help="For all that was published since this epoch's cutover.")
    ] = None,
    deployment: Annotated[
        int | None, typer.Option("--deployment", help="Of the color. Default: the one that stood there at that time.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it; else it is only said what it would do.")] = False,
    reason: ReasonOption = "",
    expected_epoch: EpochOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Publish a color's stored answers again for an exact range, beside what went out; recorded, each exactly once.

    Without --yes nothing is changed: it says what would be written. Exit codes: 0 done, or nothing was asked for; 5
    refused; 1 nothing has moved for a minute. The same request twice waits for the first.
    """
    if yes and not reason:
        raise ConfigError("supersede needs a --reason: it stands in the control log", way_out="say why")
    slot, config = color_of(color), load_pipeline(pipeline)
    named_places = _ranges(config.input.topic, ranges or [], epoch, since_cutover)
    with Scenery(config) as scenery:
        places = _places(scenery, named_places, epoch, since_cutover)
        chosen = plan.deployment_of(places, scenery.cutovers, scenery.states, slot, deployment)
        left, before = plan.left_over(places, scenery.state.supersessions, chosen)
        if not left:
            _already(config, before, output, yes)
            return
        if before:
            stderr.print(f"A part of it is superseded already (epoch {_epochs(before)}); the rest:", highlight=False)
        named, found = _measured(config, scenery, chosen, left)
    if not yes:
        _say(output, chosen, found, None)
        return
    if not any(each.written for each in found):
        raise Refused(
            f"{chosen.color} {chosen.model} (deployment {chosen.id}) has no stored answer in there: nothing to publish",
            way_out=f"without --yes: what is in the range; {chosen.color}'s predictions may have expired",
        )
    if output is Output.TEXT:
        _table(chosen, found)
    with verbs.client(config) as control:
        said = Said(actor(), reason)
        sent = command.request(control, chosen, named, said, expected_epoch=expected_epoch).or_raise()
    made = sent.state.supersessions[-1]
    _say(output, chosen, found, (made, _wait(config, made)))


def _ranges(topic: str, texts: list[str], epoch: int | None, since: int | None) -> list[Place]:
    """Those that --range says; exactly one way to say them. Raises ConfigError."""
    if (bool(texts), epoch is not None, since is not None).count(True) != 1:
        raise ConfigError("for which events?", way_out="one of --range, --epoch, --since-cutover")
    try:
        return sorted((plan.range_of(text, topic) for text in texts), key=lambda place: place.key)
    except ValueError as error:
        raise ConfigError(str(error), way_out=f"--range {topic}/3@100-200") from None


def _places(scenery: Scenery, places: list[Place], epoch: int | None, since: int | None) -> list[Place]:
    """Those that were named, or what an epoch decided. Raises ConfigError, Refused."""
    topic = scenery.pipeline.input.topic
    if epoch is not None:
        places = plan.of_epoch(scenery.cutovers, scenery.settled, epoch)
    elif since is not None:
        places = plan.since(scenery.cutovers, scenery.settled, since)
    if wrong := next((place for place in places if place.partition >= scenery.partitions), None):
        raise ConfigError(
            f"{topic} has no partition {wrong.partition}", way_out=f"partitions 0 to {scenery.partitions - 1}"
        )
    origins = {place.partition: scenery.origin(place.partition) for place in places}
    plan.check(places, topic, scenery.settled, origins)
    return places


def _measured(
    config: Pipeline, scenery: Scenery, chosen: Deployment, places: list[Place]
) -> tuple[list[SupersededRange], list[Counted]]:
    reader: dict[str, Any] = {**profiles.reader(config, verbs.CLIENT), **verbs.QUIET}
    named, found, read = list[SupersededRange](), list[Counted](), 0
    with LogReader(reader) as log, counted("reading what was published and what is stored") as show:

        def progress(records: int) -> None:
            nonlocal read
            read += records
            show(read, 0)

        for place in places:
            one, what = measure(scenery, log, chosen, place, progress)
            named.append(one)
            found.append(what)
    return named, found


def _wait(config: Pipeline, made: Supersession) -> plan.Carried:
    """With a bar; Ctrl-C ends the waiting, not the work."""
    try:
        with counted(f"superseding, epoch {made.epoch}") as show, ctrl_c_is_itself():
            return command.wait(config, made, lambda now: show(now.passed, now.total))
    except KeyboardInterrupt:
        stderr.print(
            f"The command at epoch {made.epoch} stands, the publishers go on. The same request again waits for them.",
            highlight=False,
        )
        raise


def _already(config: Pipeline, before: list[Supersession], output: Output, yes: bool) -> None:
    """All of it was asked for: wait for that, or say how far it is."""
    states = [command.look(config, each) for each in before]
    if yes:
        states = [_wait(config, each) if not now.done else now for each, now in zip(before, states, strict=True)]
    done = all(now.done for now in states)
    if output is Output.JSON:
        commands = [_command(each, now) for each, now in zip(before, states, strict=True)]
        print_json({"already": True, "done": done, "commands": commands})
        return
    passed, total = sum(now.passed for now in states), sum(now.total for now in states)
    word = "[green]done already[/]" if done else f"under way: {passed:,} of {total:,} offsets"
    written = sum(now.written for now in states)
    stdout.print(f"{word}: epoch {_epochs(before)}, {written:,} records written", highlight=False)


def _epochs(commands: list[Supersession]) -> str:
    return ", ".join(str(each.epoch) for each in commands)


def _command(made: Supersession, done: plan.Carried) -> dict[str, Any]:
    return {"epoch": made.epoch, "done": done.done, "records": done.written}


def _say(
    output: Output, chosen: Deployment, found: list[Counted], made: tuple[Supersession, plan.Carried] | None
) -> None:
    if output is Output.JSON:
        print_json(
            {
                "color": chosen.color,
                "deployment": chosen.id,
                "model": chosen.model,
                "ranges": [_fields(each) for each in found],
                "already": False,
                **(_command(*made) if made else {"epoch": None, "done": False, "records": 0}),
            }
        )
        return
    if made is not None:
        stdout.print(
            f"[green]done[/]: {made[1].written:,} records of {chosen.color} {chosen.model} supersede what was there "
            f"(epoch {made[0].epoch})",
            highlight=False,
        )
        return
    _table(chosen, found)
    stdout.print("Nothing was changed. With --yes and a --reason it is done.", highlight=False)


COLUMNS = ("outcomes", "written", "differ", "revived", "errors", "expired", "unanswered")


def _fields(each: Counted) -> dict[str, Any]:
    """The range with both ends included, as it is typed."""
    fields = asdict(each)
    place = fields.pop("place")
    return {"partition": place["partition"], "first": place["first"], "last": place["end"] - 1, **fields}


def _table(chosen: Deployment, found: list[Counted]) -> None:
    table = Table(
        title=f"{chosen.color} {chosen.model} (deployment {chosen.id})",
        caption="written: to be published again; differ: from what is published now; revived: of dead letters; "
        "errors, expired, unanswered: left as they are",
        box=None,
        header_style="dim",
    )
    table.add_column("events", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for each in found:
        table.add_row(str(each.place), *(f"{getattr(each, name):,}" for name in COLUMNS))
    if len(found) > 1:
        table.add_row("all", *(f"{sum(getattr(each, name) for each in found):,}" for name in COLUMNS))
    stdout.print(table)
