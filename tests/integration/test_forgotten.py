"""P24: transactions that a real broker never ends, as Kafka 4.3.1 leaves them behind when it forgets their markers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from pipelines import Running, pipeline
from raw_requests import hidden_record, init_producer, pending_position
from waiting import until

from streambg.process import sites
from streambg.publishing.fencing import committed_now
from streambg.servers import Launch, LocalKafka

pytestmark = pytest.mark.integration


@pytest.fixture
def run(unique: str, tmp_path: Path) -> Iterator[Running]:
    """A broker that takes parts of transactions which their coordinator does not know (KIP-890 would refuse them)."""
    trusting = Launch(overrides={"transaction.partition.verification.enable": "false"})
    with LocalKafka(tmp_path / "kafka", launch=trusting) as broker, pipeline(tmp_path, broker.bootstrap, unique) as run:
        yield run


def stopped(run: Running) -> None:
    """All that was fed is out; then the publisher is gone."""
    run.say("deploy", "blue", "m:1", start="earliest")
    run.scorers()
    publisher = run.start("publisher")
    run.feed(300)
    run.drained()
    publisher.popen.send_signal(signal.SIGTERM)
    assert publisher.popen.wait(30) == 0
    run.processes.remove(publisher)


def pend(run: Running, slot: int) -> None:
    """The positions of every partition, pending by the publisher of a slot as they stand already."""
    site, bootstrap = sites.publisher(run.pipeline, slot), run.pipeline.kafka.bootstrap
    spots = [TopicPartition(site.predictions["blue"], number) for number in range(run.partitions)]
    who = init_producer(bootstrap, site.transactional_id)
    for each in committed_now(site, spots):
        pending_position(bootstrap, who, site.group, each.topic, each.partition, each.offset, each.metadata or "")


@pytest.mark.parametrize("slot", [0, 1], ids=["its own", "of a slot where nobody runs"])
def test_P24_positions_that_nobody_ends_are_ended(run: Running, slot: int) -> None:
    """The publisher had waited for stable positions in each of its sessions, for ever."""
    stopped(run)
    pend(run, slot)
    publisher = run.start("publisher")
    run.feed(300)
    run.drained()
    run.expect_exactly_once()
    assert ("forgotten_ended" in publisher.log.read_text()) == (slot == 1)


def test_P24_an_outcome_that_nobody_ends_does_not_appear_with_a_later_commit(run: Running) -> None:
    """It is the next event's: the next commit of its producer would show it beside the one that is published then."""
    stopped(run)
    bootstrap, topic, end = run.pipeline.kafka.bootstrap, run.pipeline.topics.output, run.ends[0]
    header = f"{run.pipeline.input.topic}/0@{end} blue m:1 sha256:00000000 epoch=0 route".encode()
    who = init_producer(bootstrap, run.pipeline.transactional_id(0))
    hidden_record(bootstrap, who, topic, 0, b"{}", ("streambg", header))
    publisher = run.start("publisher")
    run.feed(300)
    run.drained()
    run.expect_exactly_once()
    until(lambda: "forgotten_ended" in publisher.log.read_text(), 5, "it was told")
