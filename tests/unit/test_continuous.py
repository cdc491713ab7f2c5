"""Continuous deployment, its decisions: whose the idle color is, and what a call joins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from continuous_world import NEW, World, aborted, by_hand, decided, retired, rolled_back, version
from control_log import digest

from streambg.continuous import admit as admitting
from streambg.continuous.admit import Begin, Join, Live, admit
from streambg.continuous.decide import Try, Wait
from streambg.continuous.slot import Free, Taken, idle
from streambg.control.state import ControlState


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
    world.must("pause")
    paused = admit(world.state, digest("m:2"))
    assert isinstance(paused, Taken)
    assert (paused.why, paused.passes) == ("the rollout is paused", True), "`--wait` waits for `resume`"


def test_P2_it_never_takes_the_slot_that_a_rollback_needs() -> None:
    world = World().promoted()
    found = decided(world, 1, 2, 3)
    assert isinstance(found, Wait)
    assert "kept for a rollback" in found.why
    world.act("keep")
    assert isinstance(decided(world, 1, 2, 3), Wait)
    world.act("retire")
    assert decided(world, 1, 2, 3) == Try(version(3), "blue", ())
