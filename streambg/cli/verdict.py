"""`streambg verdict`: is the candidate good enough? For people, CI, and whoever gates a rollout on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    connected_pipeline,
    only_with,
    print_json,
    stderr,
    stdout,
)
from streambg.cli.plan import show_seconds
from streambg.comparing.judging import Case, aborted_case, case_of
from streambg.comparing.pair import gate_in_force
from streambg.comparing.told import Told, told, told_aborted
from streambg.comparing.verdict_log import read_verdicts
from streambg.config import Pipeline
from streambg.config.values import parse_duration
from streambg.control import verbs
from streambg.control.fold import why_aborted
from streambg.control.state import ControlState
from streambg.deciding.verdict import EXIT
from streambg.errors import ConfigError, Refused
from streambg.kafka import profiles
from streambg.records.source import other

app = typer.Typer()

# A verdict changes at most once a second, and a look reads the ends of two topics.
LOOK_EVERY_S = 2.0


@app.command(epilog="Example:  streambg verdict --wait --timeout 30m")
def verdict(
    context: typer.Context,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is another word than continue.")] = False,
    timeout: Annotated[str, typer.Option(help="How long --wait waits; then it says what stands.")] = "1h",
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Is the candidate good enough? Exit code 0: promote, 10: abort, 11: continue, 12: inconclusive.

    After the promote it is about harm: abort means roll back. Without fresh evidence it is never promote.
    Of a candidate that was aborted it stays abort, with the reason of the abort, until the next deploy.
    """
    if not wait:
        only_with(context, "--wait", "timeout")
    seconds = _seconds(timeout) if wait else 0.0
    config = connected_pipeline(pipeline, "operator")
    case, found = _last(config, seconds, output)
    if output is Output.JSON:
        print_json(as_json(case, found))
    else:
        said = lines(case, found, int(time.time() * 1_000))
        stdout.print("\n".join(said), markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT[found.word])


def _seconds(timeout: str) -> float:
    try:
        return parse_duration(timeout) / 1_000
    except ValueError as error:
        raise ConfigError(str(error), way_out="--timeout 30m") from None


def _last(config: Pipeline, seconds: float, output: Output) -> tuple[Case, Told]:
    """The first that is no `continue`, or the last before the time is over; news are said on stderr meanwhile."""
    deadline = time.monotonic() + seconds
    said: tuple[str, ...] = ()
    for case, found in _looks(config):
        if found.word != "continue" or time.monotonic() >= deadline:
            return case, found
        if found.reasons != said and output is Output.TEXT:
            said = found.reasons
            stderr.print("\n".join(said), markup=False, highlight=False, soft_wrap=True)
        time.sleep(max(0.0, min(LOOK_EVERY_S, deadline - time.monotonic())))
    raise AssertionError("looks have no end")


def _looks(config: Pipeline) -> Iterator[tuple[Case, Told]]:
    """Each against the control log as it is then: a new deploy is another case. Raises Refused: nobody to judge."""
    reader = {**profiles.reader(config, f"{verbs.CLIENT}.verdict"), **verbs.QUIET}
    with verbs.client(config) as control:
        while True:
            state = control.state()
            case, aborted = case_of(state), aborted_case(state)
            if aborted is not None:
                why = why_aborted(control.follower.entries)
                yield aborted, told_aborted(read_verdicts(reader, config.topics.verdicts), aborted, why)
            elif case is not None:
                yield case, told(read_verdicts(reader, config.topics.verdicts), case, int(time.time() * 1_000))
            else:
                raise nobody(state)


def nobody(state: ControlState) -> Refused:
    """There is none under test, or what it was deployed with declares no metrics."""
    live, gate = state.live_deployment, gate_in_force(state)
    if live is not None and gate is None:
        way_out = "declare `metrics` in the pipeline file, then deploy the candidate by it"
    else:
        way_out = f"streambg deploy {other(live.color) if live else 'blue'} NAME:VERSION"
    return Refused(f"there is nobody to judge: {state.summary()}", way_out=way_out)


def as_json(case: Case, found: Told) -> dict[str, Any]:
    """The record, with what stands now; without one only that."""
    plain: dict[str, Any] = {} if found.record is None else msgspec.to_builtins(found.record)
    return {
        **plain,
        "word": found.word,
        "exit_code": EXIT[found.word],
        "reasons": list(found.reasons),
        "candidate": case.candidate.color,
        "model": case.candidate.model,
        "deployment": case.candidate.id,
        "against": case.against.id,
        "watched": case.watched,
    }


def lines(case: Case, found: Told, now_ms: int) -> list[str]:
    """For people: the word, about whom, from how much, how old, and why."""
    who = f"{case.candidate.color} {case.candidate.model} against {case.against.color} {case.against.model}"
    record = found.record
    seen = f", {record.events:,} events, coverage {int(record.coverage * 10_000) / 100:.2f} %" if record else ""
    age = f", judged {show_seconds(max(0, round((now_ms - record.at_ms) / 1_000)))} ago" if record else ""
    watched = ", promoted: harm is watched for" if case.watched else ""
    noise = [
        f"  A/A: {name} of the model against itself is at most {share:.2%}; `floor: {share:.2%}` takes it off"
        for name, share in (record.noise if record else {}).items()
    ]
    return [f"{found.word}: {who}{seen}{age}{watched}", *(f"  {reason}" for reason in found.reasons), *noise]
