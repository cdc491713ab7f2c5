"""Fences the dead: their open transactions would hide the tail and block positions (P24)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import structlog
from confluent_kafka import TopicPartition

from streambg.kafka.clients import KAFKA, Clients
from streambg.records.cutover import decode_publisher_position

# InitProducerId of a dead member's id took 10-50 ms; it waits while the coordinator ends an open transaction.
FENCE_TIMEOUT_S = 20.0

log = structlog.get_logger("streambg.publisher")


def writers(config: Mapping[str, Any], group: str, positions: Collection[TopicPartition], clients: Clients) -> set[str]:
    """Who committed these positions last, read without waiting for stable offsets."""
    reader = clients.consumer({**config, "group.id": group, "isolation.level": "read_uncommitted"})
    try:
        committed = reader.committed(list(positions), 10)
    finally:
        reader.close()
    return {
        position.transactional_id
        for topic_partition in committed
        if (position := decode_publisher_position(topic_partition.metadata)) is not None
    }


def fence_the_dead(
    producer_config: Mapping[str, Any], candidates: Collection[str], alive: Collection[str], clients: Clients = KAFKA
) -> None:
    """A producer that takes over each dead id: the broker aborts what was open and refuses what comes late."""
    for transactional_id in sorted(set(candidates) - set(alive)):
        producer = clients.producer(
            {**producer_config, "transactional.id": transactional_id, "client.id": "streambg.fence"}
        )
        producer.init_transactions(FENCE_TIMEOUT_S)
        producer.close()
        log.debug("fenced", transactional_id=transactional_id)
