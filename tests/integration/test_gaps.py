"""P25, P27, P29 on a real broker: what is gone halts, and the recorded way out goes on from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import streambg
from confluent_kafka import KafkaException, TopicPartition
from pipelines import Process, Running, pipeline
from waiting import until

from streambg import audit
from streambg.kafka import profiles
from streambg.kafka.looking import Look
from streambg.publishing.tail import first_stamped

pytestmark = pytest.mark.integration


def ended(process: Process) -> str:
    """What a process said that ended with the exit code of a gap."""
    until(lambda: process.popen.poll() is not None, 60, f"{process.name} ends")
    assert process.popen.returncode == 8, process.log.read_text()
    return process.log.read_text()


def deleted(run: Running, group: str) -> bool:
    """The group with its positions; the broker refuses while it counts a member."""
    try:
        run.admin.delete_consumer_groups([group], request_timeout=10)[group].result()
    except KafkaException:
        return False
    return True


def delete_before(run: Running, topic: str, number: int, offset: int) -> None:
    for future in run.admin.delete_records([TopicPartition(topic, number, offset)]).values():
        future.result(20)


def test_D1_P29_retention_overtakes_a_scorer_and_accept_gap_goes_on(kafka: str, unique: str, tmp_path: Path) -> None:
    """Twenty events are gone and ten more are given up: ten dead letters, all others are answered, by both colors."""
    with pipeline(tmp_path, kafka, unique, partitions=2) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        blue, green = run.scorers()
        run.start("publisher")
        run.say("deploy", "green", "m:2")
        run.feed(100)
        run.drained()
        blue.kill()
        green.kill()
        settled = run.settled()[0]
        run.feed(100)
        delete_before(run, run.pipeline.topics.input, 0, settled + 21)
        words = f"offset {settled + 1} comes next, and the input holds {settled + 21} to {run.ends[0] - 1} only"
        assert words in ended(run.start("scorer", "--color", "blue"))

        wrong = streambg(tmp_path, "accept-gap", "0", "--from", str(settled + 5), "--reason", "a test", "--yes")
        assert (wrong.returncode, f"settled is {settled}" in wrong.stderr) == (5, True)
        said_so = ("--to", str(settled + 31), "--reason", "retention", "--yes", "--output", "json")
        done = streambg(tmp_path, "accept-gap", "0", *said_so)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["gap"]["first"], said["gap"]["end"]) == (settled + 1, settled + 31)

        run.scorers()
        run.drained()
        run.say("shift", 10_000)
        run.feed(50)
        run.drained()
        read = run.read()
        gap = range(settled + 21, settled + 31)
        assert [(letter.source.partition, letter.source.offset) for letter in read.letters] == [(0, at) for at in gap]
        assert {reason for letter in read.letters for reason in letter.reasons.values()} == {"gap"}
        assert {letter.epoch for letter in read.letters} == {said["epoch"]}
        assert max(read.counts().values()) == 1
        owed = {(number, at) for number, end in run.ends.items() for at in range(end)}
        gone = {(0, at) for at in range(settled + 1, settled + 21)}
        assert set(read.counts()) == owed - gone
        report = audit.run(run.pipeline)
        assert report.ok, report.to_json()


def test_P27_without_positions_and_outcomes_it_halts_until_a_person_says_where_to_go_on(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    with pipeline(tmp_path, kafka, unique, partitions=1) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.scorers()
        publisher = run.start("publisher")
        run.feed(50)
        run.drained()
        topics = run.pipeline.topics
        reader = profiles.reader(run.pipeline, "test")
        assert first_stamped(reader, {topics.output: 0, topics.dead_letters: 0}, 0, 0) == 0
        second = run.say("deploy", "green", "m:2").epoch
        run.in_force(publisher, second)
        run.feed(30)
        run.drained()
        assert first_stamped(reader, {topics.output: 0, topics.dead_letters: 0}, 0, second) == 50, "P25"
        assert first_stamped(reader, {topics.output: 0, topics.dead_letters: 0}, 0, 99) is None

        publisher.popen.terminate()
        publisher.popen.wait(20)
        until(lambda: deleted(run, run.pipeline.groups.publisher), 40, "the group's last member has timed out")
        with Look(reader) as look:
            _, end = look.ends(topics.output, 0)
        delete_before(run, topics.output, 0, end)
        assert "accept-gap 0 --from OFFSET" in ended(run.start("publisher"))

        done = streambg(tmp_path, "accept-gap", "0", "--from", "80", "--to", "80", "--reason", "we know", "--yes")
        assert done.returncode == 0, done.stderr
        run.start("publisher")
        run.feed(20)
        run.drained()
        assert [outcome.source.offset for outcome in run.read().outcomes] == list(range(80, 100))
