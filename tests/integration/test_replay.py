"""`streambg replay` on a real pipeline's topics: two cutovers, a publisher that was killed, dead letters, labels."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic
from pipelines import Running, pipeline
from typer.testing import CliRunner, Result
from waiting import until

from streambg.cli.main import build
from streambg.errors import StreambgError
from streambg.replaying.document import Report, decode
from streambg.replaying.request import Bound, Request
from streambg.replaying.run import Interrupted, Progress, resume, run

pytestmark = pytest.mark.integration

MORE = """
labels: {{topic: {name}-labels, key: id, value: y, horizon: 1h}}
segments: {{id: [1, 2, 3]}}
metrics:
  correct: {{kind: correctness, role: goal, margin: 20%}}
  errors: {{kind: error_rate, role: guardrail, margin: 5%, segments: [id], segment_margin: 50%}}
  flips: {{kind: flip_rate, role: guardrail, margin: 30%}}
  slow: {{kind: latency_over, role: guardrail, margin: 1%, limit: 1s}}
"""
BAD = b"this is no JSON"
PART = 1_500


@dataclass
class World:
    """A pipeline at rest: blue m:1, green m:2 at 30 %, green live, blue again; green's own answers in between."""

    run: Running
    folder: Path

    def replay(self, *models: str, **asked: Any) -> Report:
        return run(self.run.pipeline, Request(models, **asked), self.folder)

    def cli(self, *words: str) -> Result:
        return CliRunner().invoke(build(()), ["replay", *words, "--dir", str(self.folder), "-p", str(self.run.pipeline.file)])

    def bytes_of(self, report: Report) -> bytes:
        return (self.folder / report.id / "report.json").read_bytes()


@pytest.fixture(scope="module")
def world(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("replay")
    name = f"replay-{os.getpid()}"
    with pipeline(folder, kafka, name, more=MORE.format(name=name)) as running:
        running.model("7", bias=-3.0)
        running.say("deploy", "blue", "m:1", start="earliest")
        running.scorers()
        publisher = running.start("publisher")
        running.feed(PART)
        for number in range(3):
            running.put(BAD, b"k%d" % number)
        running.flush()
        running.drained()
        running.say("deploy", "green", "m:2")
        running.feed(PART)
        running.in_force(publisher, running.say("shift", 3_000).epoch)
        running.feed(PART)
        until(lambda: min(running.settled().values()) > 3 * PART // 4, 30, "some of them are published at 30 %")
        running.in_force(publisher, running.say("promote").epoch)
        running.feed(PART)
        publisher.kill()
        running.processes.remove(publisher)
        publisher = running.start("publisher")
        running.drained()
        running.in_force(publisher, running.say("rollback").epoch)
        running.feed(PART)
        running.drained()
        running.expect_exactly_once()
        running.stop()
        _say_labels(running, f"{name}-labels")
        yield World(running, folder / "replays")


def _say_labels(running: Running, topic: str) -> None:
    running.admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)
    producer = Producer({"bootstrap.servers": running.pipeline.kafka.bootstrap})
    for number in range(running.sent):
        # what m:1 says, most of the time
        z = 0.5 * ((number % 17) / 8 - 1) - 0.3 * ((number % 11) / 5 - 1) + 0.1
        producer.produce(topic, json.dumps({"id": number, "y": (z > 0) != (number % 10 == 0)}).encode(), b"%d" % number)
        producer.poll(0)
    producer.flush(30)


def test_first(world: World) -> None:
    report = world.replay("m:1")
    print(world.bytes_of(report).decode()[:6000])
    print(report.models[0].proof, report.models[0].verdict)
