"""What `ci deploy` does first, by what is in force: begin, start, join, or why not. Pure.

The model is known by its digest: a second call joins what the first began, also where the first one died between the
deploy and the start of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from streambg.continuous.slot import PAUSED, Free, Taken, idle, taken_back
from streambg.control.state import ControlState, Deployment
from streambg.records.source import Color


@dataclass(frozen=True, slots=True)
class Begin:
    """Deploy it to this color, then start the plan."""

    color: Color


@dataclass(frozen=True, slots=True)
class Start:
    """It stands there as the candidate, and no plan moves it: start the plan."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Join:
    """Its rollout is under way."""

    rollout: int
    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Live:
    """It is live, and nobody watches it any more."""

    deployment: Deployment


Admission = Begin | Start | Join | Live | Taken


def admit(state: ControlState, digest: str, gives_up_rollback: bool = False) -> Admission:
    """For a model with this digest; `Taken.passes` says whether waiting is worth it."""
    moved = under_way(state)
    if moved is not None and moved.digest == digest:
        assert state.rollout is not None
        return Join(state.rollout.id, moved)
    live, candidate = state.live_deployment, state.candidate
    if live is not None and live.digest == digest:
        return Live(live)
    ours = candidate is not None and candidate.digest == digest and not taken_back(state.rollout, candidate)
    if ours and candidate is not None:
        return PAUSED if state.paused else Start(candidate)
    found = idle(state, gives_up_rollback)
    return Begin(found.color) if isinstance(found, Free) else found


def under_way(state: ControlState) -> Deployment | None:
    """The deployment that an active rollout moves; after its promote it is live."""
    rollout = state.rollout
    if rollout is None or not rollout.active:
        return None
    return state.live_deployment if rollout.promoted else state.other_deployment
