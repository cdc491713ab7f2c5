"""What the control log says of a rollout: the plan in force, its step, and how it ended (P4; DESIGN 9).

             ┌── approve, skip ──┐
    running ─┴─ hold ──> held ───┘      watching ── keep ──> keeping ── retire ──> done
       │  advance to `promote` ──────────^  │                   │
       └─ abort ──> aborted                 └──── rollback ─────┴──> rolled back

`stop` ends it from every active stage; a person's own command that moves traffic or deploys takes it over. The fold
knows no time: when a step was entered is the append time of the record at `entered`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from streambg.rollout.plan import Plan

if TYPE_CHECKING:
    from streambg.control.commands import RolloutArgs


class Stage(StrEnum):
    """Where a rollout stands."""

    RUNNING = "running"  # a step is in force, its gates are watched
    HELD = "held"  # nobody could know: waits for a person
    WATCHING = "watching"  # promoted; harm brings it back
    KEEPING = "keeping"  # the watch is over; the old color is kept warm
    DONE = "done"  # the old color is retired
    ABORTED = "aborted"
    ROLLED_BACK = "rolled back"
    STOPPED = "stopped"
    TAKEN_OVER = "taken over"  # a person's command stands in its place


ACTIVE = frozenset({Stage.RUNNING, Stage.HELD, Stage.WATCHING, Stage.KEEPING})


@dataclass(frozen=True, slots=True)
class Rollout:
    """The last rollout that was begun.

    id: the epoch of its `rollout-start`. candidate, live: the deployments it was begun with. entered: the epoch that
    entered this step or stage; events: the pairs compared by then. approved: a person said yes to this step.
    ended_by: the verb that ended it.
    """

    id: int
    candidate: int
    live: int
    plan: Plan
    plan_digest: str
    stage: Stage = Stage.RUNNING
    step: int = 0
    entered: int = 0
    events: int = 0
    approved: bool = False
    ended_by: str = ""

    @property
    def active(self) -> bool:
        return self.stage in ACTIVE

    @property
    def promoted(self) -> bool:
        return self.stage in (Stage.WATCHING, Stage.KEEPING)

    def summary(self) -> str:
        """For people: `step 2 of 4 at 10 %, running`."""
        if self.promoted or not self.active:
            by = f" by {self.ended_by}" if self.stage is Stage.TAKEN_OVER else ""  # else the stage says what it was
            return f"rollout {self.id}: {self.stage}{by}"
        weight = self.plan.steps[self.step].weight
        return f"rollout {self.id}: step {self.step + 1} of {len(self.plan.steps)} at {weight / 100:g} %, {self.stage}"


def misfit(rollout: Rollout, verb: str, args: RolloutArgs) -> str | None:
    """Why the verb does not fit what is in force; None where it does."""
    if args.rollout != rollout.id:
        return f"meant rollout {args.rollout}, the last one is {rollout.id}"
    if args.step != rollout.step:
        return f"decided for step {args.step + 1}, in force is step {rollout.step + 1}"  # people count from 1
    stages = WHERE[verb]
    if rollout.stage not in stages:
        return f"the rollout is {rollout.stage}; {verb} needs one that is {' or '.join(sorted(stages))}"
    return None


# verb -> the stages in which it means something
WHERE: dict[str, frozenset[Stage]] = {
    "rollout-advance": frozenset({Stage.RUNNING}),
    "rollout-skip": frozenset({Stage.RUNNING, Stage.HELD}),
    "rollout-approve": frozenset({Stage.RUNNING, Stage.HELD}),
    "rollout-hold": frozenset({Stage.RUNNING}),
    "rollout-stop": ACTIVE,
    "rollout-abort": frozenset({Stage.RUNNING, Stage.HELD}),
    "rollout-rollback": frozenset({Stage.WATCHING, Stage.KEEPING}),
    "rollout-keep": frozenset({Stage.WATCHING}),
    "rollout-retire": frozenset({Stage.KEEPING}),
}


def entered(rollout: Rollout, offset: int, args: RolloutArgs, stage: Stage, step: int | None = None) -> Rollout:
    """Another stage or step, from the record at `offset` on."""
    return replace(
        rollout,
        stage=stage,
        step=rollout.step if step is None else step,
        entered=offset,
        events=args.events,
        approved=False,
    )


def ended(rollout: Rollout, offset: int, stage: Stage, verb: str) -> Rollout:
    return replace(rollout, stage=stage, entered=offset, ended_by=verb)


def after(rollout: Rollout | None, offset: int, verb: str) -> Rollout | None:
    """What an accepted command does to a rollout beside what it says.

    A person's command that moves traffic or deploys ends an active one: what it watched is no more. What was paused has
    its time anew.
    """
    if rollout is None or not rollout.active or verb in _OWN or verb in _BESIDE:
        return rollout
    if verb == "resume":
        return replace(rollout, entered=offset) if rollout.stage is Stage.RUNNING else rollout
    return ended(rollout, offset, Stage.TAKEN_OVER, verb)


def taken_over(rollout: Rollout | None, offset: int) -> Rollout | None:
    """The rollout that the command at `offset` ended by standing in its place; None where it ended none."""
    over = rollout is not None and rollout.stage is Stage.TAKEN_OVER and rollout.entered == offset
    return rollout if over else None


_OWN = frozenset({"rollout-start", *WHERE})
_BESIDE = frozenset({"pause", "supersede"})  # neither moves traffic
