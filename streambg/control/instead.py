"""What a person types next: instead of a command that was refused, or behind one that ended a rollout. Pure."""

from __future__ import annotations

import re

from streambg.control.rollouts import Rollout
from streambg.control.state import ControlState, Phase
from streambg.records.source import other

LOOK = "streambg status"
_BEGINS_AT = re.compile(r"the plan begins at (\S+) %")
# Those that move traffic to a candidate, or begin to.
_FORWARD = frozenset({"shift", "promote", "rollout-start"})


def instead(verb: str, refusal: str, state: ControlState) -> str:
    """The command to type next. state: in force, as the refusal left it; refusal: its words, as the log has them."""
    if state.live is None:
        return "streambg deploy blue NAME:VERSION"
    if refusal.startswith("expected epoch"):  # somebody was faster (P1)
        return f"{LOOK}; if it is still meant, the same again"
    if refusal.startswith("the rollout is paused"):  # only then: without a candidate `resume` leads nowhere
        return "streambg resume"
    if verb in {"pause", "resume"}:
        return LOOK
    match state.phase:
        case Phase.ALONE:
            return _alone(verb, state)
        case Phase.CANDIDATE:
            return _candidate(verb, refusal, state)
        case Phase.ABORTED:
            return _deploy(state) if verb in _FORWARD else LOOK
        case _:
            return _warm(verb, refusal, state)


def over(rollout: Rollout, state: ControlState) -> str:
    """That a command took this rollout over, and how another one begins. state: in force behind the command."""
    start, first = "streambg rollout start", rollout.plan.steps[0].weight
    if state.candidate is None:
        another = f"the next candidate's: {start}"
    elif state.weight > first:
        another = f"another one: streambg shift {first / 100:g}%, then {start}"
    else:
        another = f"another one: {start}"
    return f"rollout {rollout.id} is over, {rollout.stage} by {rollout.ended_by}; {another}"


def _deploy(state: ControlState) -> str:
    return f"streambg deploy {_other(state)} NAME:VERSION"


def _other(state: ControlState) -> str:
    return other(state.live) if state.live else "blue"


def _alone(verb: str, state: ControlState) -> str:
    return _deploy(state) if verb in (*_FORWARD, "abort", "deploy") else LOOK


def _candidate(verb: str, refusal: str, state: ControlState) -> str:
    candidate = state.other_deployment
    match verb:
        case "deploy":
            return _deploy(state)
        case "rollback":
            return "streambg abort"
        case "retire" if state.weight > 0:
            return f"streambg shift 0; then streambg retire {_other(state)}"
        case "retire":  # of the live color
            return (
                f"streambg retire {_other(state)}, if that was meant; after streambg promote the old live color can be"
            )
        case "rollout-start" if found := _BEGINS_AT.match(refusal):
            return f"streambg shift {found[1]}%, then streambg rollout start"
        case "promote" if candidate is not None and candidate.sample is not None:
            return "streambg shift 1; then streambg promote"
    return LOOK


def _warm(verb: str, refusal: str, state: ControlState) -> str:
    match verb:
        case "abort":
            return "streambg rollback"
        case "retire":  # of the live color
            return f"streambg retire {_other(state)}, if that was meant; after streambg rollback this one can be"
        case "deploy" if refusal.startswith(f"{state.live} is live"):
            return f"streambg retire {_other(state)}, then {_deploy(state)}"
        case "deploy":
            return f"streambg retire {_other(state)}; then the same again (or at once, with --gives-up-rollback)"
        case "shift" | "promote" | "rollout-start":
            return f"streambg rollback; or streambg retire {_other(state)}, then {_deploy(state)}"
    return LOOK
