"""A rollout as people and programs use it: start, approve, skip, stop; each one command in the control log."""

from __future__ import annotations

from typing import Literal

from streambg.comparing.evidence import merged
from streambg.comparing.evidence_log import read_evidence
from streambg.comparing.pair import pair_of
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.rollouts import Rollout
from streambg.control.sender import ControlClient, Sent
from streambg.control.state import ControlState
from streambg.control.verbs import Said
from streambg.errors import ConfigError, Refused
from streambg.kafka import profiles
from streambg.rollout.plan import Plan


def start(
    control: ControlClient,
    pipeline: Pipeline,
    said: Said,
    *,
    plan: Plan | None = None,
    expected_epoch: int | None = None,
) -> Sent:
    """Begin the plan of the pipeline file (or `plan`) for the candidate; from here on the file decides nothing (P4).

    Raises ConfigError without a plan; Refused where its metrics are not those that the candidate was deployed with.
    """
    plan = plan or plan_of(pipeline)
    state = control.state()
    if state.candidate is not None and state.rules is not None and not plan.fits(state.rules):
        raise Refused(
            f"the metrics in {pipeline.file} are not those that {state.candidate.model} was deployed with: "
            "margins that are chosen after the run has begun prove nothing",
            way_out=f"deploy it again: streambg deploy {state.candidate.color} {state.candidate.model}",
        )
    args = {"candidate": _candidate(state), "plan": plan.text(), "events": compared(pipeline, state)}
    return control.send(
        "rollout-start", args, actor=said.actor, reason=said.reason, expected_epoch=_epoch(state, expected_epoch)
    )


def say(
    control: ControlClient,
    verb: Literal["approve", "skip", "stop"],
    said: Said,
    pipeline: Pipeline,
    *,
    expected_epoch: int | None = None,
) -> Sent:
    """A person's word on the rollout that is under way. Raises Refused where there is none."""
    state = control.state()
    rollout = under_way(state)
    args = {"rollout": rollout.id, "step": rollout.step, "events": compared(pipeline, state)}
    return control.send(
        f"rollout-{verb}", args, actor=said.actor, reason=said.reason, expected_epoch=_epoch(state, expected_epoch)
    )


def plan_of(pipeline: Pipeline) -> Plan:
    """Raises ConfigError where the file has none."""
    plan = pipeline.plan()
    if plan is None:
        raise ConfigError(
            f"{pipeline.file} has no rollout plan",
            way_out="write `metrics:` and `rollout: {steps: [...]}`; the reference pipeline.yaml shows them",
        )
    return plan


def under_way(state: ControlState) -> Rollout:
    """Raises Refused where none is."""
    if state.rollout is None or not state.rollout.active:
        last = f"; the last one: {state.rollout.summary()}" if state.rollout else ""
        raise Refused(f"no rollout is under way{last}", way_out="streambg rollout start")
    return state.rollout


def compared(pipeline: Pipeline, state: ControlState) -> int:
    """Events of the pair in force that the comparator has joined by now, as its snapshots say."""
    pair = pair_of(state)
    if pair is None:
        return 0
    reader = {**profiles.reader(pipeline, verbs.CLIENT), **verbs.QUIET}
    parts = [each.evidence for each in read_evidence(reader, pipeline.topics.evidence) if each.evidence.pair == pair]
    return merged(parts).counts["matched"]


def _candidate(state: ControlState) -> int:
    """Where there is none, the fold says why."""
    return state.other_deployment.id if state.other_deployment else -1


def _epoch(state: ControlState, given: int | None) -> int:
    return state.epoch if given is None else given
