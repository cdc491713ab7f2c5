"""What a scenario of the contract works with: a broker to try things on, and short ways to ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from streambg.config import Pipeline
from streambg.kafka import profiles
from streambg.kafka.clients import Clients
from streambg.kafka.errors import is_fenced

LOOKS = 400  # at 50 ms each: longer than any rebalance or transaction here
LOOK_S = 0.05
CALL_S = 10.0
# Longer than a broker needs to answer, shorter than a transaction stands open.
SHORT_S = 1.5


class Bench(Protocol):
    """A broker to try things on. Names are unique to the scenario."""

    clients: Clients
    pipeline: Pipeline
    name: str

    def create(self, topic: str, partitions: int) -> str:
        """The topic's whole name."""

    def look(self) -> None:
        """Time passes between two looks."""


@dataclass
class Member:
    """A consumer of a group, with what its callbacks were told."""

    consumer: Any
    assigned: list[tuple[str, int]]
    told: list[str]


def producer(bench: Bench, id: str) -> Any:
    made: Any = bench.clients.producer(profiles.transactional_producer(bench.pipeline, f"{bench.name}.{id}"))
    made.init_transactions(CALL_S * 2)
    return made


def reader(bench: Bench, *, stable: bool = True, group: str | None = None) -> Any:
    config = profiles.reader(bench.pipeline, "contract", group=group or f"{bench.name}.reader", stable=stable)
    return bench.clients.consumer(config)


def read(bench: Bench, topic: str, *, stable: bool = True, start: int = OFFSET_BEGINNING) -> list[str]:
    """Everything a reader sees up to the end of partition 0, or the error that ends it."""
    consumer = reader(bench, stable=stable)
    consumer.assign([TopicPartition(topic, 0, start)])
    seen: list[str] = []
    try:
        for _ in range(LOOKS):
            for message in consumer.consume(100, LOOK_S):
                error = message.error()
                if error is None:
                    seen.append(f"{message.value().decode()}@{message.offset()}")
                elif error.code() == KafkaError._PARTITION_EOF:
                    return [*seen, f"end@{message.offset()}"]
                else:
                    return [*seen, error.name()]
            bench.look()
    finally:
        consumer.close()
    raise AssertionError(f"{topic} was not read to its end: {seen}")


def ends(bench: Bench, topic: str, *, stable: bool = True) -> tuple[int, int]:
    consumer = reader(bench, stable=stable)
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), CALL_S)
        return int(low), int(high)
    finally:
        consumer.close()


def marked(bench: Bench, topic: str) -> None:
    """A commit returns before its markers are written: wait for them."""
    for _ in range(LOOKS):
        if ends(bench, topic) == ends(bench, topic, stable=False):
            return
        bench.look()
    raise AssertionError(f"{topic}: no marker in time")


def put(made: Any, topic: str, *values: str) -> None:
    for value in values:
        made.produce(topic, value.encode(), None, 0)
    made.flush(CALL_S)


def outcome(do: Callable[[], object]) -> str:
    """ "ok", "fenced", or the error's name."""
    try:
        do()
    except KafkaException as error:
        cause = error.args[0]
        return "fenced" if is_fenced(cause) else str(cause.name())
    return "ok"


def member(bench: Bench, group: str, slot: str, topics: Sequence[str]) -> Member:
    instance = f"{bench.name}.{slot}"
    made = Member(
        bench.clients.consumer(profiles.consumer(bench.pipeline, f"{bench.name}.{group}", instance, instance)), [], []
    )

    def assigned(consumer: Any, partitions: list[TopicPartition]) -> None:
        made.assigned[:] = [(one.topic, one.partition) for one in partitions]
        made.told.append("assigned")
        consumer.assign([TopicPartition(one.topic, one.partition, 0) for one in partitions])

    def dropped(_consumer: Any, _partitions: list[TopicPartition]) -> None:
        made.assigned.clear()
        made.told.append("dropped")

    made.consumer.subscribe(list(topics), on_assign=assigned, on_revoke=dropped, on_lost=dropped)
    return made


def until(bench: Bench, members: Sequence[Member], done: Callable[[], bool]) -> list[Any]:
    """Poll all of them until `done`; the messages they got."""
    found = []
    for _ in range(LOOKS):
        for one in members:
            message = one.consumer.poll(LOOK_S)
            if message is not None:
                found.append(message)
        if done():
            return found
        bench.look()
    raise AssertionError(f"not in time: {[(one.assigned, one.told) for one in members]}")


def short(bench: Bench, spots: Sequence[tuple[str, int]]) -> list[str]:
    return sorted(f"{topic.removeprefix(bench.name)}/{number}" for topic, number in spots)
