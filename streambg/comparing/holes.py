"""Holes in what a color has answered, and which of them a person should see. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from streambg.records.source import Color

# A scorer that sees a hole in its own topic answers again from there, within some seconds (P8); as long as the
# publisher gives a partition that stands.
STANDS_S = 10.0


class Hole(NamedTuple):
    """Batches of a color stand beyond a gap in its answers, which are whole up to `covered`: they are not accepted."""

    color: Color
    partition: int
    covered: int | None

    def words(self, batches: int) -> str:
        return f"{self.color}/{self.partition}: {batches} batches stand beyond a hole that begins at {self.covered}"


class Holes:
    """Remembers since when each is there."""

    def __init__(self) -> None:
        self._since: dict[Hole, float] = {}
        self._said: set[Hole] = set()

    def look(self, holes: Mapping[Hole, int], now: float) -> list[str]:
        """`holes`: how many batches stand beyond each that is there now. The alarms: once for each that lasts."""
        self._since = {hole: self._since.get(hole, now) for hole in holes}
        self._said &= holes.keys()
        alarms: list[str] = []
        for hole, batches in holes.items():
            if hole not in self._said and now - self._since[hole] >= STANDS_S:
                self._said.add(hole)
                alarms.append(
                    f"{hole.words(batches)}, for {now - self._since[hole]:.0f} s; nothing behind it is compared until "
                    f"{hole.color}'s scorer, if it runs, has answered from there again"
                )
        return alarms
