"""A consumer in memory: the calls that streambg makes of confluent-kafka's, with librdkafka's habits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from simulation.broker import Broker
from simulation.groups import Membership
from simulation.link import RETRY_S, Link
from simulation.log import BrokerError, Offsets, Record, Spot

LOG_APPEND_TIME = 2
CREATE_TIME = 1
LOOK_S = 0.001

Rebalanced = Callable[[Any, list[TopicPartition]], None]


def message_of(spot: Spot, record: Record, log_append: bool) -> Message:
    """A record as the client hands it out."""
    kind = LOG_APPEND_TIME if log_append else CREATE_TIME
    return Message(
        topic=spot[0],
        partition=spot[1],
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
        timestamp=(kind, record.time_ms),
    )


def error_of(spot: Spot, error: KafkaError, offset: int = -1) -> Message:
    """An error or an event, in place of a record."""
    return Message(topic=spot[0], partition=spot[1], offset=offset, error=error)


def spots(partitions: Sequence[TopicPartition]) -> list[Spot]:
    return [(one.topic, one.partition) for one in partitions]


class SimConsumer:
    """One consumer. Its group's callbacks run inside `poll`, as librdkafka's do."""

    def __init__(self, link: Link, broker: Broker, config: Mapping[str, Any]) -> None:
        self._link = link
        self._broker = broker
        self._group = broker.group(str(config.get("group.id", "")))
        self._instance = str(config.get("group.instance.id", ""))
        self._client_id = str(config.get("client.id", "rdkafka"))
        self._session_s = float(config.get("session.timeout.ms", 45_000)) / 1_000
        self._beat_s = float(config.get("heartbeat.interval.ms", 3_000)) / 1_000
        self._poll_limit_s = float(config.get("max.poll.interval.ms", 300_000)) / 1_000
        self._committed_only = config.get("isolation.level", "read_committed") == "read_committed"
        self._says_eof = bool(config.get("enable.partition.eof", False))
        self._positions: dict[Spot, int] = {}
        self._paused: set[Spot] = set()
        self._at_end: set[Spot] = set()
        self._ready: list[Message] = []  # fetched, and not handed out yet
        self._turn = 0
        self._topics: tuple[str, ...] = ()
        self._on: dict[str, Rebalanced] = {}
        self._state = "out"  # of the group: out, joining, member
        self._who = Membership(self._group.name, -1, "", self._instance)
        self._owned: list[Spot] = []
        self._heard_at = self._answered_at = self._polled_at = link.world.now
        self._joins_at = 0.0
        self._fatal: KafkaError | None = None
        self._closed = False

    # -- the group -----------------------------------------------------------------------------------------------

    def subscribe(self, topics: list[str], on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced) -> None:
        self._topics = tuple(topics)
        self._on = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}
        self._link.consumers.append(self)

    def unsubscribe(self) -> None:
        if self._topics:
            self._link.consumers.remove(self)
        self._topics = ()

    @property
    def replaced(self) -> bool:
        """It was a member, and others have shared out the partitions without it."""
        group = self._group
        return self._state == "member" and self._who.member not in group.members and bool(group.shared_out)

    def memberid(self) -> str:
        return self._who.member

    def consumer_group_metadata(self) -> Membership:
        return self._who

    def beat(self) -> None:
        """In the background, as long as the process polls often enough."""
        member, now = self._group.members.get(self._who.member), self._link.world.now
        if member is not None and not self._link.cut and now - self._polled_at <= self._poll_limit_s:
            member.alive_at = self._answered_at = now

    def _serve(self, at_once: bool = False) -> None:
        """What the group has to say: heartbeat, join, callbacks."""
        now = self._link.world.now
        if not self._topics or self._fatal is not None:
            return
        if self._link.cut:
            self._give_up(now)
            return
        if self._state == "member" and (at_once or now - self._heard_at >= self._beat_s):
            self._heard_at = now
            try:
                self._group.heartbeat(self._who.member, self._instance, self._who.generation, now)
                self._answered_at = now
            except BrokerError as error:
                self._out(error)
        if self._state == "out" and self._fatal is None and self._topics and now >= self._joins_at:
            self._join(now)
        if self._state == "joining":
            self._take_part()

    def _give_up(self, now: float) -> None:
        """A member that hears nothing of its coordinator for a session takes its partitions for lost."""
        if self._state == "member" and now - self._answered_at > self._session_s:
            self._link.world.counts["expelled itself"] += 1
            self._out(BrokerError("UNKNOWN_MEMBER_ID"))

    def _join(self, now: float) -> None:
        who = self._who
        try:
            id = self._group.join(who.member, self._instance, self._client_id, self._topics, self._session_s, now)
        except BrokerError as error:
            self._out(error)
            return
        if self._link.lost_joins:  # a member that nobody knows of; the next join takes its place
            self._link.lost_joins -= 1
            self._link.world.counts["joins answered to nobody"] += 1
            self._joins_at = now + RETRY_S
            return
        self._who = Membership(who.group, who.generation, id, self._instance)
        self._state, self._answered_at = "joining", now

    def _take_part(self) -> None:
        if self._who.member not in self._group.members:
            self._out(BrokerError(self._group._unknown(self._instance)))
            return
        assigned = self._group.assignment(self._who.member)
        if assigned is None:
            return
        self._who = Membership(self._group.name, self._group.generation, self._who.member, self._instance)
        self._state, self._owned = "member", list(assigned)
        self._heard_at = self._answered_at = self._link.world.now
        self._call("assign", self._owned)

    def _out(self, error: BrokerError) -> None:
        """Not a member as before: revoked where it may still commit, else lost."""
        owned, self._owned, self._state = self._owned, [], "out"
        if error.name == "FENCED_INSTANCE_ID":
            self._fatal = KafkaError(KafkaError._FATAL, "Fatal error: FENCED_INSTANCE_ID: fenced", fatal=True)
        if error.name != "REBALANCE_IN_PROGRESS":
            self._who = Membership(self._group.name, -1, "", self._instance)
        if owned:
            self._call("revoke" if error.name == "REBALANCE_IN_PROGRESS" else "lost", owned)
            self._positions.clear()
            self._ready.clear()

    def _call(self, what: str, partitions: list[Spot]) -> None:
        self._on[what](self, [TopicPartition(*spot) for spot in partitions])

    # -- reading -------------------------------------------------------------------------------------------------

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._link.alive()
        self._positions = {
            (one.topic, one.partition): self._broker.logs[one.topic, one.partition].start
            if one.offset == OFFSET_BEGINNING
            else one.offset
            for one in partitions
        }
        self._at_end.clear()
        self._ready.clear()

    def seek(self, partition: TopicPartition) -> None:
        self._positions[partition.topic, partition.partition] = partition.offset
        self._at_end.discard((partition.topic, partition.partition))
        self._ready.clear()

    def read_to(self, spot: Spot) -> int:
        """The log offset that it hands out next; 0 where it reads nothing of this."""
        return self._positions.get(spot, 0)

    def is_paused(self, spot: Spot) -> bool:
        return spot in self._paused

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(spots(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(spots(partitions))

    def poll(self, timeout: float = 0.0) -> Message | None:
        self._link.point("poll")
        away, self._polled_at = self._link.world.now - self._polled_at, self._link.world.now
        if self._topics and self._state == "member" and away > self._poll_limit_s:
            self._out(BrokerError("UNKNOWN_MEMBER_ID"))
            return self._event(KafkaError(KafkaError._MAX_POLL_EXCEEDED, f"{away:.0f} s without a poll"))
        self._serve()
        if self._fatal is not None:
            return self._event(self._fatal)
        self._ready += [] if self._ready else self._fetch(1)
        if not self._ready and timeout and not self._topics:
            self._link.world.tick(LOOK_S)  # nobody else has a turn while it waits
        return self._ready.pop(0) if self._ready else None

    def consume(self, count: int, timeout: float = -1.0) -> list[Message]:
        self._link.point("poll")
        if timeout:
            self._link.world.tick(LOOK_S)
        found, self._ready = self._ready, []
        found += self._fetch(min(count, self._link.limit))
        if self._link.stale and self._topics:
            self._link.stale = False
            self._serve(at_once=True)
        return found

    def _event(self, error: KafkaError) -> Message:
        return error_of(("", -1), error)

    def _fetch(self, limit: int) -> list[Message]:
        found: list[Message] = []
        order = list(self._positions)
        self._turn += 1
        for index in range(len(order)):
            spot = order[(index + self._turn) % len(order)]
            if spot not in self._paused and len(found) < limit:
                found += self._fetch_from(spot, limit - len(found))
        return found

    def _fetch_from(self, spot: Spot, limit: int) -> list[Message]:
        log, at = self._broker.logs[spot], self._positions[spot]
        if not log.start <= at <= log.end:
            del self._positions[spot]
            return [error_of(spot, KafkaError(KafkaError._AUTO_OFFSET_RESET, f"{spot} at {at}"))]
        records, following = log.read(at, limit, self._committed_only)
        if following != at:
            self._at_end.discard(spot)
        self._positions[spot] = following
        if self._link.skips and self._topics and len(records) > 1:
            self._link.skips -= 1
            records = records[1:]
        found = [message_of(spot, record, log.log_append) for record in records]
        if self._says_eof and spot not in self._at_end and following >= self._end(spot):
            self._at_end.add(spot)
            found.append(error_of(spot, KafkaError(KafkaError._PARTITION_EOF, "end"), following))
        return found

    def _end(self, spot: Spot) -> int:
        return self._broker.ends(spot, self._committed_only)[1]

    # -- asking and committing -----------------------------------------------------------------------------------

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = 5.0, cached: bool = False
    ) -> tuple[int, int]:
        spot = (partition.topic, partition.partition)
        return self._link.call("ends", lambda: self._broker.ends(spot, self._committed_only), timeout)

    def offsets_for_times(self, partitions: Sequence[TopicPartition], timeout: float = 5.0) -> list[TopicPartition]:
        """Only for first and end offsets, as streambg asks."""
        which = [OFFSET_BEGINNING, OFFSET_END]
        wanted = [((one.topic, one.partition), which.index(one.offset)) for one in partitions]
        found = self._link.call(
            "ends", lambda: [self._broker.ends(spot, self._committed_only)[at] for spot, at in wanted], timeout
        )
        return [TopicPartition(*spot, offset) for (spot, _), offset in zip(wanted, found, strict=True)]

    def committed(self, partitions: Sequence[TopicPartition], timeout: float = 5.0) -> list[TopicPartition]:
        wanted = spots(partitions)
        found = self._link.call(
            "committed",
            lambda: self._broker.committed(self._group.name, wanted, self._committed_only),
            timeout,
            again_s=0.2,
        )
        return [
            TopicPartition(*spot, found[spot][0], metadata=found[spot][1])
            if spot in found
            else TopicPartition(*spot, OFFSET_INVALID)
            for spot in wanted
        ]

    def commit(self, offsets: Sequence[TopicPartition], asynchronous: bool = True) -> None:
        wanted: Offsets = {(one.topic, one.partition): (one.offset, one.metadata or "") for one in offsets}
        who = self._who
        if self._link.cut and asynchronous:
            return  # its callback would say so, and streambg asks for none
        try:
            self._link.until_uncut(10.0)
            self._link.call("commit", lambda: self._group.commit(who, wanted), 10.0, retries=not asynchronous)
        except KafkaException:
            if not asynchronous:
                raise

    def close(self) -> None:
        if self._closed or self._link.dead:
            return
        self._closed = True
        if self._owned:
            owned, self._owned = self._owned, []
            self._call("revoke", owned)
        if self._who.member and not self._instance:
            self._group.leave(self._who.member, self._link.world.now)
        self.unsubscribe()
