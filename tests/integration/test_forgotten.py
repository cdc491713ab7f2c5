"""P24: transactions that a real broker never ends, as Kafka 4.3.1 leaves them behind when it forgets their markers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
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


def hide(run: Running, transactional_id: str) -> None:
    """The next event's outcome in partition 0 of the output, in a transaction that nobody ends."""
    header = f"{run.pipeline.input.topic}/0@{run.ends[0]} blue m:1 sha256:00000000 epoch=0 route".encode()
    who = init_producer(run.pipeline.kafka.bootstrap, transactional_id)
    hidden_record(run.pipeline.kafka.bootstrap, who, run.pipeline.topics.output, 0, b"{}", ("streambg", header))


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
    hide(run, run.pipeline.transactional_id(0))
    publisher = run.start("publisher")
    run.feed(300)
    run.drained()
    run.expect_exactly_once()
    until(lambda: "forgotten_ended" in publisher.log.read_text(), 5, "it was told")


def test_P24_behind_somebody_elses_open_transaction_nobody_publishes_what_may_stand_there(run: Running) -> None:
    """Until that one has ended: only then is it known whose transaction is open behind it."""
    stopped(run)
    bootstrap, topic, stranger = run.pipeline.kafka.bootstrap, run.pipeline.topics.output, f"{run.pipeline.name}.other"
    who = init_producer(bootstrap, stranger)
    hidden_record(bootstrap, who, topic, 0, b"{}", ("streambg", b"nothing of ours"))
    hide(run, run.pipeline.transactional_id(0))
    publisher = run.start("publisher")
    run.feed(300)
    until(lambda: "somebody else's open transaction hides" in publisher.log.read_text(), 30, "it is told")
    assert "forgotten_ended" not in publisher.log.read_text(), "no fencing of ours ends it"
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": stranger})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, b"{}", partition=0)
    producer.flush(20)
    producer.abort_transaction(20)
    run.drained()
    run.expect_exactly_once()
    assert "forgotten_ended" in publisher.log.read_text(), "then ours is ended, too"
