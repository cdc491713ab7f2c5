"""Ctrl-C as the end of a verb, or of what it watches."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# An error so soon behind a Ctrl-C is what became of it. One that comes later is not: C may drop a KeyboardInterrupt.
SOON_S = 1.0


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
