"""Fences the dead: their open transactions would hide the tail and block positions (P24)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from streambg.kafka.clients import KAFKA, Clients
from streambg.records.cutover import decode_publisher_position

COMMITTED_TIMEOUT_S = 10.0
# InitProducerId of a dead member's id took 10-50 ms; it waits while the coordinator ends an open transaction.
FENCE_TIMEOUT_S = 20.0
# One wait for its answer. The coordinator ends an open transaction within 10-20 ms, but the client asks again after
# 500 ms only; a call that is repeated asks at once, or goes on waiting where an answer is under way.
ASK_AGAIN_S = 0.025
# Long enough for the first request of each to be sent; then all of them are waited for.
KICK_S = 0.001

log = structlog.get_logger("streambg.publisher")


def writers(config: Mapping[str, Any], group: str, positions: Collection[TopicPartition], clients: Clients) -> set[str]:
    """Who committed these positions last, read without waiting for stable offsets."""
    return {
        position.transactional_id
        for topic_partition in committed_now(config, group, positions, clients)
        if (position := decode_publisher_position(topic_partition.metadata)) is not None
    }


def committed_now(
    config: Mapping[str, Any], group: str, positions: Collection[TopicPartition], clients: Clients
) -> list[TopicPartition]:
    """The positions as they are committed, also while a transaction is pending on them."""
    reader = clients.consumer({**config, "group.id": group, "isolation.level": "read_uncommitted"})
    try:
        return reader.committed(list(positions), COMMITTED_TIMEOUT_S)
    finally:
        reader.close()


def fence_the_dead(producer_config: Mapping[str, Any], dead: Collection[str], clients: Clients = KAFKA) -> None:
    """A producer that takes over each dead id: the broker aborts what was open and refuses what comes late."""
    producers = [
        clients.producer({**producer_config, "transactional.id": transactional_id, "client.id": "streambg.fence"})
        for transactional_id in sorted(dead)
    ]
    take_over(producers, FENCE_TIMEOUT_S, clients)
    for producer in producers:
        producer.close()
    log.debug("fenced", transactional_ids=sorted(dead))


def take_over(producers: Sequence[Producer], timeout: float, clients: Clients) -> None:
    """`init_transactions` of all of them at once. Raises KafkaException where one is not done within `timeout` s."""
    deadline = clients.now() + timeout
    waiting = [producer for producer in producers if not _taken_over(producer, KICK_S, deadline, clients)]
    while waiting:
        waiting = [producer for producer in waiting if not _taken_over(producer, ASK_AGAIN_S, deadline, clients)]


def _taken_over(producer: Producer, timeout: float, deadline: float, clients: Clients) -> bool:
    try:
        producer.init_transactions(timeout)
    except KafkaException as error:
        again: KafkaError = error.args[0]
        if clients.now() >= deadline or not (again.retriable() or again.code() == KafkaError._TIMED_OUT):
            raise
        return False
    return True
