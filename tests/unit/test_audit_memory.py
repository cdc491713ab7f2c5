"""One pass in bounded memory: four times the events, the same peak (I7)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping

import numpy as np
from control_log import Log

from streambg.audit import audit_records
from streambg.audit.sources import Chunk, Role, Span
from streambg.records import batch as batches
from streambg.records.cutover import Cutover, encode_cutover
from streambg.records.outcome import header_template

ROWS = 250  # of a batch, and of a chunk


class Endless:
    """Blue live, green a candidate without weight; every record is made when it is read."""

    input_topic = "payments"
    input_topic_id = "id"
    compacted: frozenset[Role] = frozenset()
    output_times_copied = False

    def __init__(self, events: int, partitions: int, lose: bool = False) -> None:
        self.events, self.partitions, self.lose = events, partitions, lose
        self.log = Log()
        self.log.deploy("blue", "m:1")
        self.log.deploy("green", "m:2")
        slot = self.log.fold.state.slots["blue"]
        assert slot is not None
        self.blue = slot

    def settled(self) -> Mapping[int, int]:
        return dict.fromkeys(range(self.partitions), self.events - 1)

    def span(self, role: Role, partition: int) -> Span:
        return Span(0, self.events if role != "dead-letters" else 0)

    def reread(self, role: Role, partition: int, begin: int) -> Iterator[Chunk]:
        return self.read(role, partition, begin=begin)

    def peek(self, role: Role, partition: int, offset: int) -> Chunk | None:
        raise AssertionError("nobody asks for a place")

    def read(self, role: Role, partition: int, *, keys_only: bool = False, begin: int = 0) -> Iterator[Chunk]:
        if role == "control":
            times, values = zip(*self.log.records, strict=True)
            yield Chunk(list(range(len(values))), [None] * len(values), list(times), list(values))
        elif role == "cutovers":
            cuts: list[bytes | None] = [
                encode_cutover(Cutover(number, 1, 0, "id", "c", 0)) for number in range(self.partitions)
            ]
            yield Chunk(list(range(len(cuts))), [None] * len(cuts), [1_000] * len(cuts), cuts)
        elif role != "dead-letters":
            yield from (self._chunk(role, partition, at) for at in range(0, self.events, ROWS))

    def _chunk(self, role: Role, partition: int, at: int) -> Chunk:
        offsets = list(range(at, min(at + ROWS, self.events)))
        n = len(offsets)
        keys: list[bytes | None] = [b"key of %d" % offset for offset in offsets]
        values: list[bytes | None] = [b"answer to event %d" % offset for offset in offsets]
        if role == "input":
            return Chunk(offsets, keys)
        if role == "output":
            template = header_template("payments", partition, "blue", "m:1", self.blue.digest, 1)
            lost = 2 if self.lose else 1
            kept = slice(0, None, lost)
            headers: list[bytes | None] = [template % (offset, b"route") for offset in offsets]
            return Chunk(offsets[kept], keys[kept], [1_000] * len(offsets[kept]), values[kept], headers[kept])
        batch = batches.Batch(
            0 if role == "blue" else 1, at - 1, offsets[-1], False, 1, 1,
            np.array(offsets, np.int64), np.zeros(n, np.int64), np.zeros(n, np.uint8), np.zeros((n, 1)),
            keys, [value or b"" for value in values],
        )  # fmt: skip
        return Chunk([at // ROWS], [None], [1_000], [batches.encode(batch)])


def peak(records: Endless) -> int:
    tracemalloc.start()
    try:
        report = audit_records(records)
        assert report.events == records.events * records.partitions
        assert report.ok != records.lose
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_I7_memory_does_not_grow_with_events_or_partitions() -> None:
    small = peak(Endless(10_000, 1))
    assert peak(Endless(40_000, 1)) < 1.2 * small
    assert peak(Endless(10_000, 4)) < 1.2 * small


def test_I7_a_million_missing_outcomes_stay_small() -> None:
    """Every second outcome is lost: the worst case for intervals, 50 bytes each."""
    small = peak(Endless(10_000, 1, lose=True))
    assert peak(Endless(40_000, 1, lose=True)) < small + 15_000 * 200
