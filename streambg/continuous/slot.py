"""May the color that is not live be taken for another model? One answer for `ci deploy` and `watch-registry`. Pure.

Nothing is deployed over what somebody still needs: a rollout under way, the deployment that a rollback goes back to
(P2), or a candidate that a person put there and has not taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

from streambg.control.rollouts import Rollout, Stage
from streambg.control.state import ControlState, Deployment, Phase
from streambg.records.source import Color, other


@dataclass(frozen=True, slots=True)
class Free:
    """The color that a deploy may go to."""

    color: Color


@dataclass(frozen=True, slots=True)
class Taken:
    """Why not, and what a person can do. passes: does it end by itself, or by what a person does anyway?"""

    why: str
    way_out: str
    passes: bool = False


PAUSED = Taken("the rollout is paused", "streambg resume", passes=True)


def idle(state: ControlState, gives_up_rollback: bool = False) -> Free | Taken:
    """The color that is not live, or who needs it.

    gives_up_rollback: take the deployment that a rollback would go back to, but not while harm is watched for.
    """
    if state.live is None:
        return Taken(
            "nothing is deployed: the first deployment goes live at once, and says where to begin",
            "a person does it: streambg deploy blue NAME:VERSION --start latest",
        )
    needed = _needed(state, gives_up_rollback)
    if needed is not None:
        return needed
    if state.paused:
        return PAUSED
    return Free(other(state.live))


def _needed(state: ControlState, gives_up_rollback: bool) -> Taken | None:
    """Who needs what stands in the other slot."""
    rollout = state.rollout
    if state.phase is Phase.WARM:
        return _warm(state, rollout, gives_up_rollback)
    if rollout is not None and rollout.active:
        return Taken(
            f"another model is under way: {state.summary()}",
            "wait for its end: streambg rollout status --watch; or end it: streambg abort",
        )
    if state.candidate is not None and not taken_back(rollout, state.candidate):
        return Taken(
            f"{_named(state.candidate)} stands there without a rollout: {state.summary()}",
            f"take it back first: streambg abort, or streambg retire {state.candidate.color}",
        )
    return None


def taken_back(rollout: Rollout | None, candidate: Deployment) -> bool:
    """Was this deployment live, and rolled back? Then it is a candidate again that nobody waits for."""
    if rollout is None or rollout.candidate != candidate.id:
        return False
    return rollout.stage is Stage.ROLLED_BACK or (rollout.stage is Stage.TAKEN_OVER and rollout.ended_by == "rollback")


def _warm(state: ControlState, rollout: Rollout | None, gives_up_rollback: bool) -> Taken | None:
    """The deployment that a rollback goes back to (P2)."""
    kept = state.other_deployment
    assert kept is not None
    watching = rollout is not None and rollout.stage is Stage.WATCHING
    if gives_up_rollback and not watching:
        return None
    why = f"{kept.color} is kept for a rollback to {_named(kept)} (P2): {state.summary()}"
    if watching:
        return Taken(why, "wait until the watch for harm is over, or: streambg rollback", passes=True)
    return Taken(
        why,
        f"wait until it is retired (keep_warm), or: streambg retire {kept.color}; or --gives-up-rollback",
        passes=True,
    )


def _named(deployment: Deployment) -> str:
    return f"{deployment.color} {deployment.model} (deployment {deployment.id})"
