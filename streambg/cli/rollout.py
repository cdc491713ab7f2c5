"""`streambg rollout`: the plan that moves a candidate from weight 0 to live, by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    ReasonOption,
    actor,
    connected_pipeline,
    print_json,
    stderr,
    stdout,
)
from streambg.cli.control import EpochOption, say
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.control.rollouts import Rollout, Stage
from streambg.control.verbs import Said
from streambg.rollout import verbs as rollouts
from streambg.rollout.decide import Act, Ask
from streambg.rollout.standing import Standing, looks
from streambg.rollout.words import shown_step

app = typer.Typer(
    help="Move a candidate from weight 0 to live by the plan in pipeline.yaml.",
    no_args_is_help=True,
    epilog="Example:  streambg rollout start --watch",
)

WatchOption = Annotated[bool, typer.Option("--watch", help="Until it has ended; then the exit code says how.")]
# As `verdict` has them: 0 it is live, 10 it was taken back, 12 a person has to decide.
ENDED: dict[Stage, int] = {
    Stage.KEEPING: 0,
    Stage.DONE: 0,
    Stage.ABORTED: 10,
    Stage.ROLLED_BACK: 10,
    Stage.HELD: 12,
    Stage.STOPPED: 12,
    Stage.TAKEN_OVER: 12,
}
# No step is where it stands: it went beyond the last one.
PASSED = frozenset({Stage.DONE, Stage.ROLLED_BACK})
LOOK_EVERY_S = 1.0


@app.command(epilog="Example:  streambg rollout start --reason 'retrained on October';  streambg rollout start --watch")
def start(
    watch: WatchOption = False,
    reason: ReasonOption = "",
    expected_epoch: EpochOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Begin the plan for the candidate; a change of the file changes nothing until the next start."""
    config = connected_pipeline(pipeline)
    with verbs.client(config) as control:
        sent = rollouts.start(control, config, Said(actor(), reason), expected_epoch=expected_epoch)
    if not (watch and sent.accepted):
        say(sent, output)
        return
    _watch(config, output)


@app.command(epilog="Example:  streambg rollout status --watch")
def status(
    watch: WatchOption = False, pipeline: PipelineOption = DEFAULT_PIPELINE, output: OutputOption = Output.TEXT
) -> None:
    """Where the rollout stands, and what it waits for.

    With --watch the exit code is 0 where the candidate is live, 10 where it was taken back, 12 where a person decides.
    """
    config = connected_pipeline(pipeline)
    if watch:
        _watch(config, output)
    standing = _decided(config)
    if output is Output.JSON:
        print_json(standing.as_json())
    else:
        _print(standing)


def _decided(config: Pipeline) -> Standing:
    """As it stands; what a controller does next is waited for, so that it shows whether one does it."""
    with stderr.status("Looking ...") as shown:
        for standing in _each_second(config):
            if not isinstance(standing.decision, Act | Ask) or standing.overdue:
                return standing
            shown.update(f"{standing.reasons[0]} ...")
    raise AssertionError("looks have no end")


def _watch(config: Pipeline, output: Output) -> None:
    """News as they come; JSON: one document at the end. Raises Exit with how it ended."""
    said: tuple[Any, ...] = ()
    try:
        for standing in _each_second(config):
            rollout = standing.state.rollout
            place = rollout and (rollout.stage, rollout.step)
            news = (place, standing.kind, standing.overdue)
            if news != said and output is Output.TEXT:
                _print(standing, table=not said or place != said[0])
            said = news
            if rollout is None:
                raise typer.Exit(12)
            if rollout.stage in ENDED:
                if output is Output.JSON:
                    print_json(standing.as_json())
                raise typer.Exit(ENDED[rollout.stage])
    except KeyboardInterrupt:
        stderr.print("The rollout goes on; `streambg rollout stop` ends it.", highlight=False)
        raise


def _each_second(config: Pipeline) -> Iterator[Standing]:
    for standing in looks(config):
        yield standing
        time.sleep(LOOK_EVERY_S)


def _print(standing: Standing, *, table: bool = True) -> None:
    """What is in force and what is waited for; with the plan's table, where that is news."""
    rollout = standing.state.rollout
    stdout.print(standing.state.summary(), markup=False, highlight=False)
    if rollout is None:
        stdout.print("No rollout was started: streambg rollout start", markup=False)
        return
    if table:
        stdout.print(_table(rollout))
    for line in (standing.end, *standing.reasons):
        if line:
            stdout.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _table(rollout: Rollout) -> Table:
    table = Table("step", "weight", "needs", "now", title=rollout.summary())
    for number, step in enumerate(rollout.plan.steps):
        here = "in force" if rollout.active else "ended here"
        mark = "" if rollout.promoted or number != rollout.step or rollout.stage in PASSED else here
        table.add_row(str(number + 1), f"{step.weight / 100:g} %", escape(shown_step(step)), mark)
    if rollout.plan.promotes:
        table.add_row("", "live", "", "in force" if rollout.promoted else "")
    return table


def _said(verb: Literal["approve", "skip", "stop"], text: str, example: str) -> None:
    def command(
        reason: ReasonOption = "",
        expected_epoch: EpochOption = None,
        pipeline: PipelineOption = DEFAULT_PIPELINE,
        output: OutputOption = Output.TEXT,
    ) -> None:
        config = connected_pipeline(pipeline)
        with verbs.client(config) as control:
            sent = rollouts.say(control, verb, Said(actor(), reason), config, expected_epoch=expected_epoch)
        say(sent, output)

    app.command(verb, help=text, epilog=f"Example:  {example}")(command)


_said("approve", "Say yes to the step that waits for a person; a held one goes on.", "streambg rollout approve")
_said("skip", "Go on to the next step without what this one waits for.", "streambg rollout skip --reason 'known good'")
_said("stop", "End the plan; weight and colors stay as they are.", "streambg rollout stop")


@app.command(epilog="Example:  streambg rollout history --output json")
def history(
    last: Annotated[int, typer.Option(min=1, help="How many records, the newest last.")] = 50,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """What rollouts did, when, and on which evidence."""
    config = connected_pipeline(pipeline)
    rows = [_row(entry) for entry in verbs.entries(config) if _is_rollout(entry)][-last:]
    if output is Output.JSON:
        print_json(rows)
        return
    if not rows:
        stderr.print("No rollout was ever started.")
    table = Table("offset", "appended", "rollout", "by", "reason", "then")
    for row in rows:
        then = escape(row["in_force"]) if row["accepted"] else f"[red]refused[/]: {escape(row['refusal'])}"
        table.add_row(
            str(row["offset"]), row["appended"], row["verb"], escape(row["actor"]), escape(row["reason"]), then
        )
    stdout.print(table)


def _is_rollout(entry: Entry) -> bool:
    return entry.envelope is not None and entry.envelope.verb.startswith("rollout-")


def _row(entry: Entry) -> dict[str, Any]:
    envelope, rollout = entry.envelope, entry.state.rollout
    assert envelope is not None
    return {
        "offset": entry.offset,
        "appended": datetime.fromtimestamp(entry.appended_ms / 1_000, UTC).isoformat(timespec="milliseconds"),
        "verb": envelope.verb.removeprefix("rollout-"),
        "actor": envelope.actor,
        "reason": envelope.reason,
        "evidence": envelope.args.get("evidence"),
        "events": envelope.args.get("events"),
        "accepted": entry.accepted,
        "refusal": entry.refusal,
        "in_force": rollout.summary() if rollout else "",
    }
