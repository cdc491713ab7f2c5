"""`streambg plan check`: what a rollout plan asks for, before anybody waits for it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    load_pipeline,
    print_json,
    stdout,
)
from streambg.config import Pipeline
from streambg.config.values import show_duration
from streambg.deciding.forecast import ASSUMED_DISCORDANCE, Forecast, forecasts
from streambg.errors import ConfigError
from streambg.printing import Paragraph, plain_table
from streambg.rollout.plan import Plan
from streambg.rollout.words import shown_step

# Under the table: its words.
NOTE = (
    "Events of the gate. At least: for a candidate that never differs; typically: for one as good as live; to find "
    "harm: for one that is worse by twice the margin. What these mean: docs/decisions.md"
)
app = typer.Typer(
    help="Look at the rollout plan in pipeline.yaml.",
    no_args_is_help=True,
    epilog="Example:  streambg plan check --rate 500",
)


@app.command(epilog="Example:  streambg plan check;  streambg plan check --rate 500 --discordance 1")
def check(
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Events a second, to say how long each gate takes.")
    ] = None,
    discordance: Annotated[
        float,
        typer.Option(min=0, max=100, help="On how many events in a hundred the two models differ, as far as you know."),
    ] = ASSUMED_DISCORDANCE * 100,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """How many events each gate needs at least and typically, and how soon harm is seen; reads the file alone.

    Typically: for a candidate as good as live. At least: for one that never differs. Segments count their own events.
    """
    config = load_pipeline(pipeline)
    gate, plan = config.gate(), config.plan()
    if gate is None or not gate.deciding:
        raise ConfigError(
            f"{config.file} declares no metric that decides", way_out="write `metrics:` with a goal or a guardrail"
        )
    found = forecasts(gate, discordance / 100)
    warnings = list(_warnings(found, plan, rate))
    if output is Output.JSON:
        print_json(_as_json(found, plan, warnings))
        return
    _print(config, found, plan, rate)
    for warning in warnings:
        stdout.print(Paragraph(("careful", "yellow"), f": {warning}"), crop=False)


def _as_json(found: tuple[Forecast, ...], plan: Plan | None, warnings: list[str]) -> dict[str, Any]:
    return {
        "gates": [asdict(each) for each in found],
        "steps": [] if plan is None else [{"weight": step.weight / 100, "gates": step.gates} for step in plan.steps],
        "warnings": warnings,
    }


def _print(config: Pipeline, found: tuple[Forecast, ...], plan: Plan | None, rate: float | None) -> None:
    stdout.print(f"{config.file}: how many events each gate takes", markup=False, highlight=False, soft_wrap=True)
    table = plain_table("gate", "margin", "harm beyond", "at least", "typically", "to find harm")
    for each in found:
        numbers = (each.at_least, each.typically, each.harm)
        shares = (f"{each.margin:.2%}", f"{each.harm_beyond:.2%}")
        table.add_row(Text(_name(each)), *shares, *(_events(number, rate) for number in numbers))
    stdout.print(table)
    stdout.print(Paragraph(NOTE, indent=0), crop=False)
    if plan is None:
        stdout.print("There are no steps: a person moves the weight.", highlight=False)
        return
    for number, step in enumerate(plan.steps, 1):
        stdout.print(Paragraph(f"step {number}: {step.weight / 100:g} %: {shown_step(step)}"), crop=False)
    if plan.promotes:
        after = f"watched for {show_duration(plan.watch_ms)}, the old color kept for {show_duration(plan.keep_warm_ms)}"
        stdout.print(Paragraph(f"then live: {after}"), crop=False)


def _name(each: Forecast) -> str:
    return f"{each.metric} in {each.field}={each.value}" if each.field else each.metric


def _events(number: int | None, rate: float | None) -> str:
    if number is None:
        return "never"
    took = f" ({show_seconds(number / rate)})" if rate else ""
    return f"{number:,}{took}"


def show_seconds(seconds: float) -> str:
    """`40 s`, `12 min`, `3.4 h`, `2.1 d`: two digits are enough for a forecast."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds)} s"


def _digits(value: float) -> str:
    """Two, and no exponent: `.2g` says 1.2e+02 of 119."""
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"


def _warnings(found: tuple[Forecast, ...], plan: Plan | None, rate: float | None) -> list[str]:
    """What cannot come, or not in the time that a step has."""
    said = [
        f"{_name(each)} is never good enough at this discordance: widen its margin, or declare a floor"
        for each in found
        if each.typically is None
    ]
    for number, step in enumerate(plan.steps if plan else (), 1):
        needed = max((each.at_least for each in found if each.metric in step.gates and not each.field), default=0)
        if rate and step.within_ms is not None and max(needed, step.events) / rate * 1_000 > step.within_ms:
            said.append(
                f"step {number} needs {max(needed, step.events):,} events at least, "
                f"{show_seconds(max(needed, step.events) / rate)} at {rate:g} a second; "
                f"within is {show_duration(step.within_ms)}: it would be inconclusive"
            )
    return said
