"""`streambg audit --follow` beside a living pipeline: it keeps judging, and says what a raw producer plants."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from endings import tied
from pipelines import Running, pipeline
from waiting import until

pytestmark = pytest.mark.integration


class Follower:
    """The verb as a child process; `findings` are its lines so far."""

    def __init__(self, run: Running, *words: str) -> None:
        self._out, self._err = (
            run.folder / f"follow.{len(list(run.folder.iterdir()))}{end}" for end in (".out", ".err")
        )
        command = [
            sys.executable,
            "-m",
            "streambg",
            "audit",
            "--follow",
            "--interval",
            "0.2",
            "--output",
            "json",
            *words,
        ]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.popen = subprocess.Popen(tied(*command), cwd=run.folder, env=dict(os.environ), stdout=out, stderr=err)
        said = until(lambda: re.search(r"http://127\.0\.0\.1:(\d+)", self.errors()), 30, "where its metrics are")
        self._port = int(said[1])

    def errors(self) -> str:
        return self._err.read_text()

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self._out.read_text().splitlines()]

    def findings(self) -> list[tuple[str, str]]:
        return [(line["finding"]["kind"], line["finding"]["source"]) for line in self.lines() if "finding" in line]

    def metrics(self) -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = re.findall(r"^(streambg_audit_\S+) ([\d.e+]+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    def health(self) -> Any:
        with urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=5) as answer:
            return json.load(answer)

    def judged(self, events: int) -> None:
        until(lambda: self.metrics()["streambg_audit_events_total"] == events, 30, f"{events} events are judged")

    def end(self, number: int = signal.SIGINT) -> tuple[int, Any]:
        """(exit code, the report)."""
        self.popen.send_signal(number)
        code = self.popen.wait(30)
        return code, self.lines()[-1]["report"]


@pytest.fixture(scope="module")
def run(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pipeline(tmp_path_factory.mktemp("following"), kafka, "watched", partitions=2) as running:
        running.say("deploy", "blue", "m:1", start="earliest")
        running.scorers()
        running.start("publisher")
        yield running


@pytest.fixture
def follower(run: Running) -> Iterator[Follower]:
    made = Follower(run)
    yield made
    made.popen.kill()
    made.popen.wait(20)


def test_P34_it_judges_what_becomes_settled_through_deploys_shifts_and_dead_letters(
    run: Running, follower: Follower
) -> None:
    run.feed(40)
    run.put(b"no event", b"k1", 0)
    run.flush()
    run.drained()
    follower.judged(run.sent)
    run.say("deploy", "green", "m:2")
    run.feed(30)
    run.drained()
    run.say("shift", 5_000)
    run.feed(60)
    run.drained()
    run.say("promote")
    publisher = next(process for process in run.processes if process.name == "publisher")
    run.feed(30)
    publisher.kill()  # what it had open is aborted by the next one
    run.start("publisher")
    run.feed(30)
    run.drained()
    follower.judged(run.sent)
    metrics = follower.metrics()
    assert metrics['streambg_audit_outcomes_total{why="dead-letter"}'] == 1
    assert {value for name, value in metrics.items() if name.startswith("streambg_audit_findings_total")} == {0}
    assert follower.health() == {
        "ok": True,
        "problem": "",
        "caught_up": True,
        "verdict": "ok",
        "reason": "every check over every owed event",
        "events": run.sent,
    }
    code, report = follower.end()
    assert (code, report["verdict"], report["events"]) == (0, "ok", run.sent)
    assert follower.findings() == []


def last_output(run: Running, partition: int) -> Message:
    topic, message = TopicPartition(run.pipeline.topics.output, partition), None
    consumer = Consumer(
        {"bootstrap.servers": run.pipeline.kafka.bootstrap, "group.id": "raw", "isolation.level": "read_committed"}
    )
    try:
        low, high = consumer.get_watermark_offsets(topic, 10)
        consumer.assign([TopicPartition(topic.topic, partition, max(low, high - 10))])
        while (found := consumer.poll(1.0)) is not None:
            assert found.error() is None
            message = found
    finally:
        consumer.close()
    assert message is not None
    return message


def plant(run: Running, message: Message) -> None:
    """The same record once more, by somebody who is no publisher."""
    producer = Producer({"bootstrap.servers": run.pipeline.kafka.bootstrap})
    producer.produce(
        message.topic() or "",
        message.value(),
        message.key(),
        message.partition() or 0,
        headers=message.headers(),
    )
    assert producer.flush(20) == 0


def test_I2_a_double_that_somebody_writes_is_told_at_once_and_every_time(run: Running, follower: Follower) -> None:
    """While nothing is fed: nobody needs a next event to see it."""
    until(lambda: "caught up" in follower.errors(), 30, "it has caught up")
    before = run.sent
    message = last_output(run, 1)
    plant(run, message)
    until(follower.findings, 20, "the double is named")
    source = dict(message.headers() or [])["streambg"].split(b" ")[0].decode()  # type: ignore[union-attr, call-overload] # bytes
    assert follower.findings() == [("doubled", source)]
    assert follower.metrics()['streambg_audit_findings_total{kind="doubled"}'] == 1
    health = follower.health()
    assert (health["ok"], health["verdict"], health["reason"]) == (True, "failed", "1 doubled")
    run.feed(20)
    run.drained()
    follower.judged(before + 20)
    plant(run, message)
    until(lambda: len(follower.findings()) == 2, 20, "and the next one")
    code, report = follower.end(signal.SIGTERM)
    assert (code, report["verdict"], report["counts"]["doubled"]) == (1, "failed", 2)
    fast = Follower(run, "--fail-fast")
    assert fast.popen.wait(30) == 1
    assert fast.findings()[0] == ("doubled", source)


def test_P35_from_the_last_cutover_on_it_does_not_look_at_what_lies_before(run: Running) -> None:
    """Last of this file: the doubles of the test before stand behind that cutover, a new one begins without them."""
    run.say("rollback")
    run.feed(40)
    run.drained()
    follower = Follower(run, "--from", "cutover")
    until(lambda: "caught up" in follower.errors(), 30, "it has caught up")
    code, report = follower.end()
    assert (code, report["verdict"]) == (0, "ok"), report["findings"]
    assert 0 < report["events"] <= 40
    assert all(one["since"] > one["origin"] for one in report["partitions"])


def test_what_does_not_fit_is_said(run: Running, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streambg", "audit", "--follow", "--from", "99999"],
        cwd=run.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "no such epoch" in done.stderr
