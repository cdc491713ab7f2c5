"""Bytes that anybody may have written: a topic's records are read by whoever may read it, and written by whoever may.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

# Of arrays and objects in one another. Ours have six; Python's decoders give up at a thousand, less what stands on the
# stack already: what one process can read there another cannot.
DEEPEST = 100

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


def shallow(json: str) -> str:
    """The text itself. Raises ValueError where it is nested deeper than DEEPEST: every process must say the same of it,
    however much it can read (P5).
    """
    if json.count("[") + json.count("{") <= DEEPEST:
        return json
    depth = 0
    for bracket in _BRACKETS.findall(_TEXTS.sub("", json)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
    return json


# Possessive, and a text that never ends is one: else each of its quotes would be tried anew, to the end.
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
