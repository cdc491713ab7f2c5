"""Rows (i) and (j): a pipeline that runs, events that come at a rate, and a reader of what is committed."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from streambg.bench import events
from streambg.bench.result import Figures, quantile
from streambg.bench.stage import SAID, Stage
from streambg.bench.usage import Usage
from streambg.bench.workers import Worker
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.records.outcome import find_header, parse_header
from streambg.records.source import COLORS

PARTITIONS = 8
TURN_S = 0.005
POLL_S = 0.1
READ = 2_000
LOOK_S = 0.002
# From the start of every process to the first answer: models are loaded, groups joined.
START_S = 60.0
EFFECT_S = 30.0
# Weights that are taken in turn, hundredths of a percent; the first is in force from the beginning.
WEIGHTS = (1_000, 2_000)
# Of the input's many seconds at each rate the first are not counted, nor do commands begin in them: what a start or a
# change of rate piles up, and a broker that still compiles (15 commands right after a start: 350 ms in the median, on a
# busy machine where it was 75 ms 20 s later).
SETTLE_S = 10.0


class Generator(threading.Thread):
    """Sends events at `rate` a second, spread over the partitions; `rate` may be changed."""

    def __init__(self, config: dict[str, Any], topic: str, rate: int) -> None:
        super().__init__(name="generator", daemon=True)
        self._producer = Producer({**config, "linger.ms": 1})
        self._topic = topic
        self._stopped = threading.Event()
        self.rate = rate

    def run(self) -> None:
        """The thread. A turn that comes late catches up with what the clock owes."""
        number, before, owed = 0, time.monotonic(), 0.0
        while not self._stopped.is_set():
            now = time.monotonic()
            owed += (now - before) * self.rate
            before = now
            while owed >= 1:
                self._producer.produce(self._topic, events.event(number), events.key(number), number % PARTITIONS)
                number, owed = number + 1, owed - 1
            self._producer.poll(0)
            time.sleep(TURN_S)
        self._producer.flush(POLL_S * 100)

    def stop(self) -> None:
        """What was sent is delivered."""
        self._stopped.set()
        self.join()


class Sightings(threading.Thread):
    """A read_committed reader of the output, from its end on, that is as quick as a reader can be.

    The output carries the input's timestamps: an answer's age when it is seen is the way's latency.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(name="sightings", daemon=True)
        self._consumer = Consumer(profiles.reader(pipeline, "bench.sightings", follow=True))
        topic = pipeline.topics.output
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        self._stopped = threading.Event()
        self.seen = array("d")  # seconds since 1970, one an answer, ascending
        self.late_ms = array("d")
        self.polls: list[tuple[float, frozenset[int]]] = []  # when something came, and from which partitions
        self.epochs: dict[int, float] = {}  # epoch -> first seen
        self.failure: Exception | None = None

    def run(self) -> None:
        """The thread."""
        try:
            while not self._stopped.is_set():
                self._look()
        except Exception as error:
            self.failure = error
        finally:
            self._consumer.close()

    def _look(self) -> None:
        first = self._consumer.poll(POLL_S)
        if first is None:
            return
        messages = [first, *self._consumer.consume(READ, 0)]
        now = time.time()
        partitions = set()
        for message in messages:
            if message.error() is not None:
                raise StreambgError(f"reading the output: {message.error()}", way_out="measure again")
            partitions.add(message.partition() or 0)
            self.late_ms.append(now * 1_000 - message.timestamp()[1])
            self.seen.append(now)
            header = find_header(message.headers() or [])  # type: ignore[arg-type] # a list of pairs
            epoch = parse_header(header or b"").epoch
            if epoch not in self.epochs:
                self.epochs[epoch] = now
        self.polls.append((now, frozenset(partitions)))

    def after(self, moment: float) -> dict[int, float]:
        """When each partition's next answer was seen, for those that have one."""
        found: dict[int, float] = {}
        for at, partitions in reversed(self.polls):
            if at < moment:
                break
            found.update(dict.fromkeys(partitions, at))
        return found

    def stop(self) -> None:
        """And leave."""
        self._stopped.set()
        self.join()


class Live:
    """The processes of a pipeline under load. Nothing is pinned: they are more than the CPUs."""

    def __init__(self, stage: Stage, pipeline: Pipeline) -> None:
        self.stage = stage
        self.pipeline = pipeline
        self.workers: dict[str, Worker] = {}
        self.sightings = Sightings(pipeline)
        config = profiles.idempotent_producer(pipeline, "bench.generator")
        self.generator = Generator(config, pipeline.topics.input, 2_000)

    def start(self, module: str, *options: str) -> None:
        """A process, by the name `MODULE OPTIONS`."""
        name = " ".join((module, *options))
        self.workers[name] = self.stage.worker(self.pipeline, module, *options, pinned=False)

    def end(self) -> None:
        """Threads and processes; in order where they end in order."""
        for thread in (self.generator, self.sightings):
            if thread.is_alive():
                thread.stop()
        for worker in self.workers.values():
            worker.stop()

    def until(self, done: Callable[[], bool], timeout: float, what: str) -> None:
        """Raises StreambgError where it does not come, or a process has ended."""
        deadline = time.monotonic() + timeout
        while not done():
            for worker in self.workers.values():
                worker.alive()
            if self.sightings.failure is not None:
                raise self.sightings.failure
            if time.monotonic() > deadline:
                tails = "\n".join(worker.tail() for worker in self.workers.values())
                raise StreambgError(f"not within {timeout:g} s: {what}", way_out=tails)
            time.sleep(LOOK_S)

    def latency(self, rate: int, seconds: float, settle_s: float) -> Figures:
        """(i) Percentiles over `seconds`, after `settle_s` at this rate."""
        self.generator.rate = rate
        time.sleep(settle_s)
        pids = [worker.pid for worker in self.workers.values()]
        with Usage({"client": pids, "broker": [self.stage.broker_pid]}) as usage:
            began = time.time()
            time.sleep(seconds)
            ended = time.time()
        self.until(lambda: self.sightings.seen[-1] > ended, EFFECT_S, "an answer after the measurement")
        late = [ms for at, ms in zip(self.sightings.seen, self.sightings.late_ms, strict=False) if began <= at < ended]
        figures = {f"p{name}_ms": quantile(late, share) for name, share in (("50", 0.5), ("99", 0.99), ("999", 0.999))}
        return {
            "events_per_s": len(late) / (ended - began),
            **figures,
            "client_us": usage.cpu("client", began, ended) / len(late) * 1e6,
            "broker_us": usage.cpu("broker", began, ended) / len(late) * 1e6,
            "peak_mb": usage.peak("client") / 1e6,
        }

    def commands(self, count: int, settle_s: float) -> Figures:
        """(j) From a `shift` in the control log to the first output of its epoch that a reader sees; and from
        calling the verb, which first reads the log to its end. After `settle_s`.
        """
        time.sleep(settle_s)
        effects, calls = [], []
        with verbs.client(self.pipeline) as control:
            control.state()
            for number in range(count):
                began = time.time()
                sent = verbs.shift(control, self.pipeline, WEIGHTS[1 - number % 2], SAID, force=True).or_raise()
                self.until(lambda epoch=sent.epoch: epoch in self.sightings.epochs, EFFECT_S, "the effect")  # type: ignore[misc] # mypy cannot infer a lambda with a default
                seen = self.sightings.epochs[sent.epoch]
                effects.append(seen * 1_000 - sent.appended_ms)
                calls.append((seen - began) * 1_000)
        return {
            "p50_ms": quantile(effects, 0.5),
            "p99_ms": quantile(effects, 0.99),
            "called_p50_ms": quantile(calls, 0.5),
            "called_p99_ms": quantile(calls, 0.99),
            "count": float(count),
        }


@contextmanager
def live(stage: Stage, name: str, publishers: int = 1) -> Iterator[Live]:
    """Two scorers and publishers on an empty input of their own, under 2,000 events/s."""
    topic = f"{name}.input"
    pipeline = stage.pipeline(name, topic, PARTITIONS, timestamp="input")
    stage.deploy(pipeline, {"blue": events.BLUE, "green": events.GREEN}, WEIGHTS[0])
    words: Sequence[tuple[str, ...]] = [
        *(("scorer", "--color", color) for color in COLORS),
        *(("publisher", "--slot", str(slot)) for slot in range(publishers)),
    ]
    running = Live(stage, pipeline)
    try:
        running.sightings.start()
        for options in words:
            running.start(*options)
        running.generator.start()
        running.until(lambda: bool(running.sightings.seen), START_S, "the first answer")
        yield running
    finally:
        running.end()
    stage.drop(pipeline)
    stage.delete(topic)
