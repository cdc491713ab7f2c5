"""`streambg up`: every process of a pipeline as a child of this one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from streambg.cli.broker import ServerChoice
from streambg.cli.common import DEFAULT_PIPELINE, PipelineOption
from streambg.config import Pipeline, load, redact_text
from streambg.errors import ConfigError, StreambgError
from streambg.running import plan
from streambg.running.holders import require_free
from streambg.running.places import bring_servers, environment, ports
from streambg.running.stopping import Stopping
from streambg.running.supervisor import Seen, Supervisor
from streambg.running.terminal import Terminal
from streambg.servers import Servers
from streambg.servers.ports import HOST
from streambg.topicplan import ensure

# Prometheus' list of well-known exporter ports ends far below; the next ones are for the other processes.
FIRST_METRICS_PORT = 19_630
LOOK = 0.2  # seconds between two looks at a wish to stop that came while the main thread waited

app = typer.Typer()


@app.command(epilog="Example:  streambg up --publishers 2")
def up(
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    servers: Annotated[
        ServerChoice, typer.Option(help="How missing servers are started: Docker where there is an engine, or local.")
    ] = ServerChoice.AUTO,
    scorers: Annotated[int, typer.Option(min=1, max=plan.MAX_MEMBERS, help="Members of each color.")] = 1,
    publishers: Annotated[int, typer.Option(min=1, max=plan.MAX_MEMBERS, help="At most publish.slots.")] = 1,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where servers started here keep their data. Default: thrown away.")
    ] = None,
    metrics_port: Annotated[
        int, typer.Option(min=1024, max=65_000, help="/metrics of the first process; the others follow.")
    ] = FIRST_METRICS_PORT,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the places of members that run already; those then end.")
    ] = False,
) -> None:
    """Run a pipeline on this machine: servers where none answer, topics, and all its processes. Ctrl-C ends it all.

    Where its members run already it is refused: members that have just ended are waited for, 7 s at most.
    """
    console = Console(highlight=False)
    with Stopping() as stopping:
        file = pipeline.absolute()
        plan.require_consumers(file)
        _check_slots(load(file, os.environ), publishers)
        labels = plan.names(scorers, publishers)
        terminal = Terminal(console, max(map(len, labels)), stopping.wished.set)
        with bring_servers(file, os.environ, servers.value, data_dir, terminal.note) as started:
            surroundings = environment(started)
            config = load(file, surroundings)
            if started.kafka is None and not take_over:  # in a broker of our own nobody can be yet
                require_free(config, scorers, publishers, terminal.note)
            for line in ensure(config):
                terminal.note(line)
            processes = plan.processes(scorers, publishers, ports(metrics_port, len(labels)))
            _introduce(terminal, config, started, processes)
            ended = _run(processes, file, surroundings, terminal, stopping)
    _verdict(ended, stopping)


def _check_slots(config: Pipeline, publishers: int) -> None:
    if publishers > config.publish.slots:
        raise ConfigError(
            f"--publishers {publishers} is more than publish.slots, {config.publish.slots}",
            way_out=f"publish: {{slots: {publishers}}} in the pipeline file, for every process",
        )


def _introduce(terminal: Terminal, config: Pipeline, started: Servers, processes: tuple[plan.Process, ...]) -> None:
    for name, server, address in (
        ("Kafka", started.kafka, config.kafka.bootstrap),
        ("Redis", started.redis, redact_text(config.redis)),
    ):
        terminal.note(f"{name} at {address} " + (f"({server.how}; ends with this)" if server else "(as given)"))
    if started.kafka:
        terminal.note(
            f"in another terminal: export STREAMBG_BOOTSTRAP={started.bootstrap} STREAMBG_REDIS={started.redis_url}"
        )
    for process in processes:
        terminal.note(f"{process.name}: http://{HOST}:{process.port}/metrics and /healthz")
    terminal.note("Ctrl-C ends it all")


def _run(
    processes: tuple[plan.Process, ...],
    file: Path,
    surroundings: Mapping[str, str],
    terminal: Terminal,
    stopping: Stopping,
) -> Mapping[str, Seen]:
    supervisor = Supervisor(processes, file, surroundings, terminal.line, terminal.say)
    stopping.listen(at_once=supervisor.kill)
    supervisor.start()
    try:
        while not stopping.wished.is_set() and not supervisor.ended(LOOK):
            pass
        if stopping.wished.is_set():
            terminal.note("stopping; once more kills")
    finally:
        ended = supervisor.stop()
    return ended


def _verdict(ended: Mapping[str, Seen], stopping: Stopping) -> None:
    """A stop that was wished for is what `up` is for: 0. Else nobody was left, and the first one's code says why."""
    if stopping.wished.is_set():
        return
    left = [seen for seen in ended.values() if seen.left]
    error = StreambgError(
        "; ".join(f"{seen.process.name} ended and was not started again" for seen in left) or "no process is left",
        way_out=left[0].left if left else "",
    )
    error.exit_code = left[0].lives[-1].code or 1 if left else 1
    raise error
