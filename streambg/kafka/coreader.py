"""Reads the predictions of both colors, co-partitioned: blue's and green's partition n come to one member.

Publisher and comparator share it. Classic group protocol with `range`: measured, the partitions with one number
always came to one member; the assignment is checked all the same (P13).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streambg.errors import Fenced, SessionEnded, StreambgError
from streambg.kafka.clients import KAFKA, Clients
from streambg.kafka.errors import is_denied, is_fenced, translate
from streambg.records.source import COLORS, Color

Position = tuple[Color, int]


@dataclass(frozen=True, slots=True)
class Fetched:
    """One record of a color's predictions: `offset` is its log offset, not a source offset."""

    color: Color
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes


class CoReader:
    """One consumer on both predictions topics.

    `on_assign(partitions)` runs inside `poll` and returns the first offset to read for every (color, partition), also
    where there are more members than partitions and this one has none; what it raises comes out of `poll`. `on_drop()`
    runs on revoke and on lost partitions; lost ones end the session.
    `config` carries group.id, group.instance.id and the assignor.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Mapping[Color, str],
        on_assign: Callable[[frozenset[int]], Mapping[Position, int]],
        on_drop: Callable[[], None],
        clients: Clients = KAFKA,
    ) -> None:
        self._topics = dict(topics)
        self._colors: dict[str, Color] = {topic: color for color, topic in topics.items()}
        self._on_assign = on_assign
        self._on_drop = on_drop
        self._expected: dict[Position, int] = {}
        self._paused: set[Position] = set()
        self._failure: BaseException | None = None
        self.member_id = ""  # by which it was a member of its group last
        self.consumer = clients.consumer(config)
        self.rejoin()

    def rejoin(self) -> None:
        """Join, or join again as the member that it is: what it has is revoked, and shared out anew by who leads."""
        self.consumer.subscribe(
            list(self._topics.values()), on_assign=self._assigned, on_revoke=self._dropped, on_lost=self._lost
        )

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset(partition for _, partition in self._expected)

    @property
    def paused(self) -> frozenset[Position]:
        return frozenset(self._paused)

    def next_offset(self, color: Color, partition: int) -> int:
        """The log offset that is read next."""
        return self._expected[color, partition]

    def poll(self, timeout: float, limit: int) -> list[Fetched]:
        """Up to `limit` records; waits at most `timeout` seconds for the first.

        Raises SessionEnded on anything that is not the expected next record (P23), Fenced where another member
        runs under this instance id.
        """
        try:
            first = self.consumer.poll(timeout)
            messages = [] if first is None else [first, *self.consumer.consume(limit - 1, 0)]
        except KafkaException as error:
            raise _ended(error.args[0]) from error
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return [fetched for message in messages if (fetched := self._accept(message)) is not None]

    def _accept(self, message: Message) -> Fetched | None:
        error = message.error()
        if error is not None:
            raise _ended(error)
        color = self._colors[message.topic() or ""]
        partition, offset = message.partition() or 0, message.offset() or 0
        expected = self._expected.get((color, partition))
        if expected is None:
            return None  # revoked while this `consume` was under way
        if offset != expected:
            raise SessionEnded(
                f"{self._topics[color]}/{partition}: expected offset {expected}, got {offset}",
                way_out="the session starts over from the committed positions",
            )
        self._expected[color, partition] = offset + 1
        return Fetched(color, partition, offset, message.timestamp()[1], message.value() or b"")

    def seek(self, color: Color, partition: int, offset: int) -> None:
        """Read from `offset` next."""
        try:
            self.consumer.seek(TopicPartition(self._topics[color], partition, offset))
        except KafkaException as error:
            raise _ended(error.args[0]) from error
        self._expected[color, partition] = offset

    def pause(self, color: Color, partition: int) -> None:
        """Read nothing more of it until `resume` (P20)."""
        if (color, partition) in self._expected and (color, partition) not in self._paused:
            self.consumer.pause([TopicPartition(self._topics[color], partition)])
            self._paused.add((color, partition))

    def resume(self, color: Color, partition: int) -> None:
        if (color, partition) in self._paused:
            self._paused.discard((color, partition))
            self.consumer.resume([TopicPartition(self._topics[color], partition)])

    def end_offsets(self, positions: Collection[Position], timeout: float) -> dict[Position, int]:
        """The ends of these as the broker says them now, asked for at once. Raises SessionEnded without an answer."""
        wanted = [TopicPartition(self._topics[color], partition, OFFSET_END) for color, partition in positions]
        try:
            found = self.consumer.offsets_for_times(wanted, timeout)
        except KafkaException as error:
            raise _ended(error.args[0]) from error
        for each in found:
            if each.error is not None:
                raise _ended(each.error)
        return {(self._colors[each.topic], each.partition): each.offset for each in found}

    def close(self) -> None:
        """Leave; a static member keeps its place until its session times out."""
        self.member_id = self.consumer.memberid() or self.member_id
        self.consumer.close()

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        try:
            self.member_id = consumer.memberid()
            start = self._starts(assigned)
            self._expected, self._paused = dict(start), set()
            partitions = [
                TopicPartition(self._topics[color], partition, at) for (color, partition), at in start.items()
            ]
            consumer.assign(partitions)
            # librdkafka keeps a pause through a rebalance: what was paused before would never be read again
            consumer.resume(partitions)
        except BaseException as error:
            # an exception must not pass through librdkafka's callback; `poll` raises it
            self._failure = error
            consumer.assign([])

    def _starts(self, assigned: list[TopicPartition]) -> Mapping[Position, int]:
        found: dict[Color, set[int]] = {color: set() for color in COLORS}
        for topic_partition in assigned:
            found[self._colors[topic_partition.topic]].add(topic_partition.partition)
        if found["blue"] != found["green"]:
            raise SessionEnded(
                f"not co-assigned: blue {sorted(found['blue'])}, green {sorted(found['green'])} (P13)",
                way_out="it joins again with fresh metadata; both predictions topics need the same partitions",
            )
        return self._on_assign(frozenset(found["blue"]))

    def _dropped(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._expected, self._paused = {}, set()
        try:
            self._on_drop()
        except BaseException as error:
            self._failure = error

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody may have this place by now: the client must not join again before anybody has looked (P21)."""
        consumer.unsubscribe()
        self._dropped(consumer, partitions)
        self._failure = self._failure or SessionEnded("the group has expelled this member")


def _ended(error: KafkaError) -> StreambgError:
    if is_denied(error):
        return translate(error, "reading predictions")
    if is_fenced(error):
        return Fenced(
            f"another process runs under this name: {error.str()}",
            way_out="give each member its own --slot; this one stops",
        )
    return SessionEnded(f"{error.name()}: {error.str()}")
