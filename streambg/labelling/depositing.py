"""Puts what was compared into the waiting room, beside the comparison and never in its way.

On the event loop, by a timer. Redis may be down: rows are let go beyond a bound, and read again from the topics; so
are those that the room has lost, or that a late label needs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from streambg.comparing.comparison import Comparison
from streambg.comparing.pair import Pair
from streambg.comparing.site import Site
from streambg.labelling.filling import EXPIRY_MARGIN_MS, Again, Filled, Filling, beyond, done
from streambg.labelling.refill import Wanted, read_again
from streambg.labelling.room import OtherRoom, Room, State
from streambg.labelling.rows import Layout, Packed

# Reading again gives way to what is new after so much of it, some 100 ms.
REFILL_ROWS = 8_192

log = structlog.get_logger("streambg.comparator")


@dataclass(slots=True)
class _Refill:
    again: Again
    rows: Generator[Packed, None, None]
    last: Filled


class Depositor:
    """Of one pair. `tend` is called again and again; what it raises of Redis leaves everything as the room has it."""

    def __init__(self, site: Site, room: Room, pair: Pair, layout: Layout) -> None:
        self.pair = pair
        self._site = site
        self._room = room
        self._layout = layout
        self._fillings: dict[int, Filling] = {}
        self._refills: dict[int, _Refill] = {}

    @property
    def refilling(self) -> list[int]:
        return sorted(self._refills)

    def rest(self) -> None:
        """Redis does not answer, or the topics: what was being read again begins anew."""
        self._drop_refills()

    def close(self) -> None:
        self._drop_refills()

    async def tend(
        self, comparisons: Mapping[int, Comparison], ends: Mapping[int, tuple[int, int]], idle: Mapping[int, int]
    ) -> None:
        """Write what is new. ends: by partition, the input's end and when that was asked, ms; idle: partitions that
        nothing is compared of, and when the input was known to hold no event for the pair. Raises redis.RedisError,
        OSError; StreambgError where the topics cannot be read.
        """
        state = await self._room.state()
        for partition, filling in self._followed(comparisons).items():
            raw = state.raw.get(b"p%d" % partition, b"")
            if raw != filling.raw:  # emptied, or written by somebody else: noticed also while there is nothing to write
                self._drop_refills([partition])
                filling.adopt(state.filled(partition), raw)
        for partition, comparison in sorted(comparisons.items()):
            filling = self._fillings[partition]
            filling.offer(comparison.take_packed())
            try:
                await self._tend_one(partition, filling, comparison, ends.get(partition), state)
            except OtherRoom as where:
                log.info("waiting_room_changed", what=str(where))
                self._drop_refills([partition])  # the next look at the room says how it is now
        await self._say_idle(idle, state)

    def _followed(self, comparisons: Mapping[int, Comparison]) -> dict[int, Filling]:
        for partition in self._fillings.keys() - comparisons.keys():
            del self._fillings[partition]
            self._drop_refills([partition])
        for partition, comparison in comparisons.items():
            if partition not in self._fillings:
                self._fillings[partition] = Filling(comparison.evidence.start)
        return self._fillings

    async def _tend_one(
        self, partition: int, filling: Filling, comparison: Comparison, end: tuple[int, int] | None, state: State
    ) -> None:
        evidence = comparison.evidence
        if not filling.raw:
            filling.raw = await self._room.claim(partition, int(time.time() * 1_000))
        again = filling.again(evidence.awaited, evidence.compared, self._layout, state.needed_since())
        if again is not None and not self._refills:  # one at a time: they share two cores with the comparison
            self._begin(partition, again, comparison)
        if partition in self._refills:
            await self._refill(partition, filling)
        elif again is None:
            filled = filling.filled or Filled(filling.start)
            if beyond(filled, evidence.awaited, state.needed_since(), self._layout.width):
                log.warning("labels_beyond_waiting_rows", partition=partition, since_ms=filled.since)
                filled = Filled(filled.upto, filled.passed, 0, filled.expiries)
            await self._write(partition, filling, filled, end)

    async def _write(self, partition: int, filling: Filling, filled: Filled, end: tuple[int, int] | None) -> None:
        now = int(time.time() * 1_000)
        while filling.packed:
            packed = filling.packed[0]
            filled = filled.with_rows(packed, self._gone_at(now))
            filling.raw = await self._room.fill(partition, filling.raw, filled, packed.rows)
            filling.filled = filled
            del filling.packed[0]
        filled = filled.at(now, self._layout.width)
        if end is not None:
            filled = filled.with_end(*end)
        if filled != filling.filled:
            filling.raw = await self._room.fill(partition, filling.raw, filled, ())
            filling.filled = filled

    def _gone_at(self, now_ms: int) -> int:
        return now_ms + self._room.lives_ms - EXPIRY_MARGIN_MS

    async def _say_idle(self, idle: Mapping[int, int], state: State) -> None:
        for partition, at_ms in idle.items():
            filled = (state.filled(partition) or Filled(-1)).with_end(0, at_ms)
            if partition not in self._fillings and filled != state.filled(partition):
                try:
                    await self._room.fill(partition, state.raw.get(b"p%d" % partition, b""), filled, ())
                except OtherRoom:
                    continue  # somebody else said something: that is looked at next time

    # -- reading again -------------------------------------------------------------------------------------------

    def _begin(self, partition: int, again: Again, comparison: Comparison) -> None:
        wanted = Wanted(partition, self.pair, again.cohort, comparison.evidence.compared)
        log.info("waiting_rows_read_again", partition=partition, after=again.cohort.after, upto=wanted.upto)
        rows = read_again(self._site, wanted, self._layout, comparison.terms)
        self._refills[partition] = _Refill(again, rows, Filled(again.cohort.after))

    async def _refill(self, partition: int, filling: Filling) -> None:
        """Some more rows; at the end the field says what is there now."""
        refill, written = self._refills[partition], 0
        while written < REFILL_ROWS:
            packed = await asyncio.to_thread(_next, refill.rows)
            if packed is None:
                filled = done(refill.again, filling.filled, refill.last)
                filling.raw = await self._room.fill(partition, filling.raw, filled, ())
                filling.filled = filled
                log.info("waiting_rows_are_back", partition=partition, upto=filled.upto, since_ms=filled.since)
                self._drop_refills([partition])
                return
            refill.last = refill.last.with_rows(packed, self._gone_at(int(time.time() * 1_000)))
            await self._room.put(partition, filling.raw, packed.rows)
            written += len(packed.rows)

    def _drop_refills(self, partitions: Collection[int] | None = None) -> None:
        for partition in list(self._refills) if partitions is None else partitions:
            refill = self._refills.pop(partition, None)
            if refill is not None:
                with suppress(ValueError):  # it is being read at this moment, by a process that ends
                    refill.rows.close()  # and with it its consumers


def _next(rows: Generator[Packed, None, None]) -> Packed | None:
    """Raises SessionEnded, Gap and the like: the topics cannot be read now."""
    return next(rows, None)
