"""The verdicts topic, followed: the last verdict about each pair, as this process has read it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streambg.comparing.verdict_log import TAIL
from streambg.deciding.record import VerdictRecord, decode
from streambg.kafka.errors import translate

ASK_S = 10.0
# What one turn takes; the judge writes at most one a second.
RECORDS = 500


class Verdicts:
    """`with Verdicts(reader, topic) as verdicts: verdicts.read()` again and again; the last ones, oldest first."""

    def __init__(self, reader: Mapping[str, Any], topic: str) -> None:
        self._consumer = Consumer({**reader, "enable.partition.eof": False})
        self._topic = topic
        self._kept: deque[VerdictRecord] = deque(maxlen=TAIL)

    def __enter__(self) -> Self:
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), ASK_S)
            self._consumer.assign([TopicPartition(self._topic, 0, max(low, high - TAIL))])
        except KafkaException as error:
            self._consumer.close()
            raise translate(error, f"reading {self._topic}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()

    def read(self, wait_s: float = 0.0) -> tuple[VerdictRecord, ...]:
        """Waits for nothing that is not there yet. Raises UpgradeFirst for a newer format, Denied."""
        for message in self._consumer.consume(RECORDS, wait_s):
            error = message.error()
            if error is None:
                self._take(message.value() or b"")
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise translate(error, f"reading {self._topic}")
        return tuple(self._kept)

    def _take(self, value: bytes) -> None:
        try:
            self._kept.append(decode(value))
        except ValueError:  # what is no verdict decides nothing
            return
