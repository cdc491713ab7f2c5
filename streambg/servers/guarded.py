"""The owner's side of a guardian: start a server, order it to stop, learn how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streambg.errors import StreambgError
from streambg.servers import guardian

SPAWN_TIMEOUT = 20.0  # seconds for the guardian's first word, normally 0.05; a machine under load takes longer
GRACE = 30.0  # seconds from SIGTERM to SIGKILL; a broker with thousands of segments writes checkpoints for long


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `limits` are (RLIMIT_*, value) pairs; `remove` goes when the owner dies without a word;
    `at_end` runs in any case once the server has ended. An empty `argv` guards only for `at_end`'s sake.
    """

    argv: Sequence[str]
    log: Path
    cwd: Path
    environment: Mapping[str, str] | None = None
    limits: Sequence[tuple[int, int]] = ()
    remove: Path | None = None
    at_end: Sequence[str] = ()
    grace: float = field(default=GRACE)


class Guarded:
    """A running server with its guardian. Not for several threads at once."""

    def __init__(self, command: Command) -> None:
        """Raises StreambgError when the program cannot be run."""
        spec = {
            "command": list(command.argv),
            "log": str(command.log),
            "cwd": str(command.cwd),
            "environment": None if command.environment is None else dict(command.environment),
            "limits": list(command.limits),
            "remove": None if command.remove is None else str(command.remove),
            "at_end": list(command.at_end),
            "grace": command.grace,
            "owner": os.getpid(),
        }
        # A session of its own: Ctrl-C at the terminal is the owner's business, who then ends the server in order.
        # Nothing of the owner's stays open: whoever reads the owner's stderr must see it end.
        with command.log.open("ab") as log:
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                bufsize=0,
            )
        self._buffer = b""
        self._exit: int | None = None
        self.pid = self._first_word(command)

    def _first_word(self, command: Command) -> int:
        end = time.monotonic() + SPAWN_TIMEOUT
        word = self._line(end)
        kind, _, rest = (word or "").partition(" ")
        if kind == "pid":
            return int(rest)
        self._finish()
        raise StreambgError(
            f"cannot run {command.argv[0] if command.argv else 'the guardian'}: "
            f"{rest or f'no answer from its guardian within {SPAWN_TIMEOUT:g} s'}",
            way_out="check that the file exists and may be executed, and that the machine can start processes",
        )

    def _line(self, end: float) -> str | None:
        assert self._guardian.stdout is not None
        fd = self._guardian.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(fd, 4096) if ready else b""
            if not chunk:
                return None
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode()

    def poll(self, timeout: float = 0.0) -> int | None:
        """The server's exit code (negative: signal), None while it runs."""
        if self._exit is None:
            line = None if self._closed else self._line(time.monotonic() + timeout)
            if line and line.startswith("exit "):
                self._exit = int(line[5:])
            elif self._closed or self._guardian.poll() is not None:
                self._exit = -9  # the guardian was killed, and the kernel killed the server with it
        return self._exit

    @property
    def _closed(self) -> bool:
        return self._guardian.stdin is None or self._guardian.stdin.closed

    def stop(self) -> int | None:
        """SIGTERM, then SIGKILL after the grace time; returns the exit code. Files stay."""
        return self._end(guardian.STOP)

    def kill(self) -> int | None:
        """SIGKILL; returns the exit code. Files stay."""
        return self._end(guardian.KILL)

    def _end(self, order: bytes) -> int | None:
        if self._closed:
            return self._exit
        self._order(order)
        while self.poll(timeout=1.0) is None:
            pass  # the guardian itself is bound by its grace time
        self._finish()
        return self._exit

    def release(self) -> None:
        """From now on the server lives until it is ended by its pid, whatever becomes of this process."""
        self._order(guardian.RELEASE)
        self._close_pipes()
        # The guardian goes on as the server's parent; it is not this process's to wait for.
        self._guardian.returncode = 0

    def _order(self, order: bytes) -> None:
        assert self._guardian.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # already gone; poll() finds out
            self._guardian.stdin.write(order)

    def _finish(self) -> None:
        self._close_pipes()
        try:
            self._guardian.wait(guardian.AT_END_TIMEOUT + GRACE)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._guardian.stdin, self._guardian.stdout):
            if pipe is not None:
                pipe.close()
