"""The audit reads real topics: aborted transactions, gaps, expired records, a moving end (P34, P35)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from recorded import Rec, Recording, standard
from typer.testing import CliRunner
from waiting import until

from streambg import audit
from streambg.audit import Asked
from streambg.audit.sources import PARTITIONED, SINGLE, Role
from streambg.audit.tally import Check, Kind
from streambg.cli import audit as cli
from streambg.config import Pipeline, load
from streambg.errors import ConfigError, Misconfigured, Unreachable
from streambg.kafka.admin import describe
from streambg.records.cutover import PublisherPosition, encode_position
from streambg.records.outcome import HEADER

pytestmark = pytest.mark.integration

PARTITIONS = 2
TIMEOUT_S = 20

FILE = """
pipeline: {name}
kafka: {{bootstrap: "{bootstrap}"}}
redis: redis://127.0.0.1:6379/0
input: {{topic: {name}.payments, format: json}}
output: {{topic: {name}.answers}}
model:
  features: {{f1: number}}
  outputs: [anomaly]
  decision: {{output: anomaly, threshold: 0.5}}
"""


@dataclass(frozen=True)
class Written:
    """A recording on a broker."""

    recording: Recording
    pipeline: Pipeline
    file: Path
    bootstrap: str

    def topic(self, role: Role) -> str:
        return name_of(self.pipeline, role)


def name_of(pipeline: Pipeline, role: Role) -> str:
    if role in ("blue", "green"):
        return pipeline.topics.predictions(role)
    return str(getattr(pipeline.topics, role.replace("-", "_")))


@pytest.fixture(scope="module")
def written(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """An honest recording, its input with aborted transactions, its outcomes in transactions, some of them aborted."""
    name = "audit-broker"
    file = tmp_path_factory.mktemp("audit") / "pipeline.yaml"
    file.write_text(FILE.format(name=name, bootstrap=kafka))
    pipeline = load(file, {})
    admin = AdminClient({"bootstrap.servers": kafka})
    _create(admin, pipeline)
    facts = describe(admin, [pipeline.topics.input])[pipeline.topics.input]
    recording = standard(partitions=PARTITIONS, topic=facts.name, topic_id=facts.topic_id)
    result = Written(recording, pipeline, file, kafka)
    for partition in range(PARTITIONS):
        _write_input(result, partition)
    roles: tuple[Role, ...] = ("blue", "green", "control", "cutovers", "output", "dead-letters")
    for role in roles:
        _write(result, role)
    _commit(result)
    return result


def _create(admin: AdminClient, pipeline: Pipeline) -> None:
    topics = []
    roles: tuple[Role, ...] = (*PARTITIONED, *SINGLE)
    for role in roles:
        config = {"retention.ms": "-1"}  # the recording's times are old
        if role in ("blue", "green"):
            config["message.timestamp.type"] = "LogAppendTime"
        count = PARTITIONS if role in PARTITIONED else 1
        topics.append(NewTopic(name_of(pipeline, role), count, 1, config=config))
    for future in admin.create_topics(topics).values():
        future.result(TIMEOUT_S)


def _write_input(written: Written, partition: int) -> None:
    """Each event at its offset: a gap of one is a commit's marker, a wider one an aborted transaction."""
    topic = written.topic("input")
    plain = Producer({"bootstrap.servers": written.bootstrap})
    fancy = Producer({"bootstrap.servers": written.bootstrap, "transactional.id": f"{topic}.{partition}"})
    fancy.init_transactions(TIMEOUT_S)
    reader = Consumer(
        {"bootstrap.servers": written.bootstrap, "group.id": "nobody", "isolation.level": "read_committed"}
    )
    there, reached = TopicPartition(topic, partition), 0
    for run, gap in _runs(written.recording.log("input", partition)):
        producer = fancy if gap == 1 else plain
        if gap == 1:
            fancy.begin_transaction()
        for record in run:
            producer.produce(topic, record.value, record.key, partition)
        if gap == 1:
            fancy.commit_transaction(TIMEOUT_S)
        assert plain.flush(TIMEOUT_S) == 0
        if gap > 1:
            fancy.begin_transaction()
            for _ in range(gap - 1):
                fancy.produce(topic, b"never was", b"key", partition)
            assert fancy.flush(TIMEOUT_S) == 0
            fancy.abort_transaction(TIMEOUT_S)
        reached = (run[-1].offset + 1 if run else 0) + gap
        # a commit is answered before its marker stands in the log
        until(partial(_ends_at, reader, there, reached), what=f"offset {reached}")
    reader.close()


def _ends_at(reader: Consumer, partition: TopicPartition, offset: int) -> bool:
    return bool(reader.get_watermark_offsets(partition, TIMEOUT_S)[1] == offset)


def _runs(records: list[Rec]) -> Iterator[tuple[list[Rec], int]]:
    """Consecutive events, and the width of the gap behind them."""
    run: list[Rec] = []
    reached = 0
    for record in records:
        if record.offset > reached:
            yield run, record.offset - reached
            run = []
        run.append(record)
        reached = record.offset + 1
    yield run, 0


def _write(written: Written, role: Role) -> None:
    topic, transactional = written.topic(role), role in ("output", "dead-letters")
    settings: dict[str, str] = {"bootstrap.servers": written.bootstrap, "linger.ms": "5"}
    producer = Producer({**settings, "transactional.id": topic} if transactional else settings)
    if transactional:
        producer.init_transactions(TIMEOUT_S)
    for partition in range(PARTITIONS if role in PARTITIONED else 1):
        log = written.recording.log(role, partition)
        for at in range(0, len(log), 50):
            # what a session that ended had written: the same outcomes, taken back
            for keep in (False, True) if transactional else (True,):
                if transactional:
                    producer.begin_transaction()
                for record in log[at : at + 50]:
                    headers: list[tuple[str, str | bytes | None]] = [("traceparent", b"00-1")]
                    headers += [(HEADER, record.header)] if record.header else []
                    producer.produce(topic, record.value, record.key, partition, headers=headers, timestamp=record.time)
                assert producer.flush(TIMEOUT_S) == 0
                if transactional:
                    (producer.commit_transaction if keep else producer.abort_transaction)(TIMEOUT_S)


def _commit(written: Written) -> None:
    group = written.pipeline.groups.publisher
    consumer = Consumer({"bootstrap.servers": written.bootstrap, "group.id": group, "enable.auto.commit": False})
    colors: tuple[tuple[Role, int], ...] = (("blue", 7), ("green", 0))  # the larger of both counts
    offsets = [
        TopicPartition(
            written.topic(color),
            partition,
            1,
            encode_position(PublisherPosition(settled - lag, 0, "streambg.x.publisher.0", 0, None, -1)),
        )
        for partition, settled in written.recording.positions.items()
        for color, lag in colors
    ]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()


def test_P34_a_real_recording_passes(written: Written) -> None:
    seen: list[audit.Progress] = []
    report = audit.run(written.pipeline, progress=seen.append)
    assert report.ok, report.findings
    expected = written.recording.expected
    assert {"events": report.events, **report.by_color, **report.by_why} == expected
    assert [item.settled for item in report.partitions] == [written.recording.positions[p] for p in range(PARTITIONS)]
    assert seen[-1].passed == seen[-1].total > 0


def test_I5_what_aborted_transactions_wrote_is_a_double_where_it_can_be_seen(written: Written) -> None:
    report = audit.run(written.pipeline, stable=False)
    assert report.counts[Kind.DOUBLED] == report.events == written.recording.expected["events"]
    assert report.verdict == "failed"


def test_the_command_prints_json_and_ends_with_0(written: Written) -> None:
    result = CliRunner().invoke(cli.app, ["-p", str(written.file), "--output", "json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["verdict"] == "ok"
    assert data["events"] == written.recording.expected["events"]


@pytest.mark.parametrize("asked", [Asked(last_cutover=True), Asked(epoch=3), Asked(positions={0: 77})], ids=str)
def test_P35_from_a_place_on_a_broker_says_what_a_recording_does(written: Written, asked: Asked) -> None:
    """The same events, found by looking at single records; less is read than there is."""
    report, expected = audit.run(written.pipeline, asked=asked), audit.audit_records(written.recording, asked=asked)
    assert report.ok, report.findings
    assert (report.events, report.outcomes, report.by_why) == (expected.events, expected.outcomes, expected.by_why)
    assert [one.since for one in report.partitions] == [one.since for one in expected.partitions]
    assert 0 < report.events < written.recording.expected["events"]


def test_the_command_begins_where_it_is_told(written: Written) -> None:
    topic = written.topic("input")
    places = [word for number in range(PARTITIONS) for word in ("--from", f"{topic}/{number}@90")]
    result = CliRunner().invoke(cli.app, ["-p", str(written.file), *places, "--output", "json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert [one["since"] for one in data["partitions"]] == [90] * PARTITIONS
    assert "what lies before was not audited" in data["reason"]
    for wrong in (["latest"], ["other/0@3"], [f"{topic}/0@1", f"{topic}/0@2"], [f"{topic}/9@1"], ["4"]):
        words = [word for place in wrong for word in ("--from", place)]
        assert isinstance(CliRunner().invoke(cli.app, ["-p", str(written.file), *words]).exception, ConfigError), wrong


def test_a_missing_topic_is_said_with_the_way_out(written: Written, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(FILE.format(name="audit-nothing-there", bootstrap=written.bootstrap))
    with pytest.raises(Misconfigured, match=r"audit-nothing-there\.control.*\n.*topics apply"):
        audit.run(load(file, {}))


def test_a_broker_that_is_not_there_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streambg.audit.kafka_source.REACHABLE_S", 0.5)
    file = tmp_path / "pipeline.yaml"
    file.write_text(FILE.format(name="audit-nowhere", bootstrap="127.0.0.1:9"))
    with pytest.raises(Unreachable):
        audit.run(load(file, {}))


def test_P35_deleted_records_are_not_auditable(written: Written) -> None:
    """Last of this file: it takes records away."""
    admin = AdminClient({"bootstrap.servers": written.bootstrap})
    cut = 60
    below = [TopicPartition(written.topic("input"), partition, cut) for partition in range(PARTITIONS)]
    for future in admin.delete_records(below).values():
        future.result(TIMEOUT_S)
    report = audit.run(written.pipeline)
    assert report.ok, report.findings
    for partition in report.partitions:
        presence = next(item for item in partition.ranges if item.check is Check.PRESENCE)
        assert presence.first == cut
    assert 0 < report.gone < report.outcomes
