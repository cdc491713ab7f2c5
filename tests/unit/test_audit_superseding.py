"""P36 as the audit sees it: a command is carried out exactly, and nothing supersedes without one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from growing import FOR_EVER, Growing
from recorded import Recording, standard
from superseded import END, FIRST, PLANTED, Corruption, done, folded, replaced_note, stored, supersede, superseding

from streambg.audit import Asked, audit_records
from streambg.audit.conduct import Following
from streambg.audit.report import Report
from streambg.audit.tally import Kind


def counted(report: Report) -> dict[Kind, int]:
    return {kind: number for kind, number in report.counts.items() if number}


def test_P36_a_command_that_was_carried_out_passes_and_is_counted_apart() -> None:
    recording = done()
    deployment = folded(recording).state.supersessions[0].deployment
    rows = [offset for offset in stored(recording, "blue", deployment.id) if FIRST <= offset < END]
    report = audit_records(recording)
    assert (report.ok, counted(report), report.supersedes) == (True, {}, len(rows))
    assert 0 < len(rows) < END - FIRST, "some events have no answer of that color: they are left as they are"
    before = audit_records(standard())
    assert (report.events, report.outcomes) == (before.events, before.outcomes)


@pytest.mark.parametrize(("name", "corrupt", "kinds"), PLANTED, ids=[one[0] for one in PLANTED])
def test_P36_V1_each_planted_corruption_is_named(name: str, corrupt: Corruption, kinds: dict[Kind, int] | None) -> None:
    recording = done()
    offset = corrupt(recording)
    report = audit_records(recording)
    assert report.verdict == "failed", name
    if kinds is not None:
        assert counted(report) == kinds
    else:
        assert len(counted(report)) == 1
    assert offset in {finding.offset for finding in report.findings}


def test_P36_what_is_still_under_way_is_not_missing() -> None:
    recording = done()
    log, places = recording.log("output"), superseding(recording)
    half = places[: len(places) // 2]
    reached = int((log[half[-1]].header or b"").partition(b"@")[2].partition(b" ")[0])
    recording.logs["output", 0] = log[: half[-1] + 1]
    replaced_note(recording, reached)
    report = audit_records(recording)
    assert (report.ok, report.supersedes) == (True, len(half))


def test_P36_two_commands_for_one_event_are_carried_out_one_after_the_other() -> None:
    recording = done()
    supersede(recording, FIRST, END - 20, "green")
    supersede(recording, FIRST, END)
    report = audit_records(recording)
    assert (report.ok, counted(report)) == (True, {})


def test_P35_where_superseding_records_expired_nobody_says_that_one_is_missing() -> None:
    recording = done()
    places = superseding(recording)
    log = recording.log("output")
    recording.starts["output", 0] = log[places[3]].offset
    recording.logs["output", 0] = log[places[3] :]
    report = audit_records(recording)
    assert counted(report) == {}
    del recording.log("output")[10]
    assert audit_records(recording).counts[Kind.NOT_SUPERSEDED] == 1, "behind the first that is left one is"


def test_P36_from_a_place_behind_the_range_on_its_records_are_judged_all_the_same() -> None:
    recording = done()
    log, places = recording.log("output"), superseding(recording)
    later = Asked(positions={0: END + 30})
    assert audit_records(recording, asked=later).ok
    log[places[-1]] = replace(log[places[-1]], value=b"corrected")
    assert counted(audit_records(recording, asked=later)) == {Kind.WRONG_VALUE: 1}


def followed(recording: Recording) -> Report:
    """The last report of an audit that looked while the records came."""
    growing = Growing(recording)
    following = Following(growing)
    begins = next(record.time for record in recording.log("output") if (record.header or b"").endswith(b" supersedes"))
    for now in (begins - 1_500, *range(begins - 1, begins + 60, 7), FOR_EVER):
        growing.now = now
        report = following.round()
    return report


def test_P36_followed_while_it_is_carried_out() -> None:
    report = followed(done())
    assert (report.ok, report.supersedes) == (True, audit_records(done()).supersedes)


@pytest.mark.parametrize("name", ["drop a middle one", "drop the last", "double one", "wrong value"])
def test_P36_followed_the_same_is_found(name: str) -> None:
    [(_, corrupt, kinds)] = [one for one in PLANTED if one[0] == name]
    recording = done()
    corrupt(recording)
    assert counted(followed(recording)) == kinds
