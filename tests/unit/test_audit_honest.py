"""Whatever an honest pipeline did, the audit passes it and counts what it did (P8, P9, P13-P19, P34, P35)."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import RULES, Recording, Shape, record

from streambg.audit import Report, audit_records, partition
from streambg.audit.sources import PARTITIONED
from streambg.audit.tally import Check

VERBS = ["shift", "shift", "shift", "promote", "promote", "rollback", "abort", "retire", "deploy", "garbage", "pause"]


@st.composite
def commands(draw: st.DrawFn) -> tuple[tuple[float, str, dict[str, object]], ...]:
    """A first deploy, a candidate, then anything: what is not allowed is refused, and changes nothing."""
    said: list[tuple[float, str, dict[str, object]]] = [(0.0, "deploy", {"color": "blue", "model": "fraud:1"})]
    at = 0.0
    for number in range(draw(st.integers(0, 12))):
        at = min(0.99, at + draw(st.sampled_from([0.0, 0.02, 0.1, 0.2])))
        verb = draw(st.sampled_from(VERBS)) if number else "deploy"
        said.append((at, verb, _arguments(draw, verb, number)))
    return tuple(said)


def _arguments(draw: st.DrawFn, verb: str, number: int) -> dict[str, object]:
    color = draw(st.sampled_from(["blue", "green"])) if number else "green"
    if verb == "shift":
        return {"weight": draw(st.sampled_from([0, 100, 5_000, 9_000, 10_000]))}
    if verb == "retire":
        return {"color": color}
    if verb != "deploy":
        return {}
    if draw(st.booleans()):
        return {"color": color, "model": "fraud:1", "rescore": draw(st.booleans())}
    args = {"color": color, "model": f"fraud:{number + 2}", "gives_up_rollback": draw(st.booleans())}
    return {**args, "sample": 3_000} if draw(st.booleans()) else args


RATES = st.sampled_from([0.0, 0.05, 0.4])
OUTAGES = st.lists(st.floats(0, 0.9).map(lambda at: (at, at + 0.1)), max_size=2).map(tuple)
RULE_SETS = st.fixed_dictionaries(
    {
        "late_live_ms": st.sampled_from([None, 500]),
        "late_candidate_ms": st.sampled_from([None, 500, 2_000]),
        "live_failed": st.sampled_from(["candidate", "dead-letter"]),
        "bucket_field": st.sampled_from([None, "machine"]),
    }
).map(lambda rules: {**RULES, **rules})


def shapes(**fixed: Any) -> st.SearchStrategy[Shape]:
    parts: dict[str, Any] = {
        "commands": commands(),
        "rules": RULE_SETS,
        "partitions": st.integers(1, 2),
        "events": st.sampled_from([1, 20, 80]),
        "batch": st.sampled_from([1, 5, 30]),
        "errors": RATES,
        "gaps": RATES,
        "null_keys": RATES,
        "silent": RATES,
        "repeats": RATES,
        "outages": OUTAGES,
        "origin": st.sampled_from([0, 0, 7]),
        "seed": st.integers(0, 10**6),
    }
    return st.builds(Shape, **{**parts, **fixed})


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
