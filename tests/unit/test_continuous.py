"""Continuous deployment, its decisions: whose the idle color is, what a call joins, what is new in a registry."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from control_log import Log, digest
from hypothesis import given
from hypothesis import strategies as st
from plans import plan

from streambg.continuous import admit as admitting
from streambg.continuous.admit import Begin, Join, Live, admit
from streambg.continuous.decide import (
    ACTOR,
    Nothing,
    Start,
    Tried,
    Try,
    Version,
    Wait,
    decide,
    reason_of,
    skips_of,
    tried_of,
    unseen,
)
from streambg.continuous.outcome import Outcome, accepted, passages
from streambg.continuous.progress import line
from streambg.continuous.slot import Free, Taken, idle
from streambg.continuous.watching import News, RegistryWatch
from streambg.control.commands import MAX_TEXT
from streambg.control.fold import Entry
from streambg.control.rollouts import Rollout
from streambg.control.state import ControlState
from streambg.errors import StreambgError, Unreachable, UpgradeFirst


class World(Log):
    """Blue m:1 is live; `entries` are all records, folded."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self.must("deploy", color="blue", model="m:1", digest=digest("m:1"), rules=RULES_TEXT)

    def raw(self, value: bytes, appended_ms: int = 1_000) -> Entry:
        entry = super().raw(value, appended_ms)
        if hasattr(self, "entries"):
            self.entries.append(entry)
        return entry

    def must(self, verb: str, **args: Any) -> Entry:
        entry = self.say(verb, **args)
        assert entry.accepted, entry.refusal
        return entry

    def candidate(self, model: str = "m:2", **more: Any) -> Entry:
        return self.must("deploy", color="green", model=model, digest=digest(model), rules=RULES_TEXT, **more)

    def start(self) -> Entry:
        assert self.state.other_deployment is not None
        return self.must("rollout-start", candidate=self.state.other_deployment.id, plan=plan().text())

    def act(self, verb: str) -> Entry:
        return self.must(f"rollout-{verb}", rollout=self.rollout.id, step=self.rollout.step)

    def promoted(self) -> World:
        self.candidate()
        self.start()
        for _ in range(3):
            self.act("advance")
        return self

    @property
    def state(self) -> ControlState:
        return self.fold.state

    @property
    def rollout(self) -> Rollout:
        assert self.state.rollout is not None
        return self.state.rollout


RULES_TEXT = '{"outputs": ["anomaly"], "decision": {"output": "anomaly", "threshold": 0.5}}'
NEW = digest("m:3")


def rolled_back() -> World:
    world = World().promoted()
    world.act("rollback")
    return world


def aborted() -> World:
    world = World()
    world.candidate()
    world.start()
    world.act("abort")
    return world


def by_hand(*verbs: tuple[str, dict[str, Any]]) -> World:
    world = World()
    world.candidate()
    for verb, args in verbs:
        world.must(verb, **args)
    return world


def retired() -> World:
    world = World().promoted()
    world.act("keep")
    world.act("retire")
    return world


@pytest.mark.parametrize(
    ("make", "color"), [(World, "green"), (aborted, "green"), (rolled_back, "green"), (retired, "blue")]
)
def test_the_idle_color_is_free_where_nobody_needs_it(make: Callable[[], World], color: str) -> None:
    assert idle(make().state) == Free(color)  # type: ignore[arg-type] # one of the two


def test_P2_the_slot_that_a_rollback_needs_is_kept_and_waiting_is_worth_it() -> None:
    world = World().promoted()
    watching = idle(world.state)
    assert isinstance(watching, Taken)
    assert watching.passes
    assert "kept for a rollback to blue m:1 (deployment 0) (P2)" in watching.why
    assert isinstance(idle(world.state, gives_up_rollback=True), Taken), "harm is watched for: nobody gives that up"
    world.act("keep")
    assert isinstance(idle(world.state), Taken)
    assert idle(world.state, gives_up_rollback=True) == Free("blue")
    assert isinstance(admit(world.state, NEW), Taken)
    assert admit(world.state, NEW, gives_up_rollback=True) == Begin("blue")


def test_what_a_person_put_there_is_not_taken_away() -> None:
    found = idle(by_hand().state)
    assert isinstance(found, Taken)
    assert not found.passes
    assert "green m:2 (deployment 1) stands there without a rollout" in found.why
    weighty = idle(by_hand(("shift", {"weight": 500, "candidate": 1})).state)
    assert isinstance(weighty, Taken)
    assert idle(by_hand(("abort", {})).state) == Free("green")
    back = by_hand(("promote", {"candidate": 1}), ("rollback", {}))
    assert isinstance(idle(back.state), Taken), "nobody began a rollout for it"


def test_a_rollout_that_a_person_rolled_back_leaves_the_color_free() -> None:
    world = World().promoted()
    world.must("rollback")
    assert idle(world.state) == Free("green")


def test_nothing_is_begun_where_nothing_is_deployed_or_all_is_paused() -> None:
    empty = idle(ControlState())
    assert isinstance(empty, Taken)
    assert not empty.passes
    world = World()
    world.must("pause")
    paused = idle(world.state)
    assert isinstance(paused, Taken)
    assert paused.passes
    under_way = World()
    under_way.candidate()
    under_way.start()
    under_way.must("pause")
    found = idle(under_way.state)
    assert isinstance(found, Taken)
    assert "another model" in found.why, "the stronger reason"


def test_another_model_is_refused_while_one_is_under_way() -> None:
    world = World()
    world.candidate()
    world.start()
    found = admit(world.state, NEW)
    assert isinstance(found, Taken)
    assert not found.passes
    assert "another model is under way" in found.why
    assert "streambg abort" in found.way_out


def test_the_same_model_joins_from_the_deploy_on_until_nobody_watches_it() -> None:
    world = World()
    assert admit(world.state, digest("m:1")) == Live(world.state.live_deployment)  # type: ignore[arg-type] # it stands
    assert admit(world.state, digest("m:2")) == Begin("green")
    world.candidate()
    assert admit(world.state, digest("m:2")) == admitting.Start(world.state.candidate)  # type: ignore[arg-type] # it stands
    begun = world.start()
    for verb in ("advance", "advance", "advance", "keep"):
        found = admit(world.state, digest("m:2"))
        assert isinstance(found, Join)
        assert (found.rollout, found.deployment.model) == (begun.offset, "m:2")
        world.act(verb)
    assert isinstance(admit(world.state, digest("m:2")), Join), "its old color is kept warm"
    world.act("retire")
    assert isinstance(admit(world.state, digest("m:2")), Live)


def test_what_was_taken_back_is_deployed_anew_for_its_evidence_is_spent() -> None:
    assert admit(rolled_back().state, digest("m:2")) == Begin("green")
    assert admit(aborted().state, digest("m:2")) == Begin("green")


def test_after_a_stop_the_same_model_goes_on_from_where_it_stands() -> None:
    world = World()
    world.candidate()
    world.start()
    world.act("stop")
    assert isinstance(admit(world.state, digest("m:2")), admitting.Start)


# -- the registry -----------------------------------------------------------------------------------------------------


def version(number: int) -> Version:
    return Version(f"m:{number}", digest(f"m:{number}"))


def tried_in(world: World) -> list[Tried]:
    return [found for entry in world.entries if (found := tried_of(entry)) is not None]


def decided(world: World, *numbers: int, **refused: str) -> Any:
    return decide(world.state, [version(number) for number in numbers], tried_in(world), refused)


def ours(world: World, number: int, *skips: int) -> Entry:
    """As the watcher deploys."""
    reason = reason_of(version(number), [f"m:{skip}" for skip in skips])
    expected = world.state.epoch
    name = f"m:{number}"
    args = {"color": "green", "model": name, "digest": digest(name), "rules": RULES_TEXT}
    record = {"format": 1, "id": f"w{number}", "verb": "deploy", "actor": ACTOR, "reason": reason, "time": 1_000}
    entry = world.raw(json.dumps({**record, "expected_epoch": expected, "args": args}).encode())
    assert entry.accepted, entry.refusal
    return entry


def test_the_newest_of_what_is_new_is_tried_and_older_ones_are_skipped() -> None:
    assert decided(World(), 1, 2, 3) == Try(version(3), "green", ("m:2",))


def test_nothing_is_new_where_the_newest_is_live() -> None:
    found = decided(World(), 1)
    assert isinstance(found, Nothing)
    assert "m:1, was tried as deployment 0" in found.why
    assert isinstance(decided(World()), Nothing)


def test_one_that_comes_during_a_rollout_waits_and_the_newest_wins_then() -> None:
    world = World()
    ours(world, 2)
    world.start()
    waits = decided(world, 1, 2, 3)
    assert isinstance(waits, Wait)
    assert waits.version == version(3)
    assert isinstance(decided(world, 1, 2, 3, 4), Wait)
    world.act("abort")
    assert decided(world, 1, 2, 3, 4) == Try(version(4), "green", ("m:3",))


def test_P2_it_never_takes_the_slot_that_a_rollback_needs() -> None:
    world = World().promoted()
    found = decided(world, 1, 2, 3)
    assert isinstance(found, Wait)
    assert "kept for a rollback" in found.why
    world.act("keep")
    assert isinstance(decided(world, 1, 2, 3), Wait)
    world.act("retire")
    assert decided(world, 1, 2, 3) == Try(version(3), "blue", ())


def test_what_was_aborted_or_rolled_back_is_not_tried_again() -> None:
    for world in (aborted(), rolled_back()):
        assert isinstance(decided(world, 1, 2), Nothing)
        again = [version(1), version(2), Version("m:2b", digest("m:2"))]
        assert isinstance(decide(world.state, again, tried_in(world), {}), Nothing), "the same bytes, another name"


def test_a_skipped_one_is_never_tried_also_where_the_newer_one_is_gone() -> None:
    world = World()
    ours(world, 4, 2, 3)
    world.start()
    world.act("abort")
    assert isinstance(decided(world, 1, 2, 3), Nothing)
    assert decided(world, 1, 2, 3, 5) == Try(version(5), "green", ())


def test_what_another_one_called_skipped_is_no_word_of_ours() -> None:
    forged = World()
    forged.raw(forged.records[0][1])  # repeated: refused, so nothing was tried by it
    assert [each.deployment for each in tried_in(forged)] == [0]
    assert [each.skips for each in tried_in(World())] == [()]


def test_a_deploy_of_ours_that_was_not_begun_is_begun_by_the_next_process() -> None:
    world = World()
    ours(world, 2)
    assert decided(world, 1, 2, 3) == Start(world.state.candidate)  # type: ignore[arg-type] # it stands
    world.start()
    world.act("stop")
    assert isinstance(decided(world, 1, 2, 3), Wait), "a person stopped it"
    assert isinstance(decided(by_hand(), 1, 2, 3), Wait), "a person's candidate"


def test_what_could_not_be_deployed_is_said_and_not_asked_again() -> None:
    assert decided(World(), 1, 2, **{digest("m:2"): "no contract"}) == Wait(version(2), "no contract")


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,60}:[a-z0-9][a-z0-9._-]{0,60}", fullmatch=True)


@given(names, st.lists(names, max_size=60))
def test_a_reason_says_what_is_skipped_and_fits(ref: str, skips: list[str]) -> None:
    said = reason_of(Version(ref, NEW), skips)
    assert len(said) <= MAX_TEXT
    read = skips_of(said)
    assert tuple(skips[len(skips) - len(read) :]) == read
    assert len(read) == len(skips) or len(said) > 1_500


@given(st.lists(st.integers(1, 9), unique=True, max_size=9), st.lists(st.integers(1, 9), max_size=4))
def test_unseen_are_exactly_those_behind_the_newest_known(numbers: list[int], known: list[int]) -> None:
    tried = [Tried(f"m:{number}", digest(f"m:{number}"), 0, False, ()) for number in known]
    new = [each.ref for each in unseen([version(number) for number in numbers], tried)]
    assert all(int(ref.partition(":")[2]) not in known for ref in new)
    assert new == [f"m:{number}" for number in numbers][len(numbers) - len(new) :]
    if len(new) < len(numbers):
        assert numbers[len(numbers) - len(new) - 1] in known


class Looks(RegistryWatch):
    """What each look finds, or raises."""

    def __init__(self, *found: News | StreambgError) -> None:
        self._found = list(found)
        self.over = threading.Event()

    def look(self) -> News:
        found = self._found.pop(0)
        if not self._found:
            self.over.set()
        if isinstance(found, StreambgError):
            raise found
        return found

    def told(self) -> list[News]:
        said: list[News] = []
        self.run(0.0, self.over, said.append)
        return said


def test_the_watch_says_what_is_new_once_and_outlives_what_the_next_look_may_mend() -> None:
    waits, other = News("waits", "m:2", "a rollout"), News("deployed", "m:2", "to green")
    down = Unreachable("no broker")
    assert Looks(waits, waits, down, down, waits, other).told() == [
        waits,
        News("failed", "", "no broker"),
        waits,
        other,
    ]
    with pytest.raises(UpgradeFirst):
        Looks(waits, UpgradeFirst("newer"), other).told()


# -- what came of it --------------------------------------------------------------------------------------------------


def outcome(world: World, word: Any) -> Outcome:
    found = passages(world.entries, world.rollout)
    assert world.state.slots["green"] is not None
    return Outcome(word, "begun", world.state.slots["green"], world.rollout.id, passages=found)


def test_each_step_says_what_became_of_it() -> None:
    world = World()
    world.candidate()
    world.start()
    assert [passage.how for passage in passages(world.entries, world.rollout)] == ["in force", *["skipped"] * 3]
    world.act("advance")
    world.act("abort")
    found = passages(world.entries, world.rollout)
    assert [(passage.weight, passage.how) for passage in found] == [
        (0.0, "passed"),
        (10.0, "failed"),
        (50.0, "skipped"),
        (None, "skipped"),
    ]
    assert [case.result for case in outcome(world, "taken back").cases()] == [
        "passed",
        "passed",
        "failed",
        "skipped",
        "skipped",
    ]


def test_a_live_one_has_passed_all_and_a_held_one_waits_for_a_person() -> None:
    live = retired()
    assert [passage.how for passage in passages(live.entries, live.rollout)] == ["passed"] * 4
    back = rolled_back()
    assert [passage.how for passage in passages(back.entries, back.rollout)] == [*["passed"] * 3, "failed"]
    held = World()
    held.candidate()
    held.start()
    held.act("hold")
    assert [case.result for case in outcome(held, "a person decides").cases()][:2] == ["passed", "error"]
    assert outcome(held, "a person decides").exit_code == 12


def test_records_of_other_rollouts_are_not_counted() -> None:
    world = aborted()
    first = world.rollout
    world.candidate("m:5")
    world.start()
    world.act("advance")
    assert [passage.how for passage in passages(world.entries, first)] == ["failed", *["skipped"] * 3]
    assert [passage.how for passage in passages(world.entries, world.rollout)][:2] == ["passed", "in force"]


def test_accepted_changes_of_the_contract_are_those_of_its_deploy() -> None:
    world = World()
    world.candidate("m:2", contract_change=["range: p is 0 to 100"])
    assert world.state.candidate is not None
    assert accepted(world.entries, world.state.candidate) == ("range: p is 0 to 100",)


def test_a_line_of_progress_names_the_step_and_what_it_waits_for() -> None:
    world = World()
    world.candidate()
    world.start()
    said = line(world.rollout, None, ("900 of 1,000 events at this weight", "a", "b"))
    assert said == f"{world.rollout.summary()}: 900 of 1,000 events at this weight; a; 1 more"
    assert line(world.rollout, None, ()) == "rollout 2: step 1 of 3 at 0 %, running"
