"""A pipeline's topics on a broker, read with assigned partitions from pinned start to pinned end.

Nothing is committed and no group is joined, so an audit can run beside a living pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streambg.audit.kafka_pins import TRANSACTIONAL, check_there, compacted, pin, read_settled
from streambg.audit.sources import PARTITIONED, Chunk, Role, Span
from streambg.config import Pipeline
from streambg.errors import Gap, Unreachable
from streambg.kafka import profiles
from streambg.kafka.admin import REACHABLE_S, TopicFacts, await_reachable, describe
from streambg.kafka.errors import translate
from streambg.records.outcome import HEADER
from streambg.records.source import COLORS

# The best of one `poll` and one `consume` (FACTS of the client: 1.4-2.1 us a message), and half a window.
RECORDS = 2_000
# A broker that restarts is back within 30 s; a reader that got nothing for longer will get nothing.
STALLED_S = 45.0
# One that follows asks anew instead, from the same place on: nothing is read twice or left out.
ASK_AGAIN_S = 5.0
POLL_S = 1.0
CLIENT_ID = "streambg.audit"


class Stopped(Exception):
    """Whoever runs the audit wants it to end."""


class KafkaRecords:
    """`LiveRecords` on a broker; close it.

    `stable` False reads what aborted transactions of the publisher wrote too, as a careless reader would. `stopping`:
    asked while a reader waits; follow: a broker that is away is waited for, without end. Raises Unreachable, Denied,
    Misconfigured where a topic is missing.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        stable: bool = True,
        follow: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.pipeline = pipeline
        self.stable = stable
        self.follow = follow
        self.stopping = stopping
        self._consumers: dict[Role, Consumer] = {}
        self._readers: dict[tuple[Role, int], _Reader] = {}
        self._reading: dict[Role, _Reader] = {}  # whose partition each consumer is assigned
        topics = pipeline.topics
        self.names: dict[Role, str] = {
            "input": topics.input,
            "output": topics.output,
            "dead-letters": topics.dead_letters,
            "control": topics.control,
            "cutovers": topics.cutovers,
            **{color: topics.predictions(color) for color in COLORS},
        }
        self._admin = await_reachable(profiles.admin(pipeline, CLIENT_ID), REACHABLE_S)
        self._positions = Consumer(profiles.reader(pipeline, CLIENT_ID, group=pipeline.groups.publisher, stable=False))
        self.input_topic = topics.input
        self.output_times_copied = pipeline.output.timestamp == "input"
        facts = self._facts()
        self.input_topic_id: str | None = facts[topics.input].topic_id
        self.compacted = compacted(self._admin, self.names)
        self._pin(facts)

    def refresh(self) -> None:
        """Pin positions and ends anew. Raises Unreachable, Denied, and Gap where the input was made again."""
        try:
            facts = self._facts()
        except KafkaException as error:
            raise translate(error, "asking for the topics") from error
        if facts[self.input_topic].topic_id != self.input_topic_id:
            raise Gap(
                f"{self.input_topic} was deleted and made again: its offsets mean other events now",
                way_out="audit the present one from its beginning: streambg audit",
            )
        self._pin(facts)

    def _facts(self) -> dict[str, TopicFacts]:
        facts = describe(self._admin, list(self.names.values()))
        check_there(self.names, facts)
        return facts

    def _pin(self, facts: Mapping[str, TopicFacts]) -> None:
        partitions = max(facts[self.names[role]].partitions for role in PARTITIONED)
        settled = read_settled(self.pipeline, self._positions, partitions)
        spans = pin(self._admin, self.names, facts, self.stable)
        self.partitions, self._settled, self._spans = partitions, settled, spans

    def settled(self) -> Mapping[int, int]:
        return self._settled

    def span(self, role: Role, partition: int) -> Span:
        return self._spans.get((role, partition), Span())

    def read(self, role: Role, partition: int, *, keys_only: bool = False, begin: int = 0) -> Iterator[Chunk]:
        """Fetching begins with the call, not with the first chunk: who merges several roles waits for all at once."""
        span = self.span(role, partition)
        reader = _Reader(self, role, partition, keys_only, max(begin, span.start))
        self._readers[role, partition] = reader
        if reader.following < span.end:
            self.consumer(reader)
        return reader

    def reread(self, role: Role, partition: int, begin: int) -> Iterator[Chunk]:
        return _Reader(self, role, partition, False, max(begin, self.span(role, partition).start))

    def rewind(self, role: Role, partition: int, offset: int) -> None:
        self._readers[role, partition].go_to(offset)

    def peek(self, role: Role, partition: int, offset: int) -> Chunk | None:
        reader = _Reader(self, role, partition, False, max(offset, self.span(role, partition).start))
        chunk = next(reader, None)
        return chunk.cut(0, 1) if chunk is not None else None

    def close(self) -> None:
        """Leave the broker."""
        for consumer in (*self._consumers.values(), self._positions):
            consumer.close()
        self._consumers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def consumer(self, reader: _Reader) -> Consumer:
        """The role's consumer, assigned to this reader's partition; whoever read before is assigned again later."""
        role = reader.role
        if role not in self._consumers:
            stable = self.stable or role not in TRANSACTIONAL
            config = profiles.reader(self.pipeline, f"{CLIENT_ID}.{role}", stable=stable)
            self._consumers[role] = Consumer(config)
        consumer = self._consumers[role]
        if self._reading.get(role) is not reader or reader.moved:
            self._reading[role], reader.moved = reader, False
            consumer.assign([TopicPartition(self.names[role], reader.partition, reader.following)])
        return consumer


class _Reader:
    """One partition from log offset `following` to its pinned end; where the end moves on, it goes on."""

    def __init__(self, records: KafkaRecords, role: Role, partition: int, keys_only: bool, begin: int) -> None:
        self.role: Role = role
        self.partition = partition
        self.following = begin
        self.moved = False  # `following` is not where the consumer stands
        self._records = records
        self._keys_only = keys_only

    def __iter__(self) -> Self:
        return self

    def go_to(self, offset: int) -> None:
        self.following, self.moved = offset, True

    def __next__(self) -> Chunk:
        end, progressed = self._records.span(self.role, self.partition).end, time.monotonic()
        while self.following < end:
            messages, log_end = self._poll(self._records.consumer(self))
            records = messages
            if messages and (messages[-1].offset() or 0) >= end:  # in ascending order
                records = [message for message in messages if (message.offset() or 0) < end]
                log_end, self.moved = end, True  # what was taken from the client, and is not for now
            # the client runs ahead: it may have met an end of a round before, and nothing of what came since
            ended = log_end >= end
            if records:
                chunk = _chunk(records, self.role, self._keys_only)
                if chunk.offsets[0] < self.following:
                    raise Unreachable(f"{self._name}: read {chunk.offsets[0]} twice", way_out="run the audit again")
                self.following = log_end if ended else chunk.offsets[-1] + 1
                return chunk
            if ended:
                self.following = log_end  # what is left below it are markers and what was aborted
            elif self._records.follow:
                if time.monotonic() - progressed > ASK_AGAIN_S:
                    self.moved, progressed = True, time.monotonic()
            elif time.monotonic() - progressed > STALLED_S:
                raise Unreachable(
                    f"{self._name}: nothing came for {STALLED_S:g} s at offset {self.following}, the end is {end}",
                    way_out="is the broker up? then run the audit again",
                )
        raise StopIteration

    @property
    def _name(self) -> str:
        return f"{self._records.names[self.role]}/{self.partition}"

    def _poll(self, consumer: Consumer) -> tuple[list[Message], int]:
        """Some records, and the log offset at which the client met the end behind them, -1 where it met none."""
        if self._records.stopping():
            raise Stopped(f"{self._name}: told to end at offset {self.following}")
        first = consumer.poll(POLL_S)
        if first is None:
            return [], -1
        messages = [first, *consumer.consume(RECORDS - 1, 0)]
        # what was fetched for the partition before stands in front, if the client gives it at all
        if first.partition() == self.partition and not any(map(Message.error, messages)):
            return messages, -1
        good = [message for message in messages if message.error() is None and message.partition() == self.partition]
        log_end = -1
        for message in messages:
            error = message.error()
            if error is None or message.partition() != self.partition:
                continue
            if error.code() != KafkaError._PARTITION_EOF:
                self._unreadable(error)
            else:
                log_end = message.offset() or 0
        return good, log_end

    def _unreadable(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise Gap(
                f"{self._name}: records expired while they were read ({error.str()})",
                way_out="run the audit again; it begins at the log start as it is then",
            )
        translated = translate(error, f"reading {self._name}")
        if not (self._records.follow and isinstance(translated, Unreachable)):
            raise translated


def _chunk(records: list[Message], role: Role, keys_only: bool) -> Chunk:
    offsets: list[int] = list(map(Message.offset, records))  # type: ignore[arg-type] # read messages have one
    keys = list(map(Message.key, records))
    if keys_only:
        return Chunk(offsets, keys)
    values = list(map(Message.value, records))
    if role == "output":
        times = [timestamp for _, timestamp in map(Message.timestamp, records)]
        named: list[Any] = list(map(Message.headers, records))
        # streambg's header stands first unless somebody else wrote the record
        headers = [found[0][1] if found and found[0][0] == HEADER else _header(found) for found in named]
        return Chunk(offsets, keys, times, values, headers)
    kinds, stamps = zip(*map(Message.timestamp, records), strict=True)
    return Chunk(offsets, keys, list(stamps), values, log_append=set(kinds) == {TIMESTAMP_LOG_APPEND_TIME})


def _header(headers: Any) -> bytes | None:
    """streambg's header among a message's."""
    if headers is None:
        return None
    name: str
    value: bytes
    for name, value in headers:
        if name == HEADER:
            return value
    return None
