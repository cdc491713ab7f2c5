"""The audit names every corruption planted into an honest recording (P34; V1 of the fault list)."""

from __future__ import annotations

import pytest
from corruptions import (
    Corruption,
    cutover,
    no_cutover,
    of_the_deployment_before,
    pick,
    swap_far,
    wrong_bucket,
    wrong_value,
)
from letter_corruptions import forbidden_fallback, letter_for
from planted import MORE, ONE
from recorded import COMMANDS, RULES, TOPIC, standard

from streambg.audit import audit_records
from streambg.audit.report import Report
from streambg.audit.tally import Kind
from streambg.records.source import COLORS


def judged(corrupt: Corruption) -> tuple[Report, int]:
    recording = standard()
    offset = corrupt(recording)
    return audit_records(recording), offset


def counted(report: Report) -> dict[Kind, int]:
    return {kind: number for kind, number in report.counts.items() if number}


def test_P34_the_unspoiled_recording_passes() -> None:
    report = audit_records(standard())
    assert (report.ok, counted(report)) == (True, {})
    assert {"route", "absent", "error", "late", "dead-letter"} <= report.by_why.keys()
    assert report.by_color.keys() == set(COLORS)


@pytest.mark.parametrize(("name", "corrupt", "kinds"), ONE + MORE, ids=[one[0] for one in ONE + MORE])
def test_P34_V1_each_planted_corruption_is_named(name: str, corrupt: Corruption, kinds: dict[Kind, int] | None) -> None:
    report, offset = judged(corrupt)
    assert report.verdict == "failed", name
    if kinds is not None:
        assert counted(report) == kinds
    if Kind.FOREIGN not in counted(report):
        assert offset in {finding.offset for finding in report.findings}


@pytest.mark.parametrize("corrupt", [cutover(9), cutover(-9), no_cutover], ids=["late", "early", "missing"])
def test_P19_a_cutover_that_does_not_match_the_output_is_named_once(corrupt: Corruption) -> None:
    report, _ = judged(corrupt)
    assert report.counts[Kind.CUTOVER] == 1
    assert report.counts[Kind.WRONG_EPOCH] >= 1
    assert counted(report).keys() == {Kind.CUTOVER, Kind.WRONG_EPOCH}


def test_a_far_swap_is_out_of_order_and_nothing_is_called_lost_or_doubled() -> None:
    report, _ = judged(swap_far)
    assert counted(report).keys() <= {Kind.OUT_OF_ORDER, Kind.EPOCH_BACK}
    assert report.counts[Kind.OUT_OF_ORDER] == 87  # all between the two, and the one that comes last


def test_P16_a_fallback_that_is_not_allowed_is_unjustified() -> None:
    recording = standard(errors=0.1, rules={**RULES, "live_failed": "dead-letter"})
    assert audit_records(recording).ok
    offset = forbidden_fallback(recording)
    report = audit_records(recording)
    assert counted(report) == {Kind.UNJUSTIFIED: 1}
    assert (report.findings[0].offset, "P16" in report.findings[0].expected) == (offset, True)


def test_P13_the_finding_of_a_wrong_bucket_says_bucket_and_weight() -> None:
    report, offset = judged(wrong_bucket)
    finding = next(finding for finding in report.findings if finding.offset == offset)
    assert "bucket" in finding.expected
    assert "weight 3000" in finding.expected
    assert finding.source == f"{TOPIC}/0@{offset}"


@pytest.mark.parametrize(
    ("mischief", "why"),
    [
        ("error", "error"),
        ("late", "late"),
        ("absent", "absent"),
        ("none", ""),
        ("late letter", ""),
        ("both late", ""),
    ],
)
def test_P34_a_publisher_that_falls_back_or_dead_letters_at_will_fails(mischief: str, why: str) -> None:
    """Every answer is there, and stood in the log for longer than the deadline, or (P18) no deadline had begun."""
    recording = standard(mischief=mischief, errors=0.0, silent=0.0, outages=())
    report = audit_records(recording)
    assert counted(report).keys() == {Kind.UNJUSTIFIED}
    assert report.counts[Kind.UNJUSTIFIED] >= 100
    assert report.counts[Kind.UNJUSTIFIED] == report.by_why[why or "dead-letter"]


def test_P29_after_a_rescore_the_answers_of_before_are_wrong_though_the_model_is_the_same() -> None:
    """Nothing in the header tells the two deployments apart."""
    rescore: dict[str, object] = {"color": "blue", "model": "fraud:1", "rescore": True}
    recording = standard(commands=((0.0, "deploy", {"color": "blue", "model": "fraud:1"}), (0.5, "deploy", rescore)))
    report = audit_records(recording)
    assert counted(report) == {}
    offset = of_the_deployment_before(recording)
    report = audit_records(recording)
    assert counted(report) == {Kind.WRONG_VALUE: 1}
    assert report.findings[0].offset == offset


def test_a_flood_of_one_kind_hides_no_other() -> None:
    recording = standard()
    del recording.log("output", 1)[10:100]
    wrong_value(recording)
    report = audit_records(recording)
    assert {finding.kind for finding in report.findings} == {Kind.LOST, Kind.WRONG_VALUE}
    assert len(report.findings) == 20
    assert report.counts[Kind.LOST] == 90


def test_P29_dead_letters_of_an_accepted_gap_are_justified_and_only_there() -> None:
    """The gap is accepted when three quarters of the events are there."""
    both = {"blue": "gap", "green": "gap"}

    def judged_letter(offset: int, reasons: dict[str, str], first: int, end: int) -> dict[Kind, int]:
        gap: dict[str, object] = {"partition": 0, "first": first, "end": end}
        recording = standard(commands=(*COMMANDS[:6], (0.75, "accept-gap", gap)))
        assert counted(audit_records(recording)) == {}
        at = pick(recording, offset=offset)
        letter_for(recording, at, reasons, "blue")
        return counted(audit_records(recording))

    offset, earlier = 133, 100
    assert judged_letter(offset, both, 130, 140) == {}
    assert judged_letter(offset, {"blue": "gap", "green": "none"}, 130, 140) == {Kind.UNJUSTIFIED: 1}
    assert judged_letter(offset, both, 130, offset) == {Kind.UNJUSTIFIED: 1}, "outside"
    assert judged_letter(earlier, both, 95, 140) != {}, "what was settled before the command was not given up by it"
