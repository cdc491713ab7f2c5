"""The sink of a replay that publishes: a topic of its own, each answer once, on from where it was interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import NewTopic
from endings import tied
from pipelines import ROOT, Running, pipeline

from streambg.config import Pipeline
from streambg.errors import ConfigError, Fenced, Misconfigured, Refused
from streambg.kafka import profiles
from streambg.replaying.backfill import Sink, Stamp
from streambg.replaying.request import Request
from streambg.replaying.run import Interrupted, Progress, resume
from streambg.replaying.run import run as run_

pytestmark = pytest.mark.integration

STAMP = Stamp("6f0c5b1e" * 8, "m:2", "sha256:" + "ab12cd34" * 8)

# Writes 30 answers of which 20 are committed, and is killed while the rest is under way.
DIES = """
import os, sys, numpy as np
from pathlib import Path
from streambg.config import load
from streambg.replaying.backfill import Sink, Stamp
sink = Sink(load(Path(sys.argv[1]), os.environ), sys.argv[2], Stamp(*sys.argv[3:6]))
assert sink.begin(1) is None
for first in (0, 10):
    at = np.arange(first, first + 10)
    sink.write(1, at, [b"k"] * 10, [b"first %d" % o for o in at])
part = sink._parts[1]
part._producer.begin_transaction()
part.produce(list(range(20, 30)), [b"k"] * 10, [b"never"] * 10)
part._producer.flush(20)
os._exit(9)
"""


def written(config: Pipeline, topic: str, partition: int) -> list[tuple[bytes | None, bytes | None, str]]:
    """(key, value, header) as a read_committed reader sees them."""
    consumer = Consumer(dict(profiles.reader(config, "test")))
    found = []
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        while True:
            for message in consumer.consume(500, 0.5):
                if message.error() is not None:
                    return found
                [(name, header)] = message.headers() or []
                assert name == "replay"
                found.append((message.key(), message.value(), header.decode()))  # type: ignore[union-attr] # bytes
    finally:
        consumer.close()


@pytest.fixture(scope="module")
def run(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """blue has answered 300 events, one of them with an error, and all stand still."""
    with pipeline(tmp_path_factory.mktemp("backfill"), kafka, f"backfill-{os.getpid()}", partitions=2) as running:
        running.say("deploy", "blue", "m:1", start="earliest")
        running.start("scorer", "--color", "blue")
        running.start("publisher")
        running.feed(299)
        running.put(b"no JSON", b"k1")
        running.flush()
        running.drained()
        running.stop()
        yield running


def made(run: Running, name: str, partitions: int = 2) -> str:
    run.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(20)
    return name


def test_answers_stand_once_in_a_topic_of_their_own_whatever_dies(run: Running) -> None:
    config, topic = run.pipeline, f"{run.pipeline.name}-backfill"
    with pytest.raises(Misconfigured, match="create it with 2 partitions"):
        Sink(config, topic, STAMP)
    made(run, topic)
    with pytest.raises(Misconfigured, match="1 partitions, the input 2"):
        Sink(config, made(run, f"{topic}-narrow", 1), STAMP)
    for ours in (config.topics.input, config.topics.output, *config.topics.ours):
        with pytest.raises(Refused, match="a replay never writes there"):
            Sink(config, ours, STAMP)

    words = [str(config.file), topic, STAMP.replay, STAMP.model, STAMP.digest]
    died = subprocess.run(tied(sys.executable, "-c", DIES, *words), cwd=ROOT, timeout=60, check=False)
    assert died.returncode == 9

    with Sink(config, topic, STAMP) as sink:
        assert sink.begin(1) == 20
        with Sink(config, topic, STAMP) as zombie:
            assert zombie.begin(1) == 20
            assert sink.begin(1) == 20
            again = np.arange(10, 40)
            sink.write(1, again, [b"k"] * 30, [b"second %d" % o if o % 7 else None for o in again.tolist()])
            sink.end(1)
            with pytest.raises(Fenced):
                zombie.write(1, np.arange(20, 25), [b"k"] * 5, [b"zombie"] * 5)
        assert sink.begin(1) == 40
        sink.write(1, np.empty(0, np.int64), [], [], upto=49)
        sink.end(1)
        assert sink.begin(1) == 50
        assert sink.begin(0) is None

    values = [b"first %d" % o for o in range(20)] + [b"second %d" % o for o in range(20, 40) if o % 7]
    offsets = [*range(20), *(o for o in range(20, 40) if o % 7)]
    source = f"{config.topics.input}/1"
    assert written(config, topic, 1) == [
        (b"k", value, f"{source}@{offset} m:2 sha256:ab12cd34 replay={STAMP.replay}")
        for offset, value in zip(offsets, values, strict=True)
    ]
    other = Stamp("0" * 64, STAMP.model, STAMP.digest)
    with Sink(config, topic, other) as sink:
        assert sink.begin(1) is None, "another replay has its own positions"


def groups(run: Running) -> dict[str, list[tuple[str, int, int]]]:
    """Every group of the pipeline with its positions."""
    found = {}
    for group in run.admin.list_consumer_groups().result().valid:
        if run.pipeline.name in group.group_id:
            asked = ConsumerGroupTopicPartitions(group.group_id)
            [answer] = run.admin.list_consumer_group_offsets([asked]).values()
            found[group.group_id] = [(p.topic, p.partition, p.offset) for p in answer.result().topic_partitions]
    return found


def test_a_replay_publishes_each_answer_once_though_it_was_interrupted(run: Running, tmp_path: Path) -> None:
    """What it writes is what the live model has published; groups and topics of the pipeline are as before."""
    config, before, published = run.pipeline, groups(run), run.read()
    topic, request = made(run, f"{config.name}-again"), Request(("m:1",), publish_to=f"{config.name}-again")
    passed: list[Progress] = []
    with pytest.raises(Interrupted, match="--resume"):
        run_(config, request, tmp_path, progress=passed.append, stopping=lambda: bool(passed and passed[-1].passed))
    assert passed[-1].passed < passed[-1].total
    report = resume(config, passed[-1].id, tmp_path)
    assert run_(config, request, tmp_path).id == report.id, "and all of it once more"
    answers = {
        (outcome.source.partition, outcome.source.offset): (key, value)
        for outcome, key, value in zip(published.outcomes, published.keys, published.values, strict=True)
    }
    for number in range(run.partitions):
        found = written(config, topic, number)
        assert found == [
            (*answers[number, offset], f"{config.topics.input}/{number}@{offset} m:1 {digest} replay={report.id}")
            for partition, offset in sorted(answers)
            if partition == number
            for digest in {outcome.digest for outcome in published.outcomes}
        ]
    name = f"streambg.{config.name}.backfill.{report.id[:16]}.{topic}"
    ends = [(config.topics.input, number, end) for number, end in sorted(run.ends.items())]
    after = groups(run)
    assert sorted(after.pop(name)) == ends
    assert after == before
    with pytest.raises(Refused, match="a replay never writes there"):
        run_(config, Request(("m:1",), publish_to=config.topics.output), tmp_path)
    with pytest.raises(ConfigError, match="whose, of 2 models"):
        run_(config, Request(("m:1", "m:2"), publish_to=topic), tmp_path)
