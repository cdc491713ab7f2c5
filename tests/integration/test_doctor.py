"""`streambg doctor` on a real broker: all is well but for the single broker; then three things are made wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import NewPartitions
from pipelines import Running, pipeline
from redis import Redis
from typer.testing import CliRunner
from waiting import until

from streambg.cli.main import build
from streambg.doctor.labels import rate, redis
from streambg.errors import ConfigError
from streambg.topicplan import Action, apply
from streambg.topicplan.broker import read

pytestmark = pytest.mark.integration

PARTITIONS = 2


@pytest.fixture(scope="module")
def run(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A pipeline that has published something; its processes run."""
    with pipeline(
        tmp_path_factory.mktemp("doctor"), kafka, "patient", partitions=PARTITIONS, redis=redis_url
    ) as running:
        running.say("deploy", "blue", "m:1", start="earliest")
        running.start("scorer", "--color", "blue")
        running.start("publisher")
        running.feed(40)
        running.drained()
        yield running


def examined(run: Running, *words: str) -> tuple[int, Any]:
    """(exit code, the JSON)."""
    done = CliRunner().invoke(build(()), ["doctor", "-p", str(run.pipeline.file), "--output", "json", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def bad(shown: Any) -> list[tuple[str, str, str]]:
    """(check, verdict, subject) of what is not ok."""
    return [(each["check"], each["verdict"], each["subject"]) for each in shown["findings"] if each["verdict"] != "ok"]


def test_all_is_well_but_for_the_single_broker(run: Running) -> None:
    code, shown = examined(run)
    alone = [("replication", "broken", "a single broker"), ("min-insync", "broken", "a single broker")]
    # that nobody is kept from writing the output is said, and breaks nothing
    open_to_all = ("writers", "warning", "patient.dead-letters, patient-answers, patient.cutovers")
    assert bad(shown) == [*alone, open_to_all]
    assert (code, shown["ok"]) == (1, False)
    code, shown = examined(run, "--local")
    assert bad(shown) == [(check, "local", subject) for check, _, subject in alone] + [open_to_all]
    assert (code, shown["ok"]) == (0, True)
    assert "single broker" in shown["conclusion"]
    said = {each["check"]: each["measured"] for each in shown["findings"]}
    assert "TxnOffsetCommit 5" in said["features"], "Apache Kafka 4.3"
    assert said["groups"] == "2 members, all static, range"
    assert "delivery included" in said["clocks"]


def test_a_foreign_member_of_a_group_is_named(run: Running) -> None:
    group = run.pipeline.groups.comparator
    stranger = Consumer({"bootstrap.servers": run.pipeline.kafka.bootstrap, "group.id": group, "client.id": "console"})
    try:
        stranger.subscribe([run.pipeline.topics.output])
        until(lambda: (stranger.poll(0.1), stranger.assignment())[1], what="the stranger is a member")
        code, shown = examined(run, "--local", "--check", "groups")
    finally:
        stranger.close()
    assert code == 1
    [(check, verdict, subject)] = bad(shown)
    assert (check, verdict) == ("groups", "broken")
    assert subject.startswith(f"{group}: console at ")


def test_short_control_retention_low_min_isr_and_a_wrong_partition_count_are_all_named(run: Running) -> None:
    """Last of this file: it grows a topic. What `--local` excuses is the single broker alone."""
    control, output = run.pipeline.topics.control, run.pipeline.topics.output
    apply(run.admin, [Action("change", "control", control, config={"retention.ms": "600000"})])
    grown = NewPartitions(output, PARTITIONS + 1)
    run.admin.create_partitions([grown], operation_timeout=20)[output].result(20)
    until(lambda: read(run.admin, [output])[output].partitions == PARTITIONS + 1, what="the output has grown")
    code, shown = examined(run)
    named = {each["check"]: each for each in shown["findings"] if each["verdict"] == "broken"}
    assert code == 1
    assert set(named) == {"control-log", "min-insync", "replication", "partitions"}
    assert named["control-log"]["measured"] == "retention.ms 600000 (10m)"
    assert named["control-log"]["mend"] == "streambg topics apply"
    assert "min.insync.replicas 1" in named["min-insync"]["measured"]
    assert named["partitions"]["subject"] == "patient.dead-letters"
    assert "has 2 partitions, `patient-answers` has 3" in named["partitions"]["measured"]
    assert named["partitions"]["mend"].startswith("streambg topics plan --partitions 3, then `apply`")
    assert examined(run, "--local")[0] == 1
    mended = CliRunner().invoke(
        build(()), ["topics", "apply", "--partitions", "3", "--yes", "-p", str(run.pipeline.file)]
    )
    assert mended.exit_code == 0, mended.exception
    code, shown = examined(run, "--local")
    assert (code, shown["counts"]["broken"]) == (0, 0), "the commands that it named mend it"


def test_a_pipeline_without_topics_is_told_to_apply(run: Running, kafka: str, tmp_path: Any) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(run.pipeline.file.read_text().replace("pipeline: patient", "pipeline: nobody"))
    done = CliRunner().invoke(build(()), ["doctor", "-p", str(file), "--check", "partitions"])
    assert done.exit_code == 1
    assert "nobody.control" in done.stdout
    assert "streambg topics apply" in done.stdout


def test_redis_says_what_it_does_when_it_is_full(redis_url: str) -> None:
    """It is asked where the pipeline has labels."""
    with Redis.from_url(redis_url) as client:
        before = client.config_get("maxmemory*")
        assert redis(redis_url).policy == before["maxmemory-policy"]
        client.config_set("maxmemory-policy", "volatile-ttl")
        try:
            assert redis(redis_url).policy == "volatile-ttl"
        finally:
            client.config_set("maxmemory-policy", before["maxmemory-policy"])
    assert redis(redis_url).machine > 1 << 30, "how much the machine has"
    assert "does not answer" in redis("redis://127.0.0.1:1/0").problem


def test_the_rate_of_the_input_is_that_of_its_busiest_window(run: Running) -> None:
    """All of it is younger than ten minutes."""
    found = rate(run.pipeline)
    assert found == pytest.approx(run.sent / 600)
    assert run.sent >= 40


def test_a_wrong_word_is_told_the_right_ones(run: Running) -> None:
    for words in (["--check", "replicas"], ["--outage", "24"], ["--principal", "publisher"]):
        done = CliRunner().invoke(build(()), ["doctor", "-p", str(run.pipeline.file), *words])
        assert isinstance(done.exception, ConfigError), words
