"""Three Kafka nodes on this machine, each broker and controller, for the faults that need a leader to die (B4-B6).

Topics have three replicas, and a write counts when two have it: what docs/design.md asks of a cluster.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata
from waiting import until

from streambg.servers.cache import cache_dir
from streambg.servers.guarded import Command, Guarded
from streambg.servers.installation import Installation, format_data, install, new_cluster_id
from streambg.servers.kafka_config import MAIN, Launch, java_command, server_properties
from streambg.servers.local_server import LocalServer
from streambg.servers.ports import HOST, free_port

NODES = (1, 2, 3)
REPLICAS, IN_SYNC = "3", "2"
# 5.5-8.6 s on a quiet machine, all three at once; two loaded cores take several times as long.
START_TIMEOUT_S = 90.0
# A node that comes back fetches what it missed: a second a minute of load. Its start is the longer part.
IN_SYNC_TIMEOUT_S = 90.0
ASK_S = 2.0
# Three of them; the usual 512 MiB would be for a few pipelines each.
HEAP = "384m"

SETTINGS = {
    "default.replication.factor": REPLICAS,
    "min.insync.replicas": IN_SYNC,
    "offsets.topic.replication.factor": REPLICAS,
    "transaction.state.log.replication.factor": REPLICAS,
    "transaction.state.log.min.isr": IN_SYNC,
    "share.coordinator.state.topic.replication.factor": REPLICAS,
    "share.coordinator.state.topic.min.isr": IN_SYNC,
    # a controller that died is missed after a second, a follower after five
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "replica.lag.time.max.ms": "5000",
    "replica.fetch.wait.max.ms": "100",
}


class Node(LocalServer):
    """One of them. `start` does not wait: without a quorum a node answers nobody."""

    name = "broker"

    def __init__(self, number: int, installed: Installation) -> None:
        super().__init__(None, None, None)
        self.number = number
        self.controller_port = free_port()
        self.data = self.directory / "data"
        self.properties = self.directory / "server.properties"
        self._installed = installed

    @property
    def voter(self) -> str:
        return f"{self.number}@{HOST}:{self.controller_port}"

    def configure(self, voters: Iterable[str]) -> None:
        settings = {**SETTINGS, "node.id": str(self.number), "controller.quorum.voters": ",".join(voters)}
        self.properties.write_text(server_properties(self.data, self.port, self.controller_port, settings))

    def format(self) -> None:
        format_data(self._installed.java, self._installed.jars, self.properties, standalone=False)

    def copy(self, formatted: Path) -> None:
        """Formatting takes a JVM two seconds; a copy differs in who it is."""
        shutil.copytree(formatted, self.data)
        mine = {"node.id": str(self.number), "directory.id": new_cluster_id()}
        file = self.data / "meta.properties"
        pairs = [line.partition("=") for line in file.read_text().splitlines()]
        file.write_text("".join(f"{key}{equals}{mine.get(key, value)}\n" for key, equals, value in pairs))

    def start(self) -> None:
        if self.running:
            return
        self.stop()  # the guardian of one that died by itself
        installed, launch = self._installed, Launch(heap=HEAP)
        command = java_command(installed.java, installed.jars, launch, [MAIN, str(self.properties)], installed.archive)
        self._process = Guarded(Command(command, log=self.log, cwd=self.directory, remove=self.directory))


class Cluster:
    """Started by entering it. Nodes are named 1, 2, 3."""

    def __init__(self) -> None:
        installed = install(cache_dir())
        self.nodes = {number: Node(number, installed) for number in NODES}
        self.bootstrap = ",".join(f"{HOST}:{node.port}" for node in self.nodes.values())
        self._admin = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": 0,  # refused connections of a dead node are no news
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
            }
        )

    def __enter__(self) -> Self:
        try:
            for node in self.nodes.values():
                node.configure(each.voter for each in self.nodes.values())
            first, *others = self.nodes.values()
            first.format()
            for node in others:
                node.copy(first.data)
            until(self._come_up, START_TIMEOUT_S, "three nodes that know each other")
        except BaseException as error:
            error.add_note(self._last_words())
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(self._last_words())  # the files are gone when somebody reads of the failure
        self.close()

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()

    def leader(self, topic: str, partition: int = 0) -> int:
        """The node that leads a partition, which a healthy cluster says at once."""
        return until(lambda: self._leader(topic, partition), START_TIMEOUT_S, f"a leader of {topic}/{partition}")

    def whole(self) -> bool:
        """All nodes are there, and every partition, the cluster's own included, has all its replicas in sync."""
        found = self._metadata()
        if found is None or set(found.brokers) != set(NODES):
            return False
        partitions = [each for topic in found.topics.values() for each in topic.partitions.values()]
        return all(len(each.isrs) == len(each.replicas) for each in partitions)

    def _come_up(self) -> bool:
        """A node whose port a passing connection has taken since it was found free ends, and is started again."""
        for node in self.nodes.values():
            node.start()
        return self.whole()

    def until_whole(self) -> None:
        until(self.whole, IN_SYNC_TIMEOUT_S, "all replicas in sync")

    def _leader(self, topic: str, partition: int) -> int:
        """0 where it has none."""
        found = self._metadata()
        partitions = found.topics[topic].partitions if found is not None and topic in found.topics else {}
        return max(0, partitions[partition].leader) if partition in partitions else 0

    def _metadata(self) -> ClusterMetadata | None:
        try:
            return self._admin.list_topics(timeout=ASK_S)
        except KafkaException:
            return None

    def _last_words(self) -> str:
        return "\n".join(f"node {number}: {node.log_tail(0, 10)}" for number, node in self.nodes.items())
