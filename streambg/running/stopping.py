"""Ctrl-C, SIGTERM and SIGHUP as one wish to stop, heard by the loop that can end things in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """While entered (on the main thread), signals are wishes to stop.

    Before `listen()` a signal raises KeyboardInterrupt, so that slow starts can be left; after it, the first one sets
    `wished`, and each further one calls `at_once`: a person who presses twice does not want to wait.
    """

    def __init__(self) -> None:
        self.wished = threading.Event()
        self.by: signal.Signals | None = None
        self._listening = False
        self._interrupted = False
        self._at_once: Callable[[], None] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def listen(self, at_once: Callable[[], None] | None = None) -> None:
        """From now on nothing is interrupted; whoever loops looks at `wished`."""
        self._listening = True
        self._at_once = at_once

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        again = self.wished.is_set()
        self.by = self.by or signal.Signals(number)
        self.wished.set()
        if not self._listening:
            self._listening = self._interrupted = True  # what ends now ends in order, whatever else is pressed
            raise KeyboardInterrupt
        if again and self._at_once is not None:
            self._at_once()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._interrupted and isinstance(error, SystemError | TypeError):
            # what Kafka's client makes of a KeyboardInterrupt while it takes its settings, or answers
            raise KeyboardInterrupt from error
