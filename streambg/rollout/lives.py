"""A candidate that is broken, which no statistics are needed for: its scorers end again and again. Pure.

A scorer that ends takes its place in the group anew: each life has another member id. Ends alone are no crash loop (a
rolling restart, a broker that went away): it is one where meanwhile a partition has not got on, though live has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# A kill, a lost session or a rolling restart is a life or two of each slot. `streambg up` is there after some 15 s (it
# waits 0.1, 0.2, 0.4, ... s), what starts anew after 10, 20, 40, ... s after two and a half minutes.
LOOP_LIVES = 5


class Lane(NamedTuple):
    """One partition: how far the candidate covers it, None: nothing yet; and how far it is settled."""

    covered: int | None
    settled: int


@dataclass(slots=True)
class Lives:
    """Of one candidate's scorers: `count` them as often as one likes, and `judge` where some are new.

    known: slot -> member id. stood: partition -> where it was covered to, and the lives that began since it was.
    """

    known: dict[str, str] = field(default_factory=dict)
    stood: dict[int, tuple[int | None, int]] = field(default_factory=dict)

    def count(self, members: Mapping[str, str]) -> int:
        """Member ids by slot; how many began anew. Who is seen for the first time has not been started again."""
        begun = sum(self.known.get(slot, member) != member for slot, member in members.items())
        self.known.update(members)
        return begun

    def judge(self, begun: int, lanes: Mapping[int, Lane]) -> str | None:
        """Why the candidate is broken, now that so many lives began; None: it gets on, or owes nothing."""
        for partition, (covered, settled) in lanes.items():
            where, lives = self.stood.get(partition, (covered, 0))
            stands = where == covered and (covered is None or covered < settled)
            self.stood[partition] = covered, begun + (lives if stands else 0)
        partition, (covered, lives) = max(self.stood.items(), key=lambda each: each[1][1])
        if lives < LOOP_LIVES:
            return None
        return (
            f"crash loop: {lives} starts of the candidate's scorers, the limit is {LOOP_LIVES}, while partition "
            f"{partition} stood at {'its beginning' if covered is None else covered} and live got on"
        )
