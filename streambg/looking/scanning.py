"""Events by their key or by a field: the input is read from a time on, and it is said how far."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka import Message

from streambg.config import Pipeline
from streambg.kafka.reading import LogReader
from streambg.models.contract import Row
from streambg.models.decoding import decoder
from streambg.models.registry import Registry
from streambg.records.bucket import field_bytes
from streambg.records.source import Source
from streambg.scoring.batching import carried

# Of some records (columns of one poll) those that match.
Match = Callable[[list[Message]], list[Message]]
# (records looked at, records in all)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Scanned:
    """found: the newest, oldest first; matches: how many there were; looked: how many records were read."""

    found: tuple[Source, ...]
    matches: int
    looked: int


def by_key(key: bytes) -> Match:
    """Events of this record key."""
    return lambda messages: [message for message in messages if message.key() == key]


class ByField:
    """Events whose field reads so: text as it is, numbers and booleans as JSON writes them.

    seen: the names of the fields that the events had so far. Raises ModelError where the pipeline's decode hook cannot
    be loaded.
    """

    def __init__(self, pipeline: Pipeline, name: str, value: str) -> None:
        self.name = name
        self.seen: set[str] = set()
        self._decode = decoder(pipeline.input.decode, Registry(pipeline.registry).policy().python_allow)
        self._wanted = value.encode()

    def __call__(self, messages: list[Message]) -> list[Message]:
        return [
            message for message, row in self._rows(messages) if field_bytes(carried(row, self.name)) == self._wanted
        ]

    def _rows(self, messages: list[Message]) -> Iterator[tuple[Message, Row]]:
        decoded = self._decode([message.value() for message in messages])
        for message, row in zip(messages, decoded, strict=True):
            if isinstance(row, dict):
                self.seen.update(row)
                yield message, row


def scan(
    log: LogReader, pipeline: Pipeline, partitions: int, since_ms: int, match: Match, last: int, progress: Progress
) -> Scanned:
    """The newest `last` matches since a time, by the events' own time. Raises Unreachable, Denied, Gap."""
    topic = pipeline.input.topic
    ranges = [(log.since(topic, number, since_ms), log.ends(topic, number)[1]) for number in range(partitions)]
    total = sum(end - start for start, end in ranges)
    best: list[tuple[int, int, int]] = []  # a heap of (time, partition, offset): the oldest kept first
    matches = looked = 0
    for number, (start, end) in enumerate(ranges):
        for messages in log.read(topic, number, start, end):
            for message in match(messages):
                matches += 1
                entry = (message.timestamp()[1], number, message.offset() or 0)
                if len(best) < last:
                    heapq.heappush(best, entry)
                else:
                    heapq.heappushpop(best, entry)
            looked += len(messages)
            progress(looked, total)
    found = tuple(Source(topic, number, offset) for _, number, offset in sorted(best))
    return Scanned(found, matches, looked)
