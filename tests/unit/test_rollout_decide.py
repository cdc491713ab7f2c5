"""What the controller does next, as a pure function of what is in force and what is known (DESIGN 9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import MINUTE, plan

from streambg.control.rollouts import WHERE, Rollout, Stage
from streambg.rollout.decide import STALE_MS, Act, Ask, Look, Wait, decide, within
from streambg.rollout.lives import LOOP_LIVES, Lane, Lives
from streambg.rollout.plan import Hours, Plan, Step
from streambg.rollout.words import shown

NOW = 1_790_000_000_000
STEP = Step(1_000, 1_000, MINUTE, 10 * MINUTE, ("errors",))


def rollout(chosen: Plan | None = None, **more: Any) -> Rollout:
    return Rollout(7, 1, 0, chosen or plan(STEP), "sha256:ab", entered=7, events=500, **more)


def look(**more: Any) -> Look:
    """Everything holds: 1,000 events since the step began, two minutes ago; the gates are passed."""
    known: dict[str, Any] = {
        "now_ms": NOW,
        "entered_ms": NOW - 2 * MINUTE,
        "word": "promote",
        "reasons": ("errors: e 152 of 140",),
        "events": 1_500,
        "written_ms": NOW - 1_000,
    }
    return Look(**{**known, **more})


def waits(decision: object) -> str:
    assert isinstance(decision, Wait), decision
    return "; ".join(decision.reasons)


def test_the_step_is_left_when_everything_holds() -> None:
    assert decide(rollout(), look()) == Act("rollout-advance", "errors: e 152 of 140")


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"events": 1_499}, "999 of 1,000 events"),
        ({"word": "continue", "reasons": ("errors: e 3 of 140",)}, "errors: e 3 of 140"),
        ({"word": "continue", "reasons": ()}, "the gates are not passed"),
        ({"written_ms": None}, "there is no evidence"),
        ({"written_ms": NOW - STALE_MS - 1}, "no news of the evidence for 90 s, at most 90"),
        ({"entered_ms": NOW - MINUTE + 1_000}, "1 s more at this weight"),
        ({"paused": True}, "streambg resume"),
        ({"lags": ("partition 3 is 9 s behind",)}, "partition 3 is 9 s behind"),
    ],
)
def test_what_is_not_known_is_never_a_pass(known: dict[str, Any], says: str) -> None:
    assert says in waits(decide(rollout(), look(**known)))


def test_harm_aborts_at_once_even_while_paused_or_held_or_ahead_of_the_events() -> None:
    harm = look(word="abort", reasons=("errors: harm e 240 of 200",), paused=True, events=0)
    for stage in (Stage.RUNNING, Stage.HELD):
        assert decide(rollout(stage=stage), harm) == Act("rollout-abort", "errors: harm e 240 of 200")


@pytest.mark.parametrize("stage", [Stage.RUNNING, Stage.HELD])
def test_a_broken_candidate_is_aborted_without_any_evidence(stage: Stage) -> None:
    blind = look(word="continue", written_ms=None, paused=True, broken="digest mismatch: m:2 ...")
    assert decide(rollout(stage=stage), blind) == Act("rollout-abort", "digest mismatch: m:2 ...")
    promoted = decide(rollout(stage=Stage.WATCHING), look(broken="digest mismatch: m:2 ..."))
    assert isinstance(promoted, Wait), "after the promote harm is what the detectors say"


def test_a_crash_loop_is_lives_in_which_a_partition_does_not_get_on_though_live_does() -> None:
    lives = Lives()
    stuck, well = Lane(41, 60), Lane(60, 60)
    assert lives.count({"green.0": "a", "green.1": "b"}) == 0, "seen for the first time"
    for number in range(LOOP_LIVES):
        assert lives.count({"green.0": f"a{number}", "green.1": "b"}) == 1
        said = lives.judge(1, {0: well, 3: stuck})
        assert (said is None) == (number < LOOP_LIVES - 1)
    assert said == (
        "crash loop: 5 starts of the candidate's scorers, the limit is 5, while partition 3 stood at 41 and live got on"
    )


@pytest.mark.parametrize(
    "lanes",
    [
        [Lane(covered, 60) for covered in range(41, 51)],  # each life gets on a little
        [Lane(60, 60)] * 10,  # nothing is owed: live stands, too
        [Lane(41, 60)] * 3 + [Lane(42, 60)] + [Lane(42, 61)] * 3,  # three lives, and three more
    ],
)
def test_lives_alone_are_no_crash_loop(lanes: list[Lane]) -> None:
    lives = Lives()
    assert [lives.judge(1, {0: lane}) for lane in lanes] == [None] * len(lanes)


def test_a_candidate_that_never_answered_stands_at_its_beginning() -> None:
    lives = Lives()
    assert lives.judge(2, {0: Lane(None, -1)}) is None
    assert "partition 0 stood at its beginning" in str(lives.judge(3, {0: Lane(None, 12)}))


@pytest.mark.parametrize(("then", "verb"), [("hold", "rollout-hold"), ("abort", "rollout-abort")])
def test_undecided_when_the_time_is_up(then: str, verb: str) -> None:
    chosen = rollout(plan(STEP, on_inconclusive=then))
    late = look(word="continue", reasons=("errors: e 3 of 140",), entered_ms=NOW - 10 * MINUTE)
    decision = decide(chosen, late)
    assert isinstance(decision, Act)
    assert decision.verb == verb
    assert decision.reason == "inconclusive after 600 s: errors: e 3 of 140"
    assert isinstance(decide(chosen, replace(late, entered_ms=NOW - 10 * MINUTE + 1)), Wait)
    assert isinstance(decide(chosen, replace(late, paused=True)), Wait), "paused: its time stands still"


def test_inconclusive_holds_before_the_time_is_up() -> None:
    decision = decide(rollout(), look(word="inconclusive", reasons=("errors: 1,000,000 events and no decision",)))
    assert isinstance(decision, Act)
    assert decision.verb == "rollout-hold"


def test_silence_of_the_candidate_ends_in_a_hold() -> None:
    silent = look(word="promote", written_ms=NOW - 11 * MINUTE, entered_ms=NOW - 10 * MINUTE)
    decision = decide(rollout(), silent)
    assert isinstance(decision, Act)
    assert decision.verb == "rollout-hold"
    assert "no news of the evidence" in decision.reason


def test_waiting_for_a_person_is_no_indecision() -> None:
    chosen = rollout(plan(replace(STEP, approval=True)))
    late = look(entered_ms=NOW - 600 * MINUTE)
    assert "streambg rollout approve" in waits(decide(chosen, late))
    assert isinstance(decide(replace(chosen, approved=True), late), Act)


def test_the_address_is_asked_last() -> None:
    chosen = rollout(plan(replace(STEP, check="http://127.0.0.1:1/ok")))
    assert decide(chosen, look()) == Ask("http://127.0.0.1:1/ok")
    assert isinstance(decide(chosen, look(events=0)), Wait)
    assert "has not answered 2xx" in waits(decide(chosen, look(check=False)))
    assert isinstance(decide(chosen, look(check=True)), Act)


def test_a_step_without_gates_needs_its_time_alone() -> None:
    chosen = rollout(plan(Step(1_000, at_least_ms=MINUTE)))
    nothing = look(word="continue", written_ms=None, events=0)
    assert isinstance(decide(chosen, nothing), Act)
    assert isinstance(decide(chosen, replace(nothing, entered_ms=NOW)), Wait)


def test_after_the_promote() -> None:
    watching = rollout(stage=Stage.WATCHING)
    assert decide(watching, look(harm="errors: 10 of 35")) == Act("rollout-rollback", "errors: 10 of 35")
    assert "watched for harm" in waits(decide(watching, look()))
    over = look(entered_ms=NOW - 60 * MINUTE)
    assert isinstance(decide(watching, over), Act)
    assert "the watch goes on" in waits(decide(watching, replace(over, written_ms=None))), "nobody looked"
    keeping = rollout(stage=Stage.KEEPING)
    assert "kept warm" in waits(decide(keeping, look(entered_ms=NOW - 59 * MINUTE)))
    assert decide(keeping, look(entered_ms=NOW - 60 * MINUTE)) == Act("rollout-retire", "kept warm for 7200 s")


@pytest.mark.parametrize(
    ("moment_ms", "inside"),
    [
        (1_764_237_600_000, True),  # Thursday 2025-11-27 11:00 in Berlin
        (1_764_230_399_000, False),  # 08:59:59
        (1_764_259_200_000, False),  # 17:00
        (1_764_410_400_000, False),  # Saturday 11:00
        (1_751_353_200_000, True),  # 2025-07-01 09:00 in summer time
    ],
)
def test_hours_are_those_of_the_place(moment_ms: int, inside: bool) -> None:
    hours = Hours((0, 1, 2, 3, 4), 9 * 60, 17 * 60, "Europe/Berlin")
    assert within(hours, moment_ms) is inside
    chosen = rollout(plan(replace(STEP, hours=hours)))
    decision = decide(chosen, look(now_ms=moment_ms, entered_ms=moment_ms - 2 * MINUTE, written_ms=moment_ms))
    assert isinstance(decision, Act) is inside
    assert shown(hours) == "mon, tue, wed, thu, fri 09:00-17:00 Europe/Berlin"


@given(
    st.sampled_from(list(Stage)),
    st.sampled_from(["promote", "abort", "continue", "inconclusive"]),
    st.integers(0, 3_000),
    st.integers(0, 3 * 3_600_000),
    st.one_of(st.none(), st.integers(0, 120_000)),
    st.booleans(),
    st.one_of(st.none(), st.just("harm")),
)
def test_every_act_is_one_that_the_log_takes(
    stage: Stage, word: Any, events: int, elapsed: int, age: int | None, paused: bool, harm: str | None
) -> None:
    known = look(
        word=word,
        events=events,
        entered_ms=NOW - elapsed,
        written_ms=None if age is None else NOW - age,
        paused=paused,
        harm=harm,
    )
    decision = decide(rollout(stage=stage), known)
    if isinstance(decision, Act):
        assert stage in WHERE[decision.verb]
        assert decision.reason
    if isinstance(decision, Act) and decision.verb == "rollout-advance":
        assert word == "promote"
        assert age is not None
        assert age <= STALE_MS
        assert not paused
