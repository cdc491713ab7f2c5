"""What an audit pins before it reads: settled positions, then the ends of every topic, the input's last."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # exported, but not by the package's own stubs
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from streambg.audit.sources import PARTITIONED, SINGLE, Role, Span
from streambg.config import Pipeline
from streambg.errors import Misconfigured, Unreachable
from streambg.kafka.admin import ASK_S, TopicFacts
from streambg.kafka.errors import translate
from streambg.records.cutover import decode_publisher_position
from streambg.records.source import COLORS

# A publisher's open transaction ends with its commit, or with its timeout (10 s) plus the broker's scan for it (10 s).
OPEN_TRANSACTION_S = 45.0
LOOK_AGAIN_S = 0.05
# What a publisher's transaction writes; all its parts become visible, but not in one instant.
TRANSACTIONAL: tuple[Role, ...] = ("output", "dead-letters", "cutovers")
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call] # the client has no types here
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call] # nor here

At = tuple[Role, int]
Names = Mapping[Role, str]


def check_there(names: Names, facts: Mapping[str, TopicFacts]) -> None:
    """Raises Misconfigured where a topic is missing."""
    missing = sorted(set(names.values()) - facts.keys())
    if missing:
        unsaid = " --partitions N" if names["input"] in missing else ""
        raise Misconfigured(f"no such topic: {', '.join(missing)}", way_out=f"streambg topics apply{unsaid}")


def compacted(admin: AdminClient, names: Names) -> frozenset[Role]:
    """The topics that forget records by key. Raises Denied, Unreachable."""
    roles: tuple[Role, ...] = ("input", "output", "dead-letters")
    resources = {role: ConfigResource(ResourceType.TOPIC, names[role]) for role in roles}
    futures = admin.describe_configs(list(resources.values()), request_timeout=ASK_S)
    found: set[Role] = set()
    for role, resource in resources.items():
        try:
            policy = futures[resource].result()["cleanup.policy"].value
        except KafkaException as error:
            raise translate(error, f"asking for the settings of {names[role]}") from error
        if "compact" in str(policy):
            found.add(role)
    return frozenset(found)


def read_settled(pipeline: Pipeline, positions: Consumer, partitions: int) -> dict[int, int]:
    """By partition, the larger of both predictions topics; what is committed is a lower bound, so no waiting.

    positions: a consumer of the publisher's group that is no member of it.
    """
    topics = [pipeline.topics.predictions(color) for color in COLORS]
    wanted = [TopicPartition(topic, partition) for topic in topics for partition in range(partitions)]
    try:
        committed = positions.committed(wanted, ASK_S)
    except KafkaException as error:
        raise translate(error, f"asking for the positions of {pipeline.groups.publisher}") from error
    settled: dict[int, int] = {}
    for found in committed:
        position = decode_publisher_position(found.metadata)
        if position is not None:
            settled[found.partition] = max(position.settled, settled.get(found.partition, position.settled))
    return settled


def pin(admin: AdminClient, names: Names, facts: Mapping[str, TopicFacts], stable: bool) -> dict[At, Span]:
    """Starts and ends of everything; the input's last, so that no outcome is past them by chance, and the control
    log's, so that nothing is there whose command is not.

    Raises Unreachable where a transaction stands open for too long.
    """
    roles: tuple[Role, ...] = (*PARTITIONED, *SINGLE)
    there = [(role, partition) for role in roles for partition in range(facts[names[role]].partitions)]
    written = [at for at in there if at[0] in TRANSACTIONAL]
    if stable:
        _await_commits(admin, names, written)
    # what the cutovers say of superseding records was written with these, and they are pinned behind it (P36)
    ends = _offsets(admin, names, [at for at in there if at[0] == "cutovers"], LATEST, stable)
    if stable:
        _await_commits(admin, names, written)
    last: tuple[Role, ...] = ("input", "control", "cutovers")
    ends |= _offsets(admin, names, [at for at in there if at[0] not in last], LATEST, stable)
    ends |= _offsets(admin, names, [at for at in there if at[0] in ("input", "control")], LATEST, True)
    starts = _offsets(admin, names, there, EARLIEST, False)
    return {at: Span(starts[at], ends[at]) for at in there}


def _await_commits(admin: AdminClient, names: Names, written: list[At]) -> None:
    """Until all that stands there now is decided: the positions were read before.

    A position may be visible a moment before the outcomes of its own transaction are.
    """
    appended = _offsets(admin, names, written, LATEST, False)
    deadline = time.monotonic() + OPEN_TRANSACTION_S
    while True:
        visible = _offsets(admin, names, written, LATEST, True)
        behind = [at for at in written if visible[at] < appended[at]]
        if not behind:
            return
        if time.monotonic() > deadline:
            role, partition = behind[0]
            raise Unreachable(
                f"{names[role]}/{partition}: a transaction stands open at offset {visible[behind[0]]} since "
                f"{OPEN_TRANSACTION_S:g} s",
                way_out="start a publisher: it fences the dead one; then run the audit again",
            )
        time.sleep(LOOK_AGAIN_S)


def _offsets(admin: AdminClient, names: Names, at: list[At], spec: OffsetSpec, stable: bool) -> dict[At, int]:
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    wanted = {TopicPartition(names[role], partition): (role, partition) for role, partition in at}
    futures = admin.list_offsets(dict.fromkeys(wanted, spec), isolation_level=level, request_timeout=ASK_S)
    try:
        return {wanted[partition]: int(future.result().offset) for partition, future in futures.items()}
    except KafkaException as error:
        raise translate(error, "asking for the ends of the topics") from error
