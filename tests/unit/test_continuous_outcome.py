"""Continuous deployment: what came of it, step by step."""

from __future__ import annotations

from typing import Any

from continuous_world import World, aborted, retired, rolled_back

from streambg.continuous.outcome import Outcome, accepted, passages
from streambg.continuous.progress import line


def outcome(world: World, word: Any) -> Outcome:
    found = passages(world.entries, world.rollout)
    assert world.state.slots["green"] is not None
    return Outcome(word, "begun", world.state.slots["green"], world.rollout.id, passages=found)


def test_each_step_says_what_became_of_it() -> None:
    world = World()
    world.candidate()
    world.start()
    assert [passage.how for passage in passages(world.entries, world.rollout)] == ["in force", *["not yet"] * 3]
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
