"""A real Apache Kafka broker on this machine, from jars: start, stop, kill, restart on the same port and data."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streambg.errors import StreambgError, Unreachable
from streambg.servers.cache import Progress, quiet
from streambg.servers.guarded import Command, Guarded
from streambg.servers.installation import Installation, cluster_id, install, renew_cluster_id
from streambg.servers.kafka_config import KAFKA_VERSION, MAIN, Launch, java_command, server_properties
from streambg.servers.local_server import PORT_TRIES, LocalServer, PortStolen
from streambg.servers.ports import HOST, free_port, is_free, listening, require_free

START_TIMEOUT = 60.0  # seconds to the first answer; 1.2 warm on a quiet machine, 4 after a kill; a full load slows it
LOOK = 0.02  # seconds between two looks at a starting broker
TAKEN, LOCKED = "Address already in use", "Failed to acquire lock on file .lock"  # in the broker's log


class LocalKafka(LocalServer):
    """One broker with fresh data in a temporary directory, or on the data of a directory that is given.

    `kill()` and `start()` again is a crash: same port, same data. `start(Launch(limits=...))` is a start on a full
    disk. To stop it in its tracks, send SIGSTOP to `pid`.
    """

    name = "broker"

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int | None = None,
        launch: Launch | None = None,
        progress: Progress = quiet,
        cache: Path | None = None,
    ) -> None:
        super().__init__(directory, port, cache)
        self._launch = launch or Launch()
        self._progress = progress
        self._controller_port = free_port()
        self.data = self.directory / "data"
        self.how = ""

    @property
    def bootstrap(self) -> str:
        """`host:port`, as clients take it."""
        return f"{HOST}:{self.port}"

    def start(self, launch: Launch | None = None, timeout: float = START_TIMEOUT) -> None:
        """Start and wait until clients are answered. `launch` is for this start only.

        Raises ConfigError when the port is taken, Unreachable or StreambgError when the broker cannot run.
        """
        if self.running:
            return
        self.stop()  # the guardian of a server that died by itself still waits, to remove its files
        first = not self.data.exists()
        may_move = self._asked_port is None and first
        self._require_unused()
        if not may_move:
            require_free(self.port, "Kafka", "--port")
        installed = install(self._cache, self._progress)
        self.how = f"local: Apache Kafka {KAFKA_VERSION} on Java {installed.java.version} ({installed.java.path})"
        if first:
            self._new_data(installed)
        for tries_left in reversed(range(PORT_TRIES)):
            try:
                self._run(installed, launch or self._launch, timeout)
                return
            except PortStolen:
                self.kill()
                if not (may_move and tries_left):
                    raise
                self.port, self._controller_port = free_port(), free_port()
            except BaseException:
                self.kill()
                raise

    def _require_unused(self) -> None:
        """A second broker would find out by itself, but only half a minute later."""
        try:
            with (self.data / ".lock").open("r+") as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kind of lock that Java takes
        except FileNotFoundError:
            return
        except OSError:
            raise self._in_use() from None

    def _in_use(self) -> StreambgError:
        return StreambgError(
            f"another broker runs on the data in {self.data}", way_out="end it first, or use another directory"
        )

    def _new_data(self, installed: Installation) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        part = self.directory / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(installed.template, part)
        renew_cluster_id(part)
        part.rename(self.data)

    def _run(self, installed: Installation, launch: Launch, timeout: float) -> None:
        properties = self.directory / "server.properties"
        text = server_properties(self.data, self.port, self._controller_port, launch.overrides)
        properties.write_text(text, encoding="utf-8")
        seen = self.log.stat().st_size if self.log.exists() else 0
        self._process = Guarded(
            Command(
                java_command(installed.java, installed.jars, launch, [MAIN, str(properties)], installed.archive),
                log=self.log,
                cwd=self.directory,
                environment={**os.environ, **launch.environment} if launch.environment else None,
                limits=tuple(launch.limits.items()),
                remove=self._own.path if self._own else None,
            )
        )
        end = time.monotonic() + timeout
        while not listening(self.port):
            self._still_starting(end, timeout, seen)
        # the one that answers must be ours: a free port can be taken before the JVM listens
        ours = cluster_id(self.data)
        while answering_cluster(self.bootstrap) != ours:
            self._still_starting(end, timeout, seen)

    def _still_starting(self, end: float, timeout: float, seen: int) -> None:
        assert self._process is not None
        code = self._process.poll()
        if code is None and time.monotonic() < end:
            time.sleep(LOOK)
            return
        tail = self.log_tail(seen)
        if code is None:
            raise Unreachable(
                f"the broker did not answer at {self.bootstrap} within {timeout:g} s; its log ends:\n    {tail}",
                way_out=f"{self.where_to_look()}; on a loaded machine try again with less running",
            )
        whole = self.log_tail(seen, lines=1000)
        if TAKEN in whole:
            raise self.stolen(next((p for p in (self.port, self._controller_port) if not is_free(p)), self.port))
        if LOCKED in whole:
            raise self._in_use()
        raise StreambgError(
            f"the broker ended with code {code} while it started; its log ends:\n    {tail}",
            way_out=self.where_to_look(),
        )


def answering_cluster(bootstrap: str, timeout: float = 1.0) -> str | None:
    """The id of the cluster that answers a metadata request within `timeout` seconds; None if none does."""
    # log_level 0: refused connections while a broker starts are no news
    settings: dict[str, str | int] = {"bootstrap.servers": bootstrap, "log_level": 0}
    admin = AdminClient({**settings, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100})
    try:
        found = admin.list_topics(timeout=timeout)
    except KafkaException:
        return None
    return str(found.cluster_id) if found.brokers else None
