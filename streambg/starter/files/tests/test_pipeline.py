"""The pipeline on a real broker: deployed in both colors, fed, promoted, and judged by the audit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streambg import servers
from streambg.config import load

MODEL = "example:1"
ADD = ["--format", "python", "--entry", "mymodel:Linear", "--artifact", "weights.json"]
PARTITIONS = 2
EVENTS = 100  # sent after each of three steps
DEADLINE_S = 60.0

FOLDER = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "tests")


class Pipeline:
    """A copy of this folder, with servers of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.config = load(folder / "pipeline.yaml", environment)
        self.sent = 0

    def streambg(self, *words: str) -> str:
        """What a verb prints; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "streambg", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def send(self, count: int) -> None:
        """Events that fit the contract of pipeline.yaml."""
        producer = Producer({"bootstrap.servers": self.config.kafka.bootstrap})
        for _ in range(count):
            n = self.sent = self.sent + 1
            values: dict[str, object] = {"number": n % 97, "string": f"s{n % 7}", "boolean": n % 2 == 0}
            features = {name: values[kind] for name, kind in self.config.model.features.items()}
            event = {**{name: f"{name}-{n}" for name in self.config.input.carry}, **features}
            producer.produce(self.config.input.topic, json.dumps(event), f"key-{n % 10}")
        producer.flush()

    def settled(self) -> None:
        """Wait until every event that was sent has its outcome."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            lanes: list[dict[str, Any]] = json.loads(self.streambg("status", "--output", "json"))["partitions"]
            if sum((lane["settled"] or -1) + 1 for lane in lanes) == self.sent:
                return
            assert time.monotonic() < deadline, lanes


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A broker, a Redis, the topics, the model in a registry, and all processes."""
    folder = tmp_path / "pipeline"
    shutil.copytree(FOLDER, folder, ignore=LEFT_OUT)
    with servers.start() as started:
        addresses = {"STREAMBG_BOOTSTRAP": started.bootstrap or "", "STREAMBG_REDIS": started.redis_url or ""}
        running = Pipeline(folder, {**os.environ, **addresses})
        running.streambg("topics", "apply", "--partitions", str(PARTITIONS), "--yes")
        running.streambg("models", "add", MODEL, *ADD)
        command = [sys.executable, "-m", "streambg", "up"]
        with (folder / "up.log").open("w") as log:
            up = subprocess.Popen(command, cwd=folder, env=running.environment, stdout=log, stderr=log)
        try:
            yield running
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(DEADLINE_S)


def test_every_event_is_answered_once_before_and_after_the_promote(pipeline: Pipeline) -> None:
    pipeline.streambg("deploy", "blue", MODEL, "--start", "earliest")
    pipeline.send(EVENTS)
    pipeline.streambg("deploy", "green", MODEL)
    pipeline.send(EVENTS)
    pipeline.settled()
    pipeline.streambg("promote", "--reason", "a test")
    pipeline.send(EVENTS)
    pipeline.settled()
    report = json.loads(pipeline.streambg("audit", "--output", "json"))
    assert report["verdict"] == "ok", report
    assert (report["events"], report["outcomes"]) == (3 * EVENTS, 3 * EVENTS)
    assert report["by_why"] == {"route": 3 * EVENTS}, "no dead letter, nobody stood in"
    assert set(report["by_color"]) == {"blue", "green"}
