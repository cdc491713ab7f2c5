"""The broker goes away under a running pipeline: nothing is lost, nothing doubled, no partition stays stopped."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pipelines import pipeline
from waiting import until

from streambg.servers import Launch, LocalKafka

pytestmark = pytest.mark.integration

# Kafka makes its index files at 10 MiB; a limit just above lets it start and stops the first log that grows past it.
DISK_LIMIT = 11 * 1024 * 1024


def test_a_full_disk_stops_the_broker_and_loses_nothing(unique: str, tmp_path: Path) -> None:
    """A file-size limit on the JVM stands in for a full disk; with room again everything is drained."""
    limited = Launch(limits={resource.RLIMIT_FSIZE: DISK_LIMIT})
    with LocalKafka(tmp_path / "kafka", launch=limited) as broker, pipeline(tmp_path, broker.bootstrap, unique) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        processes = [*run.scorers(), run.start("publisher")]
        run.feed(300)
        run.drained()
        filler = Producer({"bootstrap.servers": broker.bootstrap, "message.timeout.ms": 3_000, "log_level": 0})
        _fill(filler, f"{unique}-filler", broker)
        until(lambda: not broker.running, 60, "the broker halts when it cannot write")
        assert all(process.popen.poll() is None for process in processes), "no process of the pipeline gave up"
        broker.start(Launch())
        run.feed(300)
        run.drained(90, hung_start_again=True)
        run.expect_exactly_once()


def _fill(producer: Producer, topic: str, broker: LocalKafka) -> None:
    """Write into a topic of its own until the broker has no room; what is not acknowledged was never promised."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    for _ in range(40):
        if not broker.running:
            return
        producer.produce(topic, b"x" * 900_000)
        producer.flush(5)
