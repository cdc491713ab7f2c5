"""The processes of one contender: started together, killed together, with their CPU time and memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streambg.errors import StreambgError
from streambg.process.usage import cpu_seconds
from streambg.servers.guarded import Command, Guarded

# What a contender gets from SIGTERM to SIGKILL when its row is measured; Kafka Streams closes in 2 s.
GRACE_S = 15.0
LOG_TAIL = 1_500


@dataclass(frozen=True, slots=True)
class Program:
    """A command line, and what its environment has beyond ours."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]


class Team:
    """One or several processes that do one job. Use as a context manager: nothing outlives it."""

    def __init__(self, folder: Path, programs: Sequence[Program]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._programs = programs
        self._running: list[Guarded] = []

    def start(self) -> None:
        """All of them."""
        for program in self._programs:
            command = Command(
                program.argv,
                log=self.log(program.name),
                cwd=self._folder,
                environment={**os.environ, **program.environment},
                grace=GRACE_S,
            )
            self._running.append(Guarded(command))

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def kill(self) -> None:
        """kill -9 to all of them, and wait until they are gone."""
        self._end(kill=True)

    def stop(self) -> None:
        """SIGTERM; SIGKILL to what does not end."""
        self._end(kill=False)

    def _end(self, *, kill: bool) -> None:
        running, self._running = self._running, []
        for process in running:
            if kill:
                process.kill()
            else:
                process.stop()

    def check(self) -> None:
        """Raises StreambgError where one has ended by itself, with the end of its log."""
        for program, process in zip(self._programs, self._running, strict=False):
            if (code := process.poll()) is not None:
                tail = self.log(program.name).read_text(errors="replace")[-LOG_TAIL:]
                raise StreambgError(
                    f"{program.name} ended with code {code}; its log ends:\n{tail}",
                    way_out=f"see {self.log(program.name)}",
                )

    @property
    def alive(self) -> bool:
        """Whether all of them run."""
        return bool(self._running) and all(process.poll() is None for process in self._running)

    def cpu(self) -> float:
        """User and system seconds of those that run now."""
        return sum(cpu_seconds(process.pid) or 0.0 for process in self._running)

    def peak_mb(self) -> float:
        """The largest process's peak of resident memory, MiB."""
        return max((_peak_kb(process.pid) for process in self._running), default=0) / 1024

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _peak_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
