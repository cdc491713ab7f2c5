"""Where the publisher stands, as its committed positions say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from streambg.records.cutover import PublisherPosition, decode_publisher_position

TIMEOUT_S = 10.0


def read_positions(
    config: Mapping[str, Any], group: str, topics: Collection[str], partitions: Collection[int]
) -> dict[tuple[str, int], tuple[int, PublisherPosition]]:
    """(predictions topic, partition) -> (log offset, metadata), where there is one.

    Read without waiting for an open transaction: what is committed is a safe lower bound.
    """
    reader = Consumer({**config, "group.id": group, "isolation.level": "read_uncommitted"})
    try:
        wanted = [TopicPartition(topic, partition) for topic in topics for partition in partitions]
        found = reader.committed(wanted, TIMEOUT_S)
    finally:
        reader.close()
    return {
        (topic_partition.topic, topic_partition.partition): (topic_partition.offset, position)
        for topic_partition in found
        if (position := decode_publisher_position(topic_partition.metadata)) is not None
    }


def read_settled(
    config: Mapping[str, Any], group: str, topics: Collection[str], partitions: Collection[int]
) -> dict[int, int]:
    """Partition -> settled source offset, for the partitions where something was ever committed."""
    settled: dict[int, int] = {}
    for (_, partition), (_, position) in read_positions(config, group, topics, partitions).items():
        settled[partition] = max(position.settled, settled.get(partition, position.settled))
    return settled
