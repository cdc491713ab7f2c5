"""What happens when: the demo's steps as fractions of its events, with the reason for each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from streambg.records.source import Color


class Do(StrEnum):
    """A command of the control log, or `kill`: a fault."""

    DEPLOY = "deploy"
    SHIFT = "shift"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Step:
    """`at`: after this share of the events. `weight` in hundredths of a percent (shift). `why` is for people."""

    at: float
    do: Do
    why: str
    color: Color | None = None
    weight: int = 0

    @property
    def words(self) -> str:
        """`shift 10 %`, `deploy green`, `kill -9 publisher`."""
        match self.do:
            case Do.SHIFT:
                return f"shift {self.weight / 100:g} %"
            case Do.DEPLOY:
                return f"deploy {self.color}"
            case Do.KILL:
                return "kill -9 publisher"
            case _:
                return str(self.do)


# Blue is alone for a moment, green is in the shadow long enough to be compared, each weight is held for a while, and
# the fault strikes at 50 %, where both colors are owed.
STEPS: tuple[Step, ...] = (
    Step(0.00, Do.DEPLOY, "the first deployment goes live at once; it answers from the first event on", "blue"),
    Step(0.08, Do.DEPLOY, "the candidate scores every event in the shadow: nothing of it is published", "green"),
    Step(0.24, Do.SHIFT, "green's answers go out for a tenth of the machines", weight=1_000),
    Step(0.38, Do.SHIFT, "for half of them; who had green's answers keeps them", weight=5_000),
    Step(0.48, Do.KILL, "a publisher dies in the middle of it; its open transaction never happened"),
    Step(0.60, Do.PROMOTE, "green is live; blue goes on scoring, ready for the way back"),
    Step(0.72, Do.ROLLBACK, "blue is live again: its answers are all there, nothing is scored anew"),
    Step(0.84, Do.PROMOTE, "and forth: a cutover is only another choice"),
)
# The stream does not pass this share before the last step is accepted: what follows shows its effect.
LAST_WORD = 0.93


def due(step: Step, events: int) -> int:
    """The number of the event after which the step is done."""
    return int(step.at * events)


def steps(kills: bool) -> tuple[Step, ...]:
    """The steps; without the fault where the processes are not ours to kill."""
    return STEPS if kills else tuple(step for step in STEPS if step.do is not Do.KILL)


def may_send(done: int, events: int, of: Sequence[Step] = STEPS) -> int:
    """How many events may be sent when the first `done` steps (`of` all) are done.

    A step is due when the stream reaches it, and the stream goes on meanwhile; but it does not pass the next step's
    place before this one is done. So every step has events to show its effect, on a slow machine, too.
    """
    if done >= len(of):
        return events
    return due(of[done + 1], events) if done + 1 < len(of) else int(LAST_WORD * events)
