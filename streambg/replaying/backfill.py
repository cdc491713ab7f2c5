"""Writes a replay's answers to a topic of their own, each once, however often the replay is interrupted.

A partition's answers and the position behind them go out in one transaction; whoever takes the replay up again asks
`begin` where to go on. Never to a topic that a pipeline lives by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streambg.config import Pipeline
from streambg.errors import Misconfigured, Refused
from streambg.kafka import profiles
from streambg.kafka.admin import describe
from streambg.kafka.errors import cause_of, translate
from streambg.records.outcome import short_digest

CLIENT = "streambg.backfill"
HEADER = "replay"
# Every call of a transaction. The first ends what a dead one had open, which takes a broker up to its transaction
# timeout (10 s) and the scan for it (10 s).
CALL_TIMEOUT_S = 30.0
# Digits of the replay's id in names: two replays of one pipeline never share them.
NAMED_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose answers these are. replay: its id; model: `name:version`; digest: of the model, `sha256:...`."""

    replay: str
    model: str
    digest: str

    def template(self, input_topic: str, partition: int) -> bytes:
        """The header with a hole for the offset: `sensors/3@1200 m:2 sha256:ab12cd34 replay=6f0c...`."""
        text = f"{input_topic}/{partition}@\0 {self.model} {short_digest(self.digest)} replay={self.replay}"
        return text.replace("%", "%%").replace("\0", "%d").encode()


def check_topic(pipeline: Pipeline, topic: str) -> None:
    """Raises Refused for a topic that the pipeline lives by, Misconfigured where it is not there or too narrow."""
    topics = pipeline.topics
    labels = [pipeline.labels.topic] if pipeline.labels is not None else []
    if topic in (topics.input, topics.output, *topics.ours, *labels):
        raise Refused(
            f"{topic} is a topic of {pipeline.name}: a replay never writes there",
            way_out="a topic of its own: --publish-to NAME",
        )
    facts = describe(AdminClient({**profiles.admin(pipeline, CLIENT), "log_level": 0}), [topics.input, topic])
    if topic not in facts:
        raise Misconfigured(
            f"the topic {topic} does not exist",
            way_out=f"create it with {facts[topics.input].partitions} partitions, as the input has",
        )
    if facts[topic].partitions < facts[topics.input].partitions:
        raise Misconfigured(
            f"{topic} has {facts[topic].partitions} partitions, the input {facts[topics.input].partitions}",
            way_out="an answer stands in the partition of its event: add partitions",
        )


class _Part:
    """One partition: a producer of its own, so that who writes it last fences who wrote it before."""

    def __init__(self, pipeline: Pipeline, topic: str, stamp: Stamp, partition: int) -> None:
        name = f"streambg.{pipeline.name}.backfill.{stamp.replay[:NAMED_DIGITS]}.{topic}"
        self._position = TopicPartition(pipeline.topics.input, partition)
        self._topic, self._partition = topic, partition
        self._template = stamp.template(pipeline.topics.input, partition)
        self._next = -1
        quiet = {"log_level": 0}
        config: dict[str, Any] = profiles.transactional_producer(
            pipeline, f"{name}.{partition}", max_message_bytes=profiles.MAX_OUTCOME_BYTES
        )
        self._producer = Producer({**config, **quiet})
        self._consumer = Consumer({**profiles.reader(pipeline, CLIENT, group=name), **quiet})
        self._producer.init_transactions(CALL_TIMEOUT_S)

    def committed(self) -> int:
        """The next source offset; -1 where nothing was ever written. The dead are fenced, so this stays so."""
        [found] = self._consumer.committed([self._position], CALL_TIMEOUT_S)
        self._next = int(found.offset) if found.offset >= 0 else -1
        return self._next

    def write(
        self, positions: Sequence[int], keys: Sequence[bytes | None], values: Sequence[bytes | None], upto: int
    ) -> None:
        """Records and position in one transaction: a replay that is paced or slow must not leave one open."""
        if upto < self._next:
            return
        try:
            self._producer.begin_transaction()
            self.produce(positions, keys, values)
            self._producer.flush(CALL_TIMEOUT_S)
            self._position.offset = self._next = upto + 1
            group: Any = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction([self._position], group, CALL_TIMEOUT_S)
            self._producer.commit_transaction(CALL_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaException(cause_of(error.args[0], self._producer)) from error

    def produce(self, positions: Sequence[int], keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> None:
        """What does not stand there yet."""
        for offset, key, value in zip(positions, keys, values, strict=True):
            if value is not None and offset >= self._next:
                self._produce(key, value, self._template % offset)

    def _produce(self, key: bytes | None, value: bytes, header: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, self._partition, headers=[(HEADER, header)])
                return
            except BufferError:
                self._producer.poll(0.01)  # the queue is full: deliver some first

    def close(self) -> None:
        """What is not committed never was. The producer is dropped as it is, as the publisher's: its own `close` aborts
        what is open, which raises where somebody else has fenced it. The next `begin` ends it, or the broker.
        """
        self._producer.purge()
        del self._producer
        self._consumer.close()


class Sink:
    """`with Sink(pipeline, topic, stamp) as sink`: `begin`, `write` in source order, `end`; partition by partition.

    Raises Refused, Misconfigured as `check_topic`; Fenced where somebody else has taken the same replay up;
    Unreachable, Denied. After an error nothing that was not committed is visible, and a new sink goes on.
    """

    def __init__(self, pipeline: Pipeline, topic: str, stamp: Stamp) -> None:
        check_topic(pipeline, topic)
        self._pipeline, self._topic, self._stamp = pipeline, topic, stamp
        self._parts: dict[int, _Part] = {}

    def begin(self, partition: int) -> int | None:
        """The next source offset that is to be written; None where this replay has written nothing there."""
        if partition in self._parts:
            self._parts.pop(partition).close()
        with _told(f"taking up {self._topic}/{partition}"):
            part = self._parts[partition] = _Part(self._pipeline, self._topic, self._stamp, partition)
            found = part.committed()
        return found if found >= 0 else None

    def write(
        self,
        partition: int,
        positions: npt.NDArray[np.int64],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        upto: int | None = None,
    ) -> None:
        """Answers to the events at `positions`, int64 (n,) ascending; a value None: the model has none (an error row).
        One transaction; what stands there already is left out.

        upto: worked through so far, where events behind the last position are known to be none.
        """
        if len(positions) or upto is not None:
            last = upto if upto is not None else int(positions[-1])
            with _told(f"writing {self._topic}/{partition}"):
                self._parts[partition].write(positions.tolist(), keys, values, last)

    def end(self, partition: int) -> None:
        """The partition is done."""
        self._parts.pop(partition).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for part in self._parts.values():
            part.close()
        self._parts.clear()


class _told:  # noqa: N801 # used as a function
    """The client's error as one of ours."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, KafkaException):
            raise translate(error, self._doing) from error
