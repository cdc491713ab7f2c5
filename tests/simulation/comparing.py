"""A comparator of one partition that dies and resumes: its evidence must be what one that never died has (P30-P32)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streambg.comparing.comparison import Comparison
from streambg.comparing.locate import Start, locate
from streambg.comparing.pair import Pair, pair_of, terms_of
from streambg.comparing.snapshot import decode as decode_snapshot
from streambg.comparing.snapshot import encode, evidence_bytes
from streambg.records.batch import BadBatch, Batch, Head, decode
from streambg.records.source import COLORS, Color

if TYPE_CHECKING:
    from simulation.log import Log
    from simulation.world import World


class Predictions:
    """One partition of a color's predictions as the search wants it."""

    def __init__(self, log: Log) -> None:
        self.log, self.low, self.high = log, log.start, log.end

    def head(self, offset: int) -> Head | None:
        batch = self.batch(offset)
        return batch.head if batch is not None else None

    def batch(self, offset: int) -> Batch | None:
        record = self.log.records[offset - self.log.start]
        try:
            return decode(record.value or b"") if record is not None else None
        except BadBatch:
            return None


class Comparing:
    """Only the pure core: reading, and what is kept, are a few lines here."""

    def __init__(self, world: World, partition: int) -> None:
        self._world = world
        self._partition = partition
        self._comparison: Comparison | None = None
        self._kept: dict[Pair, bytes] = {}

    def turn(self, number: int) -> None:
        """Read some of each color; keep a snapshot; or die."""
        pair = pair_of(self._world.operator.state)
        if pair is None:
            return
        if self._comparison is None or self._comparison.pair != pair:
            self._comparison = self._place(pair)
        if self._comparison is None:
            return
        self._read(self._comparison, 1 + number % 4)
        if number % 3 == 1:
            self._kept[pair] = encode(self._comparison.snapshot())
        if number % 5 == 2:
            self._comparison = None
            self._world.counts["comparator died"] += 1

    def judge(self) -> None:
        """Against one that reads everything at one go."""
        comparison = self._comparison
        if comparison is None or comparison.pair != pair_of(self._world.operator.state):
            return
        self._read(comparison, 1_000_000)
        whole = self._place(comparison.pair, fresh=True)
        assert whole is not None
        self._read(whole, 1_000_000)
        self._world.counts["evidence compared"] += 1
        mine, theirs = comparison.evidence, whole.evidence
        assert (mine.start, mine.compared) == (theirs.start, theirs.compared), "P30: evidence reaches elsewhere"
        assert evidence_bytes(mine) == evidence_bytes(theirs), "P32: evidence is not bit-equal"

    def _place(self, pair: Pair, fresh: bool = False) -> Comparison | None:
        terms = terms_of(self._world.operator.state)
        kept = self._kept.get(pair)
        if kept is not None and not fresh:
            return Comparison.resume(decode_snapshot(kept), terms)
        found = locate(pair, {color: self._predictions(color) for color in COLORS})
        if not isinstance(found, Start):
            return None
        return Comparison.begin(self._partition, pair, terms, dict(found.places), found.compared)

    def _predictions(self, color: Color) -> Predictions:
        world = self._world
        return Predictions(world.broker.logs[world.topics.predictions(color), self._partition])

    def _read(self, comparison: Comparison, count: int) -> None:
        comparison.control(len(self._world.operator.history) - 1)
        for color in COLORS:
            log = self._predictions(color)
            at = comparison.side(color).next_offset
            for offset in range(at, min(log.high, at + count)):
                record = log.log.records[offset - log.low]
                comparison.offer(color, offset, len(record.value or b"") if record else 0, log.batch(offset))
        while comparison.advance():
            pass
