"""A pipeline's topics on a broker, read with assigned partitions from pinned start to pinned end.

Nothing is committed and no group is joined, so an audit can run beside a living pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from streambg.audit.sources import PARTITIONED, SINGLE, Chunk, Role, Span
from streambg.config import Pipeline
from streambg.errors import Gap, Misconfigured, Unreachable
from streambg.kafka import profiles
from streambg.kafka.admin import ASK_S, TopicFacts, await_reachable, describe
from streambg.kafka.errors import translate
from streambg.records.cutover import decode_publisher_position
from streambg.records.outcome import HEADER
from streambg.records.source import COLORS

# The best of one `poll` and one `consume` (FACTS of the client: 1.4-2.1 us a message), and half a window.
RECORDS = 2_000
# A broker that restarts is back within 30 s; a reader that got nothing for longer will get nothing.
STALLED_S = 45.0
POLL_S = 1.0
REACHABLE_S = 15.0
# A publisher's open transaction ends with its commit, or with its timeout (10 s) plus the broker's scan for it (10 s).
OPEN_TRANSACTION_S = 45.0
LOOK_AGAIN_S = 0.05
# What a publisher's transaction writes; all its parts become visible, but not in one instant.
TRANSACTIONAL: tuple[Role, ...] = ("output", "dead-letters", "cutovers")
CLIENT_ID = "streambg.audit"


class KafkaRecords:
    """`Records` on a broker; close it.

    `stable` False reads what aborted transactions wrote too, as a careless reader would. Raises Unreachable, Denied, Misconfigured where a topic is missing.
    """

    def __init__(self, pipeline: Pipeline, *, stable: bool = True) -> None:
        self._pipeline = pipeline
        self._stable = stable
        self._consumers: dict[Role, Consumer] = {}
        topics = pipeline.topics
        self._names: dict[Role, str] = {
            "input": topics.input,
            "output": topics.output,
            "dead-letters": topics.dead_letters,
            "control": topics.control,
            "cutovers": topics.cutovers,
            **{color: topics.predictions(color) for color in COLORS},
        }
        admin = await_reachable(profiles.admin(pipeline, CLIENT_ID), REACHABLE_S)
        facts = describe(admin, list(self._names.values()))
        self._check_there(facts)
        self.input_topic = topics.input
        self.input_topic_id: str | None = facts[topics.input].topic_id
        self.output_times_copied = pipeline.output.timestamp == "input"
        self.partitions = max(facts[self._names[role]].partitions for role in PARTITIONED)
        self.compacted = self._compacted(admin)
        self._settled = self._read_settled()
        self._spans = self._pin(admin, facts)

    def settled(self) -> Mapping[int, int]:
        return self._settled

    def span(self, role: Role, partition: int) -> Span:
        return self._spans.get((role, partition), Span())

    def read(self, role: Role, partition: int, *, keys_only: bool = False) -> Iterator[Chunk]:
        span = self.span(role, partition)
        if span.end <= span.start:
            return
        consumer = self._consumer(role)
        consumer.assign([TopicPartition(self._names[role], partition, span.start)])
        following, progressed = span.start, time.monotonic()
        while following < span.end:
            messages, ended = self._poll(role, partition, consumer)
            records = [message for message in messages if (message.offset() or 0) < span.end]
            if records:
                chunk = _chunk(records, role, keys_only)
                if chunk.offsets[0] < following:
                    raise Unreachable(f"{self._names[role]}/{partition}: read offset {chunk.offsets[0]} twice")
                following, progressed = chunk.offsets[-1] + 1, time.monotonic()
                yield chunk
            if ended or len(records) < len(messages):
                return
            if time.monotonic() - progressed > STALLED_S:
                raise Unreachable(
                    f"{self._names[role]}/{partition}: nothing came for {STALLED_S:g} s at offset {following}, "
                    f"the end is {span.end}",
                    way_out="is the broker up? then run the audit again",
                )

    def close(self) -> None:
        """Leave the broker."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- records -------------------------------------------------------------------------------------------------

    def _consumer(self, role: Role) -> Consumer:
        if role not in self._consumers:
            config = profiles.reader(self._pipeline, f"{CLIENT_ID}.{role}", stable=self._stable)
            self._consumers[role] = Consumer(config)
        return self._consumers[role]

    def _poll(self, role: Role, partition: int, consumer: Consumer) -> tuple[list[Message], bool]:
        """Some records, and whether they are the last visible ones."""
        first = consumer.poll(POLL_S)
        if first is None:
            return [], False
        messages = [first, *consumer.consume(RECORDS - 1, 0)]
        good = [message for message in messages if message.error() is None and message.partition() == partition]
        if len(good) == len(messages):
            return good, False
        ended = False
        for message in messages:
            error = message.error()
            if error is None or message.partition() != partition:
                continue
            if error.code() != KafkaError._PARTITION_EOF:
                raise self._unreadable(role, partition, error)
            ended = True
        return good, ended

    def _unreadable(self, role: Role, partition: int, error: KafkaError) -> Exception:
        name = f"{self._names[role]}/{partition}"
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return Gap(
                f"{name}: records expired while they were read ({error.str()})",
                way_out="run the audit again; it begins at the log start as it is then",
            )
        return translate(error, f"reading {name}")

    # -- what is pinned ------------------------------------------------------------------------------------------

    def _check_there(self, facts: Mapping[str, TopicFacts]) -> None:
        missing = sorted(set(self._names.values()) - facts.keys())
        if missing:
            raise Misconfigured(f"no such topic: {', '.join(missing)}", way_out="streambg topics apply")

    def _compacted(self, admin: AdminClient) -> frozenset[Role]:
        roles: tuple[Role, ...] = ("input", "output", "dead-letters")
        resources = {role: ConfigResource(ResourceType.TOPIC, self._names[role]) for role in roles}
        futures = admin.describe_configs(list(resources.values()), request_timeout=ASK_S)
        found: set[Role] = set()
        for role, resource in resources.items():
            try:
                policy = futures[resource].result()["cleanup.policy"].value
            except KafkaException as error:
                raise translate(error, f"asking for the settings of {self._names[role]}") from error
            if "compact" in str(policy):
                found.add(role)
        return frozenset(found)

    def _read_settled(self) -> dict[int, int]:
        """By partition, the larger of both predictions topics; what is committed is a lower bound, so no waiting."""
        config = profiles.reader(self._pipeline, CLIENT_ID, group=self._pipeline.groups.publisher, stable=False)
        wanted = [
            TopicPartition(self._names[color], partition) for color in COLORS for partition in range(self.partitions)
        ]
        consumer = Consumer(config)
        try:
            committed = consumer.committed(wanted, ASK_S)
        except KafkaException as error:
            raise translate(error, f"asking for the positions of {self._pipeline.groups.publisher}") from error
        finally:
            consumer.close()
        settled: dict[int, int] = {}
        for found in committed:
            position = decode_publisher_position(found.metadata)
            if position is not None:
                settled[found.partition] = max(position.settled, settled.get(found.partition, position.settled))
        return settled

    def _pin(self, admin: AdminClient, facts: Mapping[str, TopicFacts]) -> dict[tuple[Role, int], Span]:
        """Starts and ends of everything; the input's last, so that no outcome is past it by chance."""
        there = [
            (role, partition)
            for role in (*PARTITIONED, *SINGLE)
            for partition in range(facts[self._names[role]].partitions)
        ]
        written = [at for at in there if at[0] in TRANSACTIONAL]
        self._await_commits(admin, written)
        first = [at for at in there if at[0] != "input"]
        last = [at for at in there if at[0] == "input"]
        ends = self._offsets(admin, first, OffsetSpec.latest(), self._stable)
        ends |= self._offsets(admin, last, OffsetSpec.latest(), self._stable)
        starts = self._offsets(admin, there, OffsetSpec.earliest(), False)
        return {at: Span(starts[at], ends[at]) for at in there}

    def _await_commits(self, admin: AdminClient, written: list[tuple[Role, int]]) -> None:
        """Until all that stood there when the positions were read is decided.

        A position may be visible a moment before the outcomes of its own transaction are.
        """
        if not self._stable:
            return
        appended = self._offsets(admin, written, OffsetSpec.latest(), False)
        deadline = time.monotonic() + OPEN_TRANSACTION_S
        while True:
            visible = self._offsets(admin, written, OffsetSpec.latest(), True)
            behind = [at for at in written if visible[at] < appended[at]]
            if not behind:
                return
            if time.monotonic() > deadline:
                role, partition = behind[0]
                raise Unreachable(
                    f"{self._names[role]}/{partition}: a transaction stands open at offset {visible[behind[0]]} since "
                    f"{OPEN_TRANSACTION_S:g} s",
                    way_out="start a publisher: it fences the dead one; then run the audit again",
                )
            time.sleep(LOOK_AGAIN_S)

    def _offsets(
        self, admin: AdminClient, at: list[tuple[Role, int]], spec: OffsetSpec, stable: bool
    ) -> dict[tuple[Role, int], int]:
        level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
        wanted = {TopicPartition(self._names[role], partition): (role, partition) for role, partition in at}
        if not wanted:
            return {}
        futures = admin.list_offsets(dict.fromkeys(wanted, spec), isolation_level=level, request_timeout=ASK_S)
        try:
            return {wanted[partition]: int(future.result().offset) for partition, future in futures.items()}
        except KafkaException as error:
            raise translate(error, "asking for the ends of the topics") from error


def _chunk(records: list[Message], role: Role, keys_only: bool) -> Chunk:
    offsets = [message.offset() or 0 for message in records]
    keys = [message.key() for message in records]
    if keys_only:
        return Chunk(offsets, keys)
    stamps = [message.timestamp() for message in records]
    return Chunk(
        offsets,
        keys,
        [stamp[1] for stamp in stamps],
        [message.value() for message in records],
        [_header(message) for message in records] if role == "output" else [],
        all([stamp[0] == TIMESTAMP_LOG_APPEND_TIME for stamp in stamps]),  # noqa: C419 # a list is twice as fast
    )


def _header(message: Message) -> bytes | None:
    headers: list[tuple[str, bytes]] = message.headers() or []  # type: ignore[assignment] # what was read is bytes
    for name, value in headers:
        if name == HEADER:
            return value
    return None
