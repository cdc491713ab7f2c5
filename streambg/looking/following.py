"""Outcomes as they come: output and dead letters, as a read_committed reader sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from streambg.config import Pipeline
from streambg.control import verbs
from streambg.errors import Unreachable
from streambg.kafka import profiles
from streambg.kafka.admin import describe
from streambg.kafka.errors import translate
from streambg.kafka.reading import record_of
from streambg.looking.collect import CLIENT
from streambg.looking.event import Letter, Published
from streambg.looking.logs import parse_letter, parse_output

# So long Ctrl-C waits at the most.
POLL_S = 0.2
RECORDS = 500
# As every client of ours, so that added partitions are followed too (P13).
LOOK_FOR_PARTITIONS_S = profiles.METADATA_REFRESH_MS / 1_000
WATERMARK_S = 10.0


def follow(pipeline: Pipeline, began: Callable[[], None]) -> Iterator[Published | Letter]:
    """What is written from now on, for ever, in the order it arrives here; within a partition in source order.

    `began` is called once it is certain that nothing written after is missed.
    Raises Unreachable, Denied; Gap where retention overtakes the reader. A broker that restarts is waited for.
    """
    topics = (pipeline.topics.output, pipeline.topics.dead_letters)
    config = {**profiles.reader(pipeline, CLIENT, follow=True), **verbs.QUIET}
    admin = AdminClient({**profiles.admin(pipeline, CLIENT), **verbs.QUIET})
    consumer = Consumer(config)
    try:
        followed: dict[str, int] = dict.fromkeys(topics, 0)
        _add(consumer, admin, followed, from_end=True)
        began()
        look_at = time.monotonic() + LOOK_FOR_PARTITIONS_S
        while True:
            if time.monotonic() > look_at:
                look_at = time.monotonic() + LOOK_FOR_PARTITIONS_S
                _look(consumer, admin, followed)
            first = consumer.poll(POLL_S)
            for message in [] if first is None else [first, *consumer.consume(RECORDS - 1, 0)]:
                error = message.error()
                if error is not None:
                    if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                        continue
                    raise translate(error, f"reading {message.topic()}/{message.partition()}")
                record = record_of(message)
                found = parse_output(record) if message.topic() == topics[0] else parse_letter(record)
                if found is not None:
                    yield found
    finally:
        consumer.close()


def _look(consumer: Consumer, admin: AdminClient, followed: dict[str, int]) -> None:
    with suppress(Unreachable):  # it comes back, or the consumer says more
        _add(consumer, admin, followed, from_end=False)


def _add(consumer: Consumer, admin: AdminClient, followed: dict[str, int], *, from_end: bool) -> None:
    """Follow the partitions that are new: the first ones from their end, added ones from their beginning."""
    added: list[TopicPartition] = []
    for topic, facts in describe(admin, list(followed)).items():
        for number in range(followed[topic], facts.partitions):
            at = 0
            if from_end:
                at = int(consumer.get_watermark_offsets(TopicPartition(topic, number), WATERMARK_S)[1])
            added.append(TopicPartition(topic, number, at))
        followed[topic] = facts.partitions
    if added:
        consumer.incremental_assign(added)
