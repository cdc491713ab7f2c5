"""The state machine of the control log as a table: (phase, verb) -> what happens (P1-P3).

    empty ── deploy ──> alone ── deploy ──> candidate ── promote ──> warm
                          ^                   |  ^  ^                  |
                          └──── retire ───────┤  |  └──── rollback ────┤
                                              |  └─ deploy ─ aborted   |
                                              └───── abort ────^       └─ retire ──> alone

`apply` reads nothing but its arguments: no clock, no file (P4). An illegal command changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from streambg.control import moves, rollout_moves, rollouts
from streambg.control.commands import Args
from streambg.control.moves import Handler, Rejected, Verdict
from streambg.control.state import FULL_WEIGHT, ControlState, Phase


def apply(state: ControlState, offset: int, verb: str, expected_epoch: int, args: Args) -> Verdict:
    """The next state, whose epoch is `offset`; or why not."""
    if expected_epoch != state.epoch:
        return Rejected(f"expected epoch {expected_epoch}, in force is {state.epoch}: {state.summary()}")
    entry = TABLE[state.phase, verb]
    result = Rejected(entry) if isinstance(entry, str) else entry(state, offset, args)
    if isinstance(result, Rejected):
        return result
    result = moves.with_replaced(state, result)
    return replace(result, epoch=offset, rollout=rollouts.after(result.rollout, offset, verb))


_NOTHING = "nothing is deployed: deploy a model first"
_NO_CANDIDATE = "there is no candidate: deploy one to the other color first"
_ABORTED = "the candidate was aborted: deploy a new one"
_PROMOTED = "there is no candidate: the other color is kept for a rollback; roll back, or retire it and deploy"

# (phase, verb) -> handler, or the reason of the refusal. Complete: a test counts the cells.
TABLE: dict[tuple[Phase, str], Handler | str] = {
    (Phase.EMPTY, "deploy"): moves.deploy_first,
    (Phase.EMPTY, "shift"): _NOTHING,
    (Phase.EMPTY, "promote"): _NOTHING,
    (Phase.EMPTY, "rollback"): _NOTHING,
    (Phase.EMPTY, "abort"): _NOTHING,
    (Phase.EMPTY, "pause"): _NOTHING,
    (Phase.EMPTY, "resume"): _NOTHING,
    (Phase.EMPTY, "retire"): _NOTHING,
    (Phase.EMPTY, "accept-gap"): _NOTHING,
    (Phase.EMPTY, "supersede"): _NOTHING,
    (Phase.ALONE, "deploy"): moves.deploy,
    (Phase.ALONE, "shift"): _NO_CANDIDATE,
    (Phase.ALONE, "promote"): _NO_CANDIDATE,
    (
        Phase.ALONE,
        "rollback",
    ): "nothing to roll back to: no promote since the other color was retired or first deployed",
    (Phase.ALONE, "abort"): _NO_CANDIDATE,
    (Phase.ALONE, "pause"): moves.pause,
    (Phase.ALONE, "resume"): moves.resume,
    (Phase.ALONE, "retire"): "only the live color scores; there is nothing to retire",
    (Phase.ALONE, "accept-gap"): moves.accept_gap,
    (Phase.ALONE, "supersede"): moves.supersede,
    (Phase.CANDIDATE, "deploy"): moves.deploy,
    (Phase.CANDIDATE, "shift"): moves.shift,
    (Phase.CANDIDATE, "promote"): moves.promote,
    (Phase.CANDIDATE, "rollback"): "nothing was promoted: abort takes a candidate back before promotion (P3)",
    (Phase.CANDIDATE, "abort"): moves.abort,
    (Phase.CANDIDATE, "pause"): moves.pause,
    (Phase.CANDIDATE, "resume"): moves.resume,
    (Phase.CANDIDATE, "retire"): moves.retire,
    (Phase.CANDIDATE, "accept-gap"): moves.accept_gap,
    (Phase.CANDIDATE, "supersede"): moves.supersede,
    (Phase.ABORTED, "deploy"): moves.deploy,
    (Phase.ABORTED, "shift"): _ABORTED,
    (Phase.ABORTED, "promote"): _ABORTED,
    (Phase.ABORTED, "rollback"): "nothing was promoted, and the candidate is aborted already",
    (Phase.ABORTED, "abort"): "the candidate is aborted already",
    (Phase.ABORTED, "pause"): moves.pause,
    (Phase.ABORTED, "resume"): moves.resume,
    (Phase.ABORTED, "retire"): moves.retire,
    (Phase.ABORTED, "accept-gap"): moves.accept_gap,
    (Phase.ABORTED, "supersede"): moves.supersede,
    (Phase.WARM, "deploy"): moves.deploy,
    (Phase.WARM, "shift"): _PROMOTED,
    (Phase.WARM, "promote"): _PROMOTED,
    (Phase.WARM, "rollback"): moves.rollback,
    (Phase.WARM, "abort"): "the candidate was promoted: roll back instead (P3)",
    (Phase.WARM, "pause"): moves.pause,
    (Phase.WARM, "resume"): moves.resume,
    (Phase.WARM, "retire"): moves.retire,
    (Phase.WARM, "accept-gap"): moves.accept_gap,
    (Phase.WARM, "supersede"): moves.supersede,
}

TABLE |= {
    (Phase.EMPTY, "rollout-start"): _NOTHING,
    (Phase.ALONE, "rollout-start"): _NO_CANDIDATE,
    (Phase.CANDIDATE, "rollout-start"): rollout_moves.start,
    (Phase.ABORTED, "rollout-start"): _ABORTED,
    (Phase.WARM, "rollout-start"): _PROMOTED,
    **rollout_moves.cells(),
}

assert FULL_WEIGHT == 10_000  # ShiftArgs has the same limit


def diagram() -> str:
    """The table as Mermaid: docs/architecture.md holds this text, a test compares them.

    Without the rollout's verbs: they do what the plain ones do (rollouts.py draws theirs).
    """
    targets: dict[object, str] = {
        moves.deploy_first: Phase.ALONE,
        moves.deploy: Phase.CANDIDATE,
        moves.promote: Phase.WARM,
        moves.rollback: Phase.CANDIDATE,
        moves.abort: Phase.ABORTED,
        moves.retire: Phase.ALONE,
    }
    lines = ["stateDiagram-v2", "    [*] --> empty"]
    for (phase, verb), entry in TABLE.items():
        if not isinstance(entry, str) and not verb.startswith("rollout-"):
            lines.append(f"    {phase.value} --> {targets.get(entry, phase.value)}: {verb}")
    return "\n".join(lines)
