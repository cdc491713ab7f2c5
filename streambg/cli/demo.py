"""`streambg demo`: the main job on real data, from an empty machine to the audit's word."""

from __future__ import annotations

import os
from enum import Enum
from typing import Annotated

import typer
from rich.console import Console

from streambg.cli.broker import ServerChoice
from streambg.cli.common import DEFAULT_PIPELINE, Output, OutputOption, PipelineOption, print_json
from streambg.demo import deciding, places
from streambg.demo.result import Result, render
from streambg.demo.run import Wanted, run
from streambg.demo.screen import Screen
from streambg.demo.stories import STORIES
from streambg.errors import ConfigError
from streambg.running.stopping import Stopping
from streambg.topicplan.broker import LOCAL_PARTITIONS

# One step needs some events to be seen in; fewer show nothing.
FEWEST_EVENTS = 2_000
WRONG = 1
# Of the widest table, where there is no terminal to ask.
TABLE_WIDTH = 110

app = typer.Typer()


class Scenario(str, Enum):  # noqa: UP042 - Typer wants a str that is an Enum
    """The names of stories.py, for the command line."""

    GOOD = "good"
    BAD = "bad"
    DRIFT = "drift"
    SILENT = "silent"


# The demo says its commands whatever the models are worth.
NEXT = """
Nobody asked here which model is better: streambg demo --scenario good, or bad, shows a rollout that decides.
Your own model: README.md, "Put in your own model"."""


@app.command(epilog="Example:  streambg demo --events 20000 --keep;  streambg demo --scenario bad")
def demo(
    events: Annotated[int, typer.Option(min=FEWEST_EVENTS, max=100_000_000, help="Length of the stream.")] = 120_000,
    rate: Annotated[int, typer.Option(min=10, max=100_000, help="Events a second.")] = 2_000,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=100, show_default=False, help=f"Of the input topic. Default: {LOCAL_PARTITIONS}."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave broker and Redis running, for `streambg audit` and others.")
    ] = False,
    servers: Annotated[
        ServerChoice, typer.Option(help="auto: Docker where there is an engine, else processes of this machine.")
    ] = ServerChoice.AUTO,
    attach: Annotated[
        bool, typer.Option("--attach", help="Start nothing: play it on servers and processes that run; see above.")
    ] = False,
    scenario: Annotated[
        Scenario | None, typer.Option(help="A rollout that decides by itself; the candidate is as the word says.")
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Two colors score, one is published, the control log switches, a publisher is killed; then the audit.

    Brings its own broker and Redis (an address in the environment is not used), and ends with 0 only where the audit
    finds nothing wrong and the dead letters are exactly the events that were planted to become one.

    With --attach the servers are those that the pipeline file and the environment name, the processes run already,
    the pipeline must still be empty, and nobody is killed.
    """
    if attach and scenario is not None:
        raise ConfigError("a scenario stops processes, and --attach has none", way_out="leave out --attach")
    if attach and (keep or partitions is not None or servers is not ServerChoice.AUTO):
        raise ConfigError(
            "--attach starts no servers and creates no topics", way_out="leave out --keep, --partitions and --servers"
        )
    console = Console(stderr=output is Output.JSON, highlight=False)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    count = partitions or LOCAL_PARTITIONS
    story = None if scenario is None else STORIES[scenario.value]
    wanted = Wanted(pipeline.absolute(), events, rate, count, keep, servers.value, attach, story)
    with Stopping(), Screen(console) as screen:
        try:
            result, kept = run(wanted, screen, os.environ)
        except KeyboardInterrupt:
            screen.note(
                f"interrupted; {'no more events are sent' if attach else 'the processes and servers have ended'}"
            )
            raise
    if output is Output.JSON:
        print_json(result.as_json())
    else:
        console.print(render(result) if isinstance(result, Result) else deciding.render(result))
        if result.ok and isinstance(result, Result) and kept is None:
            console.print(NEXT, highlight=False)
    if kept is not None:
        console.print("\nBroker and Redis go on running. Look at what is in them:")
        for line in kept.words(places.program()):
            console.print(f"  {line}", markup=False, soft_wrap=True)
    if not result.ok:
        raise typer.Exit(WRONG)
