"""When waiting ends: late colors (P18), and what a person is told about a partition that stands still (P14)."""

from __future__ import annotations

from collections.abc import Callable

from streambg.publishing.partition import Partition
from streambg.publishing.settle import Waiting
from streambg.records.source import Color

# Five times the default deadline of a candidate: what waits longer does not wait for a hiccup.
STUCK_S = 10.0

Offset = Callable[[Color, int], int]


class Deadlines:
    """What each partition waits for, over time. Times are monotonic seconds."""

    def __init__(self) -> None:
        # per partition: what its deadline passed for, and the log end that must be read before it fires
        self._ends: dict[int, tuple[Waiting, int]] = {}
        # per partition: the offset it stands at, since when, and whether that was said
        self._stands: dict[int, tuple[int, float, bool]] = {}

    def forget(self) -> None:
        self._ends.clear()
        self._stands.clear()

    def fired(self, partition: Partition, now: float, end: Offset, read: Offset) -> tuple[Waiting, Color] | None:
        """What is late by now. `end` asks the broker for a color's log end, `read` is the log offset read next.

        P18: it fires only when the late color's log was read to an end that was asked for after the deadline.
        """
        number, deadline = partition.home.partition, partition.deadline()
        if deadline is None or now < deadline[2]:
            self._ends.pop(number, None)
            return None
        waiting, color, _ = deadline
        asked = self._ends.get(number)
        if asked is None or asked[0] != waiting:
            self._ends[number] = (waiting, end(color, number))
            return None
        if read(color, number) < asked[1]:
            return None
        del self._ends[number]
        return waiting, color

    def standstill(self, partition: Partition, now: float) -> str | None:
        """P14: once per offset, the words for a partition that waits although something was answered beyond."""
        number, waiting = partition.home.partition, partition.stuck
        if waiting is None:
            self._stands.pop(number, None)
            return None
        offset, since, said = self._stands.get(number, (-1, now, False))
        if offset != waiting.offset:
            self._stands[number] = (waiting.offset, now, False)
            return None
        if said or now - since < STUCK_S:
            return None
        self._stands[number] = (offset, since, True)
        return (
            f"{partition.home.topic}/{number}@{offset} waits {now - since:.0f} s for "
            f"{partition.color_of(waiting.side)}: "
            f"covered are {partition.covered}, settled is {partition.settled}; where predictions are lost, "
            "`deploy --rescore` gives live's again (P29), a new deploy a candidate's"
        )
