"""Reads what was published as anyone may who reads only what is committed, and notes when it saw what first."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streambg.errors import StreambgError
from streambg.kafka.errors import translate
from streambg.records.outcome import DeadLetter, decode_dead_letter, find_header, parse_header

POLL_S = 0.1
READ = 2_000


@dataclass(frozen=True, slots=True)
class Found:
    """Up to now. `published` by (color, why); `settled`: last source offset with an outcome by partition.

    `epochs`: when (ms since 1970) the first record stamped with an epoch was seen.
    """

    published: Mapping[tuple[str, str], int] = field(default_factory=dict)
    settled: Mapping[int, int] = field(default_factory=dict)
    letters: tuple[DeadLetter, ...] = ()
    epochs: Mapping[int, int] = field(default_factory=dict)
    first_seen_ms: int | None = None

    @property
    def outcomes(self) -> int:
        return sum(self.published.values()) + len(self.letters)


class Watcher(threading.Thread):
    """A read_committed reader of output and dead letters, from their beginning."""

    def __init__(self, config: Mapping[str, Any], output: str, dead_letters: str, partitions: int) -> None:
        super().__init__(name="watcher", daemon=True)
        self._consumer = Consumer(dict(config))
        self._consumer.assign(
            [TopicPartition(topic, number, 0) for topic in (output, dead_letters) for number in range(partitions)]
        )
        self._dead_letters = dead_letters
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._published: Counter[tuple[str, str]] = Counter()
        self._settled: dict[int, int] = {}
        self._letters: list[DeadLetter] = []
        self._epochs: dict[int, int] = {}
        self._first: int | None = None
        self._after: int | None = None
        self._after_seen: int | None = None
        self.failure: StreambgError | None = None

    def found(self) -> Found:
        """A copy of what was found so far."""
        with self._lock:
            return Found(
                dict(self._published), dict(self._settled), tuple(self._letters), dict(self._epochs), self._first
            )

    def look_for_after(self, written_ms: int) -> None:
        """Note when the first record is seen that was written after this time (ms since 1970)."""
        with self._lock:
            self._after, self._after_seen = written_ms, None

    def seen_after(self) -> int | None:
        """When (ms since 1970) the record of `look_for_after` was seen; None: not yet."""
        with self._lock:
            return self._after_seen

    def stop(self) -> None:
        """End the thread and leave."""
        self._stopped.set()
        self.join(10.0)

    def run(self) -> None:
        """The thread. What it cannot read is kept in `failure`."""
        try:
            while not self._stopped.is_set():
                first = self._consumer.poll(POLL_S)
                if first is None:
                    continue
                messages = [first, *self._consumer.consume(READ, 0)]
                now = time.time_ns() // 1_000_000
                with self._lock:
                    for message in messages:
                        self._take(message, now)
        except KafkaException as error:
            self.failure = translate(error, "reading the output")
        except ValueError as error:
            self.failure = StreambgError(f"the output holds a record that is no outcome: {error}")
        finally:
            self._consumer.close()

    def _take(self, message: Message, now: int) -> None:
        if (error := message.error()) is not None:
            raise KafkaException(error)
        if self._first is None:
            self._first = now
        if message.topic() == self._dead_letters:
            letter = decode_dead_letter(message.value() or b"")
            self._letters.append(letter)
            source, epoch = letter.source, letter.epoch
        else:
            headers: Any = message.headers()
            outcome = parse_header(find_header(headers) or b"")
            self._published[outcome.color, outcome.why] += 1
            source, epoch = outcome.source, outcome.epoch
        self._settled[source.partition] = max(source.offset, self._settled.get(source.partition, -1))
        self._epochs.setdefault(epoch, now)
        if self._after is not None and self._after_seen is None and message.timestamp()[1] > self._after:
            self._after_seen = now
