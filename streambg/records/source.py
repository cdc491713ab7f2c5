"""The identity of an event: where it stands in the input (docs/design.md, section 2)."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Color = Literal["blue", "green"]
COLORS: tuple[Color, Color] = ("blue", "green")


def other(color: Color) -> Color:
    return "green" if color == "blue" else "blue"


class Source(NamedTuple):
    """A source position: (input topic, partition, offset), written `payments/3@1234`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


# Kafka's own rule for topic names is [a-zA-Z0-9._-]; neither "/" nor "@" can stand in one
_SOURCE = re.compile(r"([a-zA-Z0-9._-]{1,249})/(\d{1,10})@(\d{1,19})")


def parse_source(text: str) -> Source:
    """`payments/3@1234` as a value; ValueError where it is none."""
    match = _SOURCE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a source position: {text[:80]!r}; it is written topic/partition@offset")
    return Source(match[1], int(match[2]), int(match[3]))
