"""The comparator as a process: real broker, real Redis, two synthetic scorers that write batches straight to the topics."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from pairs import Answer, batch
from pipelines import ROOT, Process, Running, pipeline
from waiting import until

from streambg.comparing import liveview
from streambg.comparing.comparison import Comparison
from streambg.comparing.evidence_log import read_evidence
from streambg.comparing.locate import locate
from streambg.comparing.pair import Pair, terms_of
from streambg.comparing.probe import Probe
from streambg.comparing.site import site_of
from streambg.comparing.snapshot import Snapshot, encode
from streambg.control.state import ControlState
from streambg.kafka import profiles
from streambg.records.batch import decode
from streambg.records.batch import encode as encode_batch
from streambg.records.source import COLORS, Color

pytestmark = pytest.mark.integration

PARTITIONS = 3


class Scorers:
    """Both colors' answers, written as batches of random sizes; what they answer depends on the seed alone."""

    def __init__(self, run: Running, pair: Pair, seed: int = 1, first_green: int = -1) -> None:
        self.run = run
        self.pair = pair
        self._rng = random.Random(seed)
        self._producer = Producer(dict(profiles.idempotent_producer(run.pipeline, "test-scorer")))
        self._answered: dict[tuple[Color, int], int] = {}
        for partition in range(PARTITIONS):
            self._answered["blue", partition] = -1
            self._answered["green", partition] = first_green

    def answer(self, upto: int, colors: tuple[Color, ...] = COLORS) -> None:
        """Every partition up to this source offset; now and then a crash repeats the last batch."""
        for color in colors:
            for partition in range(PARTITIONS):
                while (after := self._answered[color, partition]) < upto:
                    reach = min(upto, after + self._rng.randrange(1, 60))
                    for _ in range(2 if self._rng.random() < 0.05 else 1):
                        self.write(color, partition, after, reach)
                    self._answered[color, partition] = reach
        self._producer.flush(20)

    def write(self, color: Color, partition: int, after: int, upto: int) -> None:
        answers = {offset: Answer(_score(color, partition, offset)) for offset in range(after + 1, upto + 1)}
        made = batch(self.pair.of(color), after, upto, answers, scored_at=upto + 40)
        self.raw(color, partition, encode_batch(made))

    def raw(self, color: Color, partition: int, value: bytes) -> None:
        self._producer.produce(self.run.pipeline.topics.predictions(color), value, None, partition)
        self._producer.poll(0)

    def flush(self) -> None:
        self._producer.flush(20)


def _score(color: Color, partition: int, offset: int) -> float | None:
    """Green differs from blue a little, from offset 1,500 on a lot: ADWIN must say so, at the same place always."""
    rng = random.Random(f"{partition}/{offset}")
    blue, noise, fails = rng.random() * 0.7, rng.random() * 0.05, rng.random() < 0.01
    if color == "blue":
        return blue
    return None if fails else min(1.0, blue + noise + (0.3 if offset > 1_500 else 0.0))


@contextmanager
def pair_of_scorers(
    folder: Path, kafka: str, name: str, redis_url: str = "redis://127.0.0.1:1/0"
) -> Iterator[tuple[Running, Scorers]]:
    with pipeline(folder, kafka, name, partitions=PARTITIONS, redis=redis_url) as run:
        blue = run.say("deploy", "blue", "m:1", start="earliest").epoch
        green = run.say("deploy", "green", "m:2").epoch
        yield run, Scorers(run, Pair(blue, green))


def evidence(run: Running) -> dict[int, Snapshot]:
    """What stands in the evidence topic, by partition."""
    found = read_evidence(profiles.reader(run.pipeline, "test"), run.pipeline.topics.evidence)
    return {snapshot.evidence.partition: snapshot for snapshot in found}


def compared(run: Running, upto: int, timeout: float = 40) -> dict[int, Snapshot]:
    """The snapshots, once all partitions are compared to this source offset."""

    def done() -> dict[int, Snapshot] | None:
        found = evidence(run)
        reached = [snapshot.evidence.compared for snapshot in found.values()]
        return found if len(found) == PARTITIONS and min(reached) >= upto else None

    found = until(done, timeout, f"evidence to {upto}; the logs are in {run.folder}")
    assert found is not None
    return found


def uninterrupted(run: Running, pair: Pair, state: ControlState) -> dict[int, Snapshot]:
    """The same logs through the same core in one go, in this process."""
    probe = Probe(site_of(run.pipeline, 9).reader)
    found = {}
    try:
        for partition in range(PARTITIONS):
            logs = {color: probe.log(run.pipeline.topics.predictions(color), partition) for color in COLORS}
            start = locate(pair, logs)
            assert start is not None
            comparison = Comparison.begin(partition, pair, terms_of(state), dict(start.places), start.compared)
            comparison.control(10**9)
            for color in COLORS:
                topic = run.pipeline.topics.predictions(color)
                for at in range(start.places[color].log_offset, logs[color].high):
                    value = probe.record(topic, partition, at)
                    comparison.offer(color, at, len(value), decode(value))
            while comparison.advance():
                pass
            found[partition] = comparison.snapshot()
    finally:
        probe.close()
    return found


def state_of(run: Running) -> ControlState:
    with run.control() as client:
        return client.state


def test_P30_evidence_after_kills_is_bit_equal_to_an_uninterrupted_run(kafka: str, unique: str, tmp_path: Path) -> None:
    """Redis is down all the time: comparing does not need it."""
    with pair_of_scorers(tmp_path, kafka, unique) as (run, scorers):
        for upto in (400, 900, 1_700, 2_400):
            process = run.start("comparator")
            scorers.answer(upto)
            compared(run, 0 if upto == 400 else 300)
            process.kill()
        run.start("comparator")
        scorers.answer(3_000)
        found = compared(run, 3_000)
        expected = uninterrupted(run, scorers.pair, state_of(run))
    for partition, snapshot in found.items():
        assert snapshot.evidence.start == -1
        assert snapshot.evidence.figures.counts["matched"] == 3_001
        assert snapshot.evidence.drift.alarm_count > 0
        assert encode(snapshot) == encode(expected[partition]), "positions, fold states, sums and alarms"
