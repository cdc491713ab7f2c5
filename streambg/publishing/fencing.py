"""Fences the dead: their open transactions would hide the tail and block positions (P24)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from streambg.kafka.clients import Clients
from streambg.process.watch import WATCH
from streambg.publishing.site import Site
from streambg.records.cutover import decode_publisher_position

COMMITTED_TIMEOUT_S = 10.0
# Of one call for a transaction that is left open, where ordinary ones take less.
LEFT_OPEN_S = 5.0
# Nothing of a fencer is ever committed: what it retries by itself need not show as a slow call (P21).
RETRY_MS = 100
# syslog's: at warnings the client tells of each answer that only says that the coordinator is not ready yet.
LOG_ERRORS = 3
KEY = b"streambg.fence"  # of what is written to be aborted: a compacted topic refuses records without a key
# InitProducerId of a dead member's id took 10-50 ms; it waits while the coordinator ends an open transaction.
FENCE_TIMEOUT_S = 20.0
# One wait for its answer. The coordinator ends an open transaction within 10-20 ms, but the client asks again after
# 500 ms only; a call that is repeated asks at once, or goes on waiting where an answer is under way.
ASK_AGAIN_S = 0.025
# Long enough for the first request of each to be sent; then all of them are waited for.
KICK_S = 0.001

log = structlog.get_logger("streambg.publisher")


def writers(site: Site, positions: Collection[TopicPartition]) -> set[str]:
    """Who committed these positions last, read without waiting for stable offsets."""
    return {
        position.transactional_id
        for topic_partition in committed_now(site, positions)
        if (position := decode_publisher_position(topic_partition.metadata)) is not None
    }


def committed_now(site: Site, positions: Collection[TopicPartition]) -> list[TopicPartition]:
    """The positions as they are committed, also while a transaction is pending on them."""
    reader = site.clients.consumer({**site.reader, "group.id": site.group, "isolation.level": "read_uncommitted"})
    try:
        return reader.committed(list(positions), COMMITTED_TIMEOUT_S)
    finally:
        reader.close()


def fence_the_dead(site: Site, dead: Collection[str]) -> None:
    """A producer that takes over each dead id: the broker aborts what was open and refuses what comes late."""
    producers = [_fencer(site, transactional_id) for transactional_id in sorted(dead)]
    take_over(producers, FENCE_TIMEOUT_S, site.clients)
    for producer in producers:
        producer.close()
    log.debug("fenced", transactional_ids=sorted(dead))


def _fencer(site: Site, transactional_id: str) -> Producer:
    return site.clients.producer(
        {
            **site.producer,
            "transactional.id": transactional_id,
            "client.id": "streambg.fence",
            "retry.backoff.ms": RETRY_MS,
            "log_level": LOG_ERRORS,
        }
    )


def leave_open(
    site: Site, ids: Collection[str], position: TopicPartition, spots: Sequence[tuple[str, int]] = ()
) -> None:
    """A transaction of each id that holds one position and a record in each of `spots`, left as it is.

    The next `init_transactions` of the id aborts it, and with it whatever the broker has forgotten to end there: a
    marker ends all that its producer id has open. By hand nothing is aborted (P21). Raises KafkaException, also where
    a record did not reach its partition: then no marker will.
    """
    call_s = max(LEFT_OPEN_S, site.trusted_s)
    nobody = site.clients.consumer({**site.reader, "group.id": site.group})
    try:
        outsider = nobody.consumer_group_metadata()  # of no generation, so that none has to be the present one
    finally:
        nobody.close()
    producers = [_fencer(site, transactional_id) for transactional_id in sorted(ids)]
    try:
        take_over(producers, FENCE_TIMEOUT_S, site.clients)
        for producer in producers:
            producer.begin_transaction()
            pending = TopicPartition(position.topic, position.partition, 0)
            producer.send_offsets_to_transaction([pending], outsider, call_s)
            _reach(producer, spots, call_s)
    finally:
        while producers:
            producer = producers.pop()
            purge(producer)
            with WATCH.call("the end of a producer", LEFT_OPEN_S):
                del producer


def _reach(producer: Producer, spots: Sequence[tuple[str, int]], timeout: float) -> None:
    """A record in each of them; raises KafkaException where one is not there in time."""
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            errors.append(error)

    for topic, partition in spots:
        producer.produce(topic, None, KEY, partition, None, delivered)
    if producer.flush(timeout):
        errors.append(KafkaError(KafkaError._TIMED_OUT, f"not every partition was reached within {timeout:g} s"))
    if errors:
        raise KafkaException(errors[0])


def purge(producer: Producer) -> None:
    """What it has not sent yet stays unsent."""
    try:
        producer.purge()
    except KafkaException as error:
        log.debug("purge", why=str(error))


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
