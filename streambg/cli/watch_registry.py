"""`streambg watch-registry`: what is new in the registry becomes a candidate by itself."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    connected_pipeline,
    stdout,
)
from streambg.cli.models_pull import MlflowOption
from streambg.config.values import parse_duration
from streambg.continuous.mlflow import Mlflow
from streambg.continuous.versions import InRegistry
from streambg.continuous.watching import News, RegistryWatch
from streambg.errors import ConfigError
from streambg.rollout import verbs as rollouts
from streambg.running.stopping import Stopping

app = typer.Typer()
# Far below the time that a training takes or a rollout needs; a look costs the registry a listing and the broker a
# read of the control log.
INTERVAL = "30s"
# More often the looks themselves would be a load.
MIN_INTERVAL_S = 1.0


@app.command(
    "watch-registry",
    epilog="Example:  streambg watch-registry --interval 1m;  streambg watch-registry --once;  "
    "streambg watch-registry --pull Fraud@challenger",
)
def watch_registry(
    name: Annotated[
        str | None, typer.Option("--name", help="Of the model. Default: that of the live one.", show_default=False)
    ] = None,
    pull: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|NAME@ALIAS",
            help="Watch MLflow: take what is new, or what an alias names, into the registry, and deploy that.",
            show_default=False,
        ),
    ] = None,
    mlflow: MlflowOption = None,
    once: Annotated[bool, typer.Option("--once", help="One look, and end.")] = False,
    interval: Annotated[str, typer.Option(help="Time between two looks.")] = INTERVAL,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Deploy each new version to the idle color and start the plan, one at a time, the newest first; until Ctrl-C.

    What was tried is not tried again, whatever became of it, and a slot that a rollback still needs is never taken
    (P2). JSON: one line for each piece of news.
    """
    seconds = _seconds(interval)
    if name is not None and pull is not None:
        raise ConfigError("--name and --pull both name the model", way_out="leave out --name")
    config = connected_pipeline(pipeline, "operator", by_offsets=True)
    rollouts.plan_of(config)
    source = InRegistry(config, name) if pull is None else Mlflow.at(config, pull, mlflow)
    watch = RegistryWatch(config, source)
    if once:
        _tell(watch.look(), output)
        return
    with Stopping() as stopping:
        stopping.listen()
        watch.run(seconds, stopping.wished, lambda news: _tell(news, output))


def _seconds(interval: str) -> float:
    try:
        seconds = parse_duration(interval) / 1_000
    except ValueError as error:
        raise ConfigError(str(error), way_out=f"--interval {INTERVAL}") from None
    if seconds < MIN_INTERVAL_S:
        raise ConfigError(
            f"--interval {interval} is below the least, {MIN_INTERVAL_S:g}s", way_out=f"--interval {INTERVAL}"
        )
    return seconds


def _tell(news: News, output: Output) -> None:
    """At once, also into a file: who watches does not wait for a buffer to be full."""
    at = datetime.now(UTC)
    if output is Output.JSON:
        said = {"at": at.isoformat(timespec="milliseconds"), "did": news.did, "model": news.model or None}
        sys.stdout.write(json.dumps({**said, "why": news.why}) + "\n")
    else:
        words = " ".join(filter(None, (f"{at:%H:%M:%S}", news.did, news.model)))
        stdout.print(f"{words}: {news.why}", markup=False, highlight=False, soft_wrap=True)
    sys.stdout.flush()
