"""P13-P16, P19, P20, P26, P28: one partition of the publisher, from batches and commands to records."""

from __future__ import annotations

from typing import Any

import pytest
from control_log import Log
from partition_bench import HOME, Bench, letters, outcome, words
from predictions import answers, fetched, key, value

from streambg.control.state import ControlState
from streambg.errors import Gap
from streambg.publishing.partition import MAX_WAITING_BYTES, MAX_WAITING_ROWS, WIDE, Partition, waiting_rows
from streambg.publishing.settle import Waiting
from streambg.records.batch import Batch
from streambg.records.bucket import bucket, identity
from streambg.records.coverage import Coverage
from streambg.records.cutover import Cutover, PublisherPosition
from streambg.records.source import COLORS, Color

GAP = {"blue": "gap", "green": "gap"}

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


@pytest.mark.parametrize("errors", [(), (3,)])
@pytest.mark.parametrize("weight", [0, 5_000, 10_000])
def test_P15_what_is_forwarded_comes_from_the_row_that_is_published(weight: int, errors: tuple[int, ...]) -> None:
    """Whether every row is published as routed, or one of them is not."""
    bench = Bench()
    if weight:
        bench.say("shift", candidate=1, weight=weight)
    bench.offer("blue", answers(0, -1, 9, forwarded=[[("from", b"blue %d" % row)] for row in range(10)]))
    bench.offer("green", answers(1, -1, 9, forwarded=[[("from", b"green %d" % o)] for o in range(10)], errors=errors))
    runs = bench.everything()
    for records in runs:
        for index, (_, forwarded) in enumerate(records.headers):
            told = outcome(records.headers[index])
            assert forwarded == ("from", f"{told.color} {told.source.offset}".encode())
            deployment = 0 if told.color == "blue" else 1
            assert records.values[index] == value(deployment, told.source.offset)
            assert records.times[index] == 50_000 + told.source.offset
    assert sum(len(records.values) for records in runs) == 10


@pytest.mark.parametrize(("more", "color"), [(0, "blue"), (1, "green")])
def test_P3_the_candidate_gets_the_buckets_below_its_weight(more: int, color: str) -> None:
    bench = Bench()
    bench.say("shift", candidate=1, weight=bucket(1, key(1) or b"") + more)
    bench.offer("blue", answers(0, -1, 1, [1]))
    bench.offer("green", answers(1, -1, 1, [1]))
    assert bench.words() == [f"1 {color} route"]


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
        (cutover,) = records.cutovers
        assert {outcome(headers).epoch for headers in records.headers} == {cutover.epoch}
        said.append((cutover.first, outcome(records.headers[0]).color, cutover.epoch))
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
    live = bench.log.fold.state.live_deployment
    assert live is not None
    again = bench.log.deploy("blue", live.model, rules=bench.rules, rescore=True)
    assert again.accepted, again.refusal
    bench.control()
    bench.offer("blue", answers(again.offset, -1, 12))
    assert bench.words() == [f"{o} blue route" for o in range(13)]


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


# -- P19: cutovers -----------------------------------------------------------------------------------------------------


def test_P19_several_commands_between_transactions_yield_one_cutover_for_the_last() -> None:
    bench = Bench()
    bench.offer("blue", answers(0, -1, 3))
    assert bench.advance().cutovers == (Cutover(3, 1, 0, "topic-id", "cluster-id", 0),)
    for weight in (1, 2, 3):
        epoch = bench.say("shift", candidate=1, weight=weight)
    assert bench.partition.pending_epoch, "idle: it comes with the next event"
    assert bench.partition.advance(10) is None
    bench.offer("blue", answers(0, 3, 6, []), answers(0, 6, 8))
    bench.offer("green", answers(1, -1, 8))
    assert [cutover for records in bench.everything() for cutover in records.cutovers] == [
        Cutover(3, epoch, 4, "topic-id", "cluster-id")
    ]
    assert not bench.partition.pending_epoch


def test_P19_offsets_without_an_event_move_settled_and_no_cutover() -> None:
    bench = Bench()
    bench.offer("blue", answers(0, -1, 3, []))
    records = bench.advance()
    assert (len(records), records.cutovers, bench.partition.settled) == (0, (), 3)
    bench.offer("blue", answers(0, 3, 4))
    (cutover,) = bench.advance().cutovers
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


def test_P20_a_member_of_few_partitions_lets_more_wait_in_each() -> None:
    bench = Bench()
    for number in range(3):
        first = number * MAX_WAITING_ROWS
        bench.partition.offer("green", fetched(number, answers(1, first - 1, first + MAX_WAITING_ROWS - 1)))
    full = {among for among in (1, 4, 5, 6, 8, 16, 64) if bench.partition.overfull("green", among)}
    assert full == {5, 6, 8, 16, 64}, "three times a wide member's share: what one of five partitions may have"
    assert [waiting_rows(among) * among for among in (1, 2, 16)] == [WIDE * MAX_WAITING_ROWS] * 3


def test_P26_positions_say_settled_epoch_writer_and_the_fold_at_the_position() -> None:
    bench = Bench()
    bench.offer("blue", answers(0, -1, 3), answers(0, 3, 6, errors=[5]))
    bench.offer("green", answers(1, 1, 2))
    bench.advance(4)
    assert bench.partition.positions("tx") == {
        "blue": (1, PublisherPosition(3, 1, "tx", 0, 3, -1)),
        "green": (1, PublisherPosition(3, 1, "tx", 1, 2, 1)),
    }


def test_P20_a_color_that_catches_up_below_settled_does_not_fill_its_queue() -> None:
    """Else it is paused, and what the head waits for is never read: nothing would move again."""
    bench = Bench()
    bench.offer("blue", answers(0, -1, MAX_WAITING_ROWS + 5))
    bench.everything()
    bench.say("shift", candidate=1, weight=10_000)
    bench.offer("blue", answers(0, MAX_WAITING_ROWS + 5, MAX_WAITING_ROWS + 9))
    assert bench.words() == []
    for last in range(999, MAX_WAITING_ROWS, 1_000):
        bench.offer("green", answers(1, last - 1_000, last))
        assert bench.partition.answers["green"].rows == 0
        assert not bench.partition.overfull("green")


def test_P20_what_was_blocked_and_lies_below_settled_is_dropped_once_it_is_judged() -> None:
    bench = Bench()
    bench.offer("blue", answers(0, -1, 9))
    bench.everything()
    again = bench.deploy("green")
    bench.offer("green", answers(again, -1, 5), answers(again, 5, 12))
    assert bench.partition.answers["green"].waiting_batches == 2
    bench.control()
    assert bench.partition.answers["green"].rows == 7
    assert bench.partition.positions("tx")["green"] == (1, PublisherPosition(9, 1, "tx", again, 5, -1))


def test_P28_a_partition_taken_up_before_the_first_deploy_begins_where_that_deploy_says() -> None:
    """P11, P27: the origin is in the control log, which said nothing yet when the partition was assigned."""
    partition = Partition(HOME, -1, -1, {"blue": (0, None), "green": (0, None)}, 0)
    partition.control(ControlState(), -1)
    assert partition.advance(10) is None
    entry = Log().deploy("blue", "m:1", start={"3": 500})
    partition.control(entry.state, entry.offset)
    assert partition.positions("tx")["blue"][1].settled == 499
    partition.offer("blue", fetched(0, answers(0, 499, 503)))
    records = partition.advance(10)
    assert records is not None
    assert records.cutovers == (Cutover(3, 0, 500, "topic-id", "cluster-id", 500),)
    assert len(records) == 4


# -- P25, P27, P29: records and answers that are gone ------------------------------------------------------------------


def test_P29_the_events_of_an_accepted_gap_become_dead_letters_and_answering_goes_on_behind_it() -> None:
    bench = Bench()
    bench.offer("blue", answers(0, -1, 3))
    bench.everything()
    epoch = bench.say("accept-gap", partition=3, first=4, end=10)
    assert bench.partition.gap == (4, 10)
    bench.offer("blue", answers(epoch, 9, 12))
    assert bench.partition.advance(10) is None, "the gap comes first"
    runs = [bench.partition.give_up([4, 6], [key(4), key(6)], 6)]
    assert [cutover.first for cutover in runs[0].cutovers] == [4]
    assert bench.partition.gap == (7, 10)
    runs.append(bench.partition.give_up([], [], 9))
    assert (bench.partition.gap, bench.partition.settled) == (None, 9)
    assert letters(runs) == [(4, "blue", GAP), (6, "blue", GAP)]
    assert [one for one, _ in runs[0].dead_letters] == [key(4), key(6)]
    assert bench.words() == ["10 blue route", "11 blue route", "12 blue route"]


def test_P29_a_gap_elsewhere_or_settled_already_is_none() -> None:
    bench = Bench()
    bench.say("accept-gap", partition=2, first=0, end=9)
    assert bench.partition.gap is None
    epoch = bench.say("accept-gap", partition=3, first=0, end=0)
    bench.offer("blue", answers(epoch, -1, 3))
    bench.everything()
    assert (bench.partition.gap, bench.partition.settled) == (None, 3)


def test_P29_a_gap_that_begins_above_settled_halts_with_the_way_out() -> None:
    bench = Bench()
    bench.say("accept-gap", partition=3, first=5, end=9)
    with pytest.raises(Gap, match="begins at 5, settled is -1: 2 would be skipped") as raised:
        bench.partition.give_up([2, 5], [key(2), key(5)], 5)
    assert raised.value.way_out == "streambg accept-gap 3 --from 0 --to 9"
    bench.partition.give_up([5], [key(5)], 8)
    assert bench.partition.settled == 8, "no event lies between"


def test_P25_a_missing_cutover_record_is_written_before_the_next_ones() -> None:
    bench = Bench()
    bench.partition = Partition(HOME, 20, 0, {"blue": (0, None), "green": (0, None)}, 7, (0, 9))
    bench.control()
    bench.offer("blue", answers(0, 20, 22))
    assert bench.advance().cutovers == (
        Cutover(3, 0, 9, "topic-id", "cluster-id", 7),
        Cutover(3, 1, 21, "topic-id", "cluster-id"),
    )


@pytest.mark.parametrize(
    ("log", "batches", "words"),
    [
        ((5, 7), [answers(0, 22, 25)], "begin above 22"),  # what led from 20 to 22 was deleted
        ((5, 7), [answers(0, 15, 21), answers(0, 23, 25)], "reach 21 and go on above 23"),
        ((5, 9), [answers(0, 15, 21), answers(0, 23, 25), answers(0, 21, 26)], ""),  # closed before the log's end
        ((5, 7), [answers(0, 15, 21)], ""),
        ((0, 7), [answers(0, 22, 25)], ""),  # nothing was deleted: a deployment may begin there (P9)
        ((5, 6), [answers(0, 15, 21), answers(0, 23, 25)], ""),  # a hole that came since is the scorer's to close (P8)
        ((5, 5), [answers(0, 22, 25)], ""),  # the deployment has begun since
    ],
)
def test_P27_answers_that_are_read_again_must_lead_on_from_settled(
    log: tuple[int, int], batches: list[Batch], words: str
) -> None:
    bench = Bench()
    starts: dict[Color, tuple[int, Coverage | None]] = {"blue": (log[0], None), "green": (0, None)}
    bench.partition = Partition(HOME, 20, 1, starts, None, None, {"blue": log})
    bench.control()
    bench.lengths["blue"] = log[0]
    bench.offer("blue", *batches)
    if not words:
        bench.everything()
        return
    with pytest.raises(Gap, match=words) as raised:
        bench.everything()
    assert "--rescore" in raised.value.way_out
