"""Servers that stay: started once, found again through a state file, ended by `streambg broker stop`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from streambg.errors import StreambgError
from streambg.servers import processes
from streambg.servers.cache import Progress, cache_dir, exclusive, quiet
from streambg.servers.kafka_config import Launch
from streambg.servers.launching import RunningServer, Servers, Wanted, bring_up, docker_lacks
from streambg.servers.local_kafka import answering_cluster
from streambg.servers.local_redis import answering_pid
from streambg.servers.ports import is_free
from streambg.servers.ways import Choice

FORMAT = 1  # of the state file
STATE = "broker.json"
USUAL_PORT, USUAL_REDIS_PORT = 9092, 6379  # what pipeline.yaml assumes; where taken, a free port is chosen


@dataclass(frozen=True, slots=True)
class State:
    """What the state file says."""

    servers: tuple[RunningServer, ...] = ()
    format: int = FORMAT

    def get(self, name: str) -> RunningServer | None:
        """The server of that name."""
        return next((server for server in self.servers if server.name == name), None)


@dataclass(frozen=True, slots=True)
class Health:
    """A recorded server: whether it is still there, and whether it answers."""

    server: RunningServer
    running: bool
    answers: bool


_STATE = TypeAdapter(State)


def home(directory: Path | None) -> Path:
    """Where data, logs and the state file are: the directory given, else one in the user's cache."""
    return directory.absolute() if directory else cache_dir() / "detached"


def read_state(directory: Path | None = None) -> State:
    """Raises StreambgError when the file is there but cannot be understood."""
    file = home(directory) / STATE
    try:
        state = _STATE.validate_json(file.read_bytes())
    except FileNotFoundError:
        return State()
    except ValidationError as error:
        raise StreambgError(
            f"{file} cannot be understood: {error.errors()[0]['msg']}",
            way_out="end what it names by hand (`ps`, `docker ps`), then remove the file",
        ) from None
    if state.format > FORMAT:
        raise StreambgError(
            f"{file} has format {state.format}, this streambg knows {FORMAT}",
            way_out="use the newer streambg that wrote it",
        )
    return state


def _write_state(directory: Path, state: State) -> None:
    part = directory / f"{STATE}.part"
    part.write_bytes(_STATE.dump_json(state, indent=1))
    part.replace(directory / STATE)


def start(
    directory: Path | None = None,
    *,
    choice: Choice = "auto",
    port: int | None = None,
    redis_port: int | None = None,
    launch: Launch | None = None,
    progress: Progress = quiet,
) -> tuple[State, bool]:
    """Start what does not run yet; True if everything ran already. Raises as launching.bring_up.

    Until both answer and are written down they are owned by this process: Ctrl-C on the way leaves nothing.
    """
    with _alone(directory, progress) as place:
        there = tuple(server for server in read_state(directory).servers if runs(server))
        names = {server.name for server in there}
        if names == {"kafka", "redis"}:
            return State(there), True
        wanted = Wanted(
            choice=choice,
            data_dir=place,
            keeps_data=directory is not None,
            kafka="kafka" not in names,
            redis="redis" not in names,
            launch=launch or Launch(),
        )
        servers = _at_usual_ports(wanted, port, redis_port, progress)
        try:
            started = tuple(server for server in (servers.kafka, servers.redis) if server)
            state = State(tuple(sorted((*there, *started), key=lambda server: server.name)))
            _write_state(place, state)
        except BaseException:
            servers.stop()
            raise
        servers.release()
        return state, False


def _at_usual_ports(wanted: Wanted, port: int | None, redis_port: int | None, progress: Progress) -> Servers:
    """Where no other was asked for. Between the look at a usual port and its use another process may take it."""

    def placed() -> Wanted:
        return replace(wanted, port=_port(port, USUAL_PORT), redis_port=_port(redis_port, USUAL_REDIS_PORT))

    first = placed()
    try:
        return bring_up(first, progress)
    except StreambgError:
        again = placed()
        if again == first:
            raise
        return bring_up(again, progress)


def _port(asked: int | None, usual: int) -> int | None:
    return usual if asked is None and is_free(usual) else asked


def elsewhere(bootstrap: str) -> str:
    """The line after which clients use the broker that `streambg broker start` has started; "" where none runs.

    bootstrap: the address at which a broker was looked for: that one does not count.
    """
    try:
        state = read_state()
    except (StreambgError, OSError):  # whoever asks has a trouble of its own to tell of
        return ""
    kafka, redis = state.get("kafka"), state.get("redis")
    if kafka is None or kafka.address in bootstrap.split(",") or not runs(kafka):
        return ""
    more = f" STREAMBG_REDIS={redis.address}" if redis is not None and runs(redis) else ""
    return f"export STREAMBG_BOOTSTRAP={kafka.address}{more}"


def stop(directory: Path | None = None, *, remove_data: bool = False) -> tuple[RunningServer, ...]:
    """End what the state file names; returns what was still running. Data in directories stays, unless told."""
    if not home(directory).exists():
        return ()
    with _alone(directory, quiet) as place:
        servers = read_state(directory).servers
        ended = tuple(server for server in reversed(servers) if _end(server))
        (place / STATE).unlink(missing_ok=True)
        if remove_data:
            for name in ("kafka", "redis"):
                shutil.rmtree(place / name, ignore_errors=True)
        return ended


def status(directory: Path | None = None) -> tuple[Health, ...]:
    """Each recorded server, asked."""
    return tuple(_health(server) for server in read_state(directory).servers)


def _health(server: RunningServer) -> Health:
    running = runs(server)
    asked = answering_cluster if server.name == "kafka" else answering_pid
    return Health(server, running, running and asked(server.address) is not None)


def runs(server: RunningServer) -> bool:
    """Whether it is still the process (or container) that was written down, not another with its pid."""
    if server.container is not None:
        if docker_lacks():
            return False
        from streambg.servers import engine  # noqa: PLC0415 - its imports are an optional extra, and slow

        return engine.look(server.container)[0] == "running"
    return server.pid is not None and server.started is not None and processes.identity(server.pid) == server.started


def _end(server: RunningServer) -> bool:
    if server.container is not None:
        from streambg.servers import engine  # noqa: PLC0415 - as in runs()

        return engine.remove(server.container)
    if server.pid is None or server.started is None:
        return False
    return processes.end(server.pid, server.started)


@contextmanager
def _alone(directory: Path | None, progress: Progress) -> Iterator[Path]:
    place = home(directory)
    with exclusive(place / "lock", progress):
        yield place


def as_servers(state: State, directory: Path | None) -> Servers:
    """The handle of detached servers: its `stop()` is `stop(directory)`."""
    kafka, redis = state.get("kafka"), state.get("redis")
    return Servers(
        kafka.address if kafka else None, redis.address if redis else None, kafka, redis, (_Detached(directory),)
    )


@dataclass(frozen=True, slots=True)
class _Detached:
    directory: Path | None

    def close(self) -> None:
        stop(self.directory)

    def release(self) -> None:
        """They are released already."""
