"""How far one partition's rows are in the room, and what must be read again for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from streambg.labelling.cohorts import EARLY_MS, Awaited, Cohort
from streambg.labelling.rows import MOST_ROWS, Layout, Packed

# How late labels may be read, by an outage, before rows are gone that they need and must be read again from the topics.
SLACK_MS = 600_000
# Clocks of two comparators differ by less; rows that expire within this time are taken for gone.
EXPIRY_MARGIN_MS = 30_000


def lives_ms(horizon_ms: int, width: int) -> int:
    """How long a row waits: it may have been written first, and be looked for last, of its cohort."""
    return horizon_ms + width + SLACK_MS


class Filled(msgspec.Struct, array_like=True, frozen=True):
    """How far one input partition's rows are in the room.

    upto: source offset. passed: all rows of events up to this time are in, ms. since: and from this time on; 0: from
    the evidence's beginning. expiries: by cohort, from when on its rows are taken for gone, ms since 1970.
    """

    upto: int
    passed: int = -1
    since: int = 0
    expiries: tuple[tuple[int, int], ...] = ()

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(data: bytes) -> Filled | None:
        """None: the field is claimed, and says nothing yet."""
        found = msgspec.msgpack.decode(data, type=Filled | int)
        return found if isinstance(found, Filled) else None

    def at(self, now_ms: int, width: int) -> Filled:
        """Without the cohorts that have expired by now."""
        gone = [cohort for cohort, at in self.expiries if at <= now_ms]
        if not gone:
            return self
        kept = tuple((cohort, at) for cohort, at in self.expiries if cohort > max(gone))
        return Filled(self.upto, self.passed, max(self.since, (max(gone) + 1) * width), kept)

    def with_rows(self, packed: Packed, gone_at_ms: int) -> Filled:
        """With the next rows, which are taken for gone from then on."""
        known = dict(self.expiries)
        for cohort in sorted({row.cohort for row in packed.rows} - known.keys()):
            known[cohort] = gone_at_ms
        # another event of the very time that was reached may still come
        passed = max(self.passed, packed.dated - 1)
        return Filled(max(self.upto, packed.high), passed, self.since, tuple(sorted(known.items())))

    def with_end(self, end: int, at_ms: int) -> Filled:
        """At that time the input ended at that offset: who comes later and is dated before is later than EARLY_MS."""
        passed = max(self.passed, at_ms - EARLY_MS)
        return Filled(self.upto, passed, self.since, self.expiries) if self.upto >= end - 1 else self


def claim(at_ms: int) -> bytes:
    """Stands in the field while the first rows are written: else it would be empty before and after they are lost."""
    return msgspec.msgpack.encode(at_ms)


@dataclass(frozen=True, slots=True)
class Again:
    """What must be read again: the cohorts from this one on. since: as in Filled, once that is done."""

    cohort: Cohort
    since: int


@dataclass(frozen=True, slots=True)
class Frontier:
    """Over all input partitions. passed, since: as in Filled."""

    passed: int
    since: int


def frontier(filled: dict[int, Filled | None], now_ms: int, width: int) -> Frontier | None:
    """How far labels may go; None while a partition has not said anything."""
    known = [each.at(now_ms, width) for each in filled.values() if each is not None]
    if not known or len(known) < len(filled):
        return None
    return Frontier(min(each.passed for each in known), max(each.since for each in known))


def bounded(packed: list[Packed]) -> list[Packed]:
    """Nothing where that is too much, and only what comes after a gap: the topics have the rest, it is read again."""
    if sum(len(each.rows) for each in packed) > MOST_ROWS:
        return []
    gaps = [at for at in range(1, len(packed)) if packed[at].low > packed[at - 1].high]
    return packed[gaps[-1] :] if gaps else packed


@dataclass(slots=True)
class Filling:
    """One partition's place in the room. start: the source offset that evidence begins above; nothing is owed before.

    raw: the field's bytes as they were written, or found, last; filled: what they say.
    """

    start: int
    filled: Filled | None = None
    raw: bytes = b""
    packed: list[Packed] = field(default_factory=list)

    def adopt(self, filled: Filled | None, raw: bytes) -> None:
        """What the room says."""
        self.filled = filled and Filled(max(filled.upto, self.start), filled.passed, filled.since, filled.expiries)
        self.raw = raw

    def offer(self, packed: list[Packed]) -> None:
        """Rows to write."""
        self.packed = bounded([*self.packed, *packed])

    def again(self, awaited: Awaited, compared: int, layout: Layout, needed_since: int | None) -> Again | None:
        """What the room lacks: rows of before, rows that were let go, or rows that a label needs."""
        if not awaited.cohorts or (self.filled is None and self.packed and self.packed[0].low <= self.start):
            return None
        if self.filled is None:
            oldest = awaited.high - layout.labels.horizon_ms - 2 * layout.width
            return _from(awaited, oldest // layout.width, layout.width)
        reached = self.packed[0].low if self.packed else compared
        if reached > self.filled.upto:
            missing = awaited.containing(self.filled.upto)
            return None if missing is None else _from(awaited, missing.number, layout.width)
        if needed_since is not None and needed_since < self.filled.since:
            found = _from(awaited, needed_since // layout.width, layout.width)
            # what is older than the oldest cohort that is told apart is not read again
            return found if found.since < self.filled.since else None
        return None


def beyond(filled: Filled, awaited: Awaited, needed_since: int | None, width: int) -> bool:
    """Does a label need rows of cohorts that are no longer told apart? It will not find its event."""
    if needed_since is None or needed_since >= filled.since or not awaited.older:
        return False
    return awaited.cohorts[0].number * width >= filled.since


def _from(awaited: Awaited, number: int, width: int) -> Again:
    """From the cohort of this number on, or where there is none from the next one on."""
    later = [cohort for cohort in awaited.cohorts if cohort.number >= number] or awaited.cohorts[-1:]
    whole = later[0] is awaited.cohorts[0] and not awaited.older
    return Again(replace(later[0]), 0 if whole else later[0].number * width)


def done(again: Again, before: Filled | None, last: Filled) -> Filled:
    """After a refill. before: the room's until now; last: what reading again has written."""
    if before is None:
        return Filled(last.upto, last.passed, again.since, last.expiries)
    fresh = {**dict(before.expiries), **dict(last.expiries)}
    return Filled(
        max(before.upto, last.upto),
        max(before.passed, last.passed),
        min(before.since, again.since) if last.upto >= before.upto else before.since,
        tuple(sorted(fresh.items())),
    )
