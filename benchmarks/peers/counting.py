"""What was lost and what was doubled, by the events' numbers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """owed: events in the input. lost: without an answer. doubled: answers beyond the first. foreign: to no event."""

    owed: int
    lost: int
    doubled: int
    foreign: int

    @property
    def exact(self) -> bool:
        return not (self.lost or self.doubled or self.foreign)


def tally(owed: Iterable[int], answered: Iterable[int]) -> Tally:
    """Compare the numbers of the input's events with those of the answers that a reader sees.

    Raises ValueError where the input itself holds a number twice: then nothing could be said.
    """
    expected = Counter(owed)
    twice = next((number for number, count in expected.items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"the input holds event {twice} {expected[twice]} times")
    seen = Counter(answered)
    return Tally(
        owed=len(expected),
        lost=sum(number not in seen for number in expected),
        doubled=sum(count - 1 for number, count in seen.items() if number in expected),
        foreign=sum(count for number, count in seen.items() if number not in expected),
    )
