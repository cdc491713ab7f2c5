"""What a process of the simulation is given in place of real clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition

from simulation.broker import CLUSTER_ID, Broker
from simulation.consumer import SimConsumer
from simulation.link import Link
from simulation.producer import SimProducer
from streambg.kafka.clients import Clients

ADMIN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Known:
    """A future that is done."""

    value: Any

    def result(self) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Described:
    """Of a topic, a cluster or a group: what streambg asks for."""

    topic_id: str = ""
    cluster_id: str = CLUSTER_ID
    members: tuple[Any, ...] = ()
    partitions: tuple[int, ...] = ()
    offset: int = -1


class SimAdmin:
    """The questions that a publisher asks."""

    def __init__(self, link: Link, broker: Broker) -> None:
        self._link = link
        self._broker = broker

    def describe_topics(self, topics: TopicCollection, request_timeout: float) -> dict[str, Known]:
        return self._link.call(
            "ask",
            lambda: {name: self._topic(name) for name in topics.topic_names},
            request_timeout,
        )

    def _topic(self, name: str) -> Known:
        return Known(Described(topic_id=f"id-of-{name}", partitions=tuple(range(self._broker.count(name)))))

    def list_offsets(
        self, wanted: Mapping[TopicPartition, object], isolation_level: IsolationLevel, request_timeout: float
    ) -> dict[TopicPartition, Known]:
        """Of ends only, as streambg asks."""
        committed = isolation_level is IsolationLevel.READ_COMMITTED
        return self._link.call(
            "ends",
            lambda: {
                one: Known(Described(offset=self._broker.ends((one.topic, one.partition), committed)[1]))
                for one in wanted
            },
            request_timeout,
        )

    def describe_cluster(self, request_timeout: float) -> Known:
        return self._link.call("ask", lambda: Known(Described()), request_timeout)

    def describe_consumer_groups(self, groups: list[str], request_timeout: float) -> dict[str, Known]:
        return self._link.call(
            "ask",
            lambda: {
                name: Known(Described(members=tuple(self._broker.group(name).members.values()))) for name in groups
            },
            request_timeout,
        )


class SimClients(Clients):
    """The clients of one incarnation of a process."""

    def __init__(self, link: Link, broker: Broker) -> None:
        self._link = link
        self._broker = broker

    def consumer(self, config: Mapping[str, Any]) -> Any:
        self._link.alive()
        return SimConsumer(self._link, self._broker, config)

    def producer(self, config: Mapping[str, Any]) -> Any:
        self._link.alive()
        return SimProducer(self._link, self._broker, config)

    def admin(self, config: Mapping[str, Any]) -> Any:
        return SimAdmin(self._link, self._broker)

    def now(self) -> float:
        return self._link.world.now

    def wait(self, seconds: float) -> None:
        self._link.world.wait(seconds)
