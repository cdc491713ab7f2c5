"""Where a team's own code runs: what it prints is not our output."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def theirs() -> Iterator[None]:
    """What is printed in here goes to stderr: stdout is what a verb says, JSON perhaps.

    Only in the main thread, where verbs and scorers ask their models: `sys.stdout` belongs to the whole process, and
    two threads that put it aside would not put it back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with redirect_stdout(sys.stderr):
        yield
