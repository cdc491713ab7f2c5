"""The newest events of a topic, read once to the end as it stands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streambg.errors import Unreachable
from streambg.kafka.errors import translate

ASK_S = 10.0
# A broker that works answers a fetch within FETCH_WAIT_MS; so long without a record is no broker that works.
SILENCE_S = 15.0
POLL_S = 0.2
BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Event:
    """time: the record's timestamp, ms since 1970."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    time: int


def read_newest(reader: Mapping[str, Any], topic: str, partitions: int, count: int) -> list[Event]:
    """At most `count` events, oldest first: of every partition an equal share of its newest, so that none is left out.

    reader: `profiles.reader`. Raises Unreachable, Denied, and what else the client finds.
    """
    share = -(-count // partitions)
    consumer = Consumer(dict(reader))
    try:
        starts, ends = {}, {}
        for partition in range(partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), ASK_S)
            if (start := max(low, high - share)) < high:
                starts[partition], ends[partition] = start, high
        consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
        events = _read(consumer, topic, ends)
    finally:
        consumer.close()
    return sorted(events, key=lambda event: (event.time, event.partition, event.offset))[-count:]


def _read(consumer: Consumer, topic: str, ends: dict[int, int]) -> list[Event]:
    """Everything below `ends`, which is used up."""
    events: list[Event] = []
    heard = time.monotonic()
    while ends:
        messages = consumer.consume(BATCH, POLL_S)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_S:
            raise Unreachable(
                f"{topic}: nothing came for {SILENCE_S:g} s, events below {ends} are missing",
                way_out="is every broker of the cluster up? streambg broker status",
            )
        for message in messages:
            _take(message, ends, events)
    return events


def _take(message: Message, ends: dict[int, int], events: list[Event]) -> None:
    partition, offset = message.partition() or 0, message.offset() or 0
    if (error := message.error()) is not None:
        if error.code() != KafkaError._PARTITION_EOF:
            raise translate(error)
        ends.pop(partition, None)  # what is left below the end are a transaction's markers
        return
    if partition not in ends:
        return
    if offset < ends[partition]:
        events.append(Event(partition, offset, message.key(), message.value(), message.timestamp()[1]))
    if offset >= ends[partition] - 1:
        del ends[partition]
