"""A pipeline at rest with all that a replay may meet: two cutovers, a killed publisher, dead letters, labels."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from pipelines import Running, pipeline
from typer.testing import CliRunner, Result
from waiting import until

from streambg.cli.main import build
from streambg.records.source import COLORS
from streambg.replaying.document import Report
from streambg.replaying.pins import plan
from streambg.replaying.recorded import Identity
from streambg.replaying.request import Bound, Request
from streambg.replaying.run import run

MORE = """
labels: {{topic: {name}-labels, key: id, value: y, horizon: 20m}}
segments: {{id: [1, 2, 3]}}
metrics:
  correct: {{kind: correctness, role: goal, margin: 20%}}
  errors: {{kind: error_rate, role: guardrail, margin: 5%}}
  flips: {{kind: flip_rate, role: guardrail, margin: 30%}}
  shift: {{kind: score_shift, role: diagnostic, segments: [id]}}
  slow: {{kind: latency_over, role: guardrail, margin: 1%, limit: 1s}}
"""
BAD = b"this is no JSON"
PART = 1_200
SETTLED = Request(("m:1",), end=Bound(offset=PART // 2))


@dataclass
class World:
    """A pipeline at rest: blue m:1, green m:2 at 30 %, green live, blue again; green's own answers in between."""

    run: Running
    folder: Path
    early: list[tuple[Request, Identity]]  # what was asked for while the pipeline ran

    def replay(self, *models: str, **asked: Any) -> Report:
        return run(self.run.pipeline, Request(models, **asked), self.folder)

    def cli(self, *words: str) -> Result:
        return CliRunner().invoke(
            build(()), ["replay", *words, "--dir", str(self.folder), "-p", str(self.run.pipeline.file)]
        )

    def bytes_of(self, report: Report) -> bytes:
        return (self.folder / report.id / "report.json").read_bytes()


@contextmanager
def replayed(kafka: str, folder: Path) -> Iterator[World]:
    """The World, with its processes stopped."""
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
        until(lambda: _answered(running), 30, "the one that is not live has answered all of it, too")
        # a range from the first event on, one in the middle, and all there is now
        until_now = Request(("m:1",), end=Bound(offsets=dict(running.ends)))
        asked = (SETTLED, replace(SETTLED, begin=Bound(offset=PART // 3)), until_now)
        early = [(each, plan(running.pipeline, each).identity) for each in asked]
        running.in_force(publisher, running.say("rollback").epoch)
        running.feed(PART)
        running.drained()
        running.expect_exactly_once()
        running.stop()
        _say_labels(running, f"{name}-labels")
        yield World(running, folder / "replays", early)


def _answered(running: Running) -> bool:
    """Have both colors?"""
    for color in COLORS:
        asked = [ConsumerGroupTopicPartitions(running.pipeline.groups.scorer(color))]
        [answer] = running.admin.list_consumer_group_offsets(asked).values()
        at = {each.partition: each.offset for each in answer.result(20).topic_partitions}
        if any(at.get(number, -1) < end for number, end in running.ends.items()):
            return False
    return True


def _say_labels(running: Running, topic: str) -> None:
    producer = Producer({"bootstrap.servers": running.pipeline.kafka.bootstrap})
    for number in range(running.sent):
        # what m:1 says, most of the time
        z = 0.5 * ((number % 17) / 8 - 1) - 0.3 * ((number % 11) / 5 - 1) + 0.1
        producer.produce(topic, json.dumps({"id": number, "y": (z > 0) != (number % 10 == 0)}).encode(), b"%d" % number)
        producer.poll(0)
    # then every event is older than the horizon; a broker takes no time that is more than an hour ahead
    later = int(time.time() * 1_000) + 3_000_000
    producer.produce(topic, json.dumps({"id": -1, "y": True}).encode(), b"-1", timestamp=later)
    producer.flush(30)
