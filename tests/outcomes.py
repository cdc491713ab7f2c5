"""What stands in a pipeline's output and dead letters, read by a plain read_committed reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition

from streambg.config import Pipeline
from streambg.kafka import profiles
from streambg.kafka.looking import EOF_WAIT_S, ranges
from streambg.records.outcome import DeadLetter, Outcome, decode_dead_letter, find_header, parse_header


@dataclass
class Read:
    """What a read_committed reader sees: outcomes and dead letters in the order of each partition."""

    outcomes: list[Outcome] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def counts(self) -> Counter[tuple[int, int]]:
        """(partition, source offset) -> outcomes."""
        sources = [outcome.source for outcome in self.outcomes] + [letter.source for letter in self.letters]
        return Counter((source.partition, source.offset) for source in sources)


def read_all(pipeline: Pipeline, partitions: Collection[int]) -> Read:
    """All that a read_committed reader sees now."""
    topics = pipeline.topics
    spots = [(topic, number) for topic in (topics.output, topics.dead_letters) for number in partitions]
    consumer = Consumer(dict(profiles.reader(pipeline, "test")))
    read, left = Read(), set(spots)
    try:
        # a client that is told to find the beginning itself may wait half a second first
        firsts = {spot: first for spot, (first, _) in ranges(consumer, spots, 20).items()}
        consumer.assign([TopicPartition(topic, number, first) for (topic, number), first in firsts.items()])
        while left:
            for message in consumer.consume(5_000, EOF_WAIT_S):
                if message.error() is not None:
                    left.discard((message.topic() or "", message.partition() or 0))
                elif message.topic() == topics.output:
                    read.outcomes.append(parse_header(find_header(message.headers()) or b""))  # type: ignore[arg-type] # a list of pairs
                    read.values.append(message.value() or b"")
                    read.keys.append(message.key())
                else:
                    read.letters.append(decode_dead_letter(message.value() or b""))
    finally:
        consumer.close()
    return read
