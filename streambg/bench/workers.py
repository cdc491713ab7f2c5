"""Processes that are measured: started, pinned, waited for, ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from streambg.errors import StreambgError
from streambg.running import tether
from streambg.servers.ports import HOST, free_port

# A scorer commits what it has, a publisher its transaction: seconds. Then there is nothing left to wait for.
STOP_S = 20.0
HEALTH_S = 2.0
LAST_LINES = 12


class Worker:
    """A child that dies with this process. `cpus`: where it may run, None: anywhere."""

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        cpus: Collection[int] | None,
        port: int = 0,
    ) -> None:
        self.log = log
        self.port = port
        self.name = " ".join(argv[2:])
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *argv],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                start_new_session=True,  # Ctrl-C is the benchmark's business
            )
        if cpus is not None:
            os.sched_setaffinity(self.pid, cpus)  # before it has threads: they inherit it, and keep it over exec

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> None:
        """Raises StreambgError with the end of its log where it has ended."""
        code = self._process.poll()
        if code is not None:
            raise self._failed(code)

    def _failed(self, code: int) -> StreambgError:
        return StreambgError(f"{self.name[:200]} ended with code {code}", way_out=self.tail())

    def tail(self) -> str:
        """The end of its log; the log itself is gone when the benchmark has ended."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n    ".join([f"the log of {self.name[:80]} ends:", *lines])

    def output(self) -> str:
        """Wait for its end; what it printed. Raises StreambgError where it failed."""
        assert self._process.stdout is not None
        said = self._process.stdout.read().decode()
        code = self._process.wait()
        if code != 0:
            raise self._failed(code)
        return said

    def health(self) -> dict[str, Any]:
        """What /healthz says; {} before it answers."""
        try:
            with urlopen(f"http://{HOST}:{self.port}/healthz", timeout=HEALTH_S) as answer:
                return dict(json.load(answer))
        except HTTPError as unwell:
            with unwell:
                return dict(json.load(unwell))
        except (URLError, TimeoutError, ConnectionError):
            return {}

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._process.kill()
        self._bury()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; may be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._bury()

    def _bury(self) -> None:
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()


def consumer_argv(module: str, options: Sequence[str], file: Path) -> tuple[list[str], int]:
    """The command line of a process of the pipeline, in slot 0 where no other is named, and its health port."""
    port = free_port()
    slot = [] if "--slot" in options else ["--slot", "0"]
    common = [*slot, "-p", str(file), "--log", "json", "--metrics-port", str(port)]
    return [sys.executable, "-m", f"consumers.{module}", *options, *common], port
