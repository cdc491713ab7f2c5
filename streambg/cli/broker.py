"""`streambg broker`: a Kafka broker and a Redis on this machine, until told to stop."""

from __future__ import annotations

import time
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from streambg.cli.common import Output, OutputOption, print_json
from streambg.servers import detached
from streambg.servers.launching import RunningServer

NOT_RUNNING = 3  # exit code of `status`, as init scripts have it
HIGHEST_PORT = 65_535

app = typer.Typer(
    help="A Kafka broker and a Redis on this machine, for development.",
    no_args_is_help=True,
    epilog="Example:  streambg broker start",
)


class ServerChoice(str, Enum):  # noqa: UP042 - Typer wants a str that is an Enum
    """ways.Choice for Typer."""

    AUTO = "auto"
    LOCAL = "local"
    DOCKER = "docker"


Directory = Annotated[
    Path | None, typer.Option("--dir", help="Where data, logs and state are kept. Default: the user's cache.")
]


@app.command(epilog="Example:  streambg broker start --port 9092")
def start(
    port: Annotated[
        int | None, typer.Option(min=1, max=HIGHEST_PORT, help="Kafka's port. Default: 9092, else a free one.")
    ] = None,
    redis_port: Annotated[
        int | None, typer.Option(min=1, max=HIGHEST_PORT, help="Redis' port. Default: 6379, else a free one.")
    ] = None,
    directory: Directory = None,
    servers: Annotated[
        ServerChoice, typer.Option(help="auto: Docker where there is an engine, else processes of this machine.")
    ] = ServerChoice.AUTO,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start both in the background. Data stays in the directory over a stop (in a container it does not)."""
    errors = Console(stderr=True, highlight=False)
    begun = time.monotonic()
    state, already = detached.start(
        directory,
        choice=servers.value,
        port=port,
        redis_port=redis_port,
        progress=lambda line: errors.print(line, style="dim", markup=False, soft_wrap=True),
    )
    kafka, redis = state.get("kafka"), state.get("redis")
    assert kafka is not None
    assert redis is not None
    if output is Output.JSON:
        print_json(
            {
                "already_running": already,
                "bootstrap": kafka.address,
                "redis_url": redis.address,
                "servers": [_plain(server) for server in state.servers],
            }
        )
        return
    if already:
        moved = [s.name for s, asked in ((kafka, port), (redis, redis_port)) if asked not in {None, s.port}]
        typer.echo(
            "Already running" + (f"; {' and '.join(moved)} on another port than asked for" if moved else "") + ":"
        )
    else:
        typer.echo(f"Started in {time.monotonic() - begun:.1f} s:")
    for server in state.servers:
        typer.echo(f"  {_line(server)}")
    for server, asked, usual in (
        (kafka, port, detached.USUAL_PORT),
        (redis, redis_port, detached.USUAL_REDIS_PORT),
    ):
        if not already and asked is None and server.port != usual:
            typer.echo(f"Port {usual} was in use: {server.name} listens at {server.port}.")
    again = "streambg broker start" + (f" --dir {directory}" if directory else "")
    typer.echo(f'In this shell, and every other that uses them: eval "$({again} | grep ^export)"')
    typer.echo(f"\nexport STREAMBG_BOOTSTRAP={kafka.address}\nexport STREAMBG_REDIS={redis.address}")


@app.command(epilog="Example:  streambg broker stop --remove-data")
def stop(
    directory: Directory = None,
    remove_data: Annotated[bool, typer.Option("--remove-data", help="Throw the data away, too.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """End both; the data stays unless told otherwise. Nothing to end is no error."""
    ended = detached.stop(directory, remove_data=remove_data)
    if output is Output.JSON:
        print_json({"stopped": [_plain(server) for server in ended], "data_removed": remove_data})
        return
    typer.echo("Stopped: " + ", ".join(server.name for server in ended) if ended else "Nothing was running.")
    if remove_data:
        typer.echo(f"Removed the data in {detached.home(directory)}")


@app.command(epilog="Example:  streambg broker status --output json")
def status(directory: Directory = None, output: OutputOption = Output.TEXT) -> None:
    """Say what runs and whether it answers. Exit code 3 unless both run and answer."""
    found = detached.status(directory)
    up = len(found) > 1 and all(one.answers for one in found)
    if output is Output.JSON:
        servers = [{**_plain(one.server), "running": one.running, "answers": one.answers} for one in found]
        print_json({"running": up, "servers": servers})
    elif not found:
        typer.echo("Not running. Start with: streambg broker start")
    else:
        for one in found:
            word = "answers" if one.answers else "runs, does not answer" if one.running else "ended"
            typer.echo(f"{word:<8} {_line(one.server)}")
    if not up:
        raise typer.Exit(NOT_RUNNING)


def _line(server: RunningServer) -> str:
    process = f"container {server.container}" if server.container else f"pid {server.pid}"
    log = f"docker logs {server.container}" if server.container else f"log {server.log}"
    return f"{server.name:<5}  {server.address}  {server.how}, {process}, {log}"


def _plain(server: RunningServer) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(server).items()}
