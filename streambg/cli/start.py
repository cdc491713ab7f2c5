"""The console script. It imports nothing until Ctrl-C has an answer: loading the verbs takes a second."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CTRL_C = 130


def main() -> None:
    """Run the verb that the command line names. Exit codes: streambg/errors.py."""
    try:
        with _nothing_begun():
            from streambg.cli.main import main as verbs  # noqa: PLC0415 - that second
            from streambg.process.ctrl_c import ctrl_c_is_itself  # noqa: PLC0415 - the same

        with ctrl_c_is_itself():
            verbs()
    except KeyboardInterrupt:
        sys.exit(CTRL_C)


@contextmanager
def _nothing_begun() -> Iterator[None]:
    """Ctrl-C ends the process at once: code in C that is loaded here may drop it, and there is nothing to clean up."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # a shell that starts it in the background ignores Ctrl-C
        yield
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(CTRL_C)
