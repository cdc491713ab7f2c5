"""Quick looks at single partitions: ends, a color's last answers, the age of an event."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from streambg.records.batch import BadBatch, decode_head

# How many of a color's last batches are looked at for one of the deployment; a redeployed color's newest come last.
LAST_BATCHES = 4
TIMEOUT_S = 5.0
POLL_S = 0.1
# Markers may be all that is left above an offset: then nothing comes, and nothing waits.
EVENT_WAIT_S = 1.0


class Look:
    """One assigned-only consumer for many looks: `with Look(reader_config) as look`."""

    def __init__(self, reader: Mapping[str, Any]) -> None:
        self._consumer = Consumer({**reader, "enable.partition.eof": True})

    def __enter__(self) -> Look:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """(first, end) offset."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), TIMEOUT_S)
        return int(low), int(high)

    def covered(self, topic: str, partition: int, deployment: int) -> int | None:
        """How far the deployment's last batch reaches; None where its color's last batches are not its own."""
        low, high = self.ends(topic, partition)
        covered: int | None = None
        for value in self._read(topic, partition, max(low, high - LAST_BATCHES), high):
            try:
                head = decode_head(value)
            except BadBatch:
                continue
            if head.deployment == deployment:
                covered = max(head.upto, covered if covered is not None else head.upto)
        return covered

    def age_ms(self, topic: str, partition: int, offset: int, end: int) -> int:
        """Age of the first event at or above `offset`, by its own timestamp; 0 where there is none below `end`."""
        if offset >= end:
            return 0
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        message = self._consumer.poll(EVENT_WAIT_S)
        if message is None or message.error() is not None:
            return 0
        return max(0, int(time.time() * 1_000) - message.timestamp()[1])

    def _read(self, topic: str, partition: int, start: int, end: int) -> list[bytes]:
        self._consumer.assign([TopicPartition(topic, partition, start)])
        values, deadline = [], time.monotonic() + TIMEOUT_S
        while start < end and time.monotonic() < deadline:
            message = self._consumer.poll(POLL_S)
            if message is not None and message.error() is not None:
                break  # the end: what was counted there was a marker
            if message is not None:
                values.append(message.value() or b"")
                start = (message.offset() or 0) + 1
        return values
