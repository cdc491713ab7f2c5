"""When waiting ends: late colors (P18), and what a person is told about a partition that stands still (P14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from streambg.publishing.partition import Partition
from streambg.publishing.settle import Waiting
from streambg.records.source import Color

# Five times the default deadline of a candidate: what waits longer does not wait for a hiccup.
STUCK_S = 10.0
# What goes out as late must not have stood in the log for as long as the deadline (P34). So the log's end that proves
# it may be as old as half of it: the other half is for what is written between that look and the broker's append.
GOOD_FOR = 0.5
# Asking takes 10 ms, a turn up to 50 ms: where deadlines are shorter than that, no look could ever be young enough.
GOOD_FOR_AT_LEAST_S = 0.1

Spot = tuple[Color, int]
Ends = Callable[[list[Spot]], Mapping[Spot, int]]
Read = Callable[[Color, int], int]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A log's end as it was asked for at `at`, monotonic seconds."""

    at: float
    end: int


@dataclass(frozen=True, slots=True)
class _Claim:
    """The open transaction says of source offsets from `first` on that they were late, by a look at `at`."""

    first: int
    at: float


class Deadlines:
    """What each partition waits for, over time. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._waits: dict[int, Waiting] = {}  # per partition: what its deadline has passed for
        self._asked: dict[Spot, _Asked] = {}  # ends that are not read to yet
        self._proven: dict[Spot, float] = {}  # when the end was asked for that was read to last
        self._claims: dict[Spot, _Claim] = {}  # the oldest of the open transaction
        # per partition: the offset it stands at, since when, and whether that was said
        self._stands: dict[int, tuple[int, float, bool]] = {}

    def forget(self) -> None:
        self._waits.clear()
        self._asked.clear()
        self._proven.clear()
        self._claims.clear()
        self._stands.clear()

    def fired(
        self, partitions: Mapping[int, Partition], now: float, ends: Ends, read: Read
    ) -> list[tuple[Partition, Waiting, Color]]:
        """What is late by now. `ends` asks the broker for ends of logs, `read` is the log offset read next.

        P18: it fires only when the late color's log was read to an end that was asked for after the deadline. While it
        is in force that is proven again and again (`doubted`).
        """
        due = [spot for partition in partitions.values() for spot in self._due(partition, now)]
        if due:
            self._asked |= {spot: _Asked(now, end) for spot, end in ends(due).items()}
        found = []
        for number, partition in partitions.items():
            for color in partition.late_colors:
                self._read_to((color, number), partition, now, read)
            deadline = partition.deadline()
            if deadline is None or self._waits.get(number) != deadline[0]:
                continue
            waiting, color, _ = deadline
            if self._read_to((color, number), partition, now, read):
                del self._waits[number]
                found.append((partition, waiting, color))
        return found

    def doubted(self, partitions: Mapping[int, Partition], now: float) -> list[Partition]:
        """Where something is late and nobody has looked lately: the answer may stand in the log by now (P34)."""
        return [
            partition
            for number, partition in partitions.items()
            for color in partition.late_colors
            if now - self._proven[color, number] > _good_for(partition, color)
        ]

    # -- what a transaction says of late colors -----------------------------------------------------------------------

    def claim(self, partition: Partition, before: int) -> None:
        """Records above `before` were written while some colors were late."""
        for color in partition.late_colors:
            spot = color, partition.home.partition
            if spot not in self._claims:
                self._claims[spot] = _Claim(max(before, partition.covered[color]) + 1, self._proven[spot])

    def outlived(self, partitions: Mapping[int, Partition], now: float) -> list[Spot]:
        """Of which colors the transaction says more than a look proves, if it reached the log no sooner than `now`.

        A publisher that stood still in between, or waited for a slow broker: an answer may have stood in the log for
        the whole deadline by then (P34).
        """
        return [
            (color, number)
            for (color, number), claim in self._claims.items()
            if now - claim.at > _good_for(partitions[number], color) / GOOD_FOR
        ]

    def refuted(self, partitions: Mapping[int, Partition], spots: list[Spot]) -> list[Spot]:
        """Whose answers cover what the transaction calls late; their logs were read to the end again."""
        return [
            (color, number)
            for color, number in spots
            if partitions[number].covered[color] >= self._claims[color, number].first
        ]

    def committed(self) -> None:
        self._claims.clear()

    def _due(self, partition: Partition, now: float) -> Iterator[Spot]:
        """Whose end is to be asked for: a deadline has passed, or half the time is over that a look is good for."""
        number, deadline = partition.home.partition, partition.deadline()
        if deadline is None or now < deadline[2]:
            self._waits.pop(number, None)
        elif self._waits.get(number) != deadline[0] or (deadline[1], number) not in self._asked:
            self._waits[number] = deadline[0]
            yield deadline[1], number
        for color in partition.late_colors:
            age = now - self._proven[color, number]
            if (color, number) not in self._asked and age > _good_for(partition, color) / 2:
                yield color, number

    def _read_to(self, spot: Spot, partition: Partition, now: float, read: Read) -> bool:
        """Was the log read to the end that was asked for, and soon enough? Where not, it is asked for again."""
        asked = self._asked.get(spot)
        if asked is None or read(*spot) < asked.end:
            return False
        del self._asked[spot]
        if now - asked.at > _good_for(partition, spot[0]):
            return False
        self._proven[spot] = asked.at
        return True

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


def _good_for(partition: Partition, color: Color) -> float:
    """How long a look at the log's end proves that the color is late, seconds."""
    return max(GOOD_FOR_AT_LEAST_S, partition.patience(color) * GOOD_FOR)
