"""A read_committed reader of the outcomes that runs while faults happen: what it saw, when, and the longest silence."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from pipelines import Running

from streambg.kafka import profiles
from streambg.records.outcome import decode_dead_letter, find_header, parse_header

# A reader that lost its broker asks again at least so often, so that its view is no later than this.
POLL_S = 0.02


@dataclass
class Seen:
    """counts: (partition, source offset) -> visible outcomes; arrivals: (monotonic second, outcomes) of each poll.

    moments: (partition, source offset) -> monotonic second of its first outcome. total: of them all. reached: the
    largest source offset of each partition; epochs: that of its last outcome.
    """

    counts: Counter[tuple[int, int]] = field(default_factory=Counter)
    moments: dict[tuple[int, int], float] = field(default_factory=dict)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    total: int = 0
    reached: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    backwards: int = 0  # outcomes behind a later one of their topic and partition
    epochs_back: int = 0


class Reader:
    """Follows output and dead letters in a thread of its own until `stop`."""

    def __init__(self, run: Running) -> None:
        topics = run.pipeline.topics
        self._topics = (topics.output, topics.dead_letters)
        config = {**profiles.reader(run.pipeline, "chaos.reader"), "enable.partition.eof": False, "log_level": 0}
        self._consumer = Consumer({**config, "fetch.wait.max.ms": 20, "auto.offset.reset": "earliest"})
        self._consumer.assign(self._spots(range(run.partitions)))
        self._partitions = run.partitions
        self.seen = Seen()
        self._last: dict[tuple[str, int], tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def _spots(self, numbers: range) -> list[TopicPartition]:
        return [TopicPartition(topic, number, OFFSET_BEGINNING) for topic in self._topics for number in numbers]

    def grow(self, partitions: int) -> None:
        self._consumer.incremental_assign(self._spots(range(self._partitions, partitions)))
        self._partitions = partitions

    def longest_silence(self, since: float, until: float) -> float:
        """The longest time without an outcome between two moments."""
        times = [since, *(at for at, _ in self.seen.arrivals if since < at < until), until]
        return max((later - sooner for sooner, later in itertools.pairwise(times)), default=0.0)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)
        self._consumer.close()

    def _run(self) -> None:
        while not self._over.is_set():
            messages = [message for message in self._consumer.consume(5_000, POLL_S) if message.error() is None]
            if not messages:
                continue
            arrived = time.monotonic()
            for message in messages:
                topic = message.topic() or ""
                if topic == self._topics[0]:
                    told = parse_header(find_header(message.headers()) or b"")  # type: ignore[arg-type] # a list of pairs
                    source, epoch = told.source, told.epoch
                else:
                    letter = decode_dead_letter(message.value() or b"")
                    source, epoch = letter.source, letter.epoch
                self.seen.moments.setdefault((source.partition, source.offset), arrived)
                self._count(topic, source.partition, source.offset, epoch)
            self.seen.total += len(messages)
            self.seen.arrivals.append((arrived, len(messages)))

    def _count(self, topic: str, partition: int, offset: int, epoch: int) -> None:
        seen = self.seen
        seen.counts[partition, offset] += 1
        if offset > seen.reached.get(partition, -1):
            seen.reached[partition], seen.epochs[partition] = offset, epoch
        last_offset, last_epoch = self._last.get((topic, partition), (-1, -1))
        seen.backwards += offset <= last_offset
        seen.epochs_back += epoch < last_epoch
        self._last[topic, partition] = (offset, epoch)
