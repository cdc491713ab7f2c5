"""Quick looks at partitions: ends, what stands at some offset, the last records, the age of an event."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streambg.errors import Unreachable
from streambg.kafka.clients import KAFKA, Clients
from streambg.kafka.errors import translate
from streambg.records.batch import BadBatch, decode_head

# How many of a color's last batches are looked at for one of the deployment; a redeployed color's newest come last.
LAST_BATCHES = 4
TIMEOUT_S = 5.0
# Some hundred records of every partition: a broker that is up hands them over in tenths of a second.
READ_TIMEOUT_S = 20.0
POLL_S = 0.1
# Taken from the client's queue at once, and how long one take waits for more before the ends are judged again.
READ = 1_000
EOF_WAIT_S = 0.05
# Markers may be all that is left above an offset: then nothing comes, and nothing waits.
EVENT_WAIT_S = 1.0

Spot = tuple[str, int]  # topic and partition


def ranges(consumer: Consumer, spots: Collection[Spot], timeout: float) -> dict[Spot, tuple[int, int]]:
    """(first, end) offset of each, as the client's isolation level shows it: two requests a broker, however many."""
    firsts, ends = (offsets_at(consumer, spots, which, timeout) for which in (OFFSET_BEGINNING, OFFSET_END))
    return {spot: (firsts[spot], ends[spot]) for spot in spots}


def offsets_at(consumer: Consumer, spots: Collection[Spot], at: int, timeout: float) -> dict[Spot, int]:
    """Of each the first record from `at` (ms since 1970) on, -1 where there is none; or its beginning, or its end."""
    wanted = [TopicPartition(topic, partition, at) for topic, partition in spots]
    found = consumer.offsets_for_times(wanted, timeout) if wanted else []
    for each in found:
        if each.error is not None:
            raise KafkaException(each.error)
    return {(each.topic, each.partition): each.offset for each in found}


def read_on(
    consumer: Consumer,
    starts: Mapping[Spot, int],
    timeout: float,
    limit: int | None = None,
    *,
    at_least: int = 0,
    clients: Clients = KAFKA,
) -> list[Message]:
    """The records from `starts` to the end of each partition, at most `limit` of each; in order within a partition.

    The consumer needs `enable.partition.eof`. at_least: an end below this offset is none yet, an open transaction
    stands there: read on. Raises Unreachable where that takes longer than `timeout` seconds.
    """
    consumer.assign([TopicPartition(topic, partition, at) for (topic, partition), at in starts.items()])
    left = dict.fromkeys(starts, limit)
    records, deadline = list[Message](), clients.now() + timeout
    while left:
        if clients.now() > deadline:
            raise Unreachable(
                f"{', '.join(f'{topic}/{partition}' for topic, partition in sorted(left))}: not read to the end "
                f"within {timeout:g} s",
                way_out="is the broker up, and may this process read the topic?",
            )
        for message in consumer.consume(READ, EOF_WAIT_S):
            spot, error = (message.topic() or "", message.partition() or 0), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if spot not in left or (error is not None and (message.offset() or 0) < at_least):
                continue
            if error is None:
                records.append(message)
            room = left[spot]
            if error is not None or room == 1:
                del left[spot]
            elif room is not None:
                left[spot] = room - 1
    return records


class Look:
    """One assigned-only consumer for many looks: `with Look(reader_config) as look`."""

    def __init__(self, reader: Mapping[str, Any]) -> None:
        self._consumer = Consumer({**reader, "enable.partition.eof": True})

    def __enter__(self) -> Look:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """(first, end) offset. Raises what the client's error means: Unreachable, Misconfigured, Denied."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), TIMEOUT_S)
        except KafkaException as error:
            raise translate(error, f"asking for the ends of {topic}/{partition}") from error
        return int(low), int(high)

    def ranges(self, spots: Collection[Spot]) -> dict[Spot, tuple[int, int]]:
        """(first, end) offset of each, in two requests a broker. Raises as `ends`."""
        try:
            return ranges(self._consumer, spots, TIMEOUT_S)
        except KafkaException as error:
            raise translate(error, "asking for the ends of partitions") from error

    def read_on(self, starts: Mapping[Spot, int], limit: int | None = None) -> dict[Spot, list[Message]]:
        """Per partition the records from its start on, see `read_on`. Raises as `ends`, and Gap."""
        found: dict[Spot, list[Message]] = {spot: [] for spot in starts}
        if not starts:
            return found
        try:
            messages = read_on(self._consumer, starts, READ_TIMEOUT_S, limit)
        except KafkaException as error:
            raise translate(error, f"reading {', '.join(sorted({topic for topic, _ in starts}))}") from error
        for message in messages:
            found[message.topic() or "", message.partition() or 0].append(message)
        return found

    def covered(self, topic: str, partition: int, deployment: int) -> int | None:
        """How far the deployment's last batch reaches; None where its color's last batches are not its own."""
        low, high = self.ends(topic, partition)
        covered: int | None = None
        for value in self._read(topic, partition, max(low, high - LAST_BATCHES), high):
            try:
                head = decode_head(value)
            except BadBatch:
                continue
            if head.deployment == deployment:
                covered = max(head.upto, covered if covered is not None else head.upto)
        return covered

    def age_ms(self, topic: str, partition: int, offset: int, end: int) -> int:
        """Age of the first event at or above `offset`, by its own timestamp; 0 where there is none below `end`."""
        if offset >= end:
            return 0
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        message = self._consumer.poll(EVENT_WAIT_S)
        if message is None or message.error() is not None:
            return 0
        return max(0, int(time.time() * 1_000) - message.timestamp()[1])

    def _read(self, topic: str, partition: int, start: int, end: int) -> list[bytes]:
        self._consumer.assign([TopicPartition(topic, partition, start)])
        values, deadline = [], time.monotonic() + TIMEOUT_S
        while start < end and time.monotonic() < deadline:
            message = self._consumer.poll(POLL_S)
            if message is not None and message.error() is not None:
                break  # the end: what was counted there was a marker
            if message is not None:
                values.append(message.value() or b"")
                start = (message.offset() or 0) + 1
        return values
