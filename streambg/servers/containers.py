"""The same two servers as Docker containers, for machines that have an engine (needs the extra `local`).

Containers are ended by our own guardian, as local servers are: testcontainers' reaper is a third image to pull, is
switched off on many machines, and would also end what is meant to stay.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from streambg.errors import StreambgError, Unreachable
from streambg.servers.cache import Progress, quiet
from streambg.servers.engine import first_line, look
from streambg.servers.guarded import Command, Guarded
from streambg.servers.kafka_config import KAFKA_VERSION, shared_settings
from streambg.servers.local_kafka import answering_cluster
from streambg.servers.local_redis import answering_pid
from streambg.servers.ports import HOST, free_port, require_free

KAFKA_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
REDIS_IMAGE = "redis:7"
KAFKA_PORT, CONTROLLER_PORT, REDIS_PORT = 9092, 9093, 6379  # inside the containers
START_TIMEOUT = 120.0  # seconds to the first answer, image present: 5-15 on a laptop's engine
LOOK = 0.1  # seconds between two looks at a starting container
LABEL = "streambg.server"


class ServerContainer:
    """One container, owned by this process. The port is chosen before the start, because Kafka announces it."""

    def __init__(
        self, name: str, image: str, *, port: int | None = None, flag: str = "--port", progress: Progress = quiet
    ) -> None:
        if port is not None:
            require_free(port, name, flag)
        self.server, self.image, self.progress = name, image, progress
        self.port = port or free_port()
        self.container = f"streambg-{name}-{secrets.token_hex(6)}"
        self.how = f"docker: {image}"
        self.host = HOST
        self._guard: Guarded | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def run(
        self,
        inside: int,
        settings: Callable[[str, int], Mapping[str, str]],
        command: list[str] | None,
        answers: Callable[[str], bool],
    ) -> None:
        """Start and wait until `answers(address)`. `settings(host, port)` is the container's environment.

        Raises StreambgError when the image cannot be had or the container ends, Unreachable when it does not answer.
        """
        remover = [sys.executable, "-m", "streambg.servers.engine", self.container]
        self._guard = Guarded(Command((), log=Path(os.devnull), cwd=Path.cwd(), at_end=remover))
        try:
            self._create(inside, settings, command)
            self._await(answers)
        except BaseException:
            self.close()
            raise

    def _create(
        self, inside: int, settings: Callable[[str, int], Mapping[str, str]], command: list[str] | None
    ) -> None:
        with _no_reaper():
            try:
                container = DockerContainer(self.image, name=self.container)
                self.host = _loopback(container.get_docker_client().host())
                for key, value in settings(self.host, self.port).items():
                    container.with_env(key, value)
                if command:
                    container.with_command(command)
                # with_bind_ports knows no host address; without one the server would be open to the network
                bound: Any = (self.host, self.port) if self.host == HOST else self.port
                container.ports[f"{inside}/tcp"] = bound
                container.with_kwargs(labels={LABEL: self.server})
                self.progress(f"starting {self.image} with Docker (fetched once)")
                container.start()
            except Exception as error:  # docker's, requests' and urllib3's errors have no common class
                raise StreambgError(
                    f"Docker could not start {self.image}: {first_line(error)}",
                    way_out=f"`docker pull {self.image}` by hand shows more; or use --servers local",
                ) from error

    def _await(self, answers: Callable[[str], bool]) -> None:
        end = time.monotonic() + START_TIMEOUT
        while not answers(self.address):
            state, tail = look(self.container)
            if state not in {"created", "running"}:
                raise StreambgError(
                    f"{self.image} is {state} instead of answering; its log ends:\n    {tail}",
                    way_out="use --servers local, or look at the image",
                )
            if time.monotonic() > end:
                what = f"{self.image} did not answer at {self.address} within {START_TIMEOUT:g} s"
                raise Unreachable(
                    f"{what}; its log ends:\n    {tail}",
                    way_out="is the engine's port forwarding reachable from here? use --servers local",
                )
            time.sleep(LOOK)

    def release(self) -> None:
        """From now on the container outlives this process; the caller has written down its name."""
        if self._guard is not None:
            self._guard.release()
            self._guard = None

    def close(self) -> None:
        """Remove the container and what it holds."""
        if self._guard is not None:
            self._guard.stop()
            self._guard = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_kafka(port: int | None, overrides: Mapping[str, str], progress: Progress) -> ServerContainer:
    """A broker in a container, answering."""
    server = ServerContainer("kafka", KAFKA_IMAGE, port=port, progress=progress)
    server.run(
        KAFKA_PORT, lambda host, at: kafka_environment(host, at, overrides), None, lambda a: bool(answering_cluster(a))
    )
    return server


def start_redis(port: int | None, progress: Progress) -> ServerContainer:
    """A Redis in a container, answering; it writes nothing to disk."""
    server = ServerContainer("redis", REDIS_IMAGE, port=port, flag="--redis-port", progress=progress)
    command = ["--save", "", "--appendonly", "no"]
    server.run(REDIS_PORT, lambda *_: {}, command, lambda a: answering_pid(f"redis://{a}/0") is not None)
    return server


def kafka_environment(host: str, port: int, overrides: Mapping[str, str]) -> dict[str, str]:
    """Server properties as the image takes them: all of them, as a single one turns off the image's defaults."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@localhost:{CONTROLLER_PORT}",
        "listeners": f"PLAINTEXT://:{KAFKA_PORT},CONTROLLER://:{CONTROLLER_PORT}",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        **shared_settings(),
        **overrides,
    }
    return {variable(key): value for key, value in settings.items()}


def variable(key: str) -> str:
    """The image's name for a property: `_` is written twice, `-` three times, `.` becomes `_`."""
    return "KAFKA_" + key.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def _loopback(host: str) -> str:
    return HOST if host == "localhost" else host  # localhost may also mean ::1, which is not bound


@contextmanager
def _no_reaper() -> Iterator[None]:
    config: Any = testcontainers_config
    before = config.ryuk_disabled
    config.ryuk_disabled = True
    try:
        yield
    finally:
        config.ryuk_disabled = before
