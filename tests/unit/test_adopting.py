"""Taking over from a consumer group: where streambg begins, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from control_log import Log

from streambg.adopting.giveback import first_unanswered
from streambg.adopting.takeover import Lane, Member, Survey, begin, decide
from streambg.control.state import ControlState
from streambg.errors import Gap
from streambg.publishing.resume import Committed, Facts, Tail
from streambg.records.cutover import Cutover, PublisherPosition
from streambg.records.source import Color

OURS = {"streambg.p.publisher"}
GOOD = Survey("old", [Lane(0, 40, 0, 100), Lane(1, 7, 7, 9)], [], 2, frozenset({"old", "other"}))


def test_P11_it_begins_at_the_groups_committed_offsets() -> None:
    plan = decide(GOOD, ControlState(), OURS, None)
    assert plan.starts == {0: 40, 1: 7}
    assert plan.objections == []
    assert [each.waiting for each in plan.begins] == [60, 2]
    assert plan.reason("old", "") == "adopted from consumer group old: 2 of 2 partitions at its offsets"
    assert plan.reason("old", "now").endswith("offsets; now")


@pytest.mark.parametrize(
    ("lane", "earliest", "latest", "words"),
    [
        (Lane(0, None, 5, 9), 5, 9, "no committed offset"),
        (Lane(0, 2, 5, 9), 5, 9, "2 was committed, 3 offsets behind it have expired"),
        (Lane(0, 12, 5, 9), 5, 9, "12 was committed, above the end: the topic was made again"),
    ],
)
def test_P11_where_the_groups_offset_is_of_no_use_a_person_says_where(
    lane: Lane, earliest: int, latest: int, words: str
) -> None:
    assert begin(lane, None).start is None
    assert begin(lane, "earliest").start == earliest
    assert begin(lane, "latest").start == latest
    assert begin(lane, "latest").why == f"latest: {words}"
    survey = replace(GOOD, lanes=[lane, GOOD.lanes[1]])
    (objection,) = decide(survey, ControlState(), OURS, None).objections
    assert objection.startswith(f"partition 0: {words}; the input holds 5 to 8: say --reset earliest or --reset latest")
    decided = decide(survey, ControlState(), OURS, "latest")
    assert (decided.starts, decided.objections) == ({0: 9, 1: 7}, [])
    assert "1 of 2 partitions at its offsets" in decided.reason("old", "")


def test_P11_an_empty_partition_needs_no_decision() -> None:
    assert begin(Lane(0, None, 6, 6), None).start == 6
    gone = begin(Lane(0, 2, 6, 6), None)
    assert (gone.start, gone.why) == (6, "2 was committed, 4 offsets behind it have expired; no event is there")


@pytest.mark.parametrize(
    ("survey", "words"),
    [
        (
            replace(GOOD, members=[Member("c1", "/10.0.0.7", 2)]),
            "must have no members, it has 1: c1 at 10.0.0.7 with",
        ),
        (replace(GOOD, outputs=3), "the output has 3 partitions, the input 2"),
        (replace(GOOD, lanes=[Lane(0, None, 0, 9)], outputs=1), "has committed nothing in this input; groups of the"),
        (replace(GOOD, group="streambg.p.publisher"), "is a group of this pipeline"),
    ],
)
def test_what_speaks_against_it_is_said(survey: Survey, words: str) -> None:
    (objection,) = decide(survey, ControlState(), OURS, None).objections
    assert words in objection


def test_only_the_first_deploy_takes_over() -> None:
    log = Log()
    log.deploy("blue", "m:1")
    (objection,) = decide(GOOD, log.fold.state, OURS, None).objections
    assert "this pipeline runs already (epoch 0, live blue m:1" in objection


def test_many_members_are_counted_and_some_are_named() -> None:
    survey = replace(GOOD, members=[Member(f"c{number}", "/h", 1) for number in range(11)])
    (objection,) = decide(survey, ControlState(), OURS, None).objections
    assert "it has 11: " in objection
    assert "c7" in objection
    assert "c8" not in objection
    assert "and 3 more" in objection


# -- the way back ------------------------------------------------------------------------------------------------------


def adopted() -> ControlState:
    log = Log()
    log.deploy("blue", "m:1", start={"3": 500}, output={"3": 9})
    return log.fold.state


def at(settled: int) -> Committed:
    return Committed(7, PublisherPosition(settled, 0, "tx", 0, settled, -1))


NOBODY = Committed(None, None)
NEITHER: Mapping[Color, Committed] = {"blue": NOBODY, "green": NOBODY}
FIRST = Cutover(3, 0, 500, "topic-id", "cluster-id", 500)
LOGS: Mapping[Color, tuple[int, int]] = {"blue": (0, 9), "green": (0, 9)}
FACTS = Facts(3, {"blue": at(600), "green": at(600)}, Tail(600, 0), [FIRST], LOGS, "topic-id", "cluster-id")


@pytest.mark.parametrize(
    ("facts", "next_"),
    [
        (FACTS, 601),
        (replace(FACTS, tail=Tail(650, 0)), 651),  # a commit whose positions were lost
        (replace(FACTS, committed=NEITHER), 601),
        (replace(FACTS, committed=NEITHER, tail=None, cutovers=[]), 500),  # nothing was published: as it was taken over
        (replace(FACTS, log={"blue": (9, 9), "green": (9, 9)}), 601),  # predictions are of no use to the old service
    ],
)
def test_P25_it_goes_back_where_the_next_publisher_would_go_on(facts: Facts, next_: int) -> None:
    assert first_unanswered(facts, adopted()) == next_


def test_P27_where_nobody_knows_what_was_published_nothing_is_given_back() -> None:
    with pytest.raises(Gap):
        first_unanswered(replace(FACTS, committed=NEITHER, tail=None), adopted())
    with pytest.raises(Gap):
        first_unanswered(replace(FACTS, topic_id="made again"), adopted())
