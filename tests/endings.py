"""What a test starts ends with the tests, however these end: also by a timeout's exit or by kill -9."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streambg.running import tether
from streambg.servers.guarded import Command, Guarded


def tied(*command: str) -> list[str]:
    """The command of a process that is killed when this one ends; to be started by the main thread."""
    return [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command]


@contextmanager
def at_last(log: Path, *command: str) -> Iterator[None]:
    """Run the command when this block ends, or this process, whichever comes first."""
    guard = Guarded(Command([], log=log, cwd=log.parent, at_end=command))
    try:
        yield
    finally:
        guard.stop()


@contextmanager
def servers_end(home: Path, log: Path) -> Iterator[None]:
    """Detached servers that are started in `home` end with this block, and no later than this process."""
    with at_last(log, sys.executable, "-m", "streambg", "broker", "stop", "--dir", str(home), "--remove-data"):
        yield
