"""The color's own predictions topic, folded behind delivery (P8): what readers will see, not what was sent.

Where the fold shows a hole the session ends and resumes at covered + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicPartition

from streambg.errors import SessionEnded
from streambg.kafka.clients import KAFKA, Clients
from streambg.records.batch import BadBatch, decode_head
from streambg.records.coverage import Coverage, Take

# Reading the whole predictions partition is rare (positions deleted); heads fold at some 100,000 a second.
SCAN_TIMEOUT_S = 120.0
WATERMARK_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Checked:
    """The fold's state: the next log offset, and how far the deployment's answers reach there."""

    next_offset: int
    covered: int


class OwnTopic:
    """Folds the heads of one color's batches, per partition, for the deployment in force."""

    def __init__(self, config: Mapping[str, Any], topic: str, clients: Clients = KAFKA) -> None:
        self._clients = clients
        self._consumer = clients.consumer({**config, "enable.partition.eof": False})
        self._topic = topic
        self._deployment = -1
        self._next: dict[int, int] = {}
        self._fold: dict[int, Coverage] = {}

    def follow(self, deployment: int, starts: Mapping[int, Checked]) -> None:
        """Fold from these states on."""
        self._deployment = deployment
        self._next = {partition: checked.next_offset for partition, checked in starts.items()}
        self._fold = {partition: Coverage(deployment, checked.covered) for partition, checked in starts.items()}
        self._consumer.assign([TopicPartition(self._topic, partition, at) for partition, at in self._next.items()])

    def states(self) -> dict[int, Checked]:
        return {
            partition: Checked(self._next[partition], fold.covered if fold.covered is not None else -1)
            for partition, fold in self._fold.items()
        }

    def check(self) -> None:
        """Fold what was appended since. Raises SessionEnded where a batch of this deployment left a hole (P8)."""
        while messages := self._consumer.consume(1_000, 0):
            for message in messages:
                error = message.error()
                if error is not None:
                    raise SessionEnded(f"{self._topic}: {error.str()}")
                self._fold_one(message.partition() or 0, message.offset() or 0, message.value() or b"")

    def _fold_one(self, partition: int, offset: int, value: bytes) -> None:
        self._next[partition] = offset + 1
        try:
            head = decode_head(value)
        except BadBatch:
            return
        if head.deployment != self._deployment:
            return
        take, self._fold[partition] = self._fold[partition].take(head.after, head.upto, head.sample)
        if take is Take.HOLE:
            raise SessionEnded(
                f"{self._topic}/{partition}@{offset} answers from {head.after + 1}, covered is "
                f"{self._fold[partition].covered}: a hole; scoring resumes at covered + 1 (P8)"
            )

    def scan(self, partition: int, deployment: int, since: Checked | None = None) -> tuple[int | None, int]:
        """(covered, end): how far batches of `deployment` reach, by the partition's records from `since` to its end
        as it is now; without `since` from its beginning.
        """
        end = self.end(partition)
        fold = Coverage(deployment, since.covered) if since else Coverage(deployment)
        at = self._beginning(partition)
        if since is not None:
            # what an idle partition's last commit had not seen yet may have expired since: a hole there is one as ever
            at = max(at, since.next_offset)
        deadline = self._clients.now() + SCAN_TIMEOUT_S
        self._consumer.assign([TopicPartition(self._topic, partition, at)])
        while at < end:
            if self._clients.now() > deadline:
                raise SessionEnded(f"{self._topic}/{partition} was not read within {SCAN_TIMEOUT_S:g} s")
            for message in self._consumer.consume(1_000, 0.1):
                error = message.error()
                if error is not None:
                    raise SessionEnded(f"{self._topic}/{partition}: {error.str()}")
                at = (message.offset() or 0) + 1
                try:
                    head = decode_head(message.value() or b"")
                except BadBatch:
                    continue
                if head.deployment == deployment:
                    _, fold = fold.take(head.after, head.upto, head.sample)
        return fold.covered, end

    def _beginning(self, partition: int) -> int:
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), WATERMARK_TIMEOUT_S)
        return int(low)

    def end(self, partition: int) -> int:
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), WATERMARK_TIMEOUT_S)
        return int(high)

    def close(self) -> None:
        self._consumer.close()
