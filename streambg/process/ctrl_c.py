"""Ctrl-C where code in C would make another error of it, or drop it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# An error so soon behind a Ctrl-C is what became of it. One that comes later is not: C may drop a KeyboardInterrupt.
SOON_S = 1.0


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
def until_ctrl_c() -> Iterator[None]:
    """Ctrl-C is the block's ordinary end, also where code in C made another error of it.

    That is a SystemError, or a TypeError where Kafka's client was taking its settings: whatever comes behind a Ctrl-C.
    """
    heard: list[float] = []
    before = signal.getsignal(signal.SIGINT)

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(time.monotonic())
        signal.default_int_handler(number, frame)

    if callable(before):  # a shell that starts a verb in the background has it ignored
        signal.signal(signal.SIGINT, hear)
    try:
        yield
    except KeyboardInterrupt:
        pass
    except Exception:
        if not heard or time.monotonic() - heard[-1] > SOON_S:
            raise
    finally:
        signal.signal(signal.SIGINT, before)


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
