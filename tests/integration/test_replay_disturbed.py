"""`streambg replay` that is killed, of an input that was compacted, of one that was made again, and of values that
nobody can read: one small pipeline, disturbed more and more.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from endings import tied
from pipelines import ROOT, Running, pipeline
from waiting import until

from streambg.errors import Gap
from streambg.records.source import COLORS
from streambg.replaying.document import Report
from streambg.replaying.request import Bound, Request
from streambg.replaying.run import Interrupted, resume, run

pytestmark = pytest.mark.integration

MORE = """
metrics:
  errors: {kind: error_rate, role: goal, margin: 5%}
  flips: {kind: flip_rate, role: guardrail, margin: 30%}
replay: {mask: [f2], key: mask}
"""
PARTITIONS, PLAIN, OWN = 3, 1_500, 900


@dataclass
class World:
    """A pipeline at rest: m:1 was live. Its last values are of its own: they say no score."""

    run: Running
    folder: Path

    def replay(self, *models: str, folder: Path | None = None) -> Report:
        return run(self.run.pipeline, self.asked(*models), folder or self.folder)

    def asked(self, *models: str) -> Request:
        return Request(models, end=Bound(offsets=dict(self.run.ends)))

    def configure(self, kind: ResourceType, name: str, **settings: str) -> None:
        """Of a topic or a broker; an empty value: as it was by default."""
        entries = [
            ConfigEntry(
                key.replace("_", "."),
                value,
                incremental_operation=AlterConfigOpType.SET if value else AlterConfigOpType.DELETE,
            )
            for key, value in settings.items()
        ]
        resource = ConfigResource(kind, name, incremental_configs=entries)
        [future] = self.run.admin.incremental_alter_configs([resource]).values()
        future.result(20)


@pytest.fixture(scope="module")
def world(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("disturbed")
    with pipeline(folder, kafka, f"disturbed-{os.getpid()}", partitions=PARTITIONS, more=MORE) as running:
        running.say("deploy", "blue", "m:1", start="earliest")
        running.start("scorer", "--color", "blue")
        running.start("publisher")
        running.feed(PLAIN)
        running.drained()
        for number in range(OWN):
            event = {"id": number, "f1": 0.5, "f2": 0.25, "large": 3}
            running.put(json.dumps(event).encode(), b"k%d" % (number % 40))
        running.flush()
        running.drained()
        running.stop()
        yield World(running, folder / "replays")


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(world: World, tmp_path: Path) -> None:
    """kill -9 again and again, at moments that nobody chose; then --resume gives the report and the rows of a replay
    that nobody disturbed."""
    file, rows, parted = world.run.pipeline.file, tmp_path / "whole.parquet", tmp_path / "parted.parquet"
    asked = world.asked("m:2")
    whole = run(world.run.pipeline, asked, world.folder, rows=rows)
    place = tmp_path / whole.id
    ends = [word for number, end in world.run.ends.items() for word in ("--to", f"{number}@{end}")]
    begin = ["--model", "m:2", *ends, "--rows", str(parted)]
    seed = random.SystemRandom().randrange(2**32)
    dice, kills = random.Random(seed), 0
    path = os.pathsep.join([str(world.run.folder), str(ROOT)])
    for _ in range(2):
        words = ["--resume", whole.id[:12]] if (place / "partial" / "plan.json").exists() else begin
        # some 2 s at this pace
        command = [sys.executable, "-m", "streambg", "replay", *words, "--rate", "1200", "--dir", str(tmp_path)]
        with (tmp_path / "log").open("wb") as log:
            replay = subprocess.Popen(
                tied(*command, "-p", str(file)),
                cwd=world.run.folder,
                env={**os.environ, "PYTHONPATH": path},
                stdout=log,
                stderr=log,
            )
        until((place / "partial").exists, 30, (tmp_path / "log").read_text())
        try:
            replay.wait(dice.uniform(0, 1.5))
        except subprocess.TimeoutExpired:
            kills += 1
        replay.kill()
        replay.wait(20)
        assert not (place / "report.json").exists() or not (place / "partial").exists(), f"seed {seed}"
    assert kills, f"seed {seed}"
    assert not parted.exists(), f"seed {seed}"
    report = resume(world.run.pipeline, whole.id[:12], tmp_path, workers=2)
    assert report == whole, f"seed {seed}"
    for name in ("report.json", "report.html"):
        assert (place / name).read_bytes() == (world.folder / whole.id / name).read_bytes(), f"{name}, seed {seed}"
    assert parted.read_bytes() == rows.read_bytes(), f"seed {seed}"
    assert not (place / "partial").exists()


def test_what_the_file_masks_stands_in_no_report(world: World) -> None:
    report = world.replay("m:2")
    [scored] = report.models
    assert report.identity.masked == "mask f2; mask the key"
    assert {(each.fields["f2"], each.key) for each in scored.examples} == {("***", "***")}
    for name in ("report.json", "report.html"):
        text = (world.folder / report.id / name).read_text()
        assert "mask f2; mask the key" in text
        assert not any(f'k{number}"' in text or f">k{number}<" in text for number in range(40))


def test_values_that_nobody_can_read_decide_nothing(world: World) -> None:
    """While the predictions are there they say the scores; without them those events are missing, and nobody failed."""
    readable = sum(value.startswith(b'{"p"') for value in world.run.read().values)
    assert PLAIN // 2 < readable <= PLAIN
    before = world.replay("m:1")
    assert before.counts.holes == ()
    assert before.models[0].proof.reproduced == world.run.sent
    assert (before.models[0].verdict.word, before.models[0].agreement.matched) == ("promote", world.run.sent)
    topics = world.run.pipeline.topics
    spots = [TopicPartition(topics.predictions(color), n, -1) for color in COLORS for n in range(PARTITIONS)]
    for future in world.run.admin.delete_records(spots).values():
        future.result(20)
    for model in ("m:1", "m:2"):
        report = world.replay(model)
        [scored] = report.models
        assert scored.verdict.word == "continue", scored.verdict.reasons
        assert scored.agreement.matched == readable
        assert scored.agreement.errors_against == scored.against.errors == 0
        assert {hole.what for hole in report.counts.holes} == {
            "not comparable: its value could not be read as the model's outputs"
        }
        assert sum(hole.offsets for hole in report.counts.holes) == world.run.sent - readable
    proof = world.replay("m:1").models[0].proof
    # this model's own values depend on what stands beside an event in its batch, and the borders have expired, too
    assert (proof.events, proof.different) == (world.run.sent, 0), "bytes are compared all the same"
    assert proof.reproduced >= OWN


def test_events_that_were_compacted_away_are_named_and_nobodys_failure(world: World) -> None:
    """40 keys in each partition: of what was compacted one event of each is left, and its outcome is compared."""
    topic, ends = world.run.pipeline.topics.input, dict(world.run.ends)
    asked = world.asked("m:1")
    settings = {"cleanup_policy": "compact", "segment_ms": "100", "min_cleanable_dirty_ratio": "0.01"}
    world.configure(ResourceType.TOPIC, topic, **settings)
    [broker] = world.run.admin.list_topics(timeout=10).brokers
    world.configure(ResourceType.BROKER, str(broker), log_cleaner_backoff_ms="100")
    try:
        for number in range(PARTITIONS):  # a record that comes later begins another segment
            world.run.put(b"{}", b"last", number)
        world.run.flush()
        left = until(lambda: _left(world, ends), 30, "compacted")
    finally:
        world.configure(ResourceType.BROKER, str(broker), log_cleaner_backoff_ms="")
    report = run(world.run.pipeline, asked, world.folder)
    assert report.counts.events == left < world.run.sent // 2
    gone = [hole for hole in report.counts.holes if hole.what.startswith("no record: compacted away")]
    assert sum(hole.offsets for hole in gone) == sum(ends.values()) - left
    [scored] = report.models
    assert scored.proof.events == left
    assert "lost" not in report.counts.came
    assert (scored.agreement.errors_against, scored.agreement.errors_model) == (0, 0)


def _left(world: World, ends: dict[int, int]) -> int:
    """How many events compaction has left; 0: it has not been everywhere yet."""
    counts = []
    for partition, end in ends.items():
        events = run(
            world.run.pipeline,
            Request(("m:1",), against="m:2", partitions=(partition,), end=Bound(offset=end)),
            world.folder,
        ).counts.events
        counts.append(events if events <= 40 else 0)
    return sum(counts) if all(counts) else 0


def test_an_input_that_was_made_again_is_neither_gone_on_with_nor_compared(world: World) -> None:
    """Last: the topic is gone. What was begun stays as it was; another model is still something to compare with."""
    topic = world.run.pipeline.topics.input
    with pytest.raises(Interrupted):
        run(world.run.pipeline, Request(("m:2",), partitions=(1,)), world.folder, stopping=lambda: True)
    [partial] = world.folder.glob("*/partial")
    before = (partial / "plan.json").read_bytes()
    for future in world.run.admin.delete_topics([topic]).values():
        future.result(20)
    until(lambda: topic not in world.run.admin.list_topics(timeout=10).topics, 20, "it is deleted")
    for future in world.run.admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        future.result(20)
    world.run.ends = dict.fromkeys(range(PARTITIONS), 0)
    world.run.grow(PARTITIONS)
    world.run.feed(90)
    with pytest.raises(Gap, match=f"{topic} was deleted and made again since the replay began: its id is") as found:
        resume(world.run.pipeline, partial.parent.name, world.folder)
    assert found.value.way_out == "its offsets mean other records now; begin a new replay"
    assert (partial / "plan.json").read_bytes() == before
    assert not (partial.parent / "report.json").exists()
    with pytest.raises(Gap, match="made again since anything was published"):
        world.replay("m:2")
    report = run(world.run.pipeline, Request(("m:2",), against="m:1"), world.folder)
    assert report.counts.events == 90
