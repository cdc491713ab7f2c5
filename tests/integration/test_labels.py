"""Labels on real servers: the comparator's process, a topic of labels, a Redis that is stopped and emptied."""

from __future__ import annotations

import json
import os
import random
import signal
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from label_room import Room, advance
from pairs import Answer, batch
from pipelines import Process, Running, pipeline
from waiting import until

from streambg.comparing.comparison import Comparison
from streambg.comparing.evidence_log import EvidenceReader
from streambg.comparing.pair import Pair, Terms, terms_of
from streambg.comparing.side import Place
from streambg.deciding import grid, tallies
from streambg.kafka import profiles
from streambg.kafka.reading import LogReader
from streambg.labelling.evidence import COUNTS, LabelEvidence, decode, encode
from streambg.labelling.rows import Waiting, layout_of
from streambg.labelling.stream import Fetched, Stream
from streambg.records import batch as batches
from streambg.records.coverage import Coverage
from streambg.records.source import COLORS, Color
from streambg.servers.local_redis import LocalRedis

pytestmark = pytest.mark.integration

PARTITIONS = 2
# Both of the input and of the labels. Their events cover 40 s before the candidate's deploy; a horizon is 30 s.
EVENTS, SPREAD_MS, HORIZON_MS = 1_200, 40_000, 30_000
SECTIONS = """
labels: {{topic: {name}-labels, key: id, value: outcome, horizon: 30s}}
segments: {{id: ["0-7", "1-900"]}}
metrics:
  correct: {{kind: correctness, role: goal, margin: 2%, segments: [id]}}
  loss: {{kind: log_loss, role: guardrail, margin: 2%}}
"""


def score(color: Color, partition: int, offset: int) -> float | None:
    rng = random.Random(f"{color}/{partition}/{offset}")
    return None if rng.random() < 0.02 else rng.random()


class World:
    """A pipeline whose events, answers and labels the test writes itself."""

    def __init__(self, run: Running, pair: Pair, deployed_ms: int) -> None:
        self.run = run
        self.pair = pair
        self.topic = f"{run.pipeline.name}-labels"
        self.first_ms = deployed_ms - SPREAD_MS
        self._producer = Producer(dict(profiles.idempotent_producer(run.pipeline, "test-world")))
        self._answered = -1

    def time_of(self, offset: int) -> int:
        return self.first_ms + offset * SPREAD_MS // EVENTS

    def events(self) -> None:
        for partition in range(PARTITIONS):
            for _ in range(EVENTS):
                self.run.put(b"{}", b"k", partition)
        self.run.flush()

    def answer(self, upto: int) -> None:
        """Both colors, up to this source offset."""
        for partition in range(PARTITIONS):
            for color in COLORS:
                for first in range(self._answered, upto, 50):
                    self._batch(color, partition, first, min(first + 50, upto))
        self._producer.flush(20)
        self._answered = upto

    def _batch(self, color: Color, partition: int, after: int, upto: int) -> None:
        answers = {offset: Answer(score(color, partition, offset)) for offset in range(after + 1, upto + 1)}
        made = batch(self.pair.of(color), after, upto, answers, scored_at=self.time_of(upto) + 200)
        times = np.array([self.time_of(offset) for offset in answers], np.int64)
        made = replace(made, times=times, carry={"id": [f"{partition}-{offset}" for offset in answers]})
        self._producer.produce(self.run.pipeline.topics.predictions(color), batches.encode(made), None, partition)

    def labels(self) -> list[tuple[int, str, bytes]]:
        """Time, key and value of each, in order of time."""
        made = []
        for partition in range(PARTITIONS):
            for offset in range(EVENTS):
                rng = random.Random(f"label/{partition}/{offset}")
                key, outcome = f"{partition}-{offset}", rng.random() < 0.5
                at, draw = self.time_of(offset) + rng.randrange(500, 4_000), rng.random()
                # some come when Redis was emptied after the first: only its mark tells that it was there
                again = at + (12_000 if offset < EVENTS // 2 else 20)
                if draw < 0.9:
                    made.append((at, key, _label(key, outcome)))
                if draw < 0.05:
                    made.append((again, key, _label(key, outcome)))
                elif draw < 0.1:
                    made.append((again, key, _label(key, not outcome)))
                elif draw > 0.97:
                    made.append((at, key, _label(f"nobody-{offset}", outcome)))
                elif draw > 0.95:
                    made.append((at, key, rng.choice([b"{", b"[]", b'{"id": "x"}', b'{"id": "x", "outcome": "no"}'])))
                elif draw > 0.93:
                    made.append((self.time_of(offset) - 300, key, _label(key, outcome)))
                elif draw > 0.9 and self.time_of(offset) < self.first_ms + 6_000:
                    made.append((self.time_of(offset) + HORIZON_MS + 800, key, _label(key, outcome)))
        return sorted(made, key=lambda each: each[:2])

    def write_labels(self) -> None:
        for at, key, value in self.labels():
            self._producer.produce(self.topic, value, key.encode(), zlib.crc32(key.encode()) % 2, timestamp=at)
        self._producer.flush(20)


def _label(key: str, outcome: bool) -> bytes:
    return json.dumps({"id": key, "outcome": outcome}).encode()


@contextmanager
def world(folder: Path, kafka: str, name: str, redis_url: str) -> Iterator[World]:
    with pipeline(folder, kafka, name, partitions=PARTITIONS, redis=redis_url, more=SECTIONS.format(name=name)) as run:
        blue = run.say("deploy", "blue", "m:1", start="earliest").epoch
        green = run.say("deploy", "green", "m:2").epoch
        with LogReader(profiles.reader(run.pipeline, "test")) as log:
            record = log.at(run.pipeline.topics.control, 0, green)
        assert record is not None
        made = World(run, Pair(blue, green), record.time_ms)
        made.events()
        yield made


def kept(run: Running, pair: Pair) -> dict[int, LabelEvidence]:
    """What stands in the evidence topic, by label partition."""
    reader = EvidenceReader(profiles.reader(run.pipeline, "test"), run.pipeline.topics.evidence)
    try:
        reader.catch_up()
        values = {partition: reader.value(pair.label_key(partition)) for partition in range(PARTITIONS)}
    finally:
        reader.close()
    return {partition: decode(value) for partition, value in values.items() if value is not None}


def label_ends(made: World) -> dict[int, int]:
    with LogReader(profiles.reader(made.run.pipeline, "test")) as log:
        return {partition: log.ends(made.topic, partition)[1] for partition in range(PARTITIONS)}


def terms(run: Running) -> Terms:
    with run.control() as client:
        return terms_of(client.state())


def uninterrupted(made: World, starts: Mapping[int, int]) -> dict[int, LabelEvidence]:
    """The same topics through the same core in one go, with a table for a room."""
    run, with_gate = made.run, terms(made.run)
    layout, rows = layout_of(with_gate), list[Waiting]()
    assert layout is not None
    assert with_gate.gate is not None
    found = {}
    with LogReader(profiles.reader(run.pipeline, "test")) as log:
        for partition in range(PARTITIONS):
            places = {color: Place(0, Coverage(made.pair.of(color))) for color in COLORS}
            comparison = Comparison.begin(partition, made.pair, with_gate, places, -1)
            comparison.control(10**9)
            for color in COLORS:
                topic = run.pipeline.topics.predictions(color)
                for message in (m for some in log.read(topic, partition, 0, 10**9) for m in some):
                    value = message.value() or b""
                    comparison.offer(color, message.offset() or 0, len(value), batches.decode(value))
            while comparison.advance():
                pass
            rows += [row for packed in comparison.take_packed() for row in packed.rows]
        for partition in range(PARTITIONS):
            stream = Stream(LabelEvidence(partition, made.pair, starts[partition], with_gate.gate), layout)
            for message in (m for some in log.read(made.topic, partition, starts[partition], 10**9) for m in some):
                record = Fetched(partition, message.offset() or 0, message.timestamp()[1], message.value())
                stream.offer(record)
            advance(stream, Room(rows), with_gate)
            found[partition] = stream.evidence
    return found


def by_hand(made: World, starts: Mapping[int, int]) -> tuple[Counter[str], float]:
    """What became of the labels, and the mean difference in correctness, straight from what was written."""
    counts, numbers, first, points = Counter[str](), Counter[int](), dict[str, bool](), 0
    for at, key, value in made.labels():
        where = zlib.crc32(key.encode()) % 2
        numbers[where] += 1
        if numbers[where] <= starts[where]:
            continue
        try:
            label = json.loads(value)
            name, outcome = label["id"], label["outcome"]
            assert isinstance(outcome, bool)
        except (ValueError, TypeError, KeyError, AssertionError):
            counts["bad"] += 1
            continue
        if name.startswith("nobody"):
            counts["orphan"] += 1
            continue
        partition, offset = map(int, name.split("-"))
        if at > made.time_of(offset) + HORIZON_MS:
            counts["late"] += 1
        elif name in first:
            counts["repeated" if first[name] == outcome else "corrected"] += 1
        else:
            first[name] = outcome
            counts["matched"] += 1
            counts["early"] += at < made.time_of(offset)
            scores = [score(color, partition, offset) for color in COLORS]
            right = [each is not None and (each >= 0.5) == outcome for each in scores]
            points += right[1] - right[0]
    return counts, points / max(1, counts["matched"])


def labels_of(process: Process) -> Any:
    return process.health()["labels"]


def positions(process: Process) -> dict[int, int]:
    return {int(partition): each["position"] for partition, each in labels_of(process)["partitions"].items()}


def moved(process: Process, beyond: Mapping[int, int]) -> dict[int, int]:
    """Positions, once both are beyond these."""

    def further() -> dict[int, int] | None:
        now = positions(process)
        return now if len(now) == PARTITIONS and all(now[each] > beyond[each] for each in now) else None

    found = until(further, 40, f"labels beyond {beyond}")
    assert found is not None
    return found


def test_P33_labels_after_kills_and_a_lost_redis_are_bit_equal_to_an_uninterrupted_run(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    """Takes half a minute: snapshots are written every 5 s, and Redis is away twice."""
    store = LocalRedis(tmp_path / "redis")
    store.start()
    try:
        with world(tmp_path, kafka, unique, store.url) as made:
            run = made.run
            process = run.with_port(run.start("comparator"))
            made.write_labels()
            begun = until(lambda: positions(process), 30, "labels placed")
            made.answer(EVENTS // 2)
            first = moved(process, begun)
            ends = label_ends(made)
            assert all(first[each] < ends[each] for each in ends), "labels ahead of their events wait"
            until(lambda: _beyond(kept(run, made.pair), begun), 20, "a snapshot to go on from")
            made.answer(EVENTS * 7 // 12)
            first = moved(process, first)  # and marks of labels that it does not count
            process.kill()

            process = run.with_port(run.start("comparator"))
            made.answer(EVENTS * 2 // 3)
            second = moved(process, first)
            store.kill()
            until(lambda: labels_of(process)["redis"] != "ok", 20, "Redis is missed")
            store.start()  # empty
            made.answer(EVENTS * 3 // 4)
            third = moved(process, second)

            os.kill(store.pid, signal.SIGSTOP)
            try:
                until(lambda: labels_of(process)["redis"] != "ok", 20, "Redis is missed")
                stands = positions(process)
                made.answer(EVENTS - 1)
                until(lambda: _compared(process) == EVENTS - 1, 30, "comparing goes on without Redis")
                assert positions(process) == stands, "no label is passed while it is away (P33)"
            finally:
                os.kill(store.pid, signal.SIGCONT)
            moved(process, third)

            def complete() -> dict[int, LabelEvidence] | None:
                found = kept(run, made.pair)
                return found if {key: each.position for key, each in found.items()} == ends else None

            found = until(complete, 60, f"evidence to {ends}; {process.health()['labels']}")
            assert found is not None
            starts = {partition: each.start for partition, each in found.items()}
            expected = uninterrupted(made, starts)
            counts, mean = by_hand(made, starts)
            assert all(start > 0 for start in starts.values()), "older than a horizon before the deploy"
        for partition, evidence in found.items():
            assert encode(evidence) == encode(expected[partition]), "positions, counts, cohorts and tallies"
        total = sum((each.counts for each in found.values()), Counter[str]())
        assert {name: total[name] for name in counts if name != "bad"} == {n: counts[n] for n in counts if n != "bad"}
        assert counts["bad"] == sum(total[name] for name in COUNTS[COUNTS.index("empty") :]) > 0
        assert set(counts) == {"matched", "repeated", "corrected", "late", "orphan", "early", "bad"}
        correct = tallies.merged([(each, found[each].tallies) for each in found])["correct"].counts[0]
        assert grid.events(correct) == counts["matched"]
        assert grid.mean(correct) == pytest.approx(mean, abs=1e-9)
    finally:
        store.stop()


def _beyond(found: Mapping[int, LabelEvidence], positions: Mapping[int, int]) -> bool:
    return all(each in found and found[each].position > position for each, position in positions.items())


def _compared(process: Process) -> int:
    return min((each["compared"] for each in process.health()["partitions"].values()), default=-1)
