"""`streambg ci`: what a CI job runs: validate a model on history, deploy it, and answer with an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    ReasonOption,
    actor,
    connected_pipeline,
    counted,
    only_with,
    print_json,
    since_of,
    stderr,
    stdout,
)
from streambg.cli.completing import Ref
from streambg.cli.control import sample_of
from streambg.cli.replay import FOLDER
from streambg.config.values import parse_duration
from streambg.continuous.deploying import Wanted, deploy
from streambg.continuous.junit import Case, junit
from streambg.continuous.outcome import Outcome
from streambg.continuous.validating import Validated
from streambg.continuous.validating import Wanted as Validation
from streambg.continuous.validating import validate as run_validation
from streambg.control.verbs import Said
from streambg.errors import ConfigError, ContractChanged, StreambgError
from streambg.process.ctrl_c import ctrl_c_is_itself
from streambg.replaying.place import require_writable, write_whole
from streambg.running.stopping import Stopping

app = typer.Typer(
    help="What a CI job runs: validate a model on history, deploy it, answer with an exit code.",
    no_args_is_help=True,
    epilog="Example:  streambg ci deploy fraud:8 --wait",
)


class CiOutput(str, Enum):  # noqa: UP042 - Typer wants a str that is an Enum
    """How the result is printed."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


CiOutputOption = Annotated[CiOutput, typer.Option("--output", help="text, json or junit (XML)")]
# The longest that a job of GitHub's runners may take; the rollout goes on without it.
LONGEST_JOB = "6h"
SUITE = "streambg ci"


@app.command(
    epilog="Example:  streambg ci validate fraud:8 --last 24h --junit gates.xml;  "
    "streambg ci validate fraud:8 --summary summary.md --output json",
)
def validate(
    model: Ref,
    last: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d, or a time like 2026-11-27T14:30")] = "24h",
    junit_file: Annotated[
        Path | None, typer.Option("--junit", help="Write JUnit XML here, a test case a gate.", show_default=False)
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Write Markdown here, as for a job's summary.", show_default=False)
    ] = None,
    directory: Annotated[Path, typer.Option("--dir", help="The whole report stands in DIR/<id>/.")] = FOLDER,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes, over the partitions.")] = 1,
    rate: Annotated[
        float | None, typer.Option(min=1.0, help="At most so many events a second, beside a busy pipeline.")
    ] = None,
    accept_contract_change: Annotated[
        bool, typer.Option("--accept-contract-change", help="Go on although it answers otherwise than live.")
    ] = False,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Replay what production saw with this model, compare with what was published, and judge by the pipeline's gates.

    Nothing is published and no group is touched. Exit code as `verdict`: 0 promote, 10 abort, 11 undecided, 12
    inconclusive; 14: it does not keep the contract. Where no label of the range has come it is judged without: what
    needs them stays open, and nothing is promoted on that.
    """
    wanted = Validation(model, since_of(last, "--last"), directory, accept_contract_change, workers, rate)
    for option, file in (("--junit", junit_file), ("--summary", summary)):
        if file is not None:
            require_writable(file, option)
    config = connected_pipeline(pipeline, "operator", by_offsets=True)
    began = datetime.now(UTC)
    with Stopping() as stopping, counted("events") as show:
        stopping.listen()
        wished = stopping.wished.is_set
        found = run_validation(config, wanted, lambda now: show(now.passed, now.total), wished)
    if junit_file is not None:
        write_whole(junit_file, junit(f"{SUITE} validate", found.cases(), _about(found), _at(began)))
    if summary is not None:
        write_whole(summary, found.markdown().encode())
    if output is Output.JSON:
        print_json(found.as_json())
    else:
        _print_validated(found)
    raise typer.Exit(found.exit_code)


def _about(found: Validated) -> dict[str, str]:
    if found.report is None:
        return {"model": found.model, "verdict": found.word}
    digest = found.report.models[0].model.digest
    return {"model": found.model, "digest": digest, "verdict": found.word, "replay": found.report.id}


def _print_validated(found: Validated) -> None:
    stdout.print(f"{found.word}: {found.model}", markup=False, highlight=False)
    if found.unlabelled:
        stdout.print(found.unlabelled, markup=False, highlight=False, soft_wrap=True)
    table = Table("gate", "", "what was found")
    for case in found.cases():
        table.add_row(*map(Text, (case.name, case.result, case.why)))  # brackets in a reason are no markup
    stdout.print(table)
    if found.folder is not None:
        stdout.print(f"the whole report: {found.folder}", markup=False, highlight=False, soft_wrap=True)


@app.command(
    "deploy",
    epilog="Example:  streambg ci deploy fraud:8 --wait --timeout 2h;  streambg ci deploy fraud:8 --output junit",
)
def deploy_(
    context: typer.Context,
    model: Ref,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it is live and watched, or taken back; for the idle color, too.")
    ] = False,
    timeout: Annotated[str, typer.Option(help="How long --wait waits; the rollout goes on without it.")] = LONGEST_JOB,
    sample: Annotated[
        str | None, typer.Option(help="Score only this share of the keys until the first weight: 5%")
    ] = None,
    gives_up_rollback: Annotated[
        bool, typer.Option("--gives-up-rollback", help="Take the slot kept for a rollback, once the watch is over.")
    ] = False,
    accept_contract_change: Annotated[
        bool,
        typer.Option("--accept-contract-change", help="Go on although it answers otherwise than live; recorded."),
    ] = False,
    reason: ReasonOption = "",
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: CiOutputOption = CiOutput.TEXT,
) -> None:
    """Deploy a model to the idle color and start the plan of the pipeline file; again: join what is under way.

    Exit code with --wait: 0 live, 10 taken back, 11 still under way when the time was over, 12 a person has to decide.
    Without: 0 where its rollout is under way or it is live. 5: refused, 14: it does not keep the contract; of both
    nothing has changed. Ctrl-C ends only the waiting.
    """
    began = datetime.now(UTC)
    with _said(model, output, began):
        if not wait:
            only_with(context, "--wait", "timeout")
        seconds, share = _seconds(timeout), sample_of(sample)
        config = connected_pipeline(pipeline, "operator", by_offsets=True)
        said = Said(actor(), reason or f"ci deploy {model}")
        until = time.monotonic() + seconds if wait else None
        wanted = Wanted(model, said, until, share, gives_up_rollback, accept_contract_change)
        try:
            with Stopping(), ctrl_c_is_itself():
                outcome = deploy(config, wanted, _tell)
        except KeyboardInterrupt:
            _tell(f"what was begun goes on. Join it: streambg ci deploy {model} --wait; end it: streambg abort")
            raise
    _print(outcome, output, began)
    raise typer.Exit(outcome.exit_code if wait or outcome.word != "under way" else 0)


def _seconds(timeout: str) -> float:
    try:
        return parse_duration(timeout) / 1_000
    except ValueError as error:
        raise ConfigError(str(error), way_out=f"--timeout {LONGEST_JOB}") from None


def _tell(text: str) -> None:
    """A line as it comes: a CI log has no screen."""
    stderr.print(f"{datetime.now(UTC):%H:%M:%S} {text}", markup=False, highlight=False, soft_wrap=True)


def _print(outcome: Outcome, output: CiOutput, began: datetime) -> None:
    match output:
        case CiOutput.JSON:
            print_json(outcome.as_json())
        case CiOutput.JUNIT:
            about = {"model": outcome.deployment.model, "digest": outcome.deployment.digest, "outcome": outcome.word}
            sys.stdout.buffer.write(junit(f"{SUITE} deploy", list(outcome.cases()), about, _at(began)))
        case CiOutput.TEXT:
            _print_text(outcome)


@contextmanager
def _said(model: str, output: CiOutput, began: datetime) -> Iterator[None]:
    """A job reads the same place whatever happened; people read stderr."""
    try:
        yield
    except StreambgError as error:
        if output is CiOutput.JSON:
            print_json({"outcome": "refused", "exit_code": error.exit_code, "model": model, "reasons": [str(error)]})
        elif output is CiOutput.JUNIT:
            case = Case("contract", "failed", str(error)) if isinstance(error, ContractChanged) else None
            cases = [case or Case("deploy", "error", str(error))]
            about = {"model": model, "outcome": "refused"}
            sys.stdout.buffer.write(junit(f"{SUITE} deploy", cases, about, _at(began)))
        raise


def _at(began: datetime) -> str:
    return began.replace(tzinfo=None).isoformat(timespec="seconds")


def _print_text(outcome: Outcome) -> None:
    stdout.print(f"{outcome.word}: {outcome.deployment.model}", markup=False, highlight=False)
    stdout.print(f"  {outcome.in_force}", markup=False, highlight=False, soft_wrap=True)
    for reason in outcome.reasons:
        stdout.print(f"  {reason}", markup=False, highlight=False, soft_wrap=True)
    if not outcome.passages:
        return
    table = Table("step", "weight", "", "took", "events", "needs")
    for number, passage in enumerate(outcome.passages, 1):
        weight = "live" if passage.weight is None else f"{passage.weight:g} %"
        took = "" if passage.seconds is None else f"{passage.seconds:.0f} s"
        events = f"{passage.events:,}" if passage.seconds is not None else ""
        table.add_row(str(number), weight, passage.how, took, events, passage.needs)
    stdout.print(table)
