"""Where a rollout stands and what it waits for, looked up by anybody; the controller's own decision, made again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streambg.comparing.judging import case_of
from streambg.comparing.told import Told, told
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.commands import Envelope
from streambg.control.fold import Entry
from streambg.control.rollouts import Stage
from streambg.control.state import ControlState
from streambg.kafka import profiles
from streambg.rollout.decide import Act, Ask, Decision, Wait, decide
from streambg.rollout.look import Facts, look_of
from streambg.rollout.verdicts import Verdicts
from streambg.rollout.words import shown_step

FOLD_TIMEOUT_S = 15.0
FIRST_READ_S = 1.0
# A controller looks once a second, and asks for positions before it moves on: what is due longer has nobody to do it.
OVERDUE_S = 10.0


@dataclass(frozen=True, slots=True)
class Standing:
    """state: as the control log says now. decision: what a controller would do; None: no rollout is under way.

    told: the last verdict about the pair in force; None: nobody is to be judged. overdue: a command is next for longer
    than a controller takes. ended: the command that ended the rollout; None: it goes on, or there never was one.
    """

    state: ControlState
    decision: Decision | None
    told: Told | None = None
    overdue: bool = False
    ended: Envelope | None = None

    @property
    def kind(self) -> str:
        return type(self.decision).__name__

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is waited for, for people."""
        match self.decision:
            case Wait(reasons):
                return reasons
            case Act(verb, reason):
                return (f"{verb.removeprefix('rollout-')} is next ({reason}){self._nobody()}",)
            case Ask(address):
                return (f"{address} must answer 2xx{self._nobody()}",)
        return ()

    def _nobody(self) -> str:
        return f", for {OVERDUE_S:g} s and more: does a controller run?" if self.overdue else ""

    @property
    def end(self) -> str:
        """How it ended, by whom and why: `aborted by rollout controller: flips: harm, ...`; "" where it has not."""
        rollout, command = self.state.rollout, self.ended
        if rollout is None or command is None:
            return ""
        by = f"{command.actor} ({command.verb})" if rollout.stage is Stage.TAKEN_OVER else command.actor
        return f"{rollout.stage} by {by}" + (f": {command.reason}" if command.reason else "")

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--output json`."""
        rollout = self.state.rollout
        told_of = {
            "in_force": self.state.summary(),
            "epoch": self.state.epoch,
            "weight": self.state.weight / 100,
            "rollout": None,
        }
        if rollout is None:
            return told_of
        return {
            **told_of,
            "rollout": rollout.id,
            "stage": rollout.stage.value,
            "step": rollout.step,
            "steps": [{"weight": step.weight / 100, "needs": shown_step(step)} for step in rollout.plan.steps],
            "candidate": rollout.candidate,
            "plan": rollout.plan_digest,
            "approved": rollout.approved,
            "ended_by": rollout.ended_by or None,
            "end": self.end or None,
            "waits_for": list(self.reasons),
        }


def looks(pipeline: Pipeline) -> Iterator[Standing]:
    """For ever, each as things are then. Raises Unreachable, Denied, Gap, UpgradeFirst."""
    reader = {**profiles.reader(pipeline, f"{verbs.CLIENT}.rollout"), **verbs.QUIET}
    entries: dict[int, Entry] = {}
    due: tuple[int, float] | None = None  # the epoch at which something is next, since when (monotonic seconds)

    def keep(entry: Entry) -> None:
        entries[entry.offset] = entry

    with verbs.client(pipeline, keep) as control, Verdicts(reader, pipeline.topics.verdicts) as verdicts:
        verdicts.read(FIRST_READ_S)
        while True:
            found, now = _standing(control.state(), verdicts, entries), time.monotonic()
            if not isinstance(found.decision, Act | Ask):
                due = None
            elif due is None or due[0] != found.state.epoch:
                due = (found.state.epoch, now)
            elif now - due[1] >= OVERDUE_S:
                found = _overdue(pipeline, reader, found)
            yield found


def _standing(state: ControlState, verdicts: Verdicts, entries: dict[int, Entry]) -> Standing:
    rollout = state.rollout
    if rollout is None or not rollout.active:
        return Standing(state, None, ended=entries[rollout.entered].envelope if rollout else None)
    case, now_ms = case_of(state), int(time.time() * 1_000)
    found = told(verdicts.read(), case, now_ms) if case else None
    facts = Facts(now_ms, entries[rollout.entered].appended_ms, found, state.paused)
    return Standing(state, decide(rollout, look_of(rollout, facts)), found)


def _overdue(pipeline: Pipeline, reader: Mapping[str, Any], found: Standing) -> Standing:
    """A controller that does not do what is next may wait for a candidate that lags."""
    candidate, rollout = found.state.candidate, found.state.rollout
    if candidate is not None and rollout is not None:
        lags = verbs.lags(pipeline, reader, candidate, rollout.plan.gate.max_lag_ms)
        if lags:
            return replace(found, decision=Wait(lags))
    return replace(found, overdue=True)
