"""Where Kafka clients come from, and the clock they live by: what a session does not make itself.

Sessions are given this one; the simulator gives them a broker in memory and a clock that it moves itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from streambg.kafka.watched import WatchedConsumer, WatchedProducer

Config = Mapping[str, Any]


class Clients:
    """Clients from complete librdkafka configurations (profiles.py)."""

    def consumer(self, config: Config) -> Consumer:
        return WatchedConsumer(dict(config))

    def producer(self, config: Config) -> Producer:
        return WatchedProducer(dict(config))

    def admin(self, config: Config) -> AdminClient:
        return AdminClient(dict(config))

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


KAFKA = Clients()
