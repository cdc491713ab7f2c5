"""The sink of a replay that publishes: a topic of its own, each answer once, on from where it was interrupted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from endings import tied
from pipelines import ROOT, Running, pipeline

from streambg.config import Pipeline, load
from streambg.errors import Fenced, Misconfigured, Refused
from streambg.kafka import profiles
from streambg.replaying.backfill import Sink, Stamp

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
for first in (0, 10, 20):
    at = np.arange(first, first + 10)
    sink.write(1, at, [b"k"] * 10, [b"first %d" % o for o in at])
    if first < 20:
        sink.commit()
    else:
        sink._parts[1]._producer.flush(20)
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


@pytest.fixture
def run(kafka: str, unique: str, tmp_path: Path) -> Iterator[Running]:
    with pipeline(tmp_path, kafka, unique, partitions=2) as running:
        yield running


def test_answers_stand_once_in_a_topic_of_their_own_whatever_dies(run: Running) -> None:
    config, topic = run.pipeline, f"{run.pipeline.name}-backfill"
    with pytest.raises(Misconfigured, match="create it with 2 partitions"):
        Sink(config, topic, STAMP)
    for name, partitions in ((topic, 2), (f"{topic}-narrow", 1)):
        run.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(20)
    with pytest.raises(Misconfigured, match="1 partitions, the input 2"):
        Sink(config, f"{topic}-narrow", STAMP)
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
            zombie.write(1, np.arange(20, 25), [b"k"] * 5, [b"zombie"] * 5)
            sink.begin(1)
            sink.write(1, np.arange(20, 40), [b"k"] * 20, [b"second %d" % o if o % 7 else None for o in range(20, 40)])
            sink.end(1)
            with pytest.raises(Fenced):
                zombie.commit()
            zombie._parts.clear()
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


def test_the_live_pipeline_is_not_asked(run: Running) -> None:
    """No group of the pipeline's, no position and no transactional id of its publishers is touched."""
    config = load(run.pipeline.file, {})
    topic = f"{config.name}-backfill"
    admin = AdminClient(profiles.admin(config))
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)
    with Sink(config, topic, STAMP) as sink:
        sink.begin(0)
        sink.write(0, np.arange(3), [None] * 3, [b"x"] * 3)
    groups = {group.group_id for group in admin.list_consumer_groups().result().valid}
    mine = {group for group in groups if config.name in group}
    assert mine == {f"streambg.{config.name}.backfill.{STAMP.replay[:16]}"}
