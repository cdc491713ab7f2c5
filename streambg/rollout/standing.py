"""Where a rollout stands and what it waits for, looked up by anybody; the controller's own decision, made again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from streambg.comparing.judging import case_of
from streambg.comparing.told import Told, told
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.control.state import ControlState
from streambg.kafka import profiles
from streambg.rollout.decide import Act, Ask, Decision, Wait, decide
from streambg.rollout.look import Facts, look_of
from streambg.rollout.verdicts import Verdicts
from streambg.rollout.words import shown_step

FOLD_TIMEOUT_S = 15.0
FIRST_READ_S = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """state: as the control log says now. decision: what a controller would do; None: no rollout is under way.

    told: the last verdict about the pair in force; None: nobody is to be judged.
    """

    state: ControlState
    decision: Decision | None
    told: Told | None = None

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
                return (f"{verb.removeprefix('rollout-')} is next ({reason}); does a controller run?",)
            case Ask(address):
                return (f"{address} is asked next; does a controller run?",)
        return ()

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
            "waits_for": list(self.reasons),
        }


def looks(pipeline: Pipeline) -> Iterator[Standing]:
    """For ever, each as things are then. Raises Unreachable, Denied, Gap, UpgradeFirst."""
    reader = {**profiles.reader(pipeline, f"{verbs.CLIENT}.rollout"), **verbs.QUIET}
    appended: dict[int, int] = {}

    def keep(entry: Entry) -> None:
        appended[entry.offset] = entry.appended_ms

    with verbs.client(pipeline, keep) as control, Verdicts(reader, pipeline.topics.verdicts) as verdicts:
        verdicts.read(FIRST_READ_S)
        while True:
            yield _standing(control.state(), verdicts, appended)


def _standing(state: ControlState, verdicts: Verdicts, appended: dict[int, int]) -> Standing:
    rollout = state.rollout
    if rollout is None or not rollout.active:
        return Standing(state, None)
    case, now_ms = case_of(state), int(time.time() * 1_000)
    found = told(verdicts.read(), case, now_ms) if case else None
    return Standing(
        state, decide(rollout, look_of(rollout, Facts(now_ms, appended[rollout.entered], found, state.paused))), found
    )
