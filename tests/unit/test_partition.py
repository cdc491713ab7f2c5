"""P13-P20, P28: one partition of the publisher, from batches and commands to records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from partition_bench import HOME, Bench, letters, outcome, words
from partition_walk import World, walks
from predictions import answers, fetched, key, value

from streambg.control.state import ControlState
from streambg.publishing.partition import MAX_WAITING_BYTES, MAX_WAITING_ROWS, Partition
from streambg.publishing.settle import Waiting
from streambg.records.bucket import bucket, identity
from streambg.records.cutover import Cutover, PublisherPosition
from streambg.records.outcome import Outcome
from streambg.records.source import COLORS


@settings(max_examples=150, deadline=None)
@given(walks())
def test_P14_to_P29_one_partition_under_every_interleaving(world: World) -> None:
    """Scorers, zombies, commands, crashes, late colors and lost positions in any order; judged by what is committed."""
    world.judge()
    world.heal()
    world.judge()
    world.judge_that_all_is_settled()


# -- P13, P15: what a record says --------------------------------------------------------------------------------------


def test_P15_a_record_has_the_answers_bytes_key_time_and_one_header_and_the_forwarded_ones() -> None:
    bench = Bench()
    trace = [[("traceparent", b"t%d" % row)] for row in range(2)]
    bench.offer("blue", answers(0, -1, 1, forwarded=list(trace)))
    records = bench.advance()
    assert records.values == [value(0, 0), value(0, 1)]
    assert records.keys == [None, b"key1"]
    assert records.times == [50_000, 50_001]
    assert [headers[1:] for headers in records.headers] == trace
    told = outcome(records.headers[1])
    assert (told.source, told.color, told.model, told.epoch) == (("in", 3, 1), "blue", "m:0", 1)
    assert records.counts == {("blue", "route"): 2}


@pytest.mark.parametrize("name", [None, "f"])
def test_P13_the_bucket_is_of_the_key_or_the_field_and_of_the_source_position_where_that_is_null(
    name: str | None,
) -> None:
    bench = Bench(bucket_field=name)
    bench.say("shift", candidate=1, weight=5_000)
    column: list[Any] = ["x", None, "y", 7, None, "x"] * 10
    for color, deployment in zip(COLORS, (0, 1), strict=True):
        bench.offer(color, answers(deployment, -1, 59, column=list(column)))
    expected = []
    for offset in range(60):
        field = str(column[offset]).encode() if column[offset] else None
        own = key(offset) if name is None else field
        under = bucket(1, own if own is not None else identity("in", 3, offset)) < 5_000
        expected.append(f"{offset} {'green' if under else 'blue'} route")
    assert bench.words() == expected
    assert len({word.split()[1] for word in expected}) == 2


# -- P14, P16: who may stand in ----------------------------------------------------------------------------------------


def test_P16_after_a_promote_the_warm_color_stands_in_until_it_is_retired() -> None:
    bench = Bench()
    bench.say("promote", candidate=1)
    bench.offer("green", answers(1, -1, 9, errors=[1, 7]))
    bench.offer("blue", answers(0, -1, 9))
    assert words([bench.advance(3)])[1] == "1 blue error"
    bench = Bench()
    bench.say("promote", candidate=1)
    bench.say("retire", color="blue")
    bench.offer("green", answers(1, -1, 3, errors=[1]))
    bench.offer("blue", answers(0, -1, 3))
    assert letters(bench.everything()) == [(1, "green", {"green": "no answer from 1", "blue": "none"})]


def test_P16_an_aborted_candidate_is_neither_chosen_nor_a_fallback() -> None:
    bench = Bench(live_failed="candidate")
    bench.say("shift", candidate=1, weight=10_000)
    bench.say("abort")
    bench.offer("green", answers(1, -1, 3))
    bench.offer("blue", answers(0, -1, 3, errors=[2]))
    runs = bench.everything()
    assert words(runs) == ["0 blue route", "1 blue route", "3 blue route"]
    assert letters(runs) == [(2, "blue", {"blue": "no answer from 0", "green": "none"})]


@pytest.mark.parametrize(
    ("live_failed", "weight", "allowed"), [("candidate", 1, True), ("candidate", 0, False), ("dead-letter", 1, False)]
)
def test_P16_live_falls_back_to_the_candidate_at_weight_above_0_and_where_declared(
    live_failed: str, weight: int, allowed: bool
) -> None:
    bench = Bench(live_failed=live_failed)
    if weight:
        bench.say("shift", candidate=1, weight=weight)
    bench.offer("green", answers(1, -1, 3))
    bench.offer("blue", answers(0, -1, 3, errors=[2]))
    runs = bench.everything()
    assert ("2 green error" in words(runs)) == allowed
    assert len(letters(runs)) == (not allowed)


def test_P16_promote_rollback_and_abort_take_effect_at_settled_plus_1() -> None:
    bench = Bench()
    for color, deployment in zip(COLORS, (0, 1), strict=True):
        bench.offer(color, *(answers(deployment, last - 2, last) for last in range(1, 16, 2)))
    said = []
    for verb, args in [("", {}), ("promote", {"candidate": 1}), ("rollback", {}), ("abort", {})]:
        if verb:
            bench.say(verb, **args)
        records = bench.advance(4)
        assert records.cutover is not None
        assert {outcome(headers).epoch for headers in records.headers} == {records.cutover.epoch}
        said.append((records.cutover.first, outcome(records.headers[0]).color, records.cutover.epoch))
    assert said == [(0, "blue", 1), (4, "green", 2), (8, "blue", 3), (12, "blue", 4)]


def test_P16_a_promote_of_a_candidate_that_begins_above_settled_is_bridged_by_the_warm_color() -> None:
    bench = Bench()
    bench.offer("green", answers(1, 5, 9))
    bench.say("promote", candidate=1)
    assert bench.words() == []
    bench.offer("blue", answers(0, -1, 2), answers(0, 2, 6))
    assert bench.words() == [f"{o} blue absent" for o in range(6)] + [f"{o} green route" for o in range(6, 10)]


def test_P14_live_whose_answers_begin_above_settled_is_never_passed_in_silence() -> None:
    """P29: a rescore, seeded at settled + 1, is the way out."""
    bench = Bench(green=False)
    bench.offer("blue", answers(0, 5, 9), answers(0, 9, 12))
    assert bench.words() == []
    assert bench.partition.waiting == Waiting(0, "live", "answer", None)
    again = bench.log.say("deploy", color="blue", model="m:9", digest=_live_digest(bench), rules=bench.rules, rescore=True)
    assert again.accepted, again.refusal
    bench.control()
    bench.offer("blue", answers(again.offset, -1, 12))
    assert bench.words() == [f"{o} blue route" for o in range(13)]


def _live_digest(bench: Bench) -> str:
    live = bench.log.fold.state.live_deployment
    assert live is not None
    return live.digest


def test_P1_a_candidate_deployed_again_at_a_weight_above_0_starts_at_weight_0() -> None:
    bench = Bench()
    bench.say("shift", candidate=1, weight=10_000)
    bench.offer("blue", answers(0, -1, 9))
    bench.offer("green", answers(1, -1, 3))
    assert bench.words() == [f"{o} green route" for o in range(4)]
    again = bench.deploy("green")
    bench.control()
    bench.offer("green", answers(1, 3, 9), answers(again, 3, 9))
    assert bench.words() == [f"{o} blue route" for o in range(4, 10)]
    assert bench.partition.answers["green"].dropped == {"replaced": 1}


# -- P17: dead letters -------------------------------------------------------------------------------------------------


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
    bench = Bench()
    bench.say("shift", candidate=1, weight=5_000)
    under = [offset for offset in range(1, 6) if bucket(1, key(offset) or b"") < 5_000]
    bench.offer("blue", answers(0, 0, 5, errors=range(6)), answers(0, -1, 5))
    assert 0 < len(under) < 5
    bench.offer("blue", answers(0, -1, 5))
    del bench
    bench = Bench()
    bench.say("shift", candidate=1, weight=5_000)
    bench.offer("blue", answers(0, -1, 5, range(1, 6), errors=range(1, 6)))
    runs = bench.everything()
    bench.fire("green")
    runs += bench.everything()
    expected = [(o, "green" if o in under else "blue", "late" if o in under else "none") for o in range(1, 6)]
    assert [(o, chosen, reasons["green"]) for o, chosen, reasons in letters(runs)] == expected


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


def test_P18_a_color_that_lags_on_is_not_waited_for_once_an_event() -> None:
    """Whether an answer or a row to stand in is awaited: it is one color with one deadline."""
    bench = Bench(live_failed="candidate", late_candidate_ms=2_000)
    bench.say("shift", candidate=1, weight=5_000)
    bench.offer("blue", answers(0, -1, 30, errors=range(3, 31, 3)))
    waits = 0
    while bench.partition.settled < 30:
        bench.everything()
        if bench.partition.settled < 30:
            bench.fire("green")
            waits += 1
    assert waits == 1


def test_P18_a_late_live_color_is_not_waited_for_once_an_event() -> None:
    bench = Bench(late_live_ms=500)
    bench.say("promote", candidate=1)
    bench.say("rollback")
    bench.say("shift", candidate=1, weight=5_000)
    assert bench.partition.deadline() is None


def test_P18_no_command_lets_an_old_deadline_fire_at_the_other_color() -> None:
    bench = Bench()
    bench.say("shift", candidate=1, weight=10_000)
    bench.offer("blue", answers(0, -1, 3))
    assert bench.words() == []
    assert bench.partition.deadline() is not None
    bench.say("promote", candidate=1)
    assert bench.partition.deadline() is None, "what it waits for is not known before it has looked"


def test_P18_live_without_anyone_to_stand_in_has_no_deadline() -> None:
    bench = Bench(late_live_ms=500)
    bench.say("shift", candidate=1, weight=1)
    bench.offer("green", answers(1, -1, 3))
    assert bench.words() == []
    assert bench.partition.waiting == Waiting(0, "live", "answer", "other")
    assert bench.partition.deadline() is None


# -- P19: cutovers -----------------------------------------------------------------------------------------------------


def test_P19_several_commands_between_transactions_yield_one_cutover_for_the_last() -> None:
    bench = Bench()
    bench.offer("blue", answers(0, -1, 3))
    assert bench.advance().cutover == Cutover(3, 1, 0, "topic-id", "cluster-id", 0)
    for weight in (1, 2, 3):
        epoch = bench.say("shift", candidate=1, weight=weight)
    assert bench.partition.pending_epoch, "idle: it comes with the next event"
    assert bench.partition.advance(10) is None
    bench.offer("blue", answers(0, 3, 6, []), answers(0, 6, 8))
    bench.offer("green", answers(1, -1, 8))
    assert [records.cutover for records in bench.everything() if len(records)] == [
        Cutover(3, epoch, 4, "topic-id", "cluster-id")
    ]
    assert not bench.partition.pending_epoch


def test_P19_offsets_without_an_event_move_settled_and_no_cutover() -> None:
    bench = Bench()
    bench.offer("blue", answers(0, -1, 3, []))
    records = bench.advance()
    assert (len(records), records.cutover, bench.partition.settled) == (0, None, 3)
    bench.offer("blue", answers(0, 3, 4))
    cutover = bench.advance().cutover
    assert cutover == Cutover(3, 1, 4, "topic-id", "cluster-id", 0), "the origin is the first offset owed"


# -- P20, P26, P28 -----------------------------------------------------------------------------------------------------


def test_P20_limits_are_per_color_and_one_batch_may_always_wait() -> None:
    bench = Bench()
    big = fetched(0, answers(1, -1, MAX_WAITING_ROWS))
    bench.partition.offer("green", big)
    assert not bench.partition.overfull("green"), "an empty queue may take any one batch"
    bench.partition.offer("green", fetched(1, answers(1, MAX_WAITING_ROWS, MAX_WAITING_ROWS + 1)))
    assert bench.partition.overfull("green")
    assert not bench.partition.overfull("blue")
    assert not bench.partition.roomy("green")
    bench.offer("blue", answers(0, -1, MAX_WAITING_ROWS))
    bench.everything()
    assert bench.partition.roomy("green")
    assert bench.partition.answers["green"].bytes < MAX_WAITING_BYTES


def test_P26_positions_say_settled_epoch_writer_and_the_fold_at_the_position() -> None:
    bench = Bench()
    bench.offer("blue", answers(0, -1, 3), answers(0, 3, 6, errors=[5]))
    bench.offer("green", answers(1, 1, 2))
    bench.advance(4)
    assert bench.partition.positions("tx") == {
        "blue": (1, PublisherPosition(3, 1, "tx", 0, 3, -1)),
        "green": (1, PublisherPosition(3, 1, "tx", 1, 2, 1)),
    }


def test_P28_a_partition_taken_up_before_the_first_deploy_begins_where_that_deploy_says() -> None:
    partition = Partition(HOME, -1, -1, {"blue": (0, None), "green": (0, None)}, 0)
    partition.control(ControlState(), -1)
    assert partition.advance(10) is None
    bench = Bench()
    entry = bench.log.__class__().deploy("blue", "m:1", start={"3": 500}, rules=bench.rules)
    partition.control(entry.state, entry.offset)
    partition.offer("blue", fetched(0, answers(0, 499, 503)))
    records = partition.advance(10)
    assert records is not None
    assert records.cutover == Cutover(3, 0, 500, "topic-id", "cluster-id", 500)
    assert len(records) == 4
