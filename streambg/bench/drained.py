"""Rows (d), (e), (f) and the running comparator of (g): a process of the pipeline drains what is recorded.

The window comes from the topics: the broker's times of the prediction batches, the publisher's of its records. So
nothing asks the process while it runs. Warm-up as in the raw loops: the first fifth.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streambg.bench.raw import STARVED_S, WARM_UP, Window
from streambg.bench.stage import Stage, await_all
from streambg.bench.usage import Usage
from streambg.config import Pipeline
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.records.batch import decode_head
from streambg.records.source import Color

WEIGHT = 1_000  # 10 %
READ = 5_000
READ_S = 0.2
# Between two looks at committed positions; and at the comparator, whose answers are the measurement.
POLL_S = 0.2
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Recorded:
    """A pipeline whose input is `count` events in `partitions` partitions; blue live, green at 10 %."""

    stage: Stage
    pipeline: Pipeline
    partitions: int
    count: int

    @staticmethod
    def begin(stage: Stage, name: str, partitions: int, count: int, models: dict[Color, str]) -> Recorded:
        """Topics and commands; nobody has scored yet."""
        pipeline = stage.pipeline(name, stage.filled(partitions, count), partitions)
        stage.deploy(pipeline, models, WEIGHT if len(models) > 1 else 0)
        return Recorded(stage, pipeline, partitions, count)

    def score(self, color: Color, members: int = 1, *, pinned: bool = True) -> tuple[Window, Usage]:
        """Let the scorers of a color answer everything."""
        topic = self.pipeline.topics.predictions(color)
        ends = Ends(self.pipeline, self.pipeline.groups.scorer(color), self.pipeline.topics.input, self.partitions)
        options = [("scorer", "--color", color, "--slot", str(slot)) for slot in range(members)]
        with ends:
            usage, joined = self._drain(options, ends.sum, pinned)
        return self._window(topic, _rows, joined), usage

    def publish(self, members: int = 1, *, pinned: bool = True) -> tuple[Window, Usage]:
        """Let the publishers settle everything that both colors have answered."""
        options = [("publisher", "--slot", str(slot)) for slot in range(members)]
        usage, joined = self._drain(options, lambda: self.stage.settled(self.pipeline, self.partitions), pinned)
        return self._window(self.pipeline.topics.output, lambda _: 1, joined), usage

    def compare(self) -> tuple[Window, Usage]:
        """Let the comparator compare everything; it says itself how far it is."""
        with (
            self.stage.worker(self.pipeline, "comparator") as worker,
            Usage({"client": [worker.pid], "broker": [self.stage.broker_pid]}) as usage,
        ):
            seen: list[tuple[float, int]] = []

            def matched() -> int:
                partitions = worker.health().get("partitions", {})
                seen.append((time.time(), sum(found["matched"] for found in partitions.values())))
                return seen[-1][1]

            await_all(matched, self.count, [worker], LOOK_S)
        return between([at for at, _ in seen], [done for _, done in seen]), usage

    def _drain(self, options: Sequence[tuple[str, ...]], done: Callable[[], int], pinned: bool) -> tuple[Usage, float]:
        with ExitStack() as stack:
            workers = [
                stack.enter_context(self.stage.worker(self.pipeline, *words, pinned=pinned)) for words in options
            ]
            usage = stack.enter_context(
                Usage({"client": [worker.pid for worker in workers], "broker": [self.stage.broker_pid]})
            )
            await_all(done, self.count, workers, POLL_S)
        logs = [worker.log for worker in workers]
        return usage, max(map(last_assigned, logs))  # with several members: when they shared the partitions

    def _window(self, topic: str, count: Callable[[Message], int], joined: float) -> Window:
        times, counts = written(self.pipeline, topic, self.partitions, count)
        return between(times, np.cumsum(counts), joined)

    def drop(self) -> None:
        """Its topics."""
        self.stage.drop(self.pipeline)


class Ends:
    """Committed positions of a group, over all partitions of a topic."""

    def __init__(self, pipeline: Pipeline, group: str, topic: str, partitions: int) -> None:
        self._consumer = Consumer(profiles.reader(pipeline, "bench", group=group))
        self._places = [TopicPartition(topic, number) for number in range(partitions)]

    def sum(self) -> int:
        return sum(max(0, place.offset) for place in self._consumer.committed(self._places, STARVED_S))

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()


def _rows(message: Message) -> int:
    head = decode_head(message.value() or b"")
    return head.upto - head.after  # the input has no holes


def last_assigned(log: Path) -> float:
    """When (seconds since 1970) a process was last given partitions, as its log says; 0.0: never."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"assigned"' in line]
    return max((datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines), default=0.0)


def written(
    pipeline: Pipeline, topic: str, partitions: int, count: Callable[[Message], int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """When (seconds since 1970, ascending) how many events were written, one entry a record."""
    consumer = Consumer(profiles.reader(pipeline, "bench"))
    left, times, counts = set(range(partitions)), [], []
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        while left:
            for message in consumer.consume(READ, READ_S):
                error = message.error()
                if error is None:
                    times.append(message.timestamp()[1])
                    counts.append(count(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition() or 0)
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
    at = np.argsort(np.array(times), kind="stable")
    return np.array(times)[at] / 1_000, np.array(counts)[at]


def between(times: npt.ArrayLike, done: npt.ArrayLike, joined: float = 0.0) -> Window:
    """From the end of the warm-up, and not before `joined`, to the last event. `done` counts up.

    Raises StreambgError where nothing is left to measure.
    """
    moments, counts = np.asarray(times, np.float64), np.asarray(done, np.int64)
    first = int(np.searchsorted(counts, counts[-1] * WARM_UP))
    first = max(first, int(np.searchsorted(moments, joined)))
    last = int(np.searchsorted(counts, counts[-1]))
    if first >= last or moments[last] <= moments[first]:
        raise StreambgError(
            f"{counts[-1]} events were through before the warm-up was over", way_out="measure with more --events"
        )
    return Window(int(counts[last] - counts[first]), float(moments[first]), float(moments[last]))
