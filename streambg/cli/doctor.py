"""`streambg doctor`: does what the guarantee assumes hold on this cluster?"""

from __future__ import annotations

from typing import Annotated

import typer

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    load_pipeline,
    print_json,
    stderr,
    stdout,
)
from streambg.cli.completing import one_of
from streambg.cli.topics import named_principals
from streambg.config.values import parse_duration
from streambg.doctor.collect import collect
from streambg.doctor.examine import NAMES, examine, questions
from streambg.doctor.facts import Wanted
from streambg.doctor.report import as_json, page
from streambg.errors import ConfigError

app = typer.Typer()
# What the guarantee assumes does not hold, or nobody can say.
DOES_NOT_HOLD = 1


@app.command(epilog="Example:  streambg doctor --outage 24h;  streambg doctor --local --check replication")
def doctor(
    outage: Annotated[
        str, typer.Option("--outage", help="The longest time that processes may stand still: 24h, 3d.")
    ] = "24h",
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", min=0, help="Events a second that Redis must have room for (labels). Default: the last hour's."
        ),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="A single broker is meant: say so, and do not fail because of it.")
    ] = False,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", help=f"Only this one; repeatable: {', '.join(NAMES)}.", autocompletion=one_of(NAMES)),
    ] = None,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="End with 0 although something could not be checked.")
    ] = False,
    prefix: Annotated[
        str | None,
        typer.Option("--principal-prefix", help="Of all logins; the role follows. Default: User:<pipeline>-"),
    ] = None,
    principal: Annotated[
        list[str] | None, typer.Option("--principal", help="One role's login: publisher=svc-out; repeatable.")
    ] = None,
    ignore_record: Annotated[
        list[int] | None, typer.Option(help="A control record that all processes are told to ignore; repeatable.")
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check each assumption of the guarantee on this cluster: ok, or what breaks and the command that mends it.

    Reads and asks; writes and changes nothing. Exit code 0: the guarantee holds. 1: it does not, or something could
    not be checked.
    """
    config = load_pipeline(pipeline, ignore_record or ())
    names = check or list(NAMES)
    if unknown := next((name for name in names if name not in NAMES), None):
        raise ConfigError(f"{unknown!r} is no check", way_out=f"one of {', '.join(NAMES)}")
    wanted = Wanted(
        _duration(outage),
        config.labels.horizon_ms if config.labels is not None else 0,
        rate,
        local,
        named_principals(config, prefix, principal or ()),
    )
    with stderr.status("asking the cluster") as shown:
        facts = collect(
            config,
            questions(names),
            lambda question: shown.update(f"asking about {question}"),
        )
    diagnosis = examine(facts, wanted, names)
    holds = diagnosis.holds(allow_unknown)
    if output is Output.JSON:
        print_json(as_json(facts.pipeline, facts.bootstrap, diagnosis, holds))
    else:
        stdout.print(page(facts.pipeline, facts.bootstrap, diagnosis), highlight=False)
    if not holds:
        raise typer.Exit(DOES_NOT_HOLD)


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--outage: {error}", way_out="--outage 24h") from None
