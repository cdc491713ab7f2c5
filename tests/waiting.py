"""Tests wait for a condition with a deadline, never for an amount of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], timeout: float = 20.0, what: str = "") -> T:
    """The condition's first true value; after `timeout` seconds an AssertionError that names `what`."""
    deadline = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition}; last value {value!r}")
        # the pause between two looks, not a wait for an effect; a costly look leaves the processor to what it waits for
        time.sleep(max(0.02, 2 * (now - began)))
