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
    print_json,
    stderr,
    stdout,
)
from streambg.comparing.judging import Case, case_of
from streambg.comparing.told import Told, told
from streambg.comparing.verdict_log import read_verdicts
from streambg.config import Pipeline
from streambg.config.values import parse_duration
from streambg.control import verbs
from streambg.deciding.verdict import EXIT
from streambg.errors import ConfigError, Refused
from streambg.kafka import profiles

app = typer.Typer()

# A verdict changes at most once a second, and a look reads the ends of two topics.
LOOK_EVERY_S = 2.0


@app.command(epilog="Example:  streambg verdict --wait --timeout 30m")
def verdict(
    wait: Annotated[bool, typer.Option("--wait", help="Until it is another word than continue.")] = False,
    timeout: Annotated[str, typer.Option(help="How long --wait waits; then it says what stands.")] = "1h",
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Is the candidate good enough? Exit code 0: promote, 10: abort, 11: continue, 12: inconclusive.

    After the promote it is about harm: abort means roll back. Without fresh evidence it is never promote.
    """
    seconds = _seconds(timeout) if wait else 0.0
    config = connected_pipeline(pipeline, "operator")
    case, found = _last(config, seconds, output)
    if output is Output.JSON:
        print_json(as_json(case, found))
    else:
        stdout.print("\n".join(lines(case, found)), markup=False, highlight=False, soft_wrap=True)
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
            case = case_of(state)
            if case is None:
                raise Refused(
                    f"there is nobody to judge: {state.summary()}",
                    way_out="deploy a candidate by a pipeline file that declares `metrics`",
                )
            yield case, told(read_verdicts(reader, config.topics.verdicts), case, int(time.time() * 1_000))


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


def lines(case: Case, found: Told) -> list[str]:
    """For people: the word, about whom, from how much, and why."""
    who = f"{case.candidate.color} {case.candidate.model} against {case.against.color} {case.against.model}"
    record = found.record
    seen = f", {record.events:,} events, coverage {int(record.coverage * 10_000) / 100:.2f} %" if record else ""
    watched = ", promoted: harm is watched for" if case.watched else ""
    noise = [
        f"  A/A: {name} of the model against itself is at most {share:.2%}; `floor: {share:.2%}` takes it off"
        for name, share in (record.noise if record else {}).items()
    ]
    return [f"{found.word}: {who}{seen}{watched}", *(f"  {reason}" for reason in found.reasons), *noise]
