"""`streambg adopt` on an ordinary service that runs: it is taken over, and given back (P11, P25)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from pipelines import ROOT, Running, pipeline
from structlog.testing import capture_logs
from typer.testing import CliRunner
from waiting import until

from streambg import audit, topicplan
from streambg.cli.main import build
from streambg.config import load
from streambg.errors import Refused
from streambg.kafka import profiles
from streambg.records.outcome import find_header, parse_header

pytestmark = pytest.mark.integration

GROUP_LEAVES_S = 20  # a static or killed member leaves its group after a session timeout of 6 s


@dataclass
class Old:
    """The old service of one test, with its group."""

    run: Running
    group: str

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        topics = self.run.pipeline.topics
        script = [sys.executable, str(ROOT / "tests" / "old_service.py"), self.run.pipeline.kafka.bootstrap]
        command = [*script, topics.input, topics.output, self.group, *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=20)

    def committed(self) -> dict[int, int]:
        return committed(self.run, self.group)

    def keeps_up(self) -> None:
        until(lambda: self.committed() == self.run.ends, 30, f"the old service at {self.run.ends}")


def committed(run: Running, group: str) -> dict[int, int]:
    reader = Consumer(dict(profiles.reader(run.pipeline, "test", group=group)))
    try:
        found = reader.committed([TopicPartition(run.pipeline.topics.input, n) for n in range(run.partitions)], 10)
    finally:
        reader.close()
    return {position.partition: max(position.offset, 0) for position in found}


@dataclass
class Answered:
    """Who answered what, by the ids of the events and by the source positions that streambg stamps."""

    old: list[int]
    new: list[int]
    sources: list[tuple[int, int]]


def answered(run: Running) -> Answered:
    topic, left = run.pipeline.topics.output, set(range(run.partitions))
    consumer = Consumer(dict(profiles.reader(run.pipeline, "test")))
    found = Answered([], [], [])
    consumer.assign([TopicPartition(topic, number, 0) for number in left])
    ids = event_ids(run)
    while left:
        for message in consumer.consume(1_000, 0.2):
            if message.error() is not None:
                left.discard(message.partition() or 0)
            elif (header := find_header(message.headers())) is None:  # type: ignore[arg-type] # a list of pairs
                found.old.append(json.loads(message.value() or b"")["id"])
            else:
                source = parse_header(header).source
                found.sources.append((source.partition, source.offset))
                found.new.append(ids[source.partition, source.offset])
    consumer.close()
    return found


def event_ids(run: Running) -> dict[tuple[int, int], int]:
    """`Running.feed` numbers the events and deals them out to the partitions in turn."""
    return {(n % run.partitions, n // run.partitions): n for n in range(run.sent)}


def streambg(run: Running, *words: str) -> Any:
    """The JSON of a verb. Raises what went wrong."""
    with capture_logs():  # `main` shows errors only
        said = CliRunner().invoke(build(()), [*words, "-p", str(run.pipeline.file), "--output", "json"])
    if said.exception is not None:
        raise said.exception
    return json.loads(said.stdout)


def adopt(run: Running, *words: str) -> Any:
    return streambg(run, "adopt", *words)


def refusal(run: Running, *words: str) -> str:
    with pytest.raises(Refused) as refused:
        adopt(run, *words)
    return str(refused.value)


def not_refused(run: Running, *words: str) -> bool:
    """False while the group has members; nothing else may speak against it."""
    try:
        adopt(run, *words)
    except Refused as refused:
        if "must have no members" in refused.what:
            return False
        raise
    return True


def last_reason(run: Running) -> str:
    return str(streambg(run, "history")[-1]["reason"])


def starts(said: Any) -> dict[int, int]:
    return {each["partition"]: each["start"] for each in said["partitions"]}


def run_to_the_end(run: Running) -> None:
    run.scorers()
    run.start("publisher")
    run.drained()


def expect_ok(run: Running, earlier: int) -> None:
    report = audit.run(run.pipeline)
    assert report.ok, report.to_json()
    assert report.earlier == earlier
    assert report.reason == "every check over every owed event", report.reason


def test_a_service_is_taken_over_and_given_back(kafka: str, unique: str, tmp_path: Path) -> None:
    """P11, P25: from the old service to streambg, back, and to a second pipeline: each event is answered once."""
    with pipeline(tmp_path, kafka, unique) as run:
        old = Old(run, f"{unique}-old")
        words = ("m:1", "--from-group", old.group)
        assert f"the group {old.group} has committed nothing in this input" in refusal(run, *words)
        with old.running():
            run.feed(300)
            old.keeps_up()
            refused = refusal(run, *words, "--yes")
            assert f"the group {old.group} must have no members, it has 1" in refused
            assert "old-service at 127.0.0.1 with 3 partitions" in refused
            run.feed(200)
        run.feed(100)
        left_at = old.committed()
        shown = adopt(run, *words)
        assert (shown["epoch"], shown["members"], shown["objections"]) == (None, [], [])
        assert starts(shown) == left_at
        assert streambg(run, "history") == []

        assert adopt(run, *words, "--yes", "--reason", "the first pipeline")["epoch"] == 0
        taken = f"adopted from consumer group {old.group}: 3 of 3 partitions at its offsets"
        assert last_reason(run) == f"{taken}; the first pipeline"
        run_to_the_end(run)
        found = answered(run)
        assert sorted(found.old + found.new) == list(range(600)), "each event once, by the old service or by us"
        owed = {(number, at) for number, end in run.ends.items() for at in range(left_at[number], end)}
        assert sorted(found.sources) == sorted(owed)
        expect_ok(run, earlier=len(found.old))
        assert "runs already" in refusal(run, *words)

        back = ("--give-back", "--from-group", old.group)
        assert f"the group {run.pipeline.groups.publisher} must have no members, it has 1" in refusal(
            run, *back, "--yes"
        )
        run.stop()
        until(lambda: not_refused(run, *back), GROUP_LEAVES_S, "the publisher's end")
        assert old.committed() == left_at, "without --yes nothing is changed"
        given = adopt(run, *back, "--yes")
        assert {each["partition"]: each["next"] for each in given["partitions"]} == run.ends == old.committed()
        assert last_reason(run) == f"given back to consumer group {old.group}"

        with old.running():
            run.feed(90)
            old.keeps_up()
        run.feed(60)
        second(run, old)


def second(run: Running, old: Old) -> None:
    """Another pipeline takes over the same topics: what the first one published is from before.

    Its processes run already, and wait for the first deploy (P28).
    """
    text = run.pipeline.file.read_text()
    run.pipeline.file.write_text(text.replace(f"pipeline: {run.pipeline.name}\n", f"pipeline: {run.pipeline.name}-2\n"))
    again = load(run.pipeline.file, {})
    topicplan.ensure(again)
    run.pipeline = again
    run.scorers()
    run.start("publisher")
    before = len(answered(run).sources) + len(answered(run).old)
    assert adopt(run, "m:2", "--from-group", old.group, "--yes")["epoch"] == 0
    run.drained()
    found = answered(run)
    assert sorted(found.old + found.new) == list(range(750))
    expect_ok(run, earlier=before)


def test_a_service_that_was_killed_before_its_commit_loses_nothing(kafka: str, unique: str, tmp_path: Path) -> None:
    """Its last answers are in the output and not committed: at least once, as it always was; ours are exactly once."""
    with pipeline(tmp_path, kafka, unique) as run:
        old = Old(run, f"{unique}-old")
        run.feed(300)
        # a partition that it had not come to yet is begun where its own auto.offset.reset says
        words = ("m:1", "--from-group", old.group, "--reset", "earliest", "--yes")
        with old.running("--hang-before-commit", "120") as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("answered ")
            process.kill()
        assert "must have no members, it has 1" in refusal(run, *words), (
            "killed a moment ago: the broker does not know yet"
        )
        left_at = old.committed()
        until(lambda: not_refused(run, *words), GROUP_LEAVES_S, "the take-over")
        run.feed(60)
        run_to_the_end(run)
        found = answered(run)
        assert set(found.old) | set(found.new) == set(range(360)), "nothing is lost"
        assert len(found.new) == len(set(found.new)), "we double nothing"
        ids = event_ids(run)
        uncommitted = {ids[number, at] for number, end in run.ends.items() for at in range(left_at[number], end)}
        assert set(found.new) == uncommitted
        assert set(found.old) & set(found.new), "the old service's own at-least-once shows"
        expect_ok(run, earlier=len(found.old))
