"""P36: what a `supersede` asks of a partition, and what a person means by a range."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from control_log import Log
from hypothesis import given
from hypothesis import strategies as st
from predictions import answers, fetched, value

from streambg.control.commands import MAX_SUPERSEDED
from streambg.control.state import ControlState, SupersededRange
from streambg.errors import Refused
from streambg.publishing.outcomes import Home
from streambg.publishing.superseding import Progress, Stored, Superseding
from streambg.publishing.tail import Settlements
from streambg.records.batch import Batch, Head
from streambg.records.coverage import Coverage, Take
from streambg.records.cutover import Cutover, Superseded
from streambg.records.outcome import parse_header
from streambg.status.collect import under_way
from streambg.status.report import Superseding as Shown
from streambg.superseding import plan
from streambg.superseding.plan import Place

HOME = Home("sensors", 3, "topic-id", "cluster-id")


def one(first: int, end: int, **more: int) -> dict[str, int]:
    given = {"partition": 3, "first": first, "end": end, "answers_first": 0, "answers_end": 100, "covered": first - 1}
    return {**given, **more}


def commanded(*ranges: dict[str, int], color: str = "blue", deployment: int = 0) -> Log:
    log = Log()
    log.deploy("blue", "m:1")
    log.deploy("green", "m:2")
    entry = log.say("supersede", color=color, deployment=deployment, ranges=list(ranges))
    assert entry.accepted, entry.refusal
    return log


def partition(log: Log, progress: Progress | None = None) -> Superseding:
    found = Superseding(HOME, progress or Progress())
    found.control(log.fold.state)
    return found


def written(superseding: Superseding, stored: Stored, limit: int = 1_000) -> list[tuple[int, bytes]]:
    """(source offset, bytes) of all that comes out now."""
    found: list[tuple[int, bytes]] = []
    while (done := superseding.advance(stored, limit)) is not None:
        for said, one_value in zip(done[0].headers, done[0].values, strict=True):
            outcome = parse_header(said[0][1])  # type: ignore[arg-type] # bytes
            assert (outcome.color, outcome.model, outcome.why) == ("blue", "m:1", "supersedes")
            found.append((outcome.source.offset, one_value))
    return found


def offered(stored: Stored, *batches: Batch) -> Stored:
    for batch in batches:
        stored.offer(fetched(stored.next_offset, batch))
    return stored


# -- the command -------------------------------------------------------------------------------------------------------


def test_P36_the_command_is_recorded_and_moves_nothing() -> None:
    log = commanded(one(10, 20))
    state = log.fold.state
    [command] = state.supersessions
    assert (command.epoch, command.deployment.model, command.of(3)) == (
        2,
        "m:1",
        (SupersededRange(3, 10, 20, 0, 100, 9),),
    )
    assert (state.live, state.weight, state.rollout) == ("blue", 0, None)
    log.say("shift", candidate=1, weight=5_000)
    assert log.say("supersede", color="green", deployment=1, ranges=[one(10, 20)]).accepted
    assert (log.fold.state.live, log.fold.state.weight) == ("blue", 5_000)
    assert Log().say("supersede", color="blue", deployment=0, ranges=[one(1, 2)]).refusal == (
        "nothing is deployed: deploy a model first"
    )


def test_P36_the_same_request_is_refused_until_another_came_between() -> None:
    log = commanded(one(10, 20))
    again = {"color": "blue", "deployment": 0, "ranges": [one(10, 20, answers_end=200)]}
    assert log.say("supersede", **again).refusal == "that is what the command at epoch 2 asked for"
    assert log.say("supersede", color="blue", deployment=0, ranges=[one(50, 60)]).accepted
    assert not log.say("supersede", **again).accepted, "of other events"
    assert log.say("supersede", color="green", deployment=1, ranges=[one(15, 30)]).accepted
    assert log.say("supersede", **again).accepted


def test_P36_a_deployment_that_was_replaced_or_retired_has_its_answers_still() -> None:
    log = commanded(one(10, 20))
    log.deploy("green", "m:3")
    assert log.say("supersede", color="green", deployment=1, ranges=[one(10, 20)]).accepted
    assert log.fold.state.supersessions[-1].deployment.model == "m:2"
    assert log.say("supersede", color="blue", deployment=1, ranges=[one(10, 20)]).refusal == (
        "blue never had a deployment 1"
    )
    gap = log.say("accept-gap", partition=0, first=0, end=5).offset
    assert log.say("supersede", color="blue", deployment=0, ranges=[one(30, 40)]).accepted, "before the gap"
    assert log.say("supersede", color="blue", deployment=gap, ranges=[one(10, 20)]).accepted, "and behind it"


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([], "at least 1 item"),
        ([one(10, 10)], "is empty"),
        ([one(10, 20), one(15, 30)], "overlap at 15"),
        ([one(10, 20), one(5, 8)], "do not ascend"),
        ([one(0, MAX_SUPERSEDED + 1)], "at most 1000000 in one range"),
        ([{"partition": 0, "first": 1, "end": 2}], "answers_first"),
    ],
)
def test_P36_ranges_that_are_none_are_refused(ranges: list[dict[str, int]], words: str) -> None:
    log = commanded(one(1, 2))
    assert words in (log.say("supersede", color="blue", deployment=0, ranges=ranges).refusal or "")


# -- what a publisher writes -------------------------------------------------------------------------------------------


def test_P36_the_stored_answers_of_the_range_go_out_in_order_and_errors_are_left() -> None:
    log = commanded(one(3, 9, answers_end=4))
    superseding = partition(log)
    assert superseding.errand(7) is None, "not all of it is settled"
    errand = superseding.errand(8)
    assert errand is not None
    stored = offered(Stored(errand, 0), answers(0, -1, 3), answers(0, 1, 6, errors=[5]))
    assert written(superseding, stored) == [(3, value(0, 3)), (4, value(0, 4)), (6, value(0, 6))]
    assert superseding.progress == Progress(2, 6, 3)
    offered(stored, answers(1, -1, 50), answers(0, 6, 12))
    assert written(superseding, stored) == [(7, value(0, 7)), (8, value(0, 8))], (
        "another deployment's count for nothing"
    )
    assert superseding.errand(100) is None


def test_P36_who_takes_over_goes_on_where_the_last_transaction_ended() -> None:
    log = commanded(one(3, 9, answers_end=2), one(20, 22, answers_end=2))
    superseding = partition(log, Progress(2, 6, 4))
    errand = superseding.errand(30)
    assert errand is not None
    assert errand.place.first == 3
    stored = offered(Stored(errand, 0), answers(0, -1, 12), answers(0, 12, 30))
    assert written(superseding, stored) == [(7, value(0, 7)), (8, value(0, 8))]
    second = superseding.errand(30)
    assert second is not None
    assert second.place.first == 20
    stored = offered(Stored(second, 0), answers(0, -1, 12), answers(0, 12, 30))
    assert written(superseding, stored) == [(20, value(0, 20)), (21, value(0, 21))]
    assert superseding.progress == Progress(2, 21, 8)


def test_P36_what_expired_is_left_and_a_range_without_any_answer_is_passed() -> None:
    log = commanded(one(3, 9, answers_first=4, answers_end=6))
    superseding = partition(log)
    errand = superseding.errand(8)
    assert errand is not None
    stored = offered(Stored(errand, 5), answers(0, 5, 12))
    assert stored.complete
    assert written(superseding, stored) == [(offset, value(0, offset)) for offset in (6, 7, 8)]
    none = partition(log)
    assert written(none, Stored(errand, 6)) == []
    assert none.progress == Progress(2, 8, 0)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=12),
    st.integers(0, 20),
    st.integers(1, 25),
    st.integers(1, 7),
    st.data(),
)
def test_P36_each_once_whatever_is_interrupted(
    sizes: list[int], first: int, length: int, limit: int, data: st.DataObject
) -> None:
    """A session may end behind any transaction; what all of them wrote is every stored answer once, in order."""
    ends = [-1]
    for size in sizes:
        ends.append(ends[-1] + size)
    batches = [answers(0, after, upto, errors=[upto]) for after, upto in pairwise(ends)]
    log = commanded(one(first, first + length, answers_end=len(batches)))
    progress, out = Progress(), []
    while (errand := partition(log, progress).errand(10_000)) is not None:
        superseding, stored = partition(log, progress), Stored(errand, 0)
        for _ in range(data.draw(st.integers(1, 4))):
            while not stored.complete and stored.rows < limit:
                offered(stored, batches[stored.next_offset])
            done = superseding.advance(stored, limit)
            if done is None:
                break
            out += [parse_header(said[0][1]).source.offset for said in done[0].headers]  # type: ignore[arg-type] # bytes
            note = done[1]
            progress = Progress(note.epoch, note.superseded, note.written)
    good = [offset for batch in batches for offset in batch.offsets.tolist() if offset != batch.upto]
    assert out == [offset for offset in good if first <= offset < first + length]
    assert progress.written == len(out)


# -- what a person means -----------------------------------------------------------------------------------------------

CUTOVERS = {
    0: [Cutover(0, 0, 0, "t", "c", 0), Cutover(0, 2, 10, "t", "c"), Cutover(0, 3, 40, "t", "c")],
    1: [Cutover(1, 0, 5, "t", "c", 5), Cutover(1, 2, 30, "t", "c")],
    2: [Cutover(2, 3, 0, "t", "c", 0)],
}
SETTLED = {0: 60, 1: 35, 2: -1}


def test_P36_an_epochs_range_ends_at_the_next_cutover_or_what_is_settled() -> None:
    assert plan.of_epoch(CUTOVERS, SETTLED, 2) == [Place(0, 10, 40), Place(1, 30, 36)]
    assert plan.since(CUTOVERS, SETTLED, 2) == [Place(0, 10, 61), Place(1, 30, 36)]
    assert plan.since(CUTOVERS, SETTLED, 1) == [Place(0, 10, 61), Place(1, 30, 36)], "the first cutover behind it"
    with pytest.raises(Refused, match="nothing was published under epoch 7"):
        plan.of_epoch(CUTOVERS, SETTLED, 7)


def states() -> dict[int, ControlState]:
    log, found = Log(), {}
    for color, model in (("blue", "m:1"), ("green", "m:2"), ("green", "m:3")):
        entry = log.deploy(color, model)
        found[entry.offset] = entry.state
    entry = log.say("promote", candidate=2)
    found[entry.offset] = entry.state
    return found


def test_P36_whose_answers_are_meant() -> None:
    by_epoch = states()

    def whose(place: Place, color: str, given: int | None = None) -> int:
        return plan.deployment_of([place], CUTOVERS, by_epoch, color, given).id  # type: ignore[arg-type] # a color

    assert whose(Place(0, 12, 15), "green") == 2
    assert whose(Place(0, 5, 8), "blue") == 0
    assert whose(Place(0, 12, 15), "green", given=1) == 1, "replaced, and named"
    with pytest.raises(Refused, match="nothing stood in green"):
        whose(Place(0, 5, 8), "green")
    with pytest.raises(Refused, match="green never had a deployment 9"):
        whose(Place(0, 5, 8), "green", given=9)
    mixed = {**CUTOVERS, 0: [*CUTOVERS[0][:1], Cutover(0, 1, 4, "t", "c"), *CUTOVERS[0][1:]]}
    with pytest.raises(Refused, match=r"2 deployments stood in green.*1 \(m:2\), 2 \(m:3\)"):
        plan.deployment_of([Place(0, 4, 15)], mixed, by_epoch, "green", None)


def test_P36_what_is_superseded_by_the_same_already_is_left_out() -> None:
    log = commanded(one(10, 20), one(30, 40))
    log.say("supersede", color="green", deployment=1, ranges=[one(15, 18)])
    state = log.fold.state
    blue = state.slots["blue"]
    assert blue is not None
    left, made = plan.left_over([Place(3, 5, 35), Place(4, 0, 9)], state.supersessions, blue)
    assert left == [Place(3, 5, 10), Place(3, 15, 18), Place(3, 20, 30), Place(4, 0, 9)]
    assert [each.epoch for each in made] == [2]
    assert plan.left_over([Place(3, 30, 40)], state.supersessions, blue)[0] == []
    assert plan.left_over([Place(3, 30, 40)], state.supersessions, replace(blue, id=7))[0] == [Place(3, 30, 40)]


def test_P36_how_far_it_is_carried_out() -> None:
    log = commanded(one(10, 20), one(30, 40), one(0, 5, partition=4))
    [command] = log.fold.state.supersessions
    assert plan.carried(command, {}) == plan.Carried(0, 25, 0)
    half = plan.carried(command, {3: {2: Superseded(3, 2, 34, 12)}, 4: {2: Superseded(4, 2, 4, 5)}})
    assert half == plan.Carried(20, 25, 17)
    assert plan.carried(command, {3: {2: Superseded(3, 2, 39, 12)}, 4: {2: Superseded(4, 2, 4, 5)}}).done


def test_P36_status_shows_what_is_under_way() -> None:
    state = commanded(one(10, 20), color="green", deployment=1).fold.state
    note = {3: {2: Superseded(3, 2, 14, 3)}}
    assert list(under_way(state, Settlements({}, note))) == [Shown(2, "green", "m:2", 5, 10, 3)]
    assert list(under_way(state, Settlements({}, {3: {2: Superseded(3, 2, 19, 9)}}))) == []


@pytest.mark.parametrize("text", ["sensors/3", "sensors/3@", "sensors/x@1-2", "other/3@1-2", "sensors/3@5-1", "3@1-"])
def test_P36_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        plan.range_of(text, "sensors")


def test_P36_a_range_is_written_with_both_ends() -> None:
    assert plan.range_of("sensors/3@100-200", "sensors") == Place(3, 100, 201)
    assert plan.range_of("sensors/3@7", "sensors") == Place(3, 7, 8)
    assert str(Place(3, 100, 201)) == "3@100-200"


class Heads:
    """A predictions partition as the search sees it."""

    def __init__(self, low: int, *heads: Head) -> None:
        self.low, self.high = low, low + len(heads)
        self._heads = heads

    def head(self, offset: int) -> Head | None:
        return self._heads[offset - self.low]


def test_P36_where_the_answers_stand() -> None:
    log = Heads(0, Head(0, -1, 9), Head(4, 9, 19), Head(4, 14, 29), Head(4, 29, 39))
    assert plan.answers_place(log, 4, 25) == (1, 9), "with slack for repeats"
    assert plan.answers_place(log, 4, 5) == (1, 9), "its answers begin later"
    assert plan.answers_place(log, 7, 5) == (4, 4), "it never answered"


def test_P36_a_batch_behind_a_hole_is_none_of_the_stored_answers() -> None:
    """5 to 9 were lost: what a dead scorer says of 10 to 14 is not accepted, and answered again (P8)."""
    log = Heads(0, Head(4, -1, 4), Head(4, 9, 14), Head(4, 4, 14))
    at, covered = plan.answers_place(log, 4, 12)
    fold, accepted = Coverage(4, covered), []
    for offset in range(at, log.high):
        head = log.head(offset)
        assert head is not None
        take, fold = fold.take(head.after, head.upto, head.sample)
        accepted += [offset] if take is Take.ACCEPTED else []
    assert accepted == [0, 2]
