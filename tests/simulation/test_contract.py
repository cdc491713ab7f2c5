"""The model and a real broker show their clients the same (docs/design.md, section 12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from simulation.actors import pipeline
from simulation.bench import Bench
from simulation.contract import SCENARIOS
from simulation.quiet import Quiet
from streambg.config import Pipeline
from streambg.kafka.clients import KAFKA, Clients


@dataclass
class RealBench:
    """A bench on the broker of the fixtures."""

    pipeline: Pipeline
    name: str
    clients: Clients = KAFKA

    def create(self, topic: str, partitions: int) -> str:
        name = self.name + topic
        admin = AdminClient({"bootstrap.servers": self.pipeline.kafka.bootstrap})
        for made in admin.create_topics([NewTopic(name, partitions, 1)]).values():
            made.result(20)
        return name

    def look(self) -> None: ...


def seen(name: str, bench: Bench) -> Any:
    scenario, _ = SCENARIOS[name]
    return scenario(bench)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_model(name: str) -> None:
    assert seen(name, Quiet("t.")) == SCENARIOS[name][1]


@pytest.mark.integration
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_real_broker(name: str, kafka: str, unique: str) -> None:
    reference = pipeline()
    real = reference.model_copy(update={"kafka": reference.kafka.model_copy(update={"bootstrap": kafka})})
    assert seen(name, RealBench(real, f"{unique}.")) == SCENARIOS[name][1]
