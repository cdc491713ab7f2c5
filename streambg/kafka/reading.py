"""Single records and ranges of partitions, read from where one likes; a member of no group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streambg.errors import Gap, StreambgError, Unreachable
from streambg.kafka.errors import translate

# A search looks at single records all over a partition: what is fetched around each must be small, and come at once.
LOOK_BYTES = 64 * 1024
# The best of one `poll` and one `consume`, as for every reader.
RECORDS = 2_000
POLL_S = 0.1
ASK_S = 5.0
# A broker that restarts is back within 30 s; a reader that got nothing for longer will get nothing.
STALLED_S = 45.0

Pairs = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in its partition. time_ms: since 1970, the writer's or the broker's."""

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: Pairs


class LogReader:
    """One consumer that assigns itself what it is asked for: `with LogReader(reader_config) as log`.

    What it reads is what its isolation level shows. Raises Unreachable, Denied, Misconfigured; Gap where records
    expire while they are read.
    """

    def __init__(self, config: Mapping[str, Any], *, looks: bool = False) -> None:
        small = {"fetch.min.bytes": 1, "fetch.message.max.bytes": LOOK_BYTES} if looks else {}
        self._consumer = Consumer({**config, **small, "enable.partition.eof": True})
        self._next: tuple[str, int, int] | None = None
        self._met: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()

    def rest(self) -> None:
        """Fetch nothing more, and give up what `read` has begun; what it knows of brokers and topics stays."""
        self._next = None
        self._consumer.unassign()

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """(first, end) offset; read_committed: the end is where the first open transaction begins."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), ASK_S)
        except KafkaException as error:
            raise translate(error, f"asking for the range of {topic}/{partition}") from error
        return int(low), int(high)

    def since(self, topic: str, partition: int, time_ms: int) -> int:
        """The first offset of that time or later; the end where there is none."""
        try:
            [found] = self._consumer.offsets_for_times([TopicPartition(topic, partition, time_ms)], ASK_S)
        except KafkaException as error:
            raise translate(error, f"asking {topic}/{partition} for a time") from error
        return int(found.offset) if found.offset >= 0 else self.ends(topic, partition)[1]

    def at(self, topic: str, partition: int, offset: int) -> Record | None:
        """The first record at or above `offset`; None at the end. The next one in order costs no new search."""
        if self._next != (topic, partition, offset):
            self._meet(topic, partition)
            self._consumer.assign([TopicPartition(topic, partition, offset)])
        self._next = None
        deadline = time.monotonic() + STALLED_S
        while time.monotonic() < deadline:
            message = self._consumer.poll(POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    return None
                raise _unreadable(topic, partition, error)
            record = record_of(message)
            self._next = (topic, partition, record.offset + 1)
            return record
        raise _stalled(topic, partition, offset)

    def _meet(self, topic: str, partition: int) -> None:
        """Ask who leads a topic that is new to the client: by itself it finds out within 1 s only, the first one aside.

        Where nobody answers, whoever reads waits, and says what is wrong.
        """
        if topic not in self._met:
            self._met.add(topic)
            with suppress(KafkaException):
                self._consumer.get_watermark_offsets(TopicPartition(topic, partition), ASK_S)

    def read(self, topic: str, partition: int, start: int, end: int) -> Iterator[list[Message]]:
        """The visible records of start <= offset < end, some at a time; they are fetched from now on."""
        self._next = None
        if start < end:
            self._consumer.assign([TopicPartition(topic, partition, start)])
        return self._records(topic, partition, start, end)

    def _records(self, topic: str, partition: int, start: int, end: int) -> Iterator[list[Message]]:
        following, progressed = start, time.monotonic()
        while following < end:
            first = self._consumer.poll(POLL_S)
            messages = [] if first is None else [first, *self._consumer.consume(RECORDS - 1, 0)]
            ended, records = False, messages
            if any(map(Message.error, messages)):  # nearly never: without a line of Python for each record
                ended, records = _without_errors(topic, partition, messages)
            if records:
                last = records[-1].offset() or 0
                following, progressed = last + 1, time.monotonic()
                yield records if last < end else [each for each in records if (each.offset() or 0) < end]
            if ended:
                return
            if time.monotonic() - progressed > STALLED_S:
                raise _stalled(topic, partition, following)


def _without_errors(topic: str, partition: int, messages: list[Message]) -> tuple[bool, list[Message]]:
    """Was the partition's end among them? And the records. Raises what else was."""
    ended, records = False, list[Message]()
    for message in messages:
        error = message.error()
        if error is None:
            records.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            ended = True
        else:
            raise _unreadable(topic, partition, error)
    return ended, records


def record_of(message: Message) -> Record:
    """A message as a value."""
    headers: Any = message.headers()
    pairs = [(name, value if isinstance(value, bytes) else str(value or "").encode()) for name, value in headers or ()]
    return Record(message.offset() or 0, message.timestamp()[1], message.key(), message.value(), pairs)


def _unreadable(topic: str, partition: int, error: KafkaError) -> StreambgError:
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        return Gap(
            f"{topic}/{partition}: records expired while they were read ({error.str()})",
            way_out="ask again; reading begins at the log's start as it is then",
        )
    return translate(error, f"reading {topic}/{partition}")


def _stalled(topic: str, partition: int, offset: int) -> Unreachable:
    return Unreachable(
        f"{topic}/{partition}: nothing came for {STALLED_S:g} s at offset {offset}",
        way_out="is the broker up? `streambg broker status`; then ask again",
    )
