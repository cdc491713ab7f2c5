"""The loop of `audit --follow`: what it says when, what it counts, and that a broker that is away costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from growing import FOR_EVER, Growing
from prometheus_client import REGISTRY
from recorded import Recording, standard

from streambg.audit import live
from streambg.audit.conduct import Following
from streambg.audit.kafka_source import Stopped
from streambg.audit.report import Report
from streambg.audit.tally import Finding, Kind
from streambg.errors import Unreachable


class Script(Growing):
    """At each look it does what comes next: move the clock, be away, or say that it is over."""

    def __init__(self, recording: Recording, *looks: int | Exception) -> None:
        super().__init__(recording)
        self._looks: Iterator[int | Exception] = iter([0, *looks, Stopped("over")])
        self.refresh()

    def refresh(self) -> None:
        look = next(self._looks)
        if isinstance(look, Exception):
            raise look
        self.now = look
        super().refresh()


class Heard:
    """A listener that keeps all it is told."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.reports: list[tuple[int, bool]] = []
        self.aways: list[str] = []

    def began(self, address: str) -> None:
        raise AssertionError("the loop alone opens no port")

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)

    def looked(self, report: Report, caught_up: bool) -> None:
        self.reports.append((report.events, caught_up))

    def away(self, error: Unreachable) -> None:
        self.aways.append(error.what)


def listened(records: Growing, *, fail_fast: bool = False) -> tuple[Heard, live._Health]:
    heard, health = Heard(), live._Health()
    live._rounds(Following(records), heard, threading.Event(), health, 0.0, fail_fast)
    return heard, health


def counter(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"streambg_audit_{name}", labels) or 0.0


def doubled() -> Recording:
    recording = standard(partitions=1)
    log = recording.log("output")
    log.append(replace(log[-1], offset=log[-1].offset + 1))
    return recording


def test_each_finding_is_told_once_and_counted_once() -> None:
    before = counter("findings_total", kind="doubled")
    heard, health = listened(Script(doubled(), FOR_EVER, FOR_EVER, FOR_EVER))
    assert [finding.kind for finding in heard.findings] == [Kind.DOUBLED]
    assert counter("findings_total", kind="doubled") == before + 1
    assert health()["verdict"] == "failed"
    assert health()["ok"], "the audit itself is well"
    assert len(heard.reports) == 3


def test_every_kind_has_its_zero_before_anything_is_wrong() -> None:
    """An alarm on a rate sees the first one only then."""
    listened(Script(standard(partitions=1)))
    values = [REGISTRY.get_sample_value("streambg_audit_findings_total", {"kind": kind.value}) for kind in Kind]
    assert None not in values


def test_a_broker_that_is_away_is_asked_again_and_nothing_is_lost() -> None:
    away = Unreachable("no broker", way_out="wait")
    failed, events = counter("failed_looks_total"), counter("events_total")
    recording = standard(partitions=1)
    heard, health = listened(Script(recording, recording.log("output")[40].time, away, away, FOR_EVER))
    assert heard.aways == ["no broker"] * 2
    assert heard.findings == []
    assert counter("failed_looks_total") == failed + 2
    assert counter("events_total") == events + recording.expected["events"]
    assert health.report is not None
    assert health.report.ok
    assert health()["problem"] == ""


def test_unwell_is_who_cannot_look() -> None:
    away = Unreachable("no broker", way_out="wait")
    _, health = listened(Script(standard(partitions=1), FOR_EVER, away))
    assert (health()["ok"], health()["problem"]) == (False, "no broker")
    assert health()["verdict"] == "ok"


def test_fail_fast_ends_at_the_first_look_that_finds_something() -> None:
    heard, health = listened(Script(doubled(), FOR_EVER, FOR_EVER), fail_fast=True)
    assert len(heard.reports) == 1
    assert health.report is not None
    assert health.report.verdict == "failed"


def test_what_no_new_look_mends_ends_it() -> None:
    with pytest.raises(ValueError, match="not mendable"):
        listened(Script(standard(partitions=1), FOR_EVER, ValueError("not mendable")))


def test_a_lost_event_that_comes_late_after_all_takes_no_count_back() -> None:
    recording = standard(partitions=1)
    recording.renumber("output")
    log = recording.log("output")
    taken = log.pop(50)
    log.append(replace(taken, time=log[-1].time + 1))
    recording.renumber("output")
    before = counter("findings_total", kind="lost"), counter("findings_total", kind="out_of_order")
    early = recording.log("output")[60].time
    heard, health = listened(Script(recording, early, FOR_EVER))
    assert health.report is not None
    assert (health.report.counts[Kind.LOST], health.report.counts[Kind.OUT_OF_ORDER]) == (0, 1)
    after = counter("findings_total", kind="lost"), counter("findings_total", kind="out_of_order")
    assert after == (before[0] + 1, before[1] + 1)
    assert [finding.kind for finding in heard.findings] == [Kind.LOST, Kind.OUT_OF_ORDER]
