"""Bytes that anybody may have written: a topic's records are read by whoever may read it, and written by whoever may.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Data = TypeVar("Data", bytes, str)
T = TypeVar("T")


def decoded(decode: Callable[[Data], T], data: Data) -> T:
    """What they say. Raises ValueError for whatever is wrong with them (msgspec's errors are ValueErrors, and so is a
    text that is no UTF-8): brackets as deep as somebody likes are a RecursionError in every decoder.
    """
    try:
        return decode(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
