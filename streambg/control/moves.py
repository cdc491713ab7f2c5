"""What each verb does to the state: one function a cell of the transition table (machine.py). P1-P3, P29.

Each reads nothing but its arguments. `Rejected` says why a command changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from streambg.control.commands import (
    AcceptGapArgs,
    Args,
    DeployArgs,
    NoArgs,
    PromoteArgs,
    RetireArgs,
    ShiftArgs,
    SupersedeArgs,
)
from streambg.control.state import (
    AcceptedGap,
    ControlState,
    Deployment,
    Phase,
    Standing,
    SupersededRange,
    Supersession,
)
from streambg.records.gate import Noise
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color, other


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a command changed nothing."""

    reason: str


Verdict = ControlState | Rejected
Handler = Callable[[ControlState, int, Args], Verdict]


def _with_slot(state: ControlState, deployment: Deployment) -> dict[Color, Deployment | None]:
    return {**state.slots, deployment.color: deployment}


def _deployment(offset: int, args: DeployArgs, rescores: int | None = None) -> Deployment:
    start = {int(partition): first for partition, first in args.start.items()}
    return Deployment(
        offset, args.color, args.model, args.digest, Rules.from_text(args.rules), start, args.sample, rescores
    )


def _ruled(state: ControlState, args: DeployArgs) -> ControlState:
    rules = Rules.from_text(args.rules)
    said = args.noise
    noise = Noise(said.digest, said.events, said.floors) if said is not None else None
    return replace(state, rules=rules, rules_digest=Rules.digest_of(args.rules), noise=noise)


def deploy_first(state: ControlState, offset: int, args: Args) -> Verdict:
    assert isinstance(args, DeployArgs)
    if args.rescore:
        return Rejected("rescore: nothing is deployed that could be scored again")
    if args.sample is not None:
        return Rejected("the first deploy goes live at once, and live scores every event: deploy it without a sample")
    deployment = _deployment(offset, args)
    return replace(
        _ruled(state, args),
        phase=Phase.ALONE,
        live=args.color,
        slots=_with_slot(state, deployment),
        origin=deployment.start,
        output_ends={int(partition): end for partition, end in args.output.items()},
    )


def deploy(state: ControlState, offset: int, args: Args) -> Verdict:
    assert isinstance(args, DeployArgs)
    assert state.live is not None
    if args.color == state.live:
        return rescore_live(state, offset, args)
    if args.rescore:
        return Rejected(
            f"rescore is for the live color ({state.live}); a deploy to {args.color} is a new candidate anyway"
        )
    if state.phase is Phase.WARM and not args.gives_up_rollback:
        return Rejected(
            f"{args.color} is kept for a rollback to deployment {state.rollback_to} (P2); "
            "retire it first, or give the rollback up with --gives-up-rollback"
        )
    return replace(
        _ruled(state, args),
        phase=Phase.CANDIDATE,
        weight=0,
        rollback_to=None,
        slots=_with_slot(state, _deployment(offset, args)),
    )


def rescore_live(state: ControlState, offset: int, args: DeployArgs) -> Verdict:
    """P29: the same digest again, as a new deployment in the live slot."""
    live = state.live_deployment
    assert live is not None
    if not args.rescore:
        return Rejected(
            f"{args.color} is live: deploy to {other(live.color)}, or give lost predictions again with --rescore"
        )
    if args.digest != live.digest:
        return Rejected(f"rescore needs the live digest {live.digest}, got {args.digest}")
    if args.sample is not None:
        return Rejected("live scores every event: rescore without a sample")
    return replace(_ruled(state, args), weight=0, slots=_with_slot(state, _deployment(offset, args, live.id)))


def shift(state: ControlState, _offset: int, args: Args) -> Verdict:
    assert isinstance(args, ShiftArgs)
    candidate = state.other_deployment
    assert candidate is not None
    if state.paused:
        return Rejected("the rollout is paused: resume first")
    if args.candidate != candidate.id:
        return Rejected(f"prepared for candidate {args.candidate}, the candidate is {candidate.id} ({candidate.model})")
    if args.weight == state.weight:
        return Rejected(f"the weight is {state.weight / 100:g} % already")
    return weighted(state, args.weight)


def weighted(state: ControlState, weight: int) -> ControlState:
    """The candidate's weight; above 0 it ends sampling for good: from then on every event owes an answer (P9)."""
    candidate = state.other_deployment
    assert candidate is not None
    sampled = replace(candidate, sample=None) if weight > 0 else candidate
    return replace(state, weight=weight, slots=_with_slot(state, sampled))


def promote(state: ControlState, _offset: int, args: Args) -> Verdict:
    assert isinstance(args, PromoteArgs)
    candidate, live = state.other_deployment, state.live_deployment
    assert candidate is not None
    assert live is not None
    if state.paused:
        return Rejected("the rollout is paused: resume first")
    if args.candidate != candidate.id:
        return Rejected(f"prepared for candidate {args.candidate}, the candidate is {candidate.id} ({candidate.model})")
    if candidate.sample is not None:
        return Rejected(
            "the candidate scores only a sample: shift it above 0 first, so that it answers every event (P9)"
        )
    return replace(state, phase=Phase.WARM, live=candidate.color, weight=0, rollback_to=live.id)


def rollback(state: ControlState, _offset: int, args: Args) -> Verdict:
    assert isinstance(args, NoArgs)
    back = state.other_deployment
    assert back is not None
    if back.id != state.rollback_to:
        return Rejected(f"deployment {state.rollback_to} no longer stands in {back.color} (P2)")
    return replace(state, phase=Phase.CANDIDATE, live=back.color, weight=0, rollback_to=None)


def abort(state: ControlState, _offset: int, args: Args) -> Verdict:
    assert isinstance(args, NoArgs)
    candidate = state.other_deployment
    assert candidate is not None
    return replace(
        state, phase=Phase.ABORTED, weight=0, slots=_with_slot(state, replace(candidate, standing=Standing.ABORTED))
    )


def pause(state: ControlState, _offset: int, _args: Args) -> Verdict:
    return Rejected("paused already") if state.paused else replace(state, paused=True)


def resume(state: ControlState, _offset: int, _args: Args) -> Verdict:
    return replace(state, paused=False) if state.paused else Rejected("not paused")


def retire(state: ControlState, _offset: int, args: Args) -> Verdict:
    assert isinstance(args, RetireArgs)
    if args.color == state.live:
        return Rejected(f"{args.color} is live: promote or roll back first")
    if state.weight > 0:
        return Rejected(f"{args.color} has weight {state.weight / 100:g} %: shift to 0 or abort first")
    leaving = state.other_deployment
    assert leaving is not None
    return replace(
        state,
        phase=Phase.ALONE,
        rollback_to=None,
        slots=_with_slot(state, replace(leaving, standing=Standing.RETIRED)),
    )


def accept_gap(state: ControlState, offset: int, args: Args) -> Verdict:
    """P29: every slot that is not retired gets a new deployment of the same digest, whose answers begin behind the gap.

    Like every new deployment it begins at weight 0 (P1); what may be rolled back to is the old live's successor (P2).
    """
    assert isinstance(args, AcceptGapArgs)
    slots = {
        color: replace(old, id=offset, start={}, rescores=old.id)
        if old is not None and old.standing is not Standing.RETIRED
        else old
        for color, old in state.slots.items()
    }
    return replace(
        state,
        weight=0,
        slots=slots,
        rollback_to=None if state.rollback_to is None else offset,
        gaps={**state.gaps, args.partition: AcceptedGap(args.first, args.end, offset)},
    )


def supersede(state: ControlState, offset: int, args: Args) -> Verdict:
    """P36: recorded for the publishers; nothing else changes. The same request twice is refused, unless one for some
    of these events came between: then it means something again.
    """
    assert isinstance(args, SupersedeArgs)
    deployment = state.deployment(args.color, args.deployment)
    if deployment is None:
        return Rejected(f"{args.color} never had a deployment {args.deployment}")
    places = [(each.partition, each.first, each.end) for each in args.ranges]
    last = state.superseded_by(places)
    if last is not None and last.same(args.color, args.deployment, places):
        return Rejected(f"that is what the command at epoch {last.epoch} asked for")
    ranges = tuple(SupersededRange(**dict(each)) for each in args.ranges)
    return replace(state, supersessions=(*state.supersessions, Supersession(offset, deployment, ranges)))


def with_replaced(before: ControlState, after: ControlState) -> ControlState:
    """Who no longer stands in a slot is remembered: its answers are still stored."""
    gone = tuple(
        old
        for color in COLORS
        if (old := before.slots[color]) is not None and (new := after.slots[color]) is not None and new.id != old.id
    )
    return replace(after, replaced=(*after.replaced, *gone)) if gone else after
