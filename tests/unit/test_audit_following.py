"""An audit that follows says, whatever was visible when it looked, what an audit of the whole says (P34, P35)."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from unittest.mock import patch

import pytest
from corruptions import Corruption, double, drop, swap_far, wrong_value
from growing import FOR_EVER, Growing
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from planted import MORE, ONE
from recorded import Recording, record, standard
from recorded_scoring import START_MS
from recorded_shapes import shapes

from streambg.audit import audit_records, conduct, partition
from streambg.audit.conduct import Following
from streambg.audit.report import PartitionReport, Report
from streambg.audit.since import Asked
from streambg.audit.tally import Kind
from streambg.errors import ConfigError

LONG_MS = 60_000


def followed(recording: Recording, times: list[int], lag: int = 0, asked: Asked | None = None) -> Report:
    """The last report of an audit that looked at these times, and then once more at the end."""
    growing = Growing(recording, lag)
    following = Following(growing, asked=asked)
    for now in [*sorted(times), FOR_EVER]:
        growing.now = now
        report = following.round()
    while not following.caught_up:
        report = following.round()
    return report


def same(report: PartitionReport) -> PartitionReport:
    """Without what depends on how a window was cut: the words of findings, and outcomes beyond settled."""
    return replace(report, findings=[], unsettled=0)


def counted(report: Report) -> dict[Kind, int]:
    return {kind: number for kind, number in report.counts.items() if number}


def steps(number: int) -> list[int]:
    return [START_MS + at * LONG_MS // number for at in range(number)]


@pytest.mark.parametrize("lag", [0, 700])
def test_P34_what_is_followed_is_what_was_audited_at_once(lag: int) -> None:
    recording = standard()
    whole = audit_records(recording)
    report = followed(recording, steps(40), lag)
    assert whole.ok
    assert (report.verdict, report.reason) == (whole.verdict, whole.reason)
    assert [same(one) for one in report.partitions] == [same(one) for one in whole.partitions]


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_P34_whatever_was_visible_when_it_looked(data: st.DataObject) -> None:
    recording = record(data.draw(shapes()))
    recording.chunk = data.draw(st.sampled_from([3, 40]))
    whole = audit_records(recording)
    times = data.draw(st.lists(st.integers(START_MS, START_MS + LONG_MS), max_size=6))
    with (
        patch.object(partition, "WINDOW", data.draw(st.sampled_from([2, 4_096]))),
        patch.object(conduct, "ROUND", data.draw(st.sampled_from([5, 100_000]))),
    ):
        report = followed(recording, times, data.draw(st.sampled_from([0, 500])))
    assert counted(report) == counted(whole) == {}
    assert {one.partition: one.outcomes for one in report.partitions} == {
        one.partition: one.outcomes for one in whole.partitions if one.outcomes or one.settled >= one.origin
    }


@pytest.mark.parametrize(("name", "corrupt", "kinds"), ONE + MORE, ids=[one[0] for one in ONE + MORE])
def test_P34_each_corruption_is_named_by_who_follows_too(
    name: str, corrupt: Corruption, kinds: dict[Kind, int] | None
) -> None:
    recording = standard()
    offset = corrupt(recording)
    report = followed(recording, steps(7))
    assert report.verdict == "failed", name
    assert counted(report).keys() >= (kinds or {}).keys()
    if Kind.FOREIGN not in counted(report):
        assert offset in {finding.offset for finding in report.findings}


def dense() -> Recording:
    """Without gaps in the output's log, so that what a test puts in changes no offset below it."""
    recording = standard(partitions=1)
    recording.renumber("output")
    return recording


def test_a_double_is_named_in_the_round_in_which_it_can_be_seen() -> None:
    recording = dense()
    growing = Growing(recording)
    following = Following(growing)
    log = recording.log("output")
    growing.now = log[60].time
    assert following.round().ok
    planted = replace(log[10], time=growing.now)
    log.insert(61, planted)
    recording.renumber("output")
    growing.now += 1
    report = following.round()
    assert counted(report) == {Kind.DOUBLED: 1}
    assert report.findings[0].record == "output/0@61"
    growing.now = FOR_EVER
    assert counted(following.round()) == {Kind.DOUBLED: 1}, "and stays the only one"


def test_a_double_of_an_idle_pipeline_is_named_without_a_new_event() -> None:
    recording = standard(partitions=1)
    growing = Growing(recording)
    growing.now = FOR_EVER
    following = Following(growing)
    assert following.round().ok
    log = recording.log("output")
    log.append(replace(log[-1], offset=log[-1].offset + 1))
    assert counted(following.round()) == {Kind.DOUBLED: 1}


def test_a_lost_event_is_named_when_its_successor_is_settled_and_out_of_order_when_it_comes_late() -> None:
    recording = dense()
    log = recording.log("output")
    taken = log.pop(50)
    recording.renumber("output")
    log = recording.log("output")
    growing = Growing(recording)
    following = Following(growing)
    growing.now = log[52].time
    assert counted(following.round()) == {Kind.LOST: 1}
    log.insert(60, replace(taken, time=log[60].time))
    recording.renumber("output")
    growing.now = FOR_EVER
    assert counted(following.round()) == {Kind.OUT_OF_ORDER: 1}


def test_nothing_settled_is_nothing_to_audit_and_no_error() -> None:
    growing = Growing(standard())
    growing.now = START_MS + 1
    report = Following(growing).round()
    assert report.empty
    assert report.partitions == []


def test_I7_who_follows_keeps_no_more_for_more_events() -> None:
    """Four times the events in four times the rounds: as much is kept as before."""

    def kept(events: int) -> int:
        recording = standard(partitions=1, events=events)
        growing = Growing(recording)
        following = Following(growing)
        following.round()
        tracemalloc.start()
        try:
            for now in range(START_MS, START_MS + events * 110, 2_000):
                growing.now = now
                following.round()
            assert following.round().outcomes > events // 2
            assert growing.rewound > 0, "what was read too early was given back"
            growing.refresh()
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    kept(300)  # what is made once
    small = kept(300)
    assert kept(1_200) < small + 20_000, "3,600 more batches, answers and outcomes"


# -- from a place on ------------------------------------------------------------------------------------------------


def since(recording: Recording, **asked: object) -> Report:
    return audit_records(recording, asked=Asked(**asked))  # type: ignore[arg-type] # the fields of Asked


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_P34_an_honest_recording_passes_from_any_place_on(data: st.DataObject) -> None:
    recording = record(data.draw(shapes()))
    recording.chunk = data.draw(st.sampled_from([3, 40]))
    whole = audit_records(recording)
    ends = {number: recording.span("input", number).end for number in range(recording.partitions)}
    reached = {number: min(recording.positions.get(number, end - 1), end - 1) for number, end in ends.items()}
    assume(min(reached.values()) >= 0)
    places = {number: data.draw(st.integers(0, min(120, last))) for number, last in reached.items()}
    with patch("streambg.audit.since.BEFORE", data.draw(st.sampled_from([0, 3, 1_000]))):
        report = since(recording, positions=places)
    assert counted(report) == {}
    for one, other in zip(report.partitions, whole.partitions, strict=True):
        assert one.since == max(one.origin, places[one.partition])
        assert all(item.first is None or item.first >= one.since for item in one.ranges)
        assert one.outcomes <= other.outcomes


def test_P35_what_lies_before_is_said_not_to_be_audited() -> None:
    recording = standard(partitions=1)
    wrong_value(recording)
    assert audit_records(recording).verdict == "failed"
    report = since(recording, positions={0: 120})
    assert report.ok
    [one] = report.partitions
    assert (one.origin, one.since) == (0, 120)
    assert "what lies before was not audited" in report.reason
    assert report.events == len([event for event in recording.log("input") if 120 <= event.offset <= one.settled])


def test_P35_a_place_beyond_what_can_be_judged_is_refused_with_the_range_that_there_is() -> None:
    """Else its partition passes, and nothing of it was looked at."""
    recording = standard()
    settled, end = recording.positions[1], recording.span("input", 1).end
    assert since(recording, positions={1: settled}).ok
    range_of = rf"payments/1 begins at 0, ends at {end}, and is settled below {settled + 1}"
    for offset in (settled + 1, 99_999_999):
        with pytest.raises(ConfigError, match=rf"--from payments/1@{offset}: {range_of}") as raised:
            since(recording, positions={1: offset})
        assert f"--from payments/1@{settled} or earlier" in raised.value.way_out
    recording.positions[1] = 100
    with pytest.raises(ConfigError, match="settled below 101"):
        since(recording, positions={1: 101})


def test_P35_who_follows_may_begin_with_the_next_event_and_no_later() -> None:
    recording = standard()
    end = recording.span("input", 1).end
    assert followed(recording, [], asked=Asked(positions={1: end})).ok
    with pytest.raises(ConfigError, match=f"payments/1@{end + 1}: payments/1 begins at 0, ends at {end}"):
        followed(recording, [], asked=Asked(positions={1: end + 1}))


def test_P19_from_an_epoch_on_it_begins_at_its_cutover() -> None:
    recording = standard()
    whole = audit_records(recording)
    report = since(recording, epoch=5)
    assert report.ok
    assert 0 < report.events < whole.events
    assert {one.since for one in report.partitions} != {0}
    last = since(recording, last_cutover=True)
    assert last.ok
    assert [one.since for one in last.partitions] >= [one.since for one in report.partitions]
    assert last.events < report.events
    with pytest.raises(Exception, match="no such epoch; the control log has 0 to"):
        since(recording, epoch=4)


@pytest.mark.parametrize(
    "corrupt", [drop(-3), double(60), swap_far, wrong_value], ids=["drop", "double", "swap", "value"]
)
def test_P34_what_is_wrong_behind_the_place_is_named(corrupt: Corruption) -> None:
    recording = standard(partitions=1)
    corrupt(recording)
    whole, report = audit_records(recording), since(recording, positions={0: 1})
    assert report.verdict == "failed"
    assert counted(report) == counted(whole)


def test_a_double_of_what_lies_before_is_named_where_it_stands_behind() -> None:
    recording = standard(partitions=1)
    log = recording.log("output")
    log.insert(130, log[10])
    recording.renumber("output")
    assert counted(since(recording, positions={0: 100})) == {Kind.DOUBLED: 1}


def test_P34_followed_from_a_place_on() -> None:
    recording = standard()
    asked = Asked(last_cutover=True)
    report = followed(recording, [FOR_EVER - 1], asked=asked)
    assert report.ok
    assert [same(one) for one in report.partitions] == [
        same(one) for one in audit_records(recording, asked=asked).partitions
    ]
    early = followed(recording, [at + 7_000 for at in steps(9)], asked=Asked(epoch=5))
    assert early.ok
    assert early.events == since(recording, epoch=5).events
