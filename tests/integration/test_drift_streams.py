"""river's synthetic drift streams through Kafka, twice: at equal source positions the same is known, bit for bit.

Everything runs that makes evidence: scorers of both colors, labels, the comparator; in the second run the comparator is
killed on the way. Between the runs batches, polls and latencies differ, and what a latency goes into is left out here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer
from evidence_again import evidence
from pipelines import Process, Running, pipeline
from river.datasets import synth
from verdicts_again import differences
from waiting import until

from streambg.comparing.snapshot import to_wire
from streambg.kafka import profiles
from streambg.labelling.cohorts import EARLY_MS

pytestmark = pytest.mark.integration

# Two streams that turn into another one at an event: in one the concept turns (the same inputs mean something else), in
# the other the inputs come from elsewhere. One a partition.
TURNS = synth.ConceptDriftStream(synth.SEA(0, seed=1), synth.SEA(2, seed=1), position=1_300, width=20, seed=1)
BEFORE, AFTER = (synth.RandomRBF(seed, 1, n_features=2, n_centroids=5) for seed in (5, 3))
MOVES = synth.ConceptDriftStream(BEFORE, AFTER, position=1_600, width=20, seed=1)
STREAMS, EVENTS = (TURNS, MOVES), 2_600
SECTIONS = """
labels: {{topic: {name}-labels, key: id, value: outcome, horizon: 60s}}
metrics:
  correct: {{kind: correctness, role: goal, margin: 10%}}
  flips: {{kind: flip_rate, role: guardrail, margin: 30%}}
  shift: {{kind: score_shift, role: diagnostic}}
drift: {{features: [f1]}}
"""
# A sixth of the events, then the rest: the comparator is killed between.
FIRST = EVENTS // 6
# Where the input's end was reached, its next event is taken to be dated at most EARLY_MS before the moment that showed
# the end (labelling/filling.py): else a label that old is looked for before its event is there. So no comparator runs
# while events are written, and the rest is dated this long before the kill, at or after the last such moment.
REST_MS = EARLY_MS - 1_000


def events() -> list[list[tuple[bytes, bytes]]]:
    """By partition: the event, and its label."""
    made = []
    for partition, stream in enumerate(STREAMS):
        rows = []
        for number, (features, outcome) in enumerate(stream.take(EVENTS)):
            name, (f1, f2) = partition * EVENTS + number, (features[0], features[1])
            event = {"id": name, "f1": f1 - 1 if partition else f1 / 5 - 1, "f2": f2 - 1 if partition else f2 / 5 - 1}
            rows.append((json.dumps(event).encode(), json.dumps({"id": name, "outcome": bool(outcome)}).encode()))
        made.append(rows)
    return made


class Run:
    """One of the two."""

    def __init__(self, run: Running) -> None:
        self.run = run
        self._comparator: Process | None = None
        run.say("deploy", "blue", "m:1", start="earliest")
        run.say("deploy", "green", "m:2")
        run.scorers()
        self._producer = Producer(dict(profiles.idempotent_producer(run.pipeline, "test-streams")))

    def write(self, rows: list[list[tuple[bytes, bytes]]], first: int, last: int, began_ms: int) -> None:
        """Events a millisecond apart from `began_ms` on, each label a while after its event."""
        for number in range(first, last):
            for partition, stream in enumerate(rows):
                at, (event, label) = began_ms + number - first, stream[number]
                self._producer.produce(self.run.pipeline.topics.input, event, b"k", partition, timestamp=at)
                topic = f"{self.run.pipeline.name}-labels"
                self._producer.produce(topic, label, b"k", partition, timestamp=at + 100)
            self._producer.poll(0)
        self._producer.flush(30)

    def verdict(self, last: int) -> dict[str, Any]:
        """The verdict of all events and labels below `last`."""
        ends = dict.fromkeys(map(str, range(len(STREAMS))), last)
        comparator = self._comparator
        assert comparator is not None, "compare() comes first"

        def reached() -> dict[str, Any] | None:
            said = over_http(comparator)
            positions = {key: at + 1 for key, at in said.get("compared", {}).items()}
            return said if positions == ends and said["labels"] == ends else None

        found = until(reached, 60, f"a verdict of {last} events a partition; the logs are in {self.run.folder}")
        assert found is not None
        return found

    def compare(self) -> None:
        self._comparator = self.run.with_port(self.run.start("comparator"))

    def kill_comparator(self) -> None:
        assert self._comparator is not None, "compare() comes first"
        self._comparator.kill()

    def kept(self) -> dict[int, dict[str, Any]]:
        """What stands in the evidence topic, without what latencies and batch borders go into."""
        found = {}
        for partition, snapshot in evidence(self.run).items():
            wire = to_wire(snapshot)
            colors = {color: (each.scores, each.score_histogram) for color, each in wire.colors.items()}
            found[partition] = {
                "compared": wire.compared,
                "counts": wire.counts,
                "differences": (wire.difference, wire.difference_histogram, colors),
                "worst": wire.worst,
                "drift": (wire.drift, wire.features),
                "tallies": wire.tallies,
                "awaited": wire.awaited,
            }
        return found


def now_ms() -> int:
    return int(time.time() * 1_000)


def over_http(process: Process) -> dict[str, Any]:
    try:
        with urlopen(f"http://127.0.0.1:{process.port}/verdict", timeout=5) as answer:
            return dict(json.load(answer))
    except HTTPError as other:
        with other:
            return dict(json.load(other))
    except OSError:  # it is starting
        return {}


@contextmanager
def runs(folder: Path, kafka: str, redis_url: str, name: str) -> Iterator[list[Run]]:
    with ExitStack() as stack:
        made = []
        for number in (1, 2):
            own = f"{name}-{number}"
            place = folder / str(number)
            place.mkdir()
            more = SECTIONS.format(name=own)
            opened = pipeline(
                place, kafka, own, partitions=len(STREAMS), redis=redis_url, carry=("id", "f1"), more=more
            )
            made.append(Run(stack.enter_context(opened)))
        yield made


def test_P32_two_runs_over_drift_streams_know_and_say_the_same(
    kafka: str, redis_url: str, unique: str, tmp_path: Path
) -> None:
    """P30, P33: one run in one go, one whose comparator is killed; and each as an uninterrupted reader has it."""
    rows = events()
    with runs(tmp_path, kafka, redis_url, unique) as (straight, broken):
        # so long ago that none of these labels waits for events that might still come
        began_ms = now_ms() - 2 * EARLY_MS - FIRST - 1_000
        broken.write(rows, 0, FIRST, began_ms)
        broken.compare()
        broken.verdict(FIRST)
        broken.kill_comparator()
        rest_ms = now_ms() - REST_MS
        straight.write(rows, 0, FIRST, began_ms)
        for each in (broken, straight):
            each.write(rows, FIRST, EVENTS, rest_ms)
            each.compare()
        one, other = straight.verdict(EVENTS), broken.verdict(EVENTS)
        for name in ("word", "ready", "reasons", "tests", "drifted", "distances", "events", "coverage", "digest"):
            assert one[name] == other[name], name
        assert one["events"] == len(STREAMS) * EVENTS
        assert [each["events"] for each in one["tests"]] == [one["events"]] * len(one["tests"]), (
            "every label is matched"
        )
        assert {each["stream"] for each in one["drifted"]} >= {"blue f1", "green f1"}, "the inputs move"
        assert {each["partition"] for each in one["drifted"] if each["alike"]} == {1}, "and not where a concept turns"
        kept = until(lambda: _same(straight, broken), 30, "the same evidence in both topics")
        assert kept
        for each in (straight, broken):
            looked, wrong = differences(each.run.pipeline)
            assert wrong == []
            assert looked > 1


def _same(one: Run, other: Run) -> bool:
    kept = one.kept()
    return all(each["compared"] == EVENTS - 1 for each in kept.values()) and kept == other.kept()
