"""Where publisher and scorers stand, as their committed positions say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import TopicPartition

from streambg.kafka.clients import KAFKA, Clients
from streambg.records.cutover import (
    PublisherPosition,
    ScorerPosition,
    decode_publisher_position,
    decode_scorer_position,
)

TIMEOUT_S = 10.0


def read_positions(
    config: Mapping[str, Any],
    group: str,
    topics: Collection[str],
    partitions: Collection[int],
    clients: Clients = KAFKA,
) -> dict[tuple[str, int], tuple[int, PublisherPosition]]:
    """(predictions topic, partition) -> (log offset, metadata), where there is one.

    Read without waiting for an open transaction: what is committed is a safe lower bound.
    """
    wanted = [TopicPartition(topic, partition) for topic in topics for partition in partitions]
    return {
        (topic_partition.topic, topic_partition.partition): (topic_partition.offset, position)
        for topic_partition in _committed(config, group, wanted, clients)
        if (position := decode_publisher_position(topic_partition.metadata)) is not None
    }


def read_settled(
    config: Mapping[str, Any],
    group: str,
    topics: Collection[str],
    partitions: Collection[int],
    clients: Clients = KAFKA,
) -> dict[int, int]:
    """Partition -> settled source offset, for the partitions where something was ever committed."""
    settled: dict[int, int] = {}
    for (_, partition), (_, position) in read_positions(config, group, topics, partitions, clients).items():
        settled[partition] = max(position.settled, settled.get(partition, position.settled))
    return settled


def read_scored(
    config: Mapping[str, Any], group: str, topic: str, partitions: Collection[int], deployment: int
) -> dict[int, int]:
    """Partition -> source offset to which the deployment's scorers have committed; a seed counts up to it (P11)."""
    return {
        partition: offset - 1
        for partition, (offset, position) in read_scorer_positions(config, group, topic, partitions).items()
        if position.deployment == deployment
    }


def read_scorer_positions(
    config: Mapping[str, Any], group: str, topic: str, partitions: Collection[int]
) -> dict[int, tuple[int, ScorerPosition]]:
    """Partition -> (next source offset, metadata) of a color's scorers, where there is one."""
    return {
        found.partition: (found.offset, position)
        for found in _committed(config, group, [TopicPartition(topic, partition) for partition in partitions])
        if (position := decode_scorer_position(found.metadata)) is not None
    }


def _committed(
    config: Mapping[str, Any], group: str, wanted: list[TopicPartition], clients: Clients = KAFKA
) -> list[TopicPartition]:
    reader = clients.consumer({**config, "group.id": group, "isolation.level": "read_uncommitted"})
    try:
        return list(reader.committed(wanted, TIMEOUT_S))
    finally:
        reader.close()
