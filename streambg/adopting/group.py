"""Asks the broker about a consumer group and the topics it works on; commits for one that has no members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streambg.adopting.takeover import Lane, Member, Survey
from streambg.config import Pipeline
from streambg.errors import Misconfigured, Refused
from streambg.kafka import profiles
from streambg.kafka.admin import ASK_S, describe
from streambg.kafka.errors import kafka_error, translate
from streambg.kafka.looking import Look

CLIENT = "streambg.adopt"
# Stable positions wait for an open transaction of the old service; its own timeout (a minute by default) may be longer.
COMMITTED_TIMEOUT_S = 10.0
# A verb says once what went wrong; the client would write every refused connection to stderr.
QUIET = {"log_level": 0}


def survey(pipeline: Pipeline, group: str) -> Survey:
    """Members first: what is committed counts only where nobody can commit any more.

    Raises Unreachable, Denied, Misconfigured, and Refused where a transaction of the old service is open.
    """
    admin = AdminClient({**profiles.admin(pipeline, CLIENT), **QUIET})
    found = members(admin, group)
    input_, output = pipeline.topics.input, pipeline.topics.output
    topics = describe(admin, [input_, output])
    missing = [name for name in (input_, output) if name not in topics]
    if missing:
        unsaid = " --partitions N" if input_ in missing else ""
        raise Misconfigured(f"{', '.join(missing)} not found", way_out=f"streambg topics apply{unsaid}")
    numbers = range(topics[input_].partitions)
    config = reader(pipeline, group)
    positions = committed(config, group, input_, len(numbers))
    with Look(config) as look:
        lanes = [Lane(number, positions.get(number), *look.ends(input_, number)) for number in numbers]
    return Survey(group, lanes, found, topics[output].partitions, groups(admin))


def reader(pipeline: Pipeline, group: str) -> dict[str, Any]:
    """Reads the group's positions and partitions that it assigns itself; never a member."""
    return {**profiles.reader(pipeline, CLIENT, group=group), **QUIET}


def members(admin: AdminClient, group: str) -> list[Member]:
    """The group's members now; none where there is no such group. Raises Denied, Unreachable."""
    try:
        described = admin.describe_consumer_groups([group], request_timeout=ASK_S)[group].result()
    except KafkaException as error:
        inner = kafka_error(error)
        if inner is not None and inner.code() == KafkaError.GROUP_ID_NOT_FOUND:
            return []
        raise translate(error, f"describing the group {group}") from error
    return [
        Member(member.client_id, member.host, len(member.assignment.topic_partitions if member.assignment else ()))
        for member in described.members
    ]


def groups(admin: AdminClient) -> frozenset[str]:
    """Names of the cluster's consumer groups that this user may see."""
    try:
        found = admin.list_consumer_groups(request_timeout=ASK_S).result()
    except KafkaException as error:
        raise translate(error, "listing the consumer groups") from error
    return frozenset(group.group_id for group in found.valid)


def committed(config: Mapping[str, Any], group: str, topic: str, partitions: int) -> dict[int, int]:
    """partition -> the group's next offset, where it has one; no open transaction can change it any more."""
    consumer = Consumer(dict(config))
    wanted = [TopicPartition(topic, number) for number in range(partitions)]
    try:
        found = consumer.committed(wanted, COMMITTED_TIMEOUT_S)
    except KafkaException as error:
        inner = kafka_error(error)
        if inner is not None and inner.code() == KafkaError._TIMED_OUT:
            raise Refused(
                f"the positions of the group {group} were not stable within {COMMITTED_TIMEOUT_S:g} s: a transaction "
                "of the old service is open",
                way_out="wait until its transaction timeout has passed, then try again",
            ) from error
        raise translate(error, f"reading the positions of the group {group}") from error
    finally:
        consumer.close()
    return {position.partition: position.offset for position in found if position.offset >= 0}


def commit(config: Mapping[str, Any], group: str, topic: str, positions: Mapping[int, int], words: str) -> None:
    """Set the group's next offsets, with `words` as their metadata. The broker refuses while it has members."""
    consumer = Consumer(dict(config))
    offsets = [TopicPartition(topic, number, at, metadata=words) for number, at in sorted(positions.items())]
    try:
        done = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        raise translate(error, f"committing for the group {group}") from error
    finally:
        consumer.close()
    for position in done or ():
        if position.error is not None:
            raise translate(position.error, f"committing {topic}/{position.partition} for the group {group}")
