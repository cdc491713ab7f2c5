"""A pipeline's topics read and decoded with nothing of streambg: what a test compares streambg's own words with."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import xxhash
from confluent_kafka import Consumer, Message, TopicPartition

HEADER = re.compile(
    r"(?P<topic>[\w.-]+)/(?P<partition>\d+)@(?P<offset>\d+) (?P<color>blue|green) (?P<model>\S+) (?P<digest>\S+) "
    r"epoch=(?P<epoch>\d+) (?P<why>\w+)"
)


@dataclass
class Batch:
    log_offset: int
    deployment: int
    after: int
    upto: int
    sample: bool
    rows: dict[int, tuple[bool, bytes]]  # source offset -> (an answer?, value or reason)
    wire: bytes


@dataclass
class Came:
    """What came out of one event."""

    kind: str
    log_offset: int
    color: str
    epoch: int
    why: str
    value: bytes = b""
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass
class Raw:
    """All of a pipeline's topics."""

    given: dict[tuple[int, int], tuple[bytes | None, bytes | None]]
    batches: dict[tuple[str, int], list[Batch]]
    came: dict[tuple[int, int], Came]
    letters: list[tuple[int, int]]  # in the order of writing
    cutovers: dict[int, list[tuple[int, int]]]  # partition -> (first, epoch)
    commands: list[tuple[int, dict[str, Any]]]

    def epoch_of(self, partition: int, offset: int) -> int:
        return max(epoch for first, epoch in self.cutovers[partition] if first <= offset)

    def counted(self, color: str, partition: int, offset: int, deployment: int) -> Batch | None:
        """The batch whose row counts: a fold of P8 from the beginning."""
        covered: int | None = None
        for batch in self.batches[color, partition]:
            if batch.deployment != deployment:
                continue
            covered = batch.after if covered is None else covered
            if batch.after <= covered < batch.upto:
                if covered < offset <= batch.upto:
                    return batch
                covered = batch.upto
        return None


def bucket(salt: int, key: bytes) -> int:
    return int(xxhash.xxh3_64(key, seed=salt).intdigest() % 10_000)


def read(bootstrap: str, name: str, partitions: int, events: str = "", answers: str = "") -> Raw:
    """events, answers: the input and the output topic, where they are not those of the tests' own pipelines."""
    events, answers = events or f"{name}-events", answers or f"{name}-answers"
    topics = [events, answers, *(f"{name}.predictions.{color}" for color in ("blue", "green"))]
    messages = {topic: visible(bootstrap, topic, partitions) for topic in [*topics, f"{name}.dead-letters"]}
    given = {(m.partition() or 0, m.offset() or 0): (m.key(), m.value()) for m in messages[events]}
    batches: dict[tuple[str, int], list[Batch]] = {}
    for color in ("blue", "green"):
        for number in range(partitions):
            batches[color, number] = []
        for message in messages[f"{name}.predictions.{color}"]:
            batches[color, message.partition() or 0].append(_batch(message))
    came: dict[tuple[int, int], Came] = {}
    for message in messages[answers]:
        [(_, header)] = [pair for pair in message.headers() or [] if pair[0] == "streambg"]  # type: ignore[misc] # pairs
        said = HEADER.fullmatch(header.decode())  # type: ignore[union-attr] # bytes
        assert said is not None
        assert int(said["partition"]) == message.partition()
        source = (int(said["partition"]), int(said["offset"]))
        assert source not in came, "doubled"
        offset, value = message.offset() or 0, message.value() or b""
        came[source] = Came("output", offset, said["color"], int(said["epoch"]), said["why"], value)
    letters = []
    for message in messages[f"{name}.dead-letters"]:
        letter = json.loads(message.value() or b"")
        source = (message.partition() or 0, int(letter["source"].rpartition("@")[2]))
        assert source not in came, "doubled"
        letters.append(source)
        came[source] = Came(
            "dead letter", message.offset() or 0, letter["chosen"], letter["epoch"], "", reasons=letter["reasons"]
        )
    cutovers: dict[int, list[tuple[int, int]]] = {}
    for message in visible(bootstrap, f"{name}.cutovers", 1):
        said_ = json.loads(message.value() or b"")
        cutovers.setdefault(said_["partition"], []).append((said_["first"], said_["epoch"]))
    commands = [(m.offset() or 0, json.loads(m.value() or b"")) for m in visible(bootstrap, f"{name}.control", 1)]
    return Raw(given, batches, came, letters, cutovers, commands)


def _batch(message: Message) -> Batch:
    wire = msgspec.msgpack.decode(message.value() or b"")
    offsets = np.frombuffer(wire[7], "<i8").tolist()
    statuses = np.frombuffer(wire[9], np.uint8).tolist()
    rows = {o: (status == 0, value) for o, status, value in zip(offsets, statuses, wire[12], strict=True)}
    return Batch(message.offset() or 0, wire[1], wire[2], wire[3], wire[4], rows, message.value() or b"")


def visible(bootstrap: str, topic: str, partitions: int) -> list[Message]:
    """Every visible record, partition after partition."""
    config: dict[str, Any] = {"bootstrap.servers": bootstrap, "group.id": "raw", "enable.partition.eof": True}
    config |= {"isolation.level": "read_committed", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    consumer = Consumer(config)
    records = []
    try:
        for number in range(partitions):
            consumer.assign([TopicPartition(topic, number, 0)])
            while True:
                message = consumer.poll(10)
                assert message is not None, f"{topic}/{number} does not answer"
                if message.error() is not None:
                    break
                records.append(message)
    finally:
        consumer.close()
    return records
