"""A reader that is never assigned anything, for sessions on clients of the test's own."""

from __future__ import annotations

from typing import Any


class Reader:
    """A co-partitioned reader that is never assigned anything."""

    paused: frozenset[Any] = frozenset()
    partitions: frozenset[int] = frozenset()

    def __init__(self, *_: object) -> None: ...

    def poll(self, _timeout: float, _limit: int) -> list[Any]:
        return []

    def next_offset(self, _color: str, _partition: int) -> int:
        return 0

    def close(self) -> None: ...
