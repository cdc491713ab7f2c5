"""P24-P29: where a partition goes on after an assignment, from what was read about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from control_log import Log

from streambg.errors import Gap
from streambg.publishing.outcomes import Home
from streambg.publishing.resume import Committed, Facts, Resume, Tail, epoch_floor, missing_record, needed_epoch, plan
from streambg.publishing.superseding import Progress, Superseding
from streambg.records.coverage import Coverage
from streambg.records.cutover import Cutover, PublisherPosition, Superseded
from streambg.records.source import Color

NOTHING = Committed(None, None)


def control() -> Log:
    """Blue (deployment 0) is live and began at 500 in partition 3, green (deployment 1) is the candidate."""
    log = Log()
    assert log.deploy("blue", "m:1", start={"3": 500}).accepted
    assert log.deploy("green", "m:2").accepted
    return log


STATE = control().fold.state


def committed(offset: int, settled: int, epoch: int, deployment: int, covered: int | None) -> Committed:
    return Committed(offset, PublisherPosition(settled, epoch, "tx", deployment, covered, 499))


BOTH: Mapping[Color, Committed] = {"blue": committed(7, 600, 1, 0, 590), "green": committed(5, 600, 1, 1, 580)}
NEITHER: Mapping[Color, Committed] = {"blue": NOTHING, "green": NOTHING}


def cutover(epoch: int, first: int, topic_id: str = "topic-id") -> Cutover:
    return Cutover(3, epoch, first, topic_id, "cluster-id", 500 if epoch == 0 else None)


CUTOVERS = [cutover(0, 500), cutover(1, 550)]
FACTS = Facts(3, BOTH, Tail(600, 1), CUTOVERS, {"blue": (0, 9), "green": (0, 9)}, "topic-id", "cluster-id")


def test_P26_it_goes_on_at_the_committed_positions_with_the_fold_they_hold() -> None:
    starts: dict[Color, tuple[int, Coverage | None]] = {
        "blue": (7, Coverage(0, 590, 499)),
        "green": (5, Coverage(1, 580, 499)),
    }
    assert plan(FACTS, STATE) == Resume(600, 1, starts, None, ())


def test_P26_a_position_without_a_deployment_holds_no_fold() -> None:
    facts = replace(FACTS, committed={**BOTH, "green": committed(0, 600, 1, -1, None)})
    assert plan(facts, STATE).starts["green"] == (0, None)


@pytest.mark.parametrize(
    ("tail", "settled", "epoch", "alarms"),
    [
        (Tail(600, 1), 600, 1, 0),
        (Tail(590, 1), 600, 1, 0),  # offsets without an event follow the last outcome
        (None, 600, 1, 0),  # retention took the outcomes
        (Tail(650, 1), 650, 1, 1),  # a commit whose positions were lost
        (Tail(650, 4), 650, 4, 1),
        (Tail(650, 0), 650, 1, 1),
        (Tail(600, 4), 600, 4, 0),
    ],
)
def test_P25_resume_at_the_larger_of_tail_and_settled_with_the_larger_epoch(
    tail: Tail | None, settled: int, epoch: int, alarms: int
) -> None:
    got = plan(replace(FACTS, tail=tail), STATE)
    assert (got.settled, got.epoch, len(got.alarms)) == (settled, epoch, alarms)
    assert {color: start for color, (start, _) in got.starts.items()} == {"blue": 7, "green": 5}


def test_P25_the_color_that_was_committed_last_says_how_far_it_was() -> None:
    facts = replace(FACTS, tail=None, committed={**BOTH, "green": committed(5, 610, 2, 1, 580)})
    assert (plan(facts, STATE).settled, plan(facts, STATE).epoch) == (610, 2)


def test_P25_outcomes_below_the_first_cutover_of_this_topic_belong_to_an_earlier_one() -> None:
    assert epoch_floor([cutover(0, 500, "old-id"), cutover(3, 0), cutover(5, 9)], "topic-id") == 3
    assert epoch_floor([], "topic-id") == -1


@pytest.mark.parametrize(
    ("tail", "deployment", "needed"), [(Tail(600, 1), 0, 1), (None, 0, 1), (Tail(650, 4), 0, 4), (None, 9, 9)]
)
def test_P24_the_control_log_must_be_folded_to_what_the_positions_and_the_tail_know(
    tail: Tail | None, deployment: int, needed: int
) -> None:
    """A deployment is a control offset too: its batches were folded, so the log went that far."""
    facts = replace(FACTS, tail=tail, committed={**BOTH, "green": committed(5, 600, 1, deployment, None)})
    assert needed_epoch(facts) == needed
    assert needed_epoch(replace(FACTS, committed=NEITHER, tail=None)) == -1


# -- P27: missing positions --------------------------------------------------------------------------------------------


def test_P27_missing_positions_with_a_tail_start_at_the_beginning_of_the_predictions() -> None:
    facts = replace(FACTS, committed=NEITHER, log={"blue": (2, 9), "green": (4, 9)})
    got = plan(facts, STATE)
    assert (got.settled, got.epoch, got.origin) == (600, 1, None)
    assert got.starts == {"blue": (2, None), "green": (4, None)}
    assert "no committed position" in got.alarms[0]


def test_P27_one_missing_position_starts_at_the_beginning_and_the_other_says_what_is_settled() -> None:
    got = plan(replace(FACTS, committed={**BOTH, "blue": NOTHING}, log={"blue": (2, 9), "green": (4, 9)}), STATE)
    assert got.starts == {"blue": (2, None), "green": (5, Coverage(1, 580, 499))}
    assert got.settled == 600
    assert any("blue" in alarm for alarm in got.alarms)


def test_P27_no_tail_and_no_cutover_record_is_fresh() -> None:
    got = plan(replace(FACTS, committed=NEITHER, tail=None, cutovers=[]), STATE)
    assert got == Resume(499, -1, {"blue": (0, None), "green": (0, None)}, 500, ())
    new_partition = replace(FACTS, partition=8, committed=NEITHER, tail=None, cutovers=[])
    assert (plan(new_partition, STATE).settled, plan(new_partition, STATE).origin) == (-1, 0)


def test_P27_no_tail_but_a_cutover_record_halts() -> None:
    with pytest.raises(Gap, match="a cutover record of epoch 1") as raised:
        plan(replace(FACTS, committed=NEITHER, tail=None), STATE)
    assert "accept-gap" in raised.value.way_out


def test_P29_an_accepted_gap_says_where_to_go_on_where_nothing_else_does() -> None:
    log = control()
    assert log.say("accept-gap", partition=3, first=640, end=700).accepted
    facts = replace(FACTS, committed=NEITHER, tail=None)
    got = plan(facts, log.fold.state)
    assert (got.settled, got.epoch, got.rereads) == (639, 1, {})
    assert "accepted gap" in got.alarms[0]
    later = replace(facts, cutovers=[*CUTOVERS, cutover(2, 610)])
    with pytest.raises(Gap, match="a cutover record of epoch 2"):
        plan(later, log.fold.state)  # what was published since that gap is unknown
    with pytest.raises(Gap, match="what was published is unknown"):
        plan(replace(facts, partition=4), log.fold.state)


def test_P25_a_missing_cutover_record_is_owed_from_the_first_position_stamped_with_the_tails_epoch() -> None:
    assert missing_record(Tail(600, 1), [cutover(0, 500)], "topic-id")
    assert missing_record(Tail(600, 1), [cutover(0, 500), cutover(1, 550, "old-id")], "topic-id")
    assert not missing_record(Tail(600, 1), CUTOVERS, "topic-id")
    assert plan(replace(FACTS, cutovers=CUTOVERS[:1], stamped_from=551), STATE).unrecorded == (1, 551)
    lost = plan(replace(FACTS, cutovers=[], stamped_from=551), STATE)
    assert (lost.unrecorded, lost.origin) == ((1, 551), 500)
    assert plan(FACTS, STATE).unrecorded is None


def test_P27_colors_without_a_position_are_read_again_and_must_lead_on() -> None:
    got = plan(replace(FACTS, committed={**BOTH, "blue": NOTHING}, log={"blue": (2, 9), "green": (4, 9)}), STATE)
    assert got.rereads == {"blue": (2, 9)}
    assert plan(replace(FACTS, committed=NEITHER, tail=None, cutovers=[]), STATE).rereads == {}


def test_P27_a_partition_that_claimed_its_positions_and_published_nothing_still_owes_its_origin() -> None:
    claimed: dict[Color, Committed] = {"blue": committed(0, 499, -1, 0, None), "green": committed(0, 499, -1, 1, None)}
    got = plan(replace(FACTS, committed=claimed, tail=None, cutovers=[]), STATE)
    assert (got.settled, got.epoch, got.origin, got.alarms) == (499, -1, 500, ())


def test_D4_an_input_topic_that_was_made_again_halts() -> None:
    """P4 and P25 bind the offsets to the topic id that the cutovers name."""
    for committed_ones, tail in [(BOTH, FACTS.tail), (NEITHER, FACTS.tail), (NEITHER, None)]:
        with pytest.raises(Gap, match="deleted and made again") as raised:
            plan(replace(FACTS, topic_id="another-id", committed=committed_ones, tail=tail), STATE)
        assert "new pipeline" in raised.value.way_out


# -- P27, P29: predictions that are gone -------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [(8, 9), (0, 6)])
def test_P27_predictions_of_live_that_are_gone_halt(log: tuple[int, int]) -> None:
    with pytest.raises(Gap, match=r"blue's predictions reach from \d to \d, the committed position is 7") as raised:
        plan(replace(FACTS, log={**FACTS.log, "blue": log}), STATE)
    assert "--rescore" in raised.value.way_out


def test_P29_a_rescore_is_the_way_out_of_lost_predictions_of_live() -> None:
    """The position belongs to a deployment that is no longer in force: its predictions are not owed any more."""
    log = control()
    assert log.deploy("blue", "m:1", rescore=True).accepted
    got = plan(replace(FACTS, log={**FACTS.log, "blue": (8, 9)}), log.fold.state)
    assert got.settled == 600
    assert got.starts["blue"] == (8, None)
    assert len(got.alarms) == 1


def test_P27_lost_predictions_of_the_candidate_are_an_alarm_and_its_fold_never_jumps() -> None:
    got = plan(replace(FACTS, log={**FACTS.log, "green": (6, 9)}), STATE)
    assert got.starts["green"] == (6, Coverage(1, 580, 499))
    assert len(got.alarms) == 1
    assert "green" in got.alarms[0]


@pytest.mark.parametrize("log", [(7, 7), (7, 9), (0, 7)])
def test_P26_a_position_at_either_end_of_the_log_is_no_gap(log: tuple[int, int]) -> None:
    assert plan(replace(FACTS, log={**FACTS.log, "blue": log}), STATE).starts["blue"][0] == 7


def test_P36_superseding_goes_on_where_it_was_and_what_is_not_recorded_any_more_counts_as_done() -> None:
    log = control()
    one = {"partition": 3, "first": 510, "end": 520, "answers_first": 0, "answers_end": 9, "covered": 509}
    assert log.say("supersede", color="blue", deployment=0, ranges=[one]).accepted
    state = log.fold.state
    assert plan(FACTS, state).superseded == Progress(), "not begun"
    told = replace(FACTS, superseded=Superseded(3, 2, 514, 4))
    assert plan(told, state).superseded == Progress(2, 514, 4)
    assert needed_epoch(told) == 2
    published = replace(FACTS, tail=Tail(700, 2), cutovers=[])
    got = plan(published, state)
    assert (got.superseded.epoch, got.superseded.recorded) == (2, False)
    assert any("taken for done" in alarm for alarm in got.alarms)
    partition = Superseding(Home("sensors", 3, "topic-id", "cluster-id"), got.superseded)
    partition.control(state)
    assert partition.errand(10_000) is None
    note = partition.unrecorded()
    assert note is not None
    assert partition.unrecorded() is None
    again = plan(replace(published, superseded=note), state)
    assert not any("taken for done" in alarm for alarm in again.alarms), "it is said once"
    assert plan(replace(FACTS, cutovers=[]), state).superseded == Progress(), "commanded behind the last outcome"
