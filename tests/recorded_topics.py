"""Recorded topics as lists: what an audit reads in a test, and what a test may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from streambg.audit.sources import Chunk, Role, Span

TOPIC = "payments"
TOPIC_ID = "present-topic"


@dataclass(frozen=True, slots=True)
class Rec:
    offset: int
    time: int
    key: bytes | None
    value: bytes | None
    header: bytes | None = None


@dataclass
class Recording:
    """The topics; a test may change them. `chunk` records are read at once."""

    logs: dict[tuple[Role, int], list[Rec]]
    positions: dict[int, int]
    width: int
    starts: dict[tuple[Role, int], int] = field(default_factory=dict)
    chunk: int = 40
    input_topic: str = TOPIC
    input_topic_id: str | None = TOPIC_ID
    compacted: frozenset[Role] = frozenset()
    output_times_copied: bool = False
    log_append: bool = True
    expected: dict[str, int] = field(default_factory=dict)  # what the model did: by color, by why, events

    @property
    def partitions(self) -> int:
        return self.width

    def settled(self) -> Mapping[int, int]:
        return self.positions

    def log(self, role: Role, partition: int = 0) -> list[Rec]:
        return self.logs.setdefault((role, partition), [])

    def span(self, role: Role, partition: int) -> Span:
        log = self.log(role, partition)
        return Span(self.starts.get((role, partition), 0), log[-1].offset + 1 if log else 0)

    def read(self, role: Role, partition: int, *, keys_only: bool = False, begin: int = 0) -> Iterator[Chunk]:
        start = max(begin, self.span(role, partition).start)
        records = [record for record in self.log(role, partition) if record.offset >= start]
        for at in range(0, len(records), self.chunk):
            yield self.columns(role, records[at : at + self.chunk], keys_only)

    def reread(self, role: Role, partition: int, begin: int) -> Iterator[Chunk]:
        return self.read(role, partition, begin=begin)

    def columns(self, role: Role, part: list[Rec], keys_only: bool = False) -> Chunk:
        offsets, keys = [record.offset for record in part], [record.key for record in part]
        if keys_only:
            return Chunk(offsets, keys)
        return Chunk(
            offsets,
            keys,
            [record.time for record in part],
            [record.value for record in part],
            [record.header for record in part] if role == "output" else [],
            self.log_append,
        )

    def peek(self, role: Role, partition: int, offset: int) -> Chunk | None:
        found = [record for record in self.log(role, partition) if record.offset >= offset]
        return self.columns(role, found[:1]) if found else None

    def find(self, offset: int, partition: int = 0, role: Role = "output") -> int:
        """Where the outcome of an event stands in its list."""
        needle = f"{TOPIC}/{partition}@{offset}"
        for at, record in enumerate(self.log(role, partition)):
            text = (record.header or b"").decode() if role == "output" else (record.value or b"").decode()
            if needle + " " in text or needle + '"' in text:
                return at
        raise AssertionError(f"no outcome of {needle} in {role}")

    def renumber(self, role: Role, partition: int = 0) -> None:
        """After a test inserted or moved records: offsets ascend again, as in any log."""
        self.logs[role, partition] = [replace(record, offset=at) for at, record in enumerate(self.log(role, partition))]
