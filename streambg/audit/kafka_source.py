"""A pipeline's topics on a broker, read with assigned partitions from pinned start to pinned end.

Nothing is committed and no group is joined, so an audit can run beside a living pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, Message, TopicPartition

from streambg.audit.kafka_pins import TRANSACTIONAL, check_there, compacted, pin, read_settled
from streambg.audit.sources import PARTITIONED, Chunk, Role, Span
from streambg.config import Pipeline
from streambg.errors import Gap, Unreachable
from streambg.kafka import profiles
from streambg.kafka.admin import await_reachable, describe
from streambg.kafka.errors import translate
from streambg.records.outcome import HEADER
from streambg.records.source import COLORS

# The best of one `poll` and one `consume` (FACTS of the client: 1.4-2.1 us a message), and half a window.
RECORDS = 2_000
# A broker that restarts is back within 30 s; a reader that got nothing for longer will get nothing.
STALLED_S = 45.0
POLL_S = 1.0
REACHABLE_S = 15.0
CLIENT_ID = "streambg.audit"


class KafkaRecords:
    """`Records` on a broker; close it.

    `stable` False reads what aborted transactions of the publisher wrote too, as a careless reader would. Raises
    Unreachable, Denied, Misconfigured where a topic is missing.
    """

    def __init__(self, pipeline: Pipeline, *, stable: bool = True) -> None:
        self._pipeline = pipeline
        self._stable = stable
        self._consumers: dict[Role, Consumer] = {}
        topics = pipeline.topics
        self._names: dict[Role, str] = {
            "input": topics.input,
            "output": topics.output,
            "dead-letters": topics.dead_letters,
            "control": topics.control,
            "cutovers": topics.cutovers,
            **{color: topics.predictions(color) for color in COLORS},
        }
        admin = await_reachable(profiles.admin(pipeline, CLIENT_ID), REACHABLE_S)
        facts = describe(admin, list(self._names.values()))
        check_there(self._names, facts)
        self.input_topic = topics.input
        self.input_topic_id: str | None = facts[topics.input].topic_id
        self.output_times_copied = pipeline.output.timestamp == "input"
        self.partitions = max(facts[self._names[role]].partitions for role in PARTITIONED)
        self.compacted = compacted(admin, self._names)
        self._settled = read_settled(pipeline, CLIENT_ID, self.partitions)
        self._spans = pin(admin, self._names, facts, stable)

    def settled(self) -> Mapping[int, int]:
        return self._settled

    def span(self, role: Role, partition: int) -> Span:
        return self._spans.get((role, partition), Span())

    def read(self, role: Role, partition: int, *, keys_only: bool = False) -> Iterator[Chunk]:
        """Fetching begins with the call, not with the first chunk: who merges several roles waits for all at once."""
        span = self.span(role, partition)
        if span.end <= span.start:
            return iter(())
        consumer = self._consumer(role)
        consumer.assign([TopicPartition(self._names[role], partition, span.start)])
        return self._chunks(role, partition, consumer, keys_only)

    def _chunks(self, role: Role, partition: int, consumer: Consumer, keys_only: bool) -> Iterator[Chunk]:
        span = self.span(role, partition)
        following, progressed = span.start, time.monotonic()
        while following < span.end:
            messages, ended = self._poll(role, partition, consumer)
            records = messages
            if messages and (messages[-1].offset() or 0) >= span.end:
                records = [message for message in messages if (message.offset() or 0) < span.end]
            if records:
                chunk = _chunk(records, role, keys_only)
                if chunk.offsets[0] < following:
                    raise Unreachable(
                        f"{self._names[role]}/{partition}: read offset {chunk.offsets[0]} twice",
                        way_out="run the audit again",
                    )
                following, progressed = chunk.offsets[-1] + 1, time.monotonic()
                yield chunk
            if ended or len(records) < len(messages):
                return
            if time.monotonic() - progressed > STALLED_S:
                raise Unreachable(
                    f"{self._names[role]}/{partition}: nothing came for {STALLED_S:g} s at offset {following}, "
                    f"the end is {span.end}",
                    way_out="is the broker up? then run the audit again",
                )

    def close(self) -> None:
        """Leave the broker."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- records -------------------------------------------------------------------------------------------------

    def _consumer(self, role: Role) -> Consumer:
        if role not in self._consumers:
            stable = self._stable or role not in TRANSACTIONAL
            config = profiles.reader(self._pipeline, f"{CLIENT_ID}.{role}", stable=stable)
            self._consumers[role] = Consumer(config)
        return self._consumers[role]

    def _poll(self, role: Role, partition: int, consumer: Consumer) -> tuple[list[Message], bool]:
        """Some records, and whether they are the last visible ones."""
        first = consumer.poll(POLL_S)
        if first is None:
            return [], False
        messages = [first, *consumer.consume(RECORDS - 1, 0)]
        # what was fetched for the partition before stands in front, if the client gives it at all
        own = first.partition() == partition
        good = [message for message in messages if message.error() is None]
        if own and len(good) == len(messages):
            return good, False
        good = [message for message in good if message.partition() == partition]
        ended = False
        for message in messages:
            error = message.error()
            if error is None or message.partition() != partition:
                continue
            if error.code() != KafkaError._PARTITION_EOF:
                raise self._unreadable(role, partition, error)
            ended = True
        return good, ended

    def _unreadable(self, role: Role, partition: int, error: KafkaError) -> Exception:
        name = f"{self._names[role]}/{partition}"
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return Gap(
                f"{name}: records expired while they were read ({error.str()})",
                way_out="run the audit again; it begins at the log start as it is then",
            )
        return translate(error, f"reading {name}")


def _chunk(records: list[Message], role: Role, keys_only: bool) -> Chunk:
    offsets: list[int] = list(map(Message.offset, records))  # type: ignore[arg-type] # read messages have one
    keys = list(map(Message.key, records))
    if keys_only:
        return Chunk(offsets, keys)
    kinds, times = zip(*map(Message.timestamp, records), strict=True)
    named: list[Any] = list(map(Message.headers, records)) if role == "output" else []
    # streambg's header stands first unless somebody else wrote the record
    headers = [found[0][1] if found and found[0][0] == HEADER else _header(found) for found in named]
    values = list(map(Message.value, records))
    return Chunk(offsets, keys, list(times), values, headers, set(kinds) == {TIMESTAMP_LOG_APPEND_TIME})


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
