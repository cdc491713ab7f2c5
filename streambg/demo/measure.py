"""What a color costs: CPU time of its processes and bytes in its topic; where each epoch begins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streambg.errors import StreambgError
from streambg.kafka.errors import translate
from streambg.process.usage import cpu_seconds
from streambg.records.cutover import Cutover, decode_cutover

# A dead process's CPU time is what it was at the last look: half a second of a process that is killed is missed.
LOOK_S = 0.5
READ = 2_000
READ_S = 30.0


class Sampler(threading.Thread):
    """Looks at every process twice a second, and calls `also` each time."""

    def __init__(self, pids: Callable[[], Mapping[str, int]], also: Callable[[], None]) -> None:
        super().__init__(name="sampler", daemon=True)
        self._pids, self._also = pids, also
        self._seen: dict[tuple[str, int], float] = {}
        self._stopped = threading.Event()

    def sample(self) -> None:
        """One look."""
        for name, pid in self._pids().items():
            if (seconds := cpu_seconds(pid)) is not None:
                self._seen[name, pid] = seconds

    def cpu(self) -> dict[str, float]:
        """CPU seconds by process name, over all its lives."""
        total: dict[str, float] = {}
        for (name, _), seconds in sorted(self._seen.items()):
            total[name] = total.get(name, 0.0) + seconds
        return total

    def run(self) -> None:
        """The thread."""
        while not self._stopped.wait(LOOK_S):
            self.sample()
            self._also()

    def stop(self) -> None:
        """A last look, and the end."""
        self._stopped.set()
        self.join(10.0)
        self.sample()


@dataclass(frozen=True, slots=True)
class Volume:
    """What stands in a topic: records, and bytes of keys, values and headers as they were written."""

    records: int
    bytes: int


def volume(config: Mapping[str, Any], topic: str, partitions: int) -> Volume:
    """Read a whole topic (what is committed) and count it. Raises StreambgError where that takes too long."""
    count = size = 0
    for key, value, headers in _records(config, topic, partitions):
        count += 1
        size += len(key) + len(value) + sum(len(name) + len(content or b"") for name, content in headers)
    return Volume(count, size)


def cutovers(config: Mapping[str, Any], topic: str) -> dict[int, dict[int, int]]:
    """First source offset by epoch and partition (P19)."""
    found: dict[int, dict[int, int]] = {}
    for _, value, _ in _records(config, topic, 1):
        with suppress(ValueError):  # the audit counts what is no cutover
            cutover = decode_cutover(value)
            if isinstance(cutover, Cutover):
                found.setdefault(cutover.epoch, {})[cutover.partition] = cutover.first
    return found


def _records(
    config: Mapping[str, Any], topic: str, partitions: int
) -> Iterator[tuple[bytes, bytes, list[tuple[str, bytes]]]]:
    """All records of a topic; `config` must announce the end of a partition."""
    consumer = Consumer(dict(config))
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        open_ones, quiet = set(range(partitions)), 0.0
        while open_ones and quiet < READ_S:
            messages = consumer.consume(READ, 0.5)
            quiet = 0.0 if messages else quiet + 0.5
            for message in messages:
                if (error := message.error()) is None:
                    headers: Any = message.headers() or []
                    yield _bytes(message.key()), _bytes(message.value()), headers
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ones.discard(message.partition() or 0)
                else:
                    raise KafkaException(error)
    except KafkaException as error:
        raise translate(error, f"reading {topic}") from error
    finally:
        consumer.close()
    if open_ones:
        raise StreambgError(f"{topic}: partitions {sorted(open_ones)} did not come to their end in {READ_S:g} s")


def _bytes(part: str | bytes | None) -> bytes:
    return part.encode() if isinstance(part, str) else part or b""
