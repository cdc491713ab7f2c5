"""Stored predictions of one partition, by deployment: the comparator's own fold of its batches, forward only. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from streambg.comparing.side import Part, Place, Side, part_of
from streambg.records.batch import BadBatch, Batch, decode, decode_head, decode_numbers
from streambg.records.source import Color
from streambg.replaying.plan import NOWHERE

# Answers of a deployment are needed again and again until another one takes over; around a cutover of both colors four
# are needed at once. Each has a consumer of its own.
MOST_OPEN = 4


class Log(Protocol):
    """One deployment's predictions from `place` on: (log offset, bytes), some at a time. Close it."""

    place: Place

    def __iter__(self) -> Iterator[list[tuple[int, bytes]]]: ...
    def close(self) -> None: ...


# (color, deployment, source offset): where its answers above that offset stand; None where the log has none of it.
Open = Callable[[Color, int, int], Log | None]


@dataclass(slots=True)
class _Followed:
    log: Log
    records: Iterator[list[tuple[int, bytes]]]
    side: Side
    deployment: int
    decode: Callable[[bytes], Batch]
    later: int = -1  # how far a later deployment of the color has answered, as far as was read

    def reach(self, high: int) -> None:
        """Read on until the fold reaches there; or its successor does, which began when it had ended (P10)."""
        while (self.side.covered is None or self.side.covered < high) and self.later < high:
            records = next(self.records, None)
            if records is None:
                return
            for offset, value in records:
                self._offer(offset, value)

    def _offer(self, offset: int, value: bytes) -> None:
        batch = None
        try:
            head = decode_head(value)
            if head.deployment == self.deployment:  # the columns of another one are not looked at
                batch = self.decode(value)
            elif head.deployment > self.deployment:
                self.later = max(self.later, head.upto)
        except BadBatch:
            pass
        self.side.offer(offset, len(value), batch)


class Stored:
    """`part` in ascending intervals. values: are they asked for? Else they are empty, and keys, too."""

    def __init__(self, open_log: Open, outputs: int, *, values: bool = True) -> None:
        self._open = open_log
        self._decode = decode if values else decode_numbers
        self._outputs = outputs
        self._followed: dict[tuple[Color, int], _Followed | None] = {}

    def part(self, color: Color, deployment: int, low: int, high: int) -> Part:
        """The accepted rows of a deployment in (low, high]; none where the log no longer has them."""
        followed = self._find(color, deployment, low)
        if followed is None:
            return part_of([], self._outputs)
        followed.reach(high)
        part = followed.side.part(low, high)
        # up to `low`, not to `high`: the row of another deployment may be asked for in between
        followed.side.retire(low, low, low)
        return part

    def _find(self, color: Color, deployment: int, low: int) -> _Followed | None:
        name = color, deployment
        if name not in self._followed:
            while len(self._followed) >= MOST_OPEN:
                self._shut(next(iter(self._followed)))
            log = self._open(color, deployment, low)
            followed = None
            if log is not None:
                side = Side(log.place, self._outputs)
                side.control(NOWHERE)  # the control log was folded before anything was read
                followed = _Followed(log, iter(log), side, deployment, self._decode)
            self._followed[name] = followed
        self._followed[name] = self._followed.pop(name)  # the last that was asked for is shut last
        return self._followed[name]

    def _shut(self, name: tuple[Color, int]) -> None:
        followed = self._followed.pop(name)
        if followed is not None:
            followed.log.close()

    def close(self) -> None:
        for name in list(self._followed):
            self._shut(name)
