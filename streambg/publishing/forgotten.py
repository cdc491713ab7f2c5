"""Ends transactions that the broker has forgotten to end (P24).

A coordinator sends a transaction's markers to the leaders of its partitions. Where a partition has no leader at that
moment, Kafka 4.3.1 takes it for deleted and calls the transaction complete without that marker (its
TransactionMarkerChannelManager, and KRaftMetadataCache.getPartitionLeaderEndpoint). Seen where the only broker was
killed behind the decision of a commit, and was fenced by its controller while it came back: the outcomes were visible,
the positions pending for ever. No timeout ends such a transaction; the next marker of the same producer id does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from streambg.errors import SessionEnded
from streambg.kafka.looking import Spot, ranges, read_on
from streambg.publishing.fencing import FENCE_TIMEOUT_S, committed_now, take_over
from streambg.publishing.site import Site
from streambg.records.outcome import decode_dead_letter, find_header, parse_header

# Who is alive may have a transaction open where it published before: it ends with its session, or 10 s later by the
# broker, which looks every 10 s.
PATIENCE_S = 30.0
# Where everybody else is dead, and fenced, nothing can be open: this is for a slow broker.
ALONE_S = 5.0
LOOK_AGAIN_S = 0.1
CALL_TIMEOUT_S = 5.0
WATERMARK_TIMEOUT_S = 5.0
KEY = b"streambg.forgotten"  # of what is written to be aborted; compacted topics refuse records without a key

log = structlog.get_logger("streambg.publisher")


class Forgotten(SessionEnded):
    """A transaction stands open that nobody can have open."""


def stable_positions(
    site: Site, consumer: Consumer, positions: Sequence[TopicPartition], patience: float
) -> list[TopicPartition]:
    """The committed positions once no transaction is pending on them. Raises Forgotten where one stays so."""
    try:
        return consumer.committed(list(positions), patience)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._TIMED_OUT:
            raise
        committed_now(site.reader, site.group, positions, site.clients)  # raises where it is the broker that is away
    raise Forgotten(
        f"positions are pending for {patience:g} s by a transaction that nobody has open: the broker forgot to end it"
    )


def require_ended(site: Site, settled: Mapping[int, int]) -> None:
    """Raises Forgotten where a transaction stays open over outcomes of these partitions, or over cutover records.

    settled: of each partition what the committed positions say. Outcomes that they cover were decided for: the next
    commit of the same producer shows them.
    """
    spots = [(topic, number) for topic in (site.output, site.dead_letters) for number in settled]
    spots.append((site.cutovers, 0))
    deadline = site.clients.now() + ALONE_S
    while spots and site.clients.now() < deadline:
        hiding = _hiding(site, spots)
        spots = [spot for spot in spots if spot in hiding]
        if spots:
            site.clients.wait(LOOK_AGAIN_S)
    for spot in spots:
        stable, hides = hiding[spot]
        if spot[0] == site.cutovers or (hides is not None and hides > settled[spot[1]]):
            raise Forgotten(
                f"{spot[0]}/{spot[1]}: from log offset {stable} on a transaction hides what nobody has open: the "
                "broker forgot to end it"
            )
        log.warning("hidden_outcomes", topic=spot[0], partition=spot[1], log_offset=stable, source=hides)


def _hiding(site: Site, spots: Sequence[Spot]) -> dict[Spot, tuple[int, int | None]]:
    """Where a transaction is open: the last stable offset, and the source offset of the outcome there (None: none of
    ours).
    """
    raw = {**site.reader, "enable.partition.eof": True, "isolation.level": "read_uncommitted"}
    seeing, all_of_it = site.clients.consumer(site.reader), site.clients.consumer(raw)
    try:
        written = ranges(all_of_it, spots, WATERMARK_TIMEOUT_S)
        stable = ranges(seeing, spots, WATERMARK_TIMEOUT_S)
        return {
            spot: (stable[spot][1], _source_at(site, all_of_it, spot, stable[spot][1]))
            for spot in spots
            if stable[spot][1] < written[spot][1]
        }
    finally:
        seeing.close()
        all_of_it.close()


def _source_at(site: Site, consumer: Consumer, spot: Spot, at: int) -> int | None:
    if spot[0] == site.cutovers:
        return None
    for message in read_on(consumer, {spot: at}, WATERMARK_TIMEOUT_S, 1, clients=site.clients):
        try:
            if spot[0] == site.dead_letters:
                return decode_dead_letter(message.value() or b"").source.offset
            header = find_header(message.headers()) or b""  # type: ignore[arg-type] # confluent-kafka types values as str | bytes | None
            return parse_header(header).source.offset
        except ValueError:
            return None
    return None


@contextmanager
def ending_forgotten(
    site: Site,
    admin: AdminClient,
    ids: Collection[str],
    position: TopicPartition,
    group_metadata: Any,
    alarm: Callable[[str], None],
) -> Iterator[None]:
    """What raises Forgotten within is told, and mended for the next session: see `end_forgotten`."""
    try:
        yield
    except Forgotten as error:
        alarm(error.what)
        end_forgotten(site, admin, ids, position, group_metadata)
        raise


def end_forgotten(
    site: Site, admin: AdminClient, ids: Collection[str], position: TopicPartition, group_metadata: Any
) -> None:
    """An aborted transaction of each id, whose markers go everywhere that a publisher writes.

    Everywhere: what is hidden in a partition that somebody else has by now would come into sight with a later commit.
    Who had these ids is fenced by it, also where that is this process. Raises KafkaException.
    """
    topics = [site.output, site.dead_letters, site.cutovers]
    described = admin.describe_topics(TopicCollection(topics), request_timeout=CALL_TIMEOUT_S)
    spots = [(topic, number) for topic in topics for number in range(len(described[topic].result().partitions))]
    for transactional_id in sorted(ids):
        producer = site.clients.producer(
            {**site.producer, "transactional.id": transactional_id, "client.id": "streambg.end"}
        )
        take_over([producer], FENCE_TIMEOUT_S, site.clients)
        producer.begin_transaction()
        for topic, number in spots:
            producer.produce(topic, None, KEY, number)
        producer.flush(CALL_TIMEOUT_S)
        producer.send_offsets_to_transaction(
            [TopicPartition(position.topic, position.partition, 0)], group_metadata, CALL_TIMEOUT_S
        )
        producer.abort_transaction(CALL_TIMEOUT_S)
        producer.close()
    log.warning("forgotten_ended", transactional_ids=sorted(ids))
