"""May the candidate get weight now? Covered, settled and lag per partition, as the topics say (P1, `max_lag`)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from streambg.publishing.settled import read_settled
from streambg.records.batch import BadBatch, decode_head

# How many of a color's last batches are looked at for one of the deployment; a redeployed color's newest come last.
LAST_BATCHES = 4
TIMEOUT_S = 5.0
LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Lane:
    """One partition as measured: source offsets, and how old the first unanswered event is in ms (0: none waits)."""

    partition: int
    settled: int
    covered: int | None
    input_end: int
    lag_ms: int


def objections(lanes: list[Lane], max_lag_ms: int) -> list[str]:
    """Why the candidate should not get weight; empty where nothing speaks against it. Pure."""
    found = []
    for lane in lanes:
        if lane.covered is None:
            if lane.input_end > lane.settled + 1 or lane.settled >= 0:
                found.append(f"partition {lane.partition}: it has not answered anything yet")
        elif lane.covered < lane.settled:
            found.append(f"partition {lane.partition}: it covers {lane.covered}, settled is {lane.settled}")
        elif lane.lag_ms > max_lag_ms:
            found.append(f"partition {lane.partition}: it lags {lane.lag_ms} ms, max_lag is {max_lag_ms} ms")
    return found


def measure(
    reader: Mapping[str, Any],
    group: str,
    topics: tuple[str, ...],
    candidate_topic: str,
    deployment: int,
    input_topic: str,
    partitions: int,
) -> list[Lane]:
    """Every partition's lane. `settled` is read first, so a candidate that keeps up covers it."""
    numbers = range(partitions)
    settled = read_settled(reader, group, topics, numbers)
    consumer = Consumer(dict(reader))
    try:
        lanes = []
        for number in numbers:
            covered = _covered(consumer, candidate_topic, number, deployment)
            _, end = consumer.get_watermark_offsets(TopicPartition(input_topic, number), TIMEOUT_S)
            lag = _lag_ms(consumer, input_topic, number, covered, int(end)) if covered is not None else 0
            lanes.append(Lane(number, settled.get(number, -1), covered, int(end), lag))
    finally:
        consumer.close()
    return lanes


def _covered(consumer: Consumer, topic: str, partition: int, deployment: int) -> int | None:
    """How far the deployment's last batch reaches; None where its last batches are not this deployment's."""
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), TIMEOUT_S)
    start = max(int(low), int(high) - LAST_BATCHES)
    covered: int | None = None
    for value in _read(consumer, topic, partition, start, int(high)):
        try:
            head = decode_head(value)
        except BadBatch:
            continue
        if head.deployment == deployment:
            covered = max(head.upto, covered if covered is not None else head.upto)
    return covered


def _read(consumer: Consumer, topic: str, partition: int, start: int, end: int) -> list[bytes]:
    consumer.assign([TopicPartition(topic, partition, start)])
    values, deadline = [], time.monotonic() + TIMEOUT_S
    while start < end and time.monotonic() < deadline:
        message = consumer.poll(LOOK_AGAIN_S)
        if message is not None and message.error() is None:
            values.append(message.value() or b"")
            start = (message.offset() or 0) + 1
    return values


def _lag_ms(consumer: Consumer, topic: str, partition: int, covered: int, end: int) -> int:
    """Age of the first event beyond `covered`, by its own timestamp."""
    if covered + 1 >= end:
        return 0
    consumer.assign([TopicPartition(topic, partition, covered + 1)])
    message = consumer.poll(1.0)  # markers may be all that is left: then nothing waits
    if message is None or message.error() is not None:
        return 0
    return max(0, int(time.time() * 1_000) - message.timestamp()[1])
