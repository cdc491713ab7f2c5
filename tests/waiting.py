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
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition}; last value {value!r}")
        time.sleep(0.02)  # the pause between two looks, not a wait for an effect
