"""What runs over recorded topics inside one process: the audit, a replay, and the comparator's pure core."""

from __future__ import annotations

import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streambg import audit as audits
from streambg.bench.drained import between
from streambg.bench.events import GREEN
from streambg.bench.raw import Window
from streambg.comparing.comparison import Comparison
from streambg.comparing.drift import Drift
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.side import Place
from streambg.config import load
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.records.batch import Batch, decode
from streambg.records.coverage import Coverage
from streambg.records.source import COLORS, Color
from streambg.replaying import run as replaying
from streambg.replaying.request import Request

READ = 2_000
READ_S = 0.2
# One partition of one color comes from the log in pieces of about this many batches, as a poll of the comparator
# does (64 records over both colors).
OFFER = 32


def audit(file: str, events: int) -> Window:
    """(h) `streambg audit` without the interpreter's start. Raises StreambgError where it finds something wrong."""
    pipeline = load(Path(file), os.environ)
    began = time.time()
    report = audits.run(pipeline)
    window = Window(events, began, time.time())
    if not report.ok:
        raise StreambgError(f"the audit of {file} is not ok", way_out=report.to_json())
    return window


def replay(file: str, events: int, workers: int) -> Window:
    """(m) A model that was not live over the whole input, compared with what was published, up to the last event."""
    pipeline = load(Path(file), os.environ)
    times, passed = [time.time()], [0]

    def told(progress: replaying.Progress) -> None:
        times.append(time.time())
        passed.append(progress.passed)

    with tempfile.TemporaryDirectory() as folder:
        replaying.run(pipeline, Request((GREEN,), workers=workers), Path(folder), progress=told)
    if passed[-1] != events:
        raise StreambgError(f"{passed[-1]} of {events} events were replayed", way_out="measure again")
    return between(times, passed)


class _Still(Drift):
    """No detectors: merge and agreement alone."""

    def feed(self, offsets: Any, streams: Any) -> None:
        """Nothing is looked at."""


def merge(file: str, events: int, partitions: int, drift: bool) -> Window:
    """(g) Both colors' decoded batches through the join and the evidence; `drift`: with the three detectors."""
    recorded = _recorded(file, partitions)
    pair = Pair(*(recorded[color][0][0].deployment for color in COLORS))
    terms = Terms(1, 0, 0.5)
    comparisons = []
    for number in range(partitions):
        places = {color: Place(0, Coverage(pair.of(color))) for color in COLORS}
        comparison = Comparison.begin(number, pair, terms, places, -1)
        comparison.control(max(pair.blue, pair.green))
        if not drift:
            comparison.evidence.drift = _Still(number, -1)
        comparisons.append(comparison)
    began = time.time()
    for comparison in comparisons:
        _compare(comparison, {color: recorded[color][comparison.partition] for color in COLORS})
    window = Window(events, began, time.time())
    matched = sum(comparison.evidence.figures.counts["matched"] for comparison in comparisons)
    if matched != events:
        raise StreambgError(
            f"{matched} of {events} events were compared", way_out="the recorded topics are not whole: measure again"
        )
    return window


def _compare(comparison: Comparison, logs: dict[Color, list[Batch]]) -> None:
    at = 0
    while at < max(map(len, logs.values())):
        for color, batches in logs.items():
            for number, batch in enumerate(batches[at : at + OFFER], at):
                comparison.offer(color, number, 100, batch)
        while comparison.advance():
            pass
        at += OFFER


def _recorded(file: str, partitions: int) -> dict[Color, dict[int, list[Batch]]]:
    pipeline = load(Path(file), os.environ)
    consumer = Consumer(profiles.reader(pipeline, "bench"))
    topics: dict[str, Color] = {pipeline.topics.predictions(color): color for color in COLORS}
    left = {(topic, number) for topic in topics for number in range(partitions)}
    found: dict[Color, dict[int, list[Batch]]] = {color: defaultdict(list) for color in COLORS}
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in left])
    while left:
        for message in consumer.consume(READ, READ_S):
            place = message.topic() or "", message.partition() or 0
            error = message.error()
            if error is None:
                found[topics[place[0]]][place[1]].append(decode(message.value() or b""))
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(place)
            else:
                raise KafkaException(error)
    consumer.close()
    return found
