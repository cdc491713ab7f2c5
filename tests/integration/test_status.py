"""`streambg status` on a living pipeline: its numbers beside those of the raw topics, and what deserves attention."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from pipelines import Process, Running, pipeline
from waiting import until

from streambg.config import load
from streambg.servers.ports import free_port
from streambg.status.collect import Collector
from streambg.status.report import STANDS_MS, as_json, attention

pytestmark = pytest.mark.integration

PARTITIONS = 3


@dataclass
class Living:
    """One pipeline for all tests of this module; blue is live, green gets half of the keys."""

    run: Running
    collector: Collector
    publisher: Process
    green: Process
    comparator: Process

    def status(self) -> Any:
        """As `--output json` prints it, without the start of a process."""
        found = self.collector.look()
        return json.loads(json.dumps(as_json(found, attention(found, self.run.pipeline.rollout.max_lag_ms))))

    def printed(self, *words: str) -> Any:
        done = self.call(*words, "--output", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _command(*words),
            cwd=self.run.folder,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def restart(self, file: Path | None = None) -> None:
        """Publisher, green's scorer and comparator, with the pipeline's file or another one."""
        processes = (self.publisher, self.green, self.comparator)
        for process in processes:
            process.popen.terminate()
        for process in processes:
            process.popen.wait(20)
        self.publisher = self.run.start("publisher", file=file)
        self.green = self.run.start("scorer", "--color", "green", file=file)
        self.comparator = self.run.start("comparator", file=file)

    def attention(self) -> str:
        return "\n".join(self.status()["attention"])

    def file(self, name: str, old: str, new: str) -> Path:
        """Another pipeline file beside the pipeline's own."""
        text = self.run.pipeline.file.read_text()
        assert old in text
        path = self.run.folder / name
        path.write_text(text.replace(old, new))
        return path


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "streambg", "status", *words]


@pytest.fixture(scope="module")
def living(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    folder, late = tmp_path_factory.mktemp("status"), {"late": "{candidate: 60s}"}
    with pipeline(folder, kafka, "status-shown", redis=redis_url, publish=late) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.start("scorer", "--color", "blue")
        green = run.start("scorer", "--color", "green")
        publisher = run.start("publisher")
        comparator = run.start("comparator")
        run.feed(120)
        run.put(b"no json", b"bad", 1)
        run.flush()
        run.drained()
        candidate = run.say("deploy", "green", "m:2").epoch
        run.feed(60)
        run.drained()
        run.say("shift", 5_000)
        run.feed(90)
        run.put(b"nor this", b"k1", 2)
        run.flush()
        run.drained()
        with pytest.raises(Exception, match="prepared for"):
            run.say("promote", candidate=candidate + 7)
        with Collector(run.pipeline) as collector:
            yield Living(run, collector, publisher, green, comparator)


# -- the same numbers from the raw topics -----------------------------------------------------------------------------


@dataclass
class Raw:
    """All that the topics hold, read and parsed by the test alone."""

    ends: dict[int, int] = field(default_factory=dict)
    covered: dict[str, dict[int, int]] = field(default_factory=lambda: {"blue": {}, "green": {}})
    last: dict[str, dict[int, list[Any]]] = field(default_factory=lambda: {"blue": {}, "green": {}})
    rows: dict[str, dict[tuple[int, int], float]] = field(default_factory=lambda: {"blue": {}, "green": {}})
    settled: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    published: Counter[tuple[str, str]] = field(default_factory=Counter)
    letters: list[Any] = field(default_factory=list)
    cutovers: dict[int, tuple[int, int]] = field(default_factory=dict)


def everything(bootstrap: str, topic: str, partitions: int) -> list[Message]:
    """Every committed record of a topic."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "raw", "enable.partition.eof": True, "enable.auto.commit": False}
    )
    found, left = list[Message](), set(range(partitions))
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        while left:
            for message in consumer.consume(1_000, 0.1):
                if message.error() is not None:
                    left.discard(message.partition() or 0)
                else:
                    found.append(message)
    finally:
        consumer.close()
    return found


def raw(run: Running, deployments: dict[str, int]) -> Raw:
    """By the formats of docs/design.md; none of streambg's readers is used."""
    found, name, bootstrap = Raw(), run.pipeline.name, run.pipeline.kafka.bootstrap
    for message in everything(bootstrap, f"{name}-events", PARTITIONS):
        found.ends[message.partition() or 0] = (message.offset() or 0) + 1
    for color, deployment in deployments.items():
        for message in everything(bootstrap, f"{name}.predictions.{color}", PARTITIONS):
            batch, number = msgspec.msgpack.decode(message.value() or b""), message.partition() or 0
            assert batch[1] == deployment, "each color had one deployment"
            found.covered[color][number] = batch[3]
            found.last[color].setdefault(number, []).append(batch)
            scores = np.frombuffer(batch[10], "<f8").tolist()
            for offset, status, score in zip(np.frombuffer(batch[7], "<i8").tolist(), batch[9], scores, strict=True):
                if status == 0:
                    found.rows[color][number, offset] = score
    for message in everything(bootstrap, f"{name}-answers", PARTITIONS):
        headers: Any = message.headers()
        source, color, _, _, epoch, why = dict(headers)["streambg"].decode().split(" ")
        _settle(found, source, int(epoch.removeprefix("epoch=")))
        found.published[color, why] += 1
    for message in everything(bootstrap, f"{name}.dead-letters", PARTITIONS):
        found.letters.append(json.loads(message.value() or b""))
        _settle(found, found.letters[-1]["source"], found.letters[-1]["epoch"])
    for message in everything(bootstrap, f"{name}.cutovers", 1):
        cutover = json.loads(message.value() or b"")
        found.cutovers[cutover["partition"]] = (cutover["first"], cutover["epoch"])
    return found


def _settle(found: Raw, source: str, epoch: int) -> None:
    number, offset = (int(part) for part in source.rpartition("/")[2].split("@"))
    found.settled[number] = max(offset, found.settled.get(number, -1))
    found.epochs[number] = max(epoch, found.epochs.get(number, -1))


def test_the_numbers_are_those_of_the_raw_topics(living: Living) -> None:
    run = living.run
    deployments = {color: living.status()["colors"][color]["deployment"] for color in ("blue", "green")}
    found = raw(run, deployments)
    both = found.rows["blue"].keys() & found.rows["green"].keys()
    # the comparator shows what it knows once a second
    until(lambda: (living.status()["evidence"] or {}).get("compared") == len(both), 30, f"{len(both)} are compared")
    shown = living.printed()
    assert shown["ok"], shown["attention"]
    for lane in shown["partitions"]:
        number = lane["partition"]
        assert lane["input_end"] == found.ends[number] == run.ends[number]
        assert lane["covered"] == {color: found.covered[color][number] for color in ("blue", "green")}
        assert lane["settled"] == found.settled[number]
        assert lane["behind"] == found.ends[number] - 1 - found.settled[number] == 0
        assert lane["epoch"] == found.epochs[number]
        assert (lane["cutover"], lane["cutover_epoch"]) == found.cutovers[number]
        assert lane["publisher"] == "streambg.status-shown.publisher.0"
    outcomes = shown["outcomes"]
    assert {(each["color"], each["why"]): each["count"] for each in outcomes["by"]} == dict(found.published)
    assert outcomes["all_of_the_topic"]
    assert outcomes["dead_letters"]["count"] == len(found.letters) == 2
    assert {outcomes["dead_letters"]["last"]["source"]} < {letter["source"] for letter in found.letters}
    for color in ("blue", "green"):
        told = shown["colors"][color]["last_answers"]
        last = [batch for batches in found.last[color].values() for batch in batches[-4:]]
        ages = np.concatenate([batch[5] - np.frombuffer(batch[8], "<i8") for batch in last])
        assert told["rows"] == len(ages)
        assert told["errors"] == sum(sum(batch[9]) for batch in last)
        assert [told["age_p50_ms"], told["age_p99_ms"]] == np.quantile(ages, [0.5, 0.99]).tolist()
        assert shown["colors"][color]["lag"] == 0
    same = [(found.rows["blue"][at] >= 0.5) == (found.rows["green"][at] >= 0.5) for at in both]
    evidence = shown["evidence"]
    assert evidence["compared"] == len(both)
    assert evidence["agreement"] == sum(same) / len(same)
    assert evidence["flips"] == len(same) - sum(same) > 0, "m:2 leans further than m:1"
    assert [command["verb"] for command in shown["last_commands"]] == ["deploy", "deploy", "shift", "promote"]
    assert "prepared for" in shown["last_commands"][-1]["refusal"]
    assert shown["servers"]["brokers"] == 1
    assert shown["members"] == {"scorer blue": 1, "scorer green": 1, "publisher": 1, "comparator": 1}


def test_with_redis_down_the_evidence_comes_from_its_topic(living: Living) -> None:
    """It says that Redis is down, and is as sure of the rest as before; snapshots are written every 5 s."""
    file = living.file("redis-down.yaml", living.run.pipeline.redis, f"redis://127.0.0.1:{free_port()}/0")
    told = living.status()["evidence"] | {"source": "topic"}
    with Collector(load(file, os.environ)) as collector:

        def from_the_topic() -> bool:
            evidence = collector.look().evidence
            return evidence is not None and asdict(evidence) == told

        until(from_the_topic, 30, "the snapshots hold all of it")
    done = living.call("-p", str(file), "--check")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("OK: ")
    assert "Redis does not answer" in done.stdout


def test_P4_a_process_that_runs_another_pipeline_file_is_named(living: Living) -> None:
    """A publisher says it with its first commit, a scorer with its assignment, a comparator with its next view: before
    any event comes. (Over 15 s on two busy cores: three processes start twice.)
    """
    other = living.file("other.yaml", "candidate: 60s", "candidate: 3s")
    living.restart(other)
    names = [f"{name} slot 0 runs another pipeline file" for name in ("publisher", "scorer green", "comparator")]
    until(lambda: all(name in living.attention() for name in names), 60, f"{names}")
    checked = living.call("--check")
    assert checked.returncode == 1
    assert all(f"ATTENTION: {name}" in checked.stdout for name in names)
    living.restart()
    until(lambda: living.status()["ok"], 60, "the present file is fine")


def test_P14_a_partition_that_waits_names_the_color(living: Living) -> None:
    """Green's scorer is away, and half of the keys are its own."""
    run = living.run
    living.green.popen.terminate()
    living.green.popen.wait(20)
    run.feed(60)

    def waits() -> Any:
        shown = living.status()
        return shown if " for green (" in "\n".join(shown["attention"]) else None

    shown = until(waits, 30, "it waits for green")
    lane = next(lane for lane in shown["partitions"] if lane["waits_for"] == ["green"] and lane["waits_ms"] > STANDS_MS)
    waited = f"partition {lane['partition']} waits {lane['waits_ms'] / 1_000:.1f} s"
    assert f"{waited} for green ({lane['behind']} events behind)" in shown["attention"]
    assert lane["behind"] == lane["input_end"] - 1 - lane["settled"] > 0
    assert lane["covered"]["blue"] == lane["input_end"] - 1 > lane["covered"]["green"]
    assert shown["colors"]["green"]["lag"] > 0
    assert shown["colors"]["blue"]["lag"] == 0
    living.green = run.start("scorer", "--color", "green")
    run.drained()
    until(lambda: living.status()["ok"], 30, "all is well again")


def test_watch_prints_a_line_of_json_a_look_and_ends_cleanly(living: Living) -> None:
    watch = subprocess.Popen(
        _command("--watch", "--interval", "1", "--output", "json"),
        cwd=living.run.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    looks = [json.loads(watch.stdout.readline()) for _ in range(2)]
    watch.send_signal(signal.SIGINT)
    _, errors = watch.communicate(timeout=30)
    assert (watch.returncode, errors) == (0, ""), errors
    assert [look["ok"] for look in looks] == [True, True]
    assert looks[0]["at_ms"] < looks[1]["at_ms"]
    assert looks[1]["rates"]["seconds"] > 0.5
