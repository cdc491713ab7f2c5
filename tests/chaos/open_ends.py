"""Transactions that are open in the output: what their readers wait at."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from chaos.world import World
from streambg.kafka import profiles


def hidden(world: World) -> int:
    """Partitions of the output whose readers wait at an open transaction."""
    run = world.run
    ends = []
    for stable in (True, False):
        consumer = Consumer(dict(profiles.reader(run.pipeline, "chaos.ends", stable=stable)))
        try:
            ends.append([_end(consumer, run.pipeline.topics.output, number) for number in range(run.partitions)])
        finally:
            consumer.close()
    return sum(visible < written for visible, written in zip(*ends, strict=True))


def _end(consumer: Consumer, topic: str, number: int) -> int:
    return int(consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1])
