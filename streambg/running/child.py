"""One running child: a process tied to this one, its output as lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from streambg.running import tether

# What one read takes from the pipe: the size of a Linux pipe.
READ = 65_536
# A "line" without an end is passed on in pieces of this size, so that a child that writes no newline costs no memory.
LONGEST_LINE = 65_536


class Child:
    """Started when made. It ends with the thread that made it (tether.py), whatever becomes of this process.

    Raises OSError where the interpreter cannot be run.
    """

    def __init__(self, argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        # A session of its own: Ctrl-C at the terminal is the parent's business, who then ends the children in order.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *argv],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._rest = b""
        self.at_end = False

    @property
    def pid(self) -> int:
        """Of the process; it stays this one's until `poll` gave its exit code."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable where there are lines, or where their end has come."""
        return self._pipe.fileno()

    def poll(self) -> int | None:
        """The exit code (negative: a signal), None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens where it has ended: its pid is not used again before `poll` has buried it."""
        self._process.send_signal(number)

    def lines(self, *, rest: bool = False) -> list[str]:
        """What was written since the last call, whole lines; with `rest` also the piece after the last newline."""
        chunks = [self._rest]
        while not self.at_end:
            try:
                chunk = os.read(self._pipe.fileno(), READ)
            except BlockingIOError:
                break
            self.at_end = not chunk
            chunks.append(chunk)
            if not rest and sum(map(len, chunks)) > 4 * READ:
                break  # others want to be heard, too
        *whole, self._rest = b"".join(chunks).split(b"\n")
        if len(self._rest) > LONGEST_LINE or (rest and self._rest):
            whole.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace").rstrip("\r") for line in whole]

    def close(self) -> None:
        """Give the pipe back; the process must have ended."""
        self._pipe.close()
