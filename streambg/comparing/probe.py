"""Looks at single records of the predictions, apart from the group's consumer (P31)."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streambg.comparing.site import ClientConfig
from streambg.errors import SessionEnded
from streambg.records.batch import BadBatch, Head, decode_head

# One record of a broker that is up comes within milliseconds; a broker in trouble ends the session.
RECORD_TIMEOUT_S = 5.0
WATERMARK_TIMEOUT_S = 5.0


class Probe:
    """One consumer that is a member of no group. Raises SessionEnded where the broker does not answer."""

    def __init__(self, config: ClientConfig) -> None:
        self._consumer = Consumer(dict(config))
        self._next: tuple[str, int, int] | None = None

    def close(self) -> None:
        self._consumer.close()

    def log(self, topic: str, partition: int) -> ProbedLog:
        return ProbedLog(self, topic, partition, *self.range(topic, partition))

    def range(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and end of a partition, as the broker says them now."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), WATERMARK_TIMEOUT_S)
        except KafkaException as error:
            raise SessionEnded(f"the range of {topic}/{partition}: {error}") from error
        return int(low), int(high)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has now."""
        try:
            found = self._consumer.list_topics(topic, WATERMARK_TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise SessionEnded(f"the partitions of {topic}: {error}") from error
        return len(found.partitions)

    def record(self, topic: str, partition: int, offset: int) -> bytes:
        """The value of one record; the next one comes from what was fetched with it."""
        if self._next != (topic, partition, offset):
            self._consumer.assign([TopicPartition(topic, partition, offset)])
        self._next = None
        deadline = time.monotonic() + RECORD_TIMEOUT_S
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.1)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    continue
                raise SessionEnded(f"{topic}/{partition}@{offset}: {error.str()}")
            if message.offset() != offset:
                raise SessionEnded(f"{topic}/{partition}: asked for record {offset}, got {message.offset()} (P23)")
            self._next = (topic, partition, offset + 1)
            return message.value() or b""
        raise SessionEnded(f"{topic}/{partition}: record {offset} did not come within {RECORD_TIMEOUT_S:g} s")


class ProbedLog:
    """`locate.PredictionLog` on a real partition; `high` is the end when it was made."""

    def __init__(self, probe: Probe, topic: str, partition: int, low: int, high: int) -> None:
        self.low = low
        self.high = high
        self._probe = probe
        self._topic = topic
        self._partition = partition

    def head(self, offset: int) -> Head | None:
        try:
            return decode_head(self._probe.record(self._topic, self._partition, offset))
        except BadBatch:
            return None
