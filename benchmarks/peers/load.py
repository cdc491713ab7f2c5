"""A paced stream of events, and a read_committed reader that notes how long each took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from benchmarks.peers import event
from benchmarks.peers.topics import QUIET, Topics
from streambg.errors import StreambgError

# At 2,000 a second four events a turn: finer than anything that is measured here.
TURN_S = 0.002
FLUSH_S = 30.0
READ = 2_000

Decode = Callable[[bytes], Iterable[int]]


class Load:
    """Sends events numbered from `first` at `rate` a second from `start` until the block is left."""

    def __init__(self, bootstrap: str, topic: str, rate: int, first: int) -> None:
        self._bootstrap, self._topic, self._rate, self._first = bootstrap, topic, rate, first
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._failure: KafkaError | None = None
        self._delivered = 0
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    def delivered(self) -> range:
        """The numbers that stand in the input, once. Raises StreambgError where a delivery failed."""
        if self._failure is not None or self._delivered != self.sent:
            raise StreambgError(f"{self._delivered:,} of {self.sent:,} events were delivered: {self._failure}")
        return range(self._first, self._first + self.sent)

    def _run(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "log_level": QUIET,
                "linger.ms": 1,
                "acks": "all",
                "enable.idempotence": True,
            }
        )
        began = time.monotonic()
        while not self._stopped.is_set():
            owed = int((time.monotonic() - began) * self._rate)
            while self.sent < owed:
                self._send(producer, self._first + self.sent)
                self.sent += 1
            producer.poll(0)
            time.sleep(TURN_S)
        producer.flush(FLUSH_S)
        producer.close()

    def _send(self, producer: Producer, number: int) -> None:
        producer.produce(
            self._topic,
            event.event(number, time.time_ns() // 1_000),
            event.key(number),
            event.partition(number),
            on_delivery=self._on_delivery,
        )

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self._delivered += 1
        else:
            self._failure = self._failure or error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(FLUSH_S + 5)


class Watch:
    """Reads what is committed from now on; `decode` gives the stamps (microseconds) of the answers in a value."""

    def __init__(self, topics: Topics, topic: str, decode: Decode) -> None:
        self._topics, self._topic, self._decode = topics, topic, decode
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._starts: dict[int, int] = {}
        self._seen: list[tuple[int, int]] = []

    @property
    def count(self) -> int:
        """Answers seen so far."""
        return len(self._seen)

    def delays(self, first: int, last: int) -> list[float]:
        """Microseconds from stamp to sight, of the events stamped in [first, last)."""
        return [float(seen - stamp) for stamp, seen in list(self._seen) if first <= stamp < last]

    def _run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._topics.bootstrap,
                "log_level": QUIET,
                "group.id": "peers.watch",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
            }
        )
        try:
            consumer.assign([TopicPartition(self._topic, number, start) for number, start in self._starts.items()])
            while not self._stopped.is_set():
                first: Any = consumer.poll(0.1)
                if first is None:
                    continue
                messages = [first, *consumer.consume(READ, 0)]
                now = time.time_ns() // 1_000
                for message in messages:
                    if message.error() is None:
                        self._seen.extend((stamp, now) for stamp in self._decode(message.value() or b""))
        finally:
            consumer.close()

    def __enter__(self) -> Self:
        self._starts = self._topics.ends(self._topic)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(10)
