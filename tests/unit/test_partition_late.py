"""P17, P18: dead letters and deadlines of one partition."""

from __future__ import annotations

import pytest
from partition_bench import Bench, letters, words
from predictions import answers, key

from streambg.publishing.settle import Waiting
from streambg.records.bucket import bucket


def test_P17_a_dead_letter_has_the_reasons_of_both_and_is_counted_once() -> None:
    bench = Bench()
    bench.say("promote", candidate=1)
    bench.offer("green", answers(1, -1, 3, errors=[2]))
    bench.offer("blue", answers(0, -1, 3, errors=[2]))
    records = bench.advance()
    assert letters([records]) == [(2, "green", {"green": "no answer from 1", "blue": "no answer from 0"})]
    assert records.counts == {("green", "route"): 3, ("dead-letter", "error"): 1}
    assert len(records) == 4
    assert records.dead_letters[0][0] == b"key2"


def test_P17_a_color_awaited_in_vain_is_late_and_one_that_is_not_allowed_is_none() -> None:
    bench = Bench(live_failed="dead-letter")
    bench.say("shift", candidate=1, weight=5_000)
    events = [offset for offset in range(30) if key(offset) is not None]
    bench.offer("blue", answers(0, -1, 29, events, errors=events))
    runs = bench.everything()
    bench.fire("green")
    runs += bench.everything()
    under = {offset for offset in events if bucket(1, key(offset) or b"") < 5_000}
    expected = [(o, "green", "late") if o in under else (o, "blue", "none") for o in events]
    assert [(o, chosen, reasons["green"]) for o, chosen, reasons in letters(runs)] == expected
    assert events[0] not in under or events[-1] not in under
    assert under


def test_P17_live_awaited_in_vain_is_late() -> None:
    """Its answers are waited for 500 ms; the warm color has an error row there."""
    bench = Bench(late_live_ms=500)
    bench.say("promote", candidate=1)
    bench.offer("blue", answers(0, -1, 1, errors=[1]))
    assert bench.words() == []
    bench.fire("green")
    runs = bench.everything()
    assert words(runs) == ["0 blue late"]
    assert letters(runs) == [(1, "green", {"green": "late", "blue": "no answer from 0"})]


def test_P17_an_error_row_waits_at_most_the_candidates_deadline_where_lives_is_wait() -> None:
    bench = Bench(late_candidate_ms=3_000)
    bench.say("shift", candidate=1, weight=10_000)
    bench.now = 7.0
    bench.offer("green", answers(1, -1, 1, errors=[0]))
    assert bench.words() == []
    assert bench.partition.deadline() == (Waiting(0, "live", "error", "other"), "blue", 10.0)
    bench.fire("blue")
    assert letters(bench.everything()) == [(0, "green", {"green": "no answer from 1", "blue": "late"})]


# -- P18: deadlines ----------------------------------------------------------------------------------------------------


def test_P18_a_late_candidate_is_waited_for_once_and_again_when_it_has_caught_up() -> None:
    bench = Bench(late_candidate_ms=2_000)
    bench.say("shift", candidate=1, weight=10_000)
    bench.now = 5.0
    bench.offer("blue", answers(0, -1, 3))
    assert bench.words() == []
    assert bench.partition.deadline() == (Waiting(0, "other", "answer", "live"), "green", 7.0)
    bench.fire("green")
    assert bench.words() == [f"{o} green late".replace("green", "blue") for o in range(4)]
    bench.offer("blue", answers(0, 3, 5))
    bench.offer("green", answers(1, -1, 4))
    assert bench.words() == ["4 green route"], "it covers settled + 1: it is waited for again"
    assert bench.partition.deadline() is not None
    bench.offer("green", answers(1, 4, 5))
    assert bench.words() == ["5 green route"]


def test_P18_the_first_offset_of_a_partition_forgives_like_any_other() -> None:
    bench = Bench()
    bench.say("shift", candidate=1, weight=10_000)
    bench.offer("blue", answers(0, -1, 3))
    assert bench.words() == []
    bench.fire("green")
    bench.offer("green", answers(1, -1, 0))
    assert bench.words() == ["0 green route"]
    assert bench.partition.late == frozenset()


@pytest.mark.parametrize("live_failed", ["candidate", "dead-letter"])
def test_P18_a_dead_color_is_waited_for_once_not_once_an_event(live_failed: str) -> None:
    """Whether its answer is awaited or its row to stand in for an error: it is one color with one deadline."""
    bench = Bench(live_failed=live_failed, late_candidate_ms=2_000)
    bench.say("shift", candidate=1, weight=5_000)
    bench.offer("blue", answers(0, -1, 30, errors=range(0, 31, 3)))
    waits = 0
    while bench.everything() or bench.partition.settled < 30:
        if bench.partition.settled < 30:
            bench.fire("green")
            waits += 1
    assert waits == 1


def test_P18_a_dead_live_color_is_waited_for_once() -> None:
    bench = Bench(late_live_ms=500, live_failed="candidate")
    bench.say("shift", candidate=1, weight=5_000)
    bench.offer("green", answers(1, -1, 30, errors=range(0, 31, 3)))
    waits = 0
    while bench.everything() or bench.partition.settled < 30:
        if bench.partition.settled < 30:
            bench.fire("blue")
            waits += 1
    assert waits == 1


def test_P18_that_an_error_row_waited_long_enough_does_not_make_live_late_where_it_is_waited_for() -> None:
    bench = Bench(late_live_ms=None, live_failed="candidate")
    bench.say("shift", candidate=1, weight=5_000)
    bench.offer("green", answers(1, -1, 30, errors=range(31)))
    runs = bench.everything()
    if bench.partition.deadline():
        bench.fire("blue")
    runs += bench.everything()
    assert bench.partition.waiting is not None
    assert (bench.partition.waiting.side, bench.partition.waiting.what) == ("live", "answer")
    assert bench.partition.deadline() is None
    assert {chosen for _, chosen, _ in letters(runs)} <= {"green"}


def test_P18_a_command_forgives_nobody_but_a_new_deployment_or_live_color_is_waited_for() -> None:
    def late_candidate() -> Bench:
        bench = Bench()
        bench.say("shift", candidate=1, weight=10_000)
        bench.offer("blue", answers(0, -1, 3))
        assert bench.words() == []
        bench.fire("green")
        assert len(bench.words()) == 4
        bench.offer("blue", answers(0, 3, 5))
        return bench

    bench = late_candidate()
    bench.say("pause")
    assert bench.words() == ["4 blue late", "5 blue late"]
    bench = late_candidate()
    again = bench.deploy("green")
    bench.control()
    bench.say("shift", candidate=again, weight=10_000)
    assert bench.words() == []
    bench = late_candidate()
    bench.say("promote", candidate=1)
    assert bench.words() == [], "live is waited for as long as it takes"


def test_P18_where_the_limit_ends_a_run_nobody_is_late() -> None:
    """It looked at one of green's batches; the other one holds what it seems to wait for."""
    bench = Bench()
    bench.say("shift", candidate=1, weight=10_000)
    bench.offer("blue", answers(0, -1, 9, errors=[0]))
    bench.offer("green", answers(1, -1, 1), answers(1, 1, 9))
    assert words([bench.advance(limit=1)]) == ["0 green route", "1 green route"]
    assert bench.partition.deadline() is None
    bench.say("promote", candidate=1)
    assert bench.partition.deadline() is None
    assert len(bench.words()) == 8


def test_P18_live_without_anyone_to_stand_in_has_no_deadline() -> None:
    bench = Bench(late_live_ms=500)
    bench.say("shift", candidate=1, weight=1)
    bench.offer("green", answers(1, -1, 3))
    assert bench.words() == []
    assert bench.partition.waiting == Waiting(0, "live", "answer", "other")
    assert bench.partition.deadline() is None
