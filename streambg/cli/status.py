"""`streambg status`: once, or again and again with --watch."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator
from contextlib import closing, nullcontext
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from rich.console import RenderableType
from rich.live import Live

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    connected_pipeline,
    only_with,
    print_json,
    stdout,
)
from streambg.config import Pipeline
from streambg.errors import StreambgError
from streambg.kafka.errors import translate
from streambg.process.ending import until_ctrl_c
from streambg.status.collect import Collector
from streambg.status.report import as_json, attention
from streambg.status.show import conclusion, page

app = typer.Typer()

# `--check`: 0 OK, this where a person should look
ATTENTION = 1
# A look takes some tenths of a second; more often nobody can read it.
MIN_INTERVAL_S, INTERVAL_S = 1.0, 2.0

Look = tuple[dict[str, Any], RenderableType, bool]


@app.command(epilog="Example:  streambg status --watch")
def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(min=MIN_INTERVAL_S, help="Seconds between two looks of --watch.")
    ] = INTERVAL_S,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 0 where all is well, 1 where a person should look.")
    ] = False,
    ignore_record: Annotated[
        list[int] | None,
        typer.Option(metavar="OFFSET", help="Pass this record of the control log, as all processes were told to (P5)."),
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """What the pipeline does now. With Redis down it says so, and takes the evidence from its topic.

    With --watch and --output json it prints one line of JSON a look; --check then judges the last one.
    """
    if not watch:
        only_with(context, "--watch", "interval")
    config = connected_pipeline(pipeline, by_offsets=True, ignore_records=ignore_record or ())
    collector = Collector(config)
    if watch:
        fine = _watch(_looks(collector, config, interval), output)
    else:
        with collector:
            document, shown, fine = _look(collector, config)
        if output is Output.JSON:
            print_json(document)
        else:
            stdout.print(shown, highlight=False)
    if check and not fine:
        raise typer.Exit(ATTENTION)


def _look(collector: Collector, config: Pipeline) -> Look:
    found = collector.look()
    notes = attention(found, config.rollout.max_lag_ms)
    return as_json(found, notes), page(found, notes), not notes


def _looks(collector: Collector, config: Pipeline, interval: float) -> Generator[Look]:
    """For ever. What cannot be read is a look as well: a broker that is away comes back."""
    with collector:
        while True:
            started = time.monotonic()
            try:
                yield _look(collector, config)
            except (KafkaException, StreambgError) as error:
                what = (translate(error) if isinstance(error, KafkaException) else error).what
                document = {"pipeline": config.name, "at_ms": time.time_ns() // 1_000_000, "ok": False}
                yield document | {"attention": [what]}, conclusion([what], ""), False
            time.sleep(max(0.0, started + interval - time.monotonic()))


def _watch(looks: Generator[Look], output: Output) -> bool:
    """Until Ctrl-C, or until nobody reads any more; whether the last look was fine."""
    fine = True
    # what does not fit is cut off below: the conclusion stands above
    live = Live(console=stdout, auto_refresh=False, vertical_overflow="crop")
    in_place = output is Output.TEXT and stdout.is_terminal
    with until_ctrl_c(), closing(looks), live if in_place else nullcontext():
        for document, shown, good in looks:
            fine = good
            if in_place:
                live.update(shown, refresh=True)
            elif not _say(document, shown, output):
                break
    return fine


def _say(document: dict[str, Any], shown: RenderableType, output: Output) -> bool:
    """One look below the other; False where nobody reads any more (`| head`)."""
    try:
        if output is Output.JSON:
            sys.stdout.write(json.dumps(document, default=str) + "\n")
        else:
            stdout.print(shown, highlight=False)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
