"""Reads the input where a command gave up what was owed: each event there becomes a dead letter (P29)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streambg.kafka.clients import KAFKA, Clients

# What one look may take of the publisher's loop: far below the 15 s after which a member that does not poll is out.
LOOK_S = 2.0
WATERMARK_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Events:
    """The input's records up to `upto` (nothing else stands there): source offsets ascending, and their keys."""

    offsets: list[int]
    keys: list[bytes | None]
    upto: int


def read_events(
    config: Mapping[str, Any],
    topic: str,
    partition: int,
    gap: tuple[int, int],
    limit: int,
    clients: Clients = KAFKA,
) -> Events:
    """About `limit` of the visible records with `first` <= offset < `end`; `upto` is first - 1 where none can be told.

    What retention, compaction or an aborted transaction took is passed; an open transaction is waited for.
    """
    first, end = gap
    consumer = clients.consumer({**config, "enable.partition.eof": True})
    try:
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), WATERMARK_TIMEOUT_S)
        found = Events([], [], max(first, min(int(low), end)) - 1)
        if found.upto >= end - 1:
            return found
        consumer.assign([TopicPartition(topic, partition, found.upto + 1)])
        return _read(clients, consumer, found, end, limit)
    finally:
        consumer.close()


def _read(clients: Clients, consumer: Consumer, found: Events, end: int, limit: int) -> Events:
    offsets, keys, upto = found.offsets, found.keys, found.upto
    deadline = clients.now() + LOOK_S
    while upto < end - 1 and len(offsets) < limit and clients.now() < deadline:
        for message in consumer.consume(min(1_000, limit - len(offsets)), 0.1):
            error, offset = message.error(), message.offset() or 0
            if error is None and offset < end:
                offsets.append(offset)
                keys.append(message.key())
                upto = offset
            elif error is None or error.code() == KafkaError._PARTITION_EOF:
                return Events(offsets, keys, max(upto, min(offset, end) - 1))
            else:
                raise KafkaException(error)
    return Events(offsets, keys, upto)
