"""Whatever an honest pipeline did, the audit passes it and counts what it did (P8, P9, P13-P19, P34, P35)."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import Recording, Shape, record
from recorded_shapes import shapes

from streambg.audit import Report, audit_records, partition
from streambg.audit.sources import PARTITIONED
from streambg.audit.tally import Check


def audited(recording: Recording, window: int, chunk: int) -> Report:
    recording.chunk = chunk
    with patch.object(partition, "WINDOW", window):
        return audit_records(recording)


@settings(max_examples=80, deadline=None)
@given(shapes(), st.sampled_from([1, 7, 4_096]), st.sampled_from([1, 11, 1_000]))
def test_P34_an_honest_recording_passes_and_is_counted(shape: Shape, window: int, chunk: int) -> None:
    recording = record(shape)
    report = audited(recording, window, chunk)
    assert report.ok or (report.empty and not recording.expected), report.findings
    counted = {"events": report.events, **report.by_color, **report.by_why}
    assert {name: number for name, number in counted.items() if number} == recording.expected


@settings(max_examples=80, deadline=None)
@given(shapes(holes=st.just(0.0)), st.sampled_from([1, 7, 4_096]), st.data())
def test_P35_an_honest_recording_with_expired_records_is_never_wrong(
    shape: Shape, window: int, data: st.DataObject
) -> None:
    recording = record(shape)
    for number in range(recording.width):
        for role in PARTITIONED:
            end = recording.span(role, number).end
            recording.starts[role, number] = data.draw(st.one_of(st.just(0), st.integers(0, end)))
        if data.draw(st.booleans()):
            recording.positions[number] = data.draw(st.integers(-1, max(-1, recording.positions[number])))
    report = audited(recording, window, 11)
    assert sum(report.counts.values()) == 0, report.findings
    for item in report.partitions:
        verified = [one.first for one in item.ranges if one.check is Check.PRESENCE]
        assert verified[0] is None or verified[0] >= item.origin


def test_the_same_recording_gives_the_same_report_whatever_the_windows() -> None:
    shape = Shape(commands=((0.0, "deploy", {"color": "blue", "model": "fraud:1"}),), partitions=1, events=200)
    recording = record(shape)
    del recording.log("output")[20:60]
    first, second = audited(recording, 3, 2), audited(recording, 4_096, 1_000)
    assert first.counts == second.counts
    assert first.findings == second.findings
