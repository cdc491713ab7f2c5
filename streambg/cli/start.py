"""The console script. It imports nothing until Ctrl-C has an answer: loading the verbs takes a second."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

CTRL_C = 130

Handler = Callable[[int, FrameType | None], object]


def main() -> None:
    """Run the verb that the command line names. Exit codes: streambg/errors.py."""
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        signal.default_int_handler(number, frame)

    try:
        # code in C that is loaded here may drop a KeyboardInterrupt, and there is nothing to clean up yet
        with _on_ctrl_c(_leave):
            from streambg.cli.main import asked, run  # noqa: PLC0415 - that second
            from streambg.process.ctrl_c import ctrl_c_is_itself  # noqa: PLC0415 - the same

            verbs = asked()

        with _on_ctrl_c(hear), ctrl_c_is_itself():
            run(verbs)
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
    except Exception:
        if not heard:
            raise
        sys.exit(CTRL_C)  # what a client in C made of it: a TypeError where it was taking its settings


@contextmanager
def _on_ctrl_c(handler: Handler) -> Iterator[None]:
    """Only where it raises KeyboardInterrupt: a shell that starts a verb in the background has it ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(CTRL_C)
