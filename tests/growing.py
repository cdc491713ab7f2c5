"""A recording that grows as its clock moves: what an audit that follows reads in a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Self

from recorded import Rec, Recording

from streambg.audit.sources import Chunk, Role, Span
from streambg.records.outcome import decode_dead_letter, parse_header

FOR_EVER = 10**18


class Reader:
    """Goes on where it ended, once more is visible."""

    def __init__(self, growing: Growing, role: Role, partition: int, keys_only: bool, following: int) -> None:
        self.growing, self.role, self.partition = growing, role, partition
        self.keys_only, self.following = keys_only, following

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        records = self.growing.visible(self.role, self.partition)
        part = [record for record in records if record.offset >= self.following][: self.growing.recording.chunk]
        if not part:
            raise StopIteration
        self.following = part[-1].offset + 1
        return self.growing.recording.columns(self.role, part, self.keys_only)


class Growing:
    """`LiveRecords` over a recording: visible is what was written by `now`, settled what stood there `lag` ms before.

    A record behind one of that time is visible too: what was planted carries the time of what it copies.
    """

    def __init__(self, recording: Recording, lag: int = 0) -> None:
        self.recording, self.lag, self.now = recording, lag, 0
        self.input_topic, self.input_topic_id = recording.input_topic, recording.input_topic_id
        self.compacted, self.output_times_copied = recording.compacted, recording.output_times_copied
        self.partitions = recording.partitions
        self.rewound = 0
        self._readers: dict[tuple[Role, int], Reader] = {}
        self._seen: dict[tuple[Role, int], list[Rec]] = {}

    def refresh(self) -> None:
        self._seen.clear()

    def visible(self, role: Role, partition: int) -> list[Rec]:
        if (role, partition) not in self._seen:
            log = self.recording.log(role, partition)
            last = max((at for at, record in enumerate(log) if record.time <= self.now), default=-1)
            start = self.recording.span(role, partition).start
            self._seen[role, partition] = [record for record in log[: last + 1] if record.offset >= start]
        return self._seen[role, partition]

    def settled(self) -> Mapping[int, int]:
        if self.now >= FOR_EVER:
            return self.recording.positions
        return {number: at for number in range(self.partitions) if (at := self._settled(number)) is not None}

    def _settled(self, partition: int) -> int | None:
        """The last outcome that stood there, as the publisher would have committed it."""
        until = self.now - self.lag
        outputs = [r.header for r in self.recording.log("output", partition) if r.time <= until and r.header]
        letters = [r.value or b"" for r in self.recording.log("dead-letters", partition) if r.time <= until]
        sources = [parse_header(header).source.offset for header in outputs]
        for value in letters:
            with suppress(ValueError):  # one that a test made unreadable
                sources.append(decode_dead_letter(value).source.offset)
        limit = self.recording.positions[partition]
        return min(max(sources), limit) if sources else None

    def span(self, role: Role, partition: int) -> Span:
        records = self.visible(role, partition)
        start = self.recording.span(role, partition).start
        return Span(start, records[-1].offset + 1 if records else start)

    def read(self, role: Role, partition: int, *, keys_only: bool = False, begin: int = 0) -> Iterator[Chunk]:
        reader = Reader(self, role, partition, keys_only, max(begin, self.recording.span(role, partition).start))
        self._readers[role, partition] = reader
        return reader

    def reread(self, role: Role, partition: int, begin: int) -> Iterator[Chunk]:
        return Reader(self, role, partition, False, max(begin, self.recording.span(role, partition).start))

    def rewind(self, role: Role, partition: int, offset: int) -> None:
        self.rewound += 1
        self._readers[role, partition].following = offset

    def peek(self, role: Role, partition: int, offset: int) -> Chunk | None:
        found = [record for record in self.visible(role, partition) if record.offset >= offset]
        return self.recording.columns(role, found[:1]) if found else None
