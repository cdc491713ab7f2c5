"""Asking the cluster who it is and what it has; waiting until it answers."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streambg.errors import Denied, StreambgError, Unreachable
from streambg.kafka.errors import translate

# One question to a broker that is up takes milliseconds; one that is starting refuses at once.
ASK_S = 10.0
# A broker that is up answers in milliseconds; a process that may start before its broker asks again.
REACHABLE_S = 5.0
# One attempt while waiting: short, so that a broker that comes up is noticed soon.
ATTEMPT_S = 1.0


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the cluster has it. topic_id: a topic that was deleted and made again has another (P25).

    replication, in_sync: of the partition that has the fewest.
    """

    name: str
    topic_id: str
    partitions: int
    replication: int
    in_sync: int


def await_reachable(config: Mapping[str, Any], timeout: float) -> AdminClient:
    """An AdminClient whose cluster has answered.

    Raises Unreachable after `timeout` seconds, Denied as soon as the broker refuses the login, ConfigError where the
    client cannot even be made.
    """
    errors: list[KafkaError] = []
    # without a log level the client writes every refused connection to stderr; the error below says it once
    quiet = {**config, "log_level": 0, "error_cb": errors.append}
    try:
        admin = AdminClient(quiet)
    except KafkaException as error:
        raise translate(error, "connecting to Kafka") from error
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            # the client's own error says only _TRANSPORT; the reason arrives at error_cb
            admin.list_topics(timeout=max(0.1, min(ATTEMPT_S, left)))
            return admin
        except KafkaException as error:
            admin.poll(0)
            refused = next((found for each in errors if isinstance(found := translate(each), Denied)), None)
            if refused is not None:
                raise Denied(f"{_address(config)}: {refused.what}", way_out=refused.way_out) from error
            if time.monotonic() >= deadline:
                raise _unreachable(config, timeout, errors, error) from error


def cluster_id(admin: AdminClient) -> str:
    """Raises Unreachable, Denied."""
    try:
        described = admin.describe_cluster(request_timeout=ASK_S).result()
    except KafkaException as error:
        raise translate(error, "asking for the cluster's id") from error
    return str(described.cluster_id)


def broker_count(admin: AdminClient) -> int:
    """Brokers that are alive. Raises Unreachable, Denied."""
    try:
        return len(admin.list_topics(timeout=ASK_S).brokers)
    except KafkaException as error:
        raise translate(error, "counting the brokers") from error


def describe(admin: AdminClient, names: Collection[str]) -> dict[str, TopicFacts]:
    """The topics that exist, by name; those that do not are absent. Raises Unreachable, Denied."""
    if not names:
        return {}
    found: dict[str, TopicFacts] = {}
    for name, future in admin.describe_topics(TopicCollection(list(names)), request_timeout=ASK_S).items():
        try:
            topic = future.result()
        except KafkaException as error:
            inner = error.args[0]
            if inner.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                continue
            raise translate(error, f"describing {name}") from error
        replication = min((len(partition.replicas) for partition in topic.partitions), default=0)
        in_sync = min((len(partition.isr) for partition in topic.partitions), default=0)
        found[name] = TopicFacts(name, str(topic.topic_id), len(topic.partitions), replication, in_sync)
    return found


def _address(config: Mapping[str, Any]) -> str:
    return str(config.get("bootstrap.servers", "no bootstrap.servers"))


def _unreachable(
    config: Mapping[str, Any], timeout: float, errors: list[KafkaError], last: KafkaException
) -> StreambgError:
    reasons = list(dict.fromkeys(error.str() for error in errors if error.code() != KafkaError._ALL_BROKERS_DOWN))
    reason = reasons[-1] if reasons else last.args[0].str()
    from streambg.servers.detached import elsewhere  # noqa: PLC0415 - who reaches its broker needs no servers here

    line = elsewhere(_address(config))
    return Unreachable(
        f"no Kafka broker answered at {_address(config)} within {timeout:g} s: {reason}",
        way_out="is the address right, and is the broker up? the one of `streambg broker start` on this machine has "
        f"another address: {line}"
        if line
        else "start one (`streambg broker start`), or set kafka.bootstrap or STREAMBG_BOOTSTRAP to its address",
    )
