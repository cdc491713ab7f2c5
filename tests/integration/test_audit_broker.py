"""The audit reads real topics: aborted transactions, gaps, expired records, a moving end (P34, P35)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from recorded_broker import Written, pipeline_file, write_recording
from typer.testing import CliRunner

from streambg import audit
from streambg.audit import Asked
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
    for wrong in (["latest"], ["other/0@3"], [f"{topic}/0@1", f"{topic}/0@2"], [f"{topic}/9@1"], ["4"]):
        words = [word for place in wrong for word in ("--from", place)]
        assert isinstance(CliRunner().invoke(cli.app, ["-p", str(written.file), *words]).exception, ConfigError), wrong


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
