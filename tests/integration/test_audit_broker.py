"""The audit reads real topics: aborted transactions, gaps, expired records, a moving end (P34, P35)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from recorded_broker import Written, create, pipeline_file, write_recording
from typer.testing import CliRunner
from waiting import until

from streambg import audit
from streambg.audit import Asked
from streambg.audit.kafka_source import KafkaRecords
from streambg.audit.sources import PARTITIONED, SINGLE, Chunk
from streambg.audit.tally import Check, Kind
from streambg.cli import audit as cli
from streambg.config import load
from streambg.errors import ConfigError, Misconfigured, Unreachable

pytestmark = pytest.mark.integration

PARTITIONS = 2
TIMEOUT_S = 20


@pytest.fixture(scope="module")
def written(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Written:
    file = pipeline_file(tmp_path_factory.mktemp("audit") / "pipeline.yaml", kafka, "audit-broker")
    return write_recording(file, kafka, PARTITIONS)


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
    nowhere = [f"{topic}/9@1"], [f"{topic}/0@99999999"], ["4"]
    for wrong in (["latest"], ["other/0@3"], [f"{topic}/0@1", f"{topic}/0@2"], *nowhere):
        words = [word for place in wrong for word in ("--from", place)]
        assert isinstance(CliRunner().invoke(cli.app, ["-p", str(written.file), *words]).exception, ConfigError), wrong


class Ahead(Consumer):
    """One thing a call; an end that it was made to meet stands in front of what came after it."""

    made: ClassVar[list[Ahead]] = []

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.met: Message | None = None
        self.made.append(self)

    def poll(self, timeout: float = -1) -> Message | None:
        met, self.met = self.met, None
        return met or super().poll(timeout)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        return []

    def meet_end(self) -> int | None:
        self.met = super().poll(TIMEOUT_S)
        error = self.met.error() if self.met else None
        assert self.met is not None
        assert error is not None
        assert error.code() == KafkaError._PARTITION_EOF
        return self.met.offset()


@pytest.fixture
def ahead(kafka: str, unique: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaRecords]:
    """Empty topics of one partition, followed by such clients. Asking anew is not what helps here."""
    monkeypatch.setattr("streambg.audit.kafka_source.Consumer", Ahead)
    monkeypatch.setattr("streambg.audit.kafka_source.ASK_AGAIN_S", 10 * TIMEOUT_S)
    pipeline = load(pipeline_file(tmp_path / "pipeline.yaml", kafka, unique), {})
    create(AdminClient({"bootstrap.servers": kafka}), pipeline, (*PARTITIONED, *SINGLE), 1)
    deadline = time.monotonic() + 2 * TIMEOUT_S

    def followed() -> KafkaRecords | None:
        try:
            return KafkaRecords(pipeline, follow=True, stopping=lambda: time.monotonic() > deadline)
        except Unreachable:
            return None

    made = until(followed, what="every new topic has its leader")
    assert made is not None
    with made as records:
        yield records


def log_offsets(chunks: Iterable[Chunk]) -> list[int]:
    return [offset for chunk in chunks for offset in chunk.offsets]


def test_P34_an_end_that_was_met_before_more_came_hides_nothing(kafka: str, ahead: KafkaRecords) -> None:
    """It was taken for the present one: what had come between two rounds was left out."""
    producer, reader = Producer({"bootstrap.servers": kafka}), ahead.read("control", 0)
    for began in (0, 3, 6):
        for _ in range(3):
            producer.produce(ahead.names["control"], b"{}", partition=0)
        assert producer.flush(TIMEOUT_S) == 0
        ahead.refresh()
        assert log_offsets(reader) == [began, began + 1, began + 2]
        assert Ahead.made[-1].meet_end() == began + 3


def test_P34_markers_that_were_passed_already_are_not_waited_for(kafka: str, ahead: KafkaRecords) -> None:
    topic = ahead.names["output"]
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(TIMEOUT_S)
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "nobody", "isolation.level": "read_committed"})

    def write(end: int, *, keep: bool) -> None:
        producer.begin_transaction()
        producer.produce(topic, b"{}", partition=0)
        assert producer.flush(TIMEOUT_S) == 0
        (producer.commit_transaction if keep else producer.abort_transaction)(TIMEOUT_S)
        # either is answered before its marker stands in the log
        there = TopicPartition(topic, 0)
        until(lambda: reader.get_watermark_offsets(there, TIMEOUT_S)[1] == end, what=f"a marker below {end}")

    write(2, keep=True)
    ahead.refresh()
    write(4, keep=False)
    chunks = ahead.read("output", 0)
    assert log_offsets(chunks) == [0]  # the client has met the end at 4, though it was to stop at 2
    ahead.refresh()
    assert log_offsets(chunks) == []
    write(6, keep=True)
    ahead.refresh()
    assert log_offsets(chunks) == [4]
    reader.close()


def test_a_missing_topic_is_said_with_the_way_out(written: Written, tmp_path: Path) -> None:
    file = pipeline_file(tmp_path / "pipeline.yaml", written.bootstrap, "audit-nothing-there")
    with pytest.raises(Misconfigured, match=r"audit-nothing-there\.control.*\n.*topics apply"):
        audit.run(load(file, {}))


def test_a_broker_that_is_not_there_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streambg.audit.kafka_source.REACHABLE_S", 0.5)
    file = pipeline_file(tmp_path / "pipeline.yaml", "127.0.0.1:9", "audit-nowhere")
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
