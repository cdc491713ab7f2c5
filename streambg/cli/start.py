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
        # code in C that is loaded here may drop a KeyboardInterrupt, and there is nothing to clean up yet
        with _leaving_on_ctrl_c():
            from streambg.cli.main import asked, run  # noqa: PLC0415 - that second
            from streambg.process.ending import until_ctrl_c  # noqa: PLC0415 - the same

            verbs = asked()
        with until_ctrl_c():
            run(verbs)
            return
    except KeyboardInterrupt:  # heard between the two
        pass
    sys.exit(CTRL_C)


@contextmanager
def _leaving_on_ctrl_c() -> Iterator[None]:
    """Only where it raises KeyboardInterrupt: a shell that starts a verb in the background has it ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(CTRL_C)
