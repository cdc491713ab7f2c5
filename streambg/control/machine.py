"""The state machine of the control log as a table: (phase, verb) -> what happens (P1-P3).

    empty ── deploy ──> alone ── deploy ──> candidate ── promote ──> warm
                          ^                   |  ^  ^                  |
                          └──── retire ───────┤  |  └──── rollback ────┤
                                              |  └─ deploy ─ aborted   |
                                              └───── abort ────^       └─ retire ──> alone

`apply` reads nothing but its arguments: no clock, no file (P4). An illegal command changes nothing.
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
)
from streambg.control.state import FULL_WEIGHT, AcceptedGap, ControlState, Deployment, Phase, Standing
from streambg.records.rules import Rules
from streambg.records.source import Color, other


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a command changed nothing."""

    reason: str


Verdict = ControlState | Rejected
Handler = Callable[[ControlState, int, Args], Verdict]


def apply(state: ControlState, offset: int, verb: str, expected_epoch: int, args: Args) -> Verdict:
    """The next state, whose epoch is `offset`; or why not."""
    if expected_epoch != state.epoch:
        return Rejected(f"expected epoch {expected_epoch}, in force is {state.epoch}: {state.summary()}")
    entry = TABLE[state.phase, verb]
    result = Rejected(entry) if isinstance(entry, str) else entry(state, offset, args)
    return result if isinstance(result, Rejected) else replace(result, epoch=offset)


def _with_slot(state: ControlState, deployment: Deployment) -> dict[Color, Deployment | None]:
    return {**state.slots, deployment.color: deployment}


def _deployment(offset: int, args: DeployArgs, rescores: int | None = None) -> Deployment:
    start = {int(partition): first for partition, first in args.start.items()}
    return Deployment(
        offset, args.color, args.model, args.digest, Rules.from_text(args.rules), start, args.sample, rescores
    )


def _ruled(state: ControlState, args: DeployArgs) -> ControlState:
    rules = Rules.from_text(args.rules)
    return replace(state, rules=rules, rules_digest=Rules.digest_of(args.rules))


def _deploy_first(state: ControlState, offset: int, args: Args) -> Verdict:
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


def _deploy(state: ControlState, offset: int, args: Args) -> Verdict:
    assert isinstance(args, DeployArgs)
    assert state.live is not None
    if args.color == state.live:
        return _rescore_live(state, offset, args)
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


def _rescore_live(state: ControlState, offset: int, args: DeployArgs) -> Verdict:
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


def _shift(state: ControlState, _offset: int, args: Args) -> Verdict:
    assert isinstance(args, ShiftArgs)
    candidate = state.other_deployment
    assert candidate is not None
    if state.paused:
        return Rejected("the rollout is paused: resume first")
    if args.candidate != candidate.id:
        return Rejected(f"prepared for candidate {args.candidate}, the candidate is {candidate.id} ({candidate.model})")
    if args.weight == state.weight:
        return Rejected(f"the weight is {state.weight / 100:g} % already")
    # a weight above 0 ends sampling for good: from then on every event owes an answer (P9)
    sampled = replace(candidate, sample=None) if args.weight > 0 else candidate
    return replace(state, weight=args.weight, slots=_with_slot(state, sampled))


def _promote(state: ControlState, _offset: int, args: Args) -> Verdict:
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


def _rollback(state: ControlState, _offset: int, args: Args) -> Verdict:
    assert isinstance(args, NoArgs)
    back = state.other_deployment
    assert back is not None
    if back.id != state.rollback_to:
        return Rejected(f"deployment {state.rollback_to} no longer stands in {back.color} (P2)")
    return replace(state, phase=Phase.CANDIDATE, live=back.color, weight=0, rollback_to=None)


def _abort(state: ControlState, _offset: int, args: Args) -> Verdict:
    assert isinstance(args, NoArgs)
    candidate = state.other_deployment
    assert candidate is not None
    return replace(
        state, phase=Phase.ABORTED, weight=0, slots=_with_slot(state, replace(candidate, standing=Standing.ABORTED))
    )


def _pause(state: ControlState, _offset: int, _args: Args) -> Verdict:
    return Rejected("paused already") if state.paused else replace(state, paused=True)


def _resume(state: ControlState, _offset: int, _args: Args) -> Verdict:
    return replace(state, paused=False) if state.paused else Rejected("not paused")


def _retire(state: ControlState, _offset: int, args: Args) -> Verdict:
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


def _accept_gap(state: ControlState, offset: int, args: Args) -> Verdict:
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


_NOTHING = "nothing is deployed: deploy a model first"
_NO_CANDIDATE = "there is no candidate: deploy one to the other color first"
_ABORTED = "the candidate was aborted: deploy a new one"
_PROMOTED = "there is no candidate: the other color is kept for a rollback; roll back, or retire it and deploy"

# (phase, verb) -> handler, or the reason of the refusal. Complete: a test counts the cells.
TABLE: dict[tuple[Phase, str], Handler | str] = {
    (Phase.EMPTY, "deploy"): _deploy_first,
    (Phase.EMPTY, "shift"): _NOTHING,
    (Phase.EMPTY, "promote"): _NOTHING,
    (Phase.EMPTY, "rollback"): _NOTHING,
    (Phase.EMPTY, "abort"): _NOTHING,
    (Phase.EMPTY, "pause"): _NOTHING,
    (Phase.EMPTY, "resume"): _NOTHING,
    (Phase.EMPTY, "retire"): _NOTHING,
    (Phase.EMPTY, "accept-gap"): _NOTHING,
    (Phase.ALONE, "deploy"): _deploy,
    (Phase.ALONE, "shift"): _NO_CANDIDATE,
    (Phase.ALONE, "promote"): _NO_CANDIDATE,
    (
        Phase.ALONE,
        "rollback",
    ): "nothing to roll back to: no promote since the other color was retired or first deployed",
    (Phase.ALONE, "abort"): _NO_CANDIDATE,
    (Phase.ALONE, "pause"): _pause,
    (Phase.ALONE, "resume"): _resume,
    (Phase.ALONE, "retire"): "only the live color scores; there is nothing to retire",
    (Phase.ALONE, "accept-gap"): _accept_gap,
    (Phase.CANDIDATE, "deploy"): _deploy,
    (Phase.CANDIDATE, "shift"): _shift,
    (Phase.CANDIDATE, "promote"): _promote,
    (Phase.CANDIDATE, "rollback"): "nothing was promoted: abort takes a candidate back before promotion (P3)",
    (Phase.CANDIDATE, "abort"): _abort,
    (Phase.CANDIDATE, "pause"): _pause,
    (Phase.CANDIDATE, "resume"): _resume,
    (Phase.CANDIDATE, "retire"): _retire,
    (Phase.CANDIDATE, "accept-gap"): _accept_gap,
    (Phase.ABORTED, "deploy"): _deploy,
    (Phase.ABORTED, "shift"): _ABORTED,
    (Phase.ABORTED, "promote"): _ABORTED,
    (Phase.ABORTED, "rollback"): "nothing was promoted, and the candidate is aborted already",
    (Phase.ABORTED, "abort"): "the candidate is aborted already",
    (Phase.ABORTED, "pause"): _pause,
    (Phase.ABORTED, "resume"): _resume,
    (Phase.ABORTED, "retire"): _retire,
    (Phase.ABORTED, "accept-gap"): _accept_gap,
    (Phase.WARM, "deploy"): _deploy,
    (Phase.WARM, "shift"): _PROMOTED,
    (Phase.WARM, "promote"): _PROMOTED,
    (Phase.WARM, "rollback"): _rollback,
    (Phase.WARM, "abort"): "the candidate was promoted: roll back instead (P3)",
    (Phase.WARM, "pause"): _pause,
    (Phase.WARM, "resume"): _resume,
    (Phase.WARM, "retire"): _retire,
    (Phase.WARM, "accept-gap"): _accept_gap,
}

assert FULL_WEIGHT == 10_000  # ShiftArgs has the same limit


def diagram() -> str:
    """The table as Mermaid: docs/architecture.md holds this text, a test compares them."""
    targets: dict[object, str] = {
        _deploy_first: Phase.ALONE,
        _deploy: Phase.CANDIDATE,
        _promote: Phase.WARM,
        _rollback: Phase.CANDIDATE,
        _abort: Phase.ABORTED,
        _retire: Phase.ALONE,
    }
    lines = ["stateDiagram-v2", "    [*] --> empty"]
    for (phase, verb), entry in TABLE.items():
        if not isinstance(entry, str):
            lines.append(f"    {phase.value} --> {targets.get(entry, phase.value)}: {verb}")
    return "\n".join(lines)
