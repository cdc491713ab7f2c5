"""`streambg rollout`: the plan that moves a candidate from weight 0 to live, by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

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
from streambg.cli.records import record_lines
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.control.rollouts import Rollout, Stage, taken_over
from streambg.control.verbs import Said
from streambg.printing import Paragraph, moment, plain_table
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
            news = (rollout and (rollout.stage, rollout.step), standing.kind, standing.overdue)
            if news != said and output is Output.TEXT:
                if said:
                    _print_news(standing)
                else:
                    _print(standing)
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


def _print(standing: Standing) -> None:
    """What is in force, the plan, and what is waited for."""
    rollout = standing.state.rollout
    stdout.print(Paragraph(standing.state.summary()), crop=False)
    if rollout is None:
        stdout.print("No rollout was started: streambg rollout start", markup=False)
        return
    stdout.print(rollout.summary(), markup=False, highlight=False)
    table = plain_table("step", "weight", "stands", "needs")
    rows = [(str(at), f"{each.weight / 100:g} %", shown_step(each)) for at, each in enumerate(rollout.plan.steps, 1)]
    for at, (number, weight, needs) in enumerate([*rows, *([("", "live", "")] if rollout.plan.promotes else [])]):
        stands = ("now" if rollout.active else "ended") if at == _place(standing, rollout) else ""
        table.add_row(number, weight, stands, Text(needs))
    stdout.print(table)
    _print_reasons(standing)


def _print_news(standing: Standing) -> None:
    """What has changed, in a line; the plan is as it was."""
    what = standing.state.rollout.summary() if standing.state.rollout else standing.state.summary()
    stdout.print(Paragraph(f"{moment(int(time.time() * 1_000))}  {what}"), crop=False)
    _print_reasons(standing)


def _print_reasons(standing: Standing) -> None:
    for line in (standing.end, *standing.reasons):
        if line:
            stdout.print(Paragraph(f"  {line}", indent=4), crop=False)


def _place(standing: Standing, rollout: Rollout) -> int:
    """The step that is in force, or that it ended with; as many as there are: live."""
    live = standing.state.live_deployment
    went_live = rollout.promoted or rollout.stage in (Stage.DONE, Stage.ROLLED_BACK)
    if rollout.plan.promotes and (went_live or (live is not None and live.id == rollout.candidate)):
        return len(rollout.plan.steps)
    return rollout.step


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
    found = [entry for entry in verbs.entries(config) if _is_rollout(entry)][-last:]
    if output is Output.JSON:
        print_json([_row(entry) for entry in found])
        return
    if not found:
        stderr.print("No rollout was ever started.")
    for entry in found:
        assert entry.envelope is not None  # it says something of a rollout
        rollout = entry.state.rollout
        then = rollout.summary() if rollout else ""
        stdout.print(record_lines(entry, entry.envelope.verb.removeprefix("rollout-"), then), crop=False)


def _is_rollout(entry: Entry) -> bool:
    """Its own command, or the one that took it over."""
    own = entry.envelope is not None and entry.envelope.verb.startswith("rollout-")
    return own or taken_over(entry.state.rollout, entry.offset) is not None


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
