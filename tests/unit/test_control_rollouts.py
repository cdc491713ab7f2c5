"""P4: a rollout in the control log: what starts it, moves it on and ends it, folded by everybody alike."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from control_log import Log
from hypothesis import given
from hypothesis import strategies as st
from plans import plan

from streambg.control.commands import FORMATS
from streambg.control.fold import ControlFold, Entry
from streambg.control.rollouts import ACTIVE, WHERE, Rollout, Stage
from streambg.control.sender import Sent
from streambg.control.state import ControlState, Phase
from streambg.rollout.plan import Plan, Step


class Rolling(Log):
    """Blue m:1 is live, green m:2 the candidate (deployment 1)."""

    def __init__(self) -> None:
        super().__init__()
        assert self.deploy("blue", "m:1").accepted
        assert self.deploy("green", "m:2").accepted

    @property
    def state(self) -> ControlState:
        return self.fold.state

    @property
    def rollout(self) -> Rollout:
        assert self.state.rollout is not None
        return self.state.rollout

    def start(self, chosen: Plan | None = None, **more: Any) -> Entry:
        return self.say("rollout-start", candidate=1, plan=(chosen or plan()).text(), **more)

    def act(self, verb: str, **more: Any) -> Entry:
        """A command about the rollout as it stands."""
        known = {"rollout": self.rollout.id, "step": self.rollout.step}
        return self.say(f"rollout-{verb}", **{**known, **more})


def refusal(entry: Entry) -> str:
    assert entry.refusal is not None
    return entry.refusal


def test_a_plan_moves_a_candidate_from_0_to_live_and_retires_the_old_color() -> None:
    log = Rolling()
    assert log.start(events=500).accepted
    assert (log.rollout.stage, log.rollout.step, log.state.weight, log.rollout.events) == (Stage.RUNNING, 0, 0, 500)
    for weight in (1_000, 5_000):
        assert log.act("advance", events=9_000, evidence="sha256:ab").accepted
        assert log.state.weight == weight
        assert log.rollout.entered == log.state.epoch
        assert log.rollout.events == 9_000
    assert log.act("advance").accepted
    assert (log.state.live, log.state.phase, log.rollout.stage) == ("green", Phase.WARM, Stage.WATCHING)
    assert log.act("keep").accepted
    assert log.act("retire").accepted
    assert (log.state.phase, log.rollout.stage, log.rollout.ended_by) == (Phase.ALONE, Stage.DONE, "retire")


def test_a_plan_without_promote_ends_at_its_last_weight() -> None:
    log = Rolling()
    log.start(plan(Step(1_000), promotes=False))
    assert log.state.weight == 1_000
    assert log.act("advance").accepted
    assert (log.rollout.stage, log.state.phase, log.state.weight) == (Stage.DONE, Phase.CANDIDATE, 1_000)


def test_P4_the_plan_is_fixed_by_its_start() -> None:
    log = Rolling()
    log.start()
    other = plan(Step(0), Step(9_000))
    assert "stop it first" in refusal(log.start(other))
    log.act("advance")
    assert log.state.weight == 1_000
    assert log.rollout.plan == plan()


def test_P1_two_controllers_at_once_are_harmless() -> None:
    log = Rolling()
    log.start()
    epoch = log.state.epoch
    both = [log.act("advance", epoch=epoch), log.act("advance", epoch=epoch)]
    assert [entry.accepted for entry in both] == [True, False]
    late = log.say("rollout-advance", rollout=log.rollout.id, step=0)
    assert "decided for step 1, in force is step 2" in refusal(late), "the right epoch does not help"


def test_a_command_of_an_earlier_rollout_is_refused() -> None:
    log = Rolling()
    log.start()
    first = log.rollout.id
    log.act("stop")
    log.start()
    assert f"meant rollout {first}" in refusal(log.act("abort", rollout=first))


def test_approval_is_asked_of_a_person() -> None:
    log = Rolling()
    log.start(plan(Step(0, approval=True), Step(1_000)))
    assert "waits for a person" in refusal(log.act("advance"))
    assert log.act("approve").accepted
    assert "approved already" in refusal(log.act("approve"))
    assert log.act("advance").accepted
    assert not log.rollout.approved, "each step is approved by itself"


def test_held_goes_on_only_by_a_person() -> None:
    log = Rolling()
    log.start()
    log.act("hold")
    assert "the rollout is held" in refusal(log.act("advance"))
    assert log.act("approve").accepted
    assert log.rollout.entered == log.state.epoch, "its time begins anew"
    log.act("hold")
    assert log.act("skip").accepted
    assert (log.rollout.stage, log.rollout.step) == (Stage.RUNNING, 1)


@pytest.mark.parametrize(("on_abort", "phase"), [("shadow", Phase.ABORTED), ("retire", Phase.ALONE)])
def test_abort_takes_the_candidate_back(on_abort: str, phase: Phase) -> None:
    log = Rolling()
    log.start(plan(on_abort=on_abort))
    log.act("advance")
    assert log.act("abort", evidence="sha256:ab").accepted
    assert (log.state.phase, log.state.weight, log.rollout.stage) == (phase, 0, Stage.ABORTED)
    assert not log.act("advance").accepted


def test_P2_rollback_returns_to_the_old_live_deployment() -> None:
    log = Rolling()
    log.start(plan(Step(0)))
    log.act("advance")
    assert log.state.live == "green"
    assert "needs one that is running or held" in refusal(log.act("skip")) or log.state.phase is Phase.WARM
    assert log.act("rollback").accepted
    assert (log.state.live, log.rollout.stage) == ("blue", Stage.ROLLED_BACK)


def test_P3_pause_freezes_the_plan_but_not_the_way_back() -> None:
    log = Rolling()
    log.start()
    log.say("pause")
    assert "paused" in refusal(log.act("advance"))
    assert "paused" in refusal(log.act("skip"))
    log.say("resume")
    assert log.rollout.entered == log.state.epoch, "what was paused has its time anew"
    log.say("pause")
    assert log.act("abort").accepted


@pytest.mark.parametrize("verb", ["shift", "promote", "abort", "retire"])
def test_a_person_takes_over(verb: str) -> None:
    log = Rolling()
    log.start()
    args: dict[str, dict[str, Any]] = {"shift": {"weight": 100}, "retire": {"color": "green"}}
    if verb in ("shift", "promote"):
        args.setdefault(verb, {})["candidate"] = 1
    assert log.say(verb, **args.get(verb, {})).accepted
    assert (log.rollout.stage, log.rollout.ended_by) == (Stage.TAKEN_OVER, verb)


@pytest.mark.parametrize(
    ("verb", "args", "next_one"),
    [
        ("shift", {"weight": 100, "candidate": 1}, "another one: streambg shift 0%, then streambg rollout start"),
        ("deploy", {}, "another one: streambg rollout start"),
        ("promote", {"candidate": 1}, "the next candidate's: streambg rollout start"),
        ("abort", {}, "the next candidate's: streambg rollout start"),
        ("pause", {}, None),
        ("rollout-stop", {"rollout": 2, "step": 0}, None),
    ],
)
def test_whoever_takes_over_is_told_what_ended_and_how_another_begins(
    verb: str, args: dict[str, Any], next_one: str | None
) -> None:
    log = Rolling()
    log.start()
    late = log.say(verb, epoch=0, **args)
    entry = log.deploy("green", "m:3") if verb == "deploy" else log.say(verb, **args)
    assert entry.accepted
    sent = Sent(verb, entry.offset, 0, entry.refusal, entry.state, ("nothing was compared yet",))
    said = () if next_one is None else (f"rollout 2 is over, taken over by {verb}; {next_one}",)
    assert sent.notes == ("nothing was compared yet", *said)
    assert (sent.ended is None) == (next_one is None)
    assert Sent(verb, late.offset, 0, late.refusal, late.state).notes == (), "refused: it ended nothing"
    after = log.say("pause" if verb != "pause" else "resume")
    assert Sent("pause", after.offset, 0, after.refusal, after.state).notes == (), "it is said once"


def test_a_deploy_in_the_middle_ends_the_rollout() -> None:
    log = Rolling()
    log.start()
    log.act("advance")
    assert log.deploy("green", "m:3").accepted
    assert (log.rollout.stage, log.state.weight) == (Stage.TAKEN_OVER, 0)
    assert not log.act("advance").accepted


def test_start_needs_the_candidate_and_a_weight_below_the_first_step() -> None:
    log = Rolling()
    assert "prepared for candidate 7" in refusal(log.say("rollout-start", candidate=7, plan=plan().text()))
    log.say("shift", candidate=1, weight=2_000)
    assert "begins at 0 %, the weight is 20 %" in refusal(log.start())
    assert log.start(plan(Step(2_000), Step(5_000))).accepted
    for phase in (Phase.EMPTY, Phase.ALONE):
        alone = Log()
        if phase is Phase.ALONE:
            alone.deploy("blue", "m:1")
        entry = alone.say("rollout-start", candidate=0, plan=plan().text())
        assert "deploy" in refusal(entry)


def test_a_plan_that_is_none_is_refused() -> None:
    log = Rolling()
    assert "plan" in refusal(log.say("rollout-start", candidate=1, plan='{"steps": []}'))


def test_every_verb_of_the_rollout_has_its_stages() -> None:
    assert set(WHERE) | {"rollout-start"} == set(FORMATS[3])


WORDS = ("advance", "skip", "approve", "hold", "stop", "abort", "rollback", "keep", "retire")
PLAIN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("pause", {}),
    ("resume", {}),
    ("abort", {}),
    ("rollback", {}),
    ("retire", {"color": "blue"}),
    ("retire", {"color": "green"}),
    ("shift", {"candidate": 1, "weight": 300}),
    ("promote", {"candidate": 1}),
)


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(PLAIN), st.just("start")), max_size=30))
def test_an_active_rollout_always_stands_on_what_it_needs(said: list[Any]) -> None:
    log = Rolling()
    for word in said:
        before = log.state
        if word == "start":
            entry = log.start()
        elif isinstance(word, tuple):
            entry = log.say(word[0], **word[1])
        elif log.state.rollout is None:
            continue
        else:
            entry = log.act(word)
        if not entry.accepted:
            assert log.state == before, "an illegal command changes nothing"
        rollout = log.state.rollout
        if rollout is None or not rollout.active:
            continue
        other, live = log.state.other_deployment, log.state.live_deployment
        assert other is not None
        assert live is not None
        if rollout.stage in (Stage.RUNNING, Stage.HELD):
            assert log.state.phase is Phase.CANDIDATE
            assert (other.id, live.id) == (rollout.candidate, rollout.live)
            assert log.state.weight == rollout.plan.steps[rollout.step].weight
        else:
            assert log.state.phase is Phase.WARM
            assert (live.id, other.id) == (rollout.candidate, rollout.live)
    again = ControlFold()
    for offset, (appended, value) in enumerate(log.records):
        again.step(offset, appended, value)
    assert again.state == log.state


def test_active_stages_are_left_only_through_the_table() -> None:
    ways = set(itertools.chain.from_iterable(WHERE.values()))
    assert ways == set(ACTIVE)
