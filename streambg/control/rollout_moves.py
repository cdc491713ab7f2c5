"""What the rollout's verbs do to the state; rollouts.py says in which stage each has a meaning.

A rollout's own `abort`, `rollback` and `retire` are the plain ones, with the evidence they were decided on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from streambg.control import moves
from streambg.control.commands import Args, NoArgs, PromoteArgs, RetireArgs, RolloutArgs, RolloutStartArgs
from streambg.control.moves import Handler, Rejected, Verdict
from streambg.control.rollouts import Rollout, Stage, ended, entered, misfit
from streambg.control.state import ControlState, Phase
from streambg.records.rules import Rules
from streambg.rollout.plan import Plan

Move = Callable[[ControlState, int, Rollout, RolloutArgs], Verdict]


def start(state: ControlState, offset: int, args: Args) -> Verdict:
    """The plan is fixed here: a file that changes later changes nothing (P4)."""
    assert isinstance(args, RolloutStartArgs)
    candidate, live, running = state.other_deployment, state.live_deployment, state.rollout
    assert candidate is not None
    assert live is not None
    if running is not None and running.active:
        return Rejected(f"{running.summary()}: stop it first")
    if args.candidate != candidate.id:
        return Rejected(f"prepared for candidate {args.candidate}, the candidate is {candidate.id} ({candidate.model})")
    plan = Plan.from_text(args.plan)
    first = plan.steps[0].weight
    if state.weight > first:
        return Rejected(
            f"the plan begins at {first / 100:g} %, the weight is {state.weight / 100:g} %: shift back first"
        )
    if state.paused:
        return Rejected("the rollout is paused: resume first")
    rollout = Rollout(
        offset, candidate.id, live.id, plan, Rules.digest_of(args.plan), entered=offset, events=args.events
    )
    return replace(moves.weighted(state, first), rollout=rollout)


def _for(verb: str, move: Move) -> Handler:
    """Only where the command is about the rollout, the step and a stage that are in force."""

    def handler(state: ControlState, offset: int, args: Args) -> Verdict:
        assert isinstance(args, RolloutArgs)
        rollout = state.rollout
        if rollout is None:
            return Rejected(NO_ROLLOUT)
        why = misfit(rollout, verb, args)
        return Rejected(why) if why else move(state, offset, rollout, args)

    return handler


def _advance(state: ControlState, offset: int, rollout: Rollout, args: RolloutArgs) -> Verdict:
    """The step's gates are passed."""
    if rollout.plan.steps[rollout.step].approval and not rollout.approved:
        return Rejected(f"step {rollout.step + 1} of the plan waits for a person: streambg rollout approve")
    return _onward(state, offset, rollout, args)


def _onward(state: ControlState, offset: int, rollout: Rollout, args: RolloutArgs) -> Verdict:
    """The next step's weight; behind the last one the candidate is promoted, or the plan ends at its weight."""
    if state.paused:
        return Rejected("the rollout is paused: resume first")
    step = rollout.step + 1
    if step < len(rollout.plan.steps):
        moved = moves.weighted(state, rollout.plan.steps[step].weight)
        return replace(moved, rollout=entered(rollout, offset, args, Stage.RUNNING, step))
    if not rollout.plan.promotes:
        return replace(state, rollout=ended(rollout, offset, Stage.DONE, "advance"))
    promoted = moves.promote(state, offset, PromoteArgs(candidate=rollout.candidate))
    if isinstance(promoted, Rejected):
        return promoted
    return replace(promoted, rollout=entered(rollout, offset, args, Stage.WATCHING))


def _approve(state: ControlState, offset: int, rollout: Rollout, args: RolloutArgs) -> Verdict:
    """A person says yes to the step in force; where it was held it goes on, and its time begins anew."""
    if rollout.stage is Stage.HELD:
        return replace(state, rollout=replace(entered(rollout, offset, args, Stage.RUNNING), approved=True))
    if rollout.approved:
        return Rejected(f"step {rollout.step + 1} is approved already")
    return replace(state, rollout=replace(rollout, approved=True))


def _hold(state: ControlState, offset: int, rollout: Rollout, args: RolloutArgs) -> Verdict:
    """Inconclusive: a person decides."""
    return replace(state, rollout=entered(rollout, offset, args, Stage.HELD))


def _keep(state: ControlState, offset: int, rollout: Rollout, args: RolloutArgs) -> Verdict:
    """The watch is over without harm; the old color stays warm."""
    return replace(state, rollout=entered(rollout, offset, args, Stage.KEEPING))


def _stop(state: ControlState, offset: int, rollout: Rollout, _args: RolloutArgs) -> Verdict:
    """The plan ends; weight and colors stay as they are."""
    return replace(state, rollout=ended(rollout, offset, Stage.STOPPED, "stop"))


def _abort(state: ControlState, offset: int, rollout: Rollout, _args: RolloutArgs) -> Verdict:
    aborted = moves.abort(state, offset, NoArgs())
    if not isinstance(aborted, Rejected) and rollout.plan.on_abort == "retire":
        aborted = moves.retire(aborted, offset, _other_slot(aborted))
    return _with(aborted, ended(rollout, offset, Stage.ABORTED, "abort"))


def _rollback(state: ControlState, offset: int, rollout: Rollout, _args: RolloutArgs) -> Verdict:
    return _with(moves.rollback(state, offset, NoArgs()), ended(rollout, offset, Stage.ROLLED_BACK, "rollback"))


def _retire(state: ControlState, offset: int, rollout: Rollout, _args: RolloutArgs) -> Verdict:
    return _with(moves.retire(state, offset, _other_slot(state)), ended(rollout, offset, Stage.DONE, "retire"))


def _other_slot(state: ControlState) -> RetireArgs:
    leaving = state.other_deployment
    assert leaving is not None
    return RetireArgs(color=leaving.color)


def _with(result: Verdict, rollout: Rollout) -> Verdict:
    return result if isinstance(result, Rejected) else replace(result, rollout=rollout)


NO_ROLLOUT = "no rollout is under way: streambg rollout start"
_BEFORE = frozenset({Phase.CANDIDATE})
_AFTER = frozenset({Phase.WARM})
_MOVES: dict[str, tuple[Move, frozenset[Phase]]] = {
    "rollout-advance": (_advance, _BEFORE),
    "rollout-skip": (_onward, _BEFORE),
    "rollout-approve": (_approve, _BEFORE),
    "rollout-hold": (_hold, _BEFORE),
    "rollout-stop": (_stop, _BEFORE | _AFTER),
    "rollout-abort": (_abort, _BEFORE),
    "rollout-rollback": (_rollback, _AFTER),
    "rollout-keep": (_keep, _AFTER),
    "rollout-retire": (_retire, _AFTER),
}


def cells() -> dict[tuple[Phase, str], Handler | str]:
    """Their part of the transition table; an active rollout stands only where there is a candidate or a way back."""
    return {
        (phase, verb): _for(verb, move) if phase in phases else NO_ROLLOUT
        for verb, (move, phases) in _MOVES.items()
        for phase in Phase
    }
