"""The raw loops: what a person writes with confluent-kafka alone. They pass bytes on and decode nothing.

The tuned ones are at the settings that measured best: one `poll` waits, one `consume` takes what is there; a linger
that fills batches. The plain ones are what the client's documentation shows: one `poll` an event, the client's own
settings. None keeps a promise but Kafka's own; all have few collections of garbage, as streambg's processes have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

# The cheapest loop measured: one call takes what 2,000 polls would.
TAKE = 2_000
WAIT_S = 0.1
# As a scorer commits, and as a publisher's transaction lasts.
COMMIT_EVERY_S = 0.5
TRANSACTION_S = 0.05
# A part of the run that is not measured: connections, the group's first assignment, the first fetches.
WARM_UP = 0.2
# Nothing more came for this long: the topic holds less than was promised.
STARVED_S = 30.0
CALL_S = 10.0


@dataclass(frozen=True, slots=True)
class Window:
    """What is measured: `events` in [began, ended], seconds since 1970."""

    events: int
    began: float
    ended: float


class Stopwatch:
    """Counts events; the window begins when the warm-up share is through."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._count = 0
        self._from: tuple[int, float] | None = None
        self._moved = time.monotonic()

    def add(self, count: int) -> bool:
        """True once all are through. Raises TimeoutError where nothing comes any more."""
        if count:
            self._moved = time.monotonic()
            self._count += count
            if self._from is None and self._count >= self._events * WARM_UP:
                self._from = self._count, time.time()
        elif time.monotonic() - self._moved > STARVED_S:
            raise TimeoutError(f"{self._count} of {self._events} events came, then none for {STARVED_S:g} s")
        return self._count >= self._events

    def window(self) -> Window:
        """Up to now."""
        assert self._from is not None
        return Window(self._count - self._from[0], self._from[1], time.time())


def consume(bootstrap: str, topic: str, events: int) -> Window:
    """(a) Read every value."""
    consumer, watch = _consumer(bootstrap, topic), Stopwatch(events)
    done = False
    while not done:
        messages = _take(consumer)
        for message in messages:
            message.value()
        done = watch.add(len(messages))
    window = watch.window()
    consumer.close()
    return window


def copy(bootstrap: str, topic: str, output: str, events: int) -> Window:
    """(b) Write every value and key into the same partition of another topic, commit behind delivery."""
    consumer, watch = _consumer(bootstrap, topic), Stopwatch(events)
    producer = Producer(_producing(bootstrap))
    done, committed = False, time.monotonic()
    while not done:
        messages = _take(consumer)
        _pass_on(producer, output, messages)
        done = watch.add(len(messages))
        if done or time.monotonic() - committed >= COMMIT_EVERY_S:
            producer.flush(CALL_S)
            if messages:
                consumer.commit(asynchronous=True)
            committed = time.monotonic()
    window = watch.window()
    consumer.close()
    return window


def copy_transactional(bootstrap: str, topic: str, output: str, events: int) -> Window:
    """(c) The same, output and positions in one transaction of 50 ms."""
    consumer, watch = _consumer(bootstrap, topic), Stopwatch(events)
    producer = Producer({**_producing(bootstrap), "transactional.id": output})
    producer.init_transactions(CALL_S)
    done, begun = False, None
    while not done:
        messages = _take(consumer)
        if messages and begun is None:
            producer.begin_transaction()
            begun = time.monotonic()
        _pass_on(producer, output, messages)
        done = watch.add(len(messages))
        if begun is not None and (done or time.monotonic() - begun >= TRANSACTION_S):
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), CALL_S)
            producer.commit_transaction(CALL_S)
            begun = None
    window = watch.window()
    consumer.close()
    return window


def copy_plain(bootstrap: str, topic: str, output: str, events: int) -> Window:
    """(b0) As (b), an event at a time."""
    consumer, watch = _consumer(bootstrap, topic, plain=True), Stopwatch(events)
    producer = Producer(_producing(bootstrap))
    done, committed = False, time.monotonic()
    while not done:
        done = watch.add(_pass_one_on(consumer, producer, output))
        if done or time.monotonic() - committed >= COMMIT_EVERY_S:
            producer.flush(CALL_S)
            consumer.commit(asynchronous=True)
            committed = time.monotonic()
    window = watch.window()
    consumer.close()
    return window


def copy_transactional_plain(bootstrap: str, topic: str, output: str, events: int) -> Window:
    """(c0) As (c), an event at a time."""
    consumer, watch = _consumer(bootstrap, topic, plain=True), Stopwatch(events)
    producer = Producer({**_producing(bootstrap), "transactional.id": output})
    producer.init_transactions(CALL_S)
    producer.begin_transaction()
    done, begun = False, time.monotonic()
    while not done:
        done = watch.add(_pass_one_on(consumer, producer, output))
        if done or time.monotonic() - begun >= TRANSACTION_S:
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), CALL_S)
            producer.commit_transaction(CALL_S)
            producer.begin_transaction()
            begun = time.monotonic()
    window = watch.window()
    consumer.close()
    return window


def read_all(bootstrap: str, topics: Sequence[tuple[str, int]], events: int) -> Window:
    """Read every record of `topics` (name, partitions) that a read_committed reader sees; no warm-up."""
    consumer = Consumer({**_consuming(bootstrap), "enable.partition.eof": True})
    left = {(topic, number) for topic, partitions in topics for number in range(partitions)}
    began = time.time()
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in left])
    while left:
        first = consumer.poll(WAIT_S)
        for message in [] if first is None else [first, *consumer.consume(TAKE - 1, 0)]:
            error = message.error()
            if error is None:
                message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard((message.topic() or "", message.partition() or 0))
            else:
                raise KafkaException(error)
    window = Window(events, began, time.time())
    consumer.close()
    return window


def _take(consumer: Consumer) -> list[Message]:
    first = consumer.poll(WAIT_S)
    messages = [] if first is None else [first, *consumer.consume(TAKE - 1, 0)]
    for message in messages:
        if message.error() is not None:
            raise KafkaException(message.error())
    return messages


def _pass_on(producer: Producer, topic: str, messages: Sequence[Message]) -> None:
    for message in messages:
        while True:
            try:
                producer.produce(topic, message.value(), message.key(), message.partition() or 0)
                break
            except BufferError:  # the queue is full: deliver some first
                producer.poll(0.01)
    producer.poll(0)


def _pass_one_on(consumer: Consumer, producer: Producer, topic: str) -> int:
    """How many events came: one or none."""
    message = consumer.poll(WAIT_S)
    if message is None:
        return 0
    if message.error() is not None:
        raise KafkaException(message.error())
    _pass_on(producer, topic, [message])
    return 1


def _consumer(bootstrap: str, topic: str, *, plain: bool = False) -> Consumer:
    consumer = Consumer(_reading(bootstrap) if plain else _consuming(bootstrap))
    consumer.subscribe([topic])
    return consumer


def _reading(bootstrap: str) -> dict[str, Any]:
    """What the loop needs; the rest is as the client has it."""
    return {
        "bootstrap.servers": bootstrap,
        "group.id": f"raw.{time.time_ns()}",  # each run reads from the beginning
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    }


def _consuming(bootstrap: str) -> dict[str, Any]:
    return {
        **_reading(bootstrap),
        "fetch.min.bytes": 100_000,
        "fetch.wait.max.ms": 10,
        # else a queue that was full once is left alone for a second: the copy loops then wait most of their time
        "fetch.queue.backoff.ms": 10,
    }


def _producing(bootstrap: str) -> dict[str, Any]:
    return {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 5}
