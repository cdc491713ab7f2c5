"""Ctrl-C where code in C would make another error of it, or drop it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c_is_itself() -> Iterator[None]:
    """KeyboardInterrupt again where a call into C made a SystemError of it, as those of Kafka's client do."""
    try:
        yield
    except SystemError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from None


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C is heard at the end of the block, which must be short: pydantic drops it, while it builds what reads a
    model (what it built is wrong then) and while it reads one.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
