"""What the control log says, as a value: the state that every process folds alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from streambg.control.rollouts import Rollout
from streambg.records.gate import Noise
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color, other

# Weights are integers of hundredths of a percent (P3): 10 % is 1,000; the candidate gets the buckets below.
FULL_WEIGHT = 10_000


class Phase(StrEnum):
    """Where a pipeline stands; the rows of the transition table (machine.py)."""

    EMPTY = "empty"  # nothing was ever deployed
    ALONE = "alone"  # one color is live, the other slot is empty or retired
    CANDIDATE = "candidate"  # the other color is under test, at a weight
    ABORTED = "aborted"  # the candidate was aborted: weight 0, goes on scoring
    WARM = "warm"  # after a promote: the old live color goes on scoring, ready for a rollback


class Standing(StrEnum):
    """What became of one deployment."""

    SCORING = "scoring"
    ABORTED = "aborted"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model in one color. `id` is the control offset of its `deploy` command.

    rules: what its deploy carried (P4); its answers are made by these.
    start: first source offset per partition, where the command carried one (the first deploy; P11).
    sample: share of the keys a candidate scores while it never had weight, hundredths of a percent; None: all.
    rescores: the deployment it takes the place of with the same digest: a rescore, or behind an accepted gap (P29).
    """

    id: int
    color: Color
    model: str
    digest: str
    rules: Rules
    start: Mapping[int, int] = field(default_factory=dict)
    sample: int | None = None
    rescores: int | None = None
    standing: Standing = Standing.SCORING

    @property
    def answers(self) -> bool:
        """P16: may its answers be published as a fallback?"""
        return self.standing is Standing.SCORING


@dataclass(frozen=True, slots=True)
class AcceptedGap:
    """Source offsets `first` <= o < `end` of one partition, given up by the command at `epoch` (P29)."""

    first: int
    end: int
    epoch: int


@dataclass(frozen=True, slots=True)
class SupersededRange:
    """Source offsets `first` <= o < `end` of `partition`; where their answers stand (commands.py)."""

    partition: int
    first: int
    end: int
    answers_first: int
    answers_end: int
    covered: int


@dataclass(frozen=True, slots=True)
class Supersession:
    """The command at `epoch`: what `deployment` answered in these ranges goes out again (P36)."""

    epoch: int
    deployment: Deployment
    ranges: tuple[SupersededRange, ...]

    def of(self, partition: int) -> tuple[SupersededRange, ...]:
        """Its ranges in one partition, ascending."""
        return tuple(each for each in self.ranges if each.partition == partition)

    def same(self, color: Color, deployment: int, places: Collection[tuple[int, int, int]]) -> bool:
        """Does it ask for this? places: (partition, first, end) of each range."""
        own = {(each.partition, each.first, each.end) for each in self.ranges}
        return (self.deployment.color, self.deployment.id) == (color, deployment) and own == set(places)

    def touches(self, places: Collection[tuple[int, int, int]]) -> bool:
        """Has it an event in common with these (partition, first, end)?"""
        return any(
            own.partition == partition and own.first < end and first < own.end
            for own in self.ranges
            for partition, first, end in places
        )


@dataclass(frozen=True, slots=True)
class ControlState:
    """The fold of the control log up to `epoch`, the offset of the last accepted command (P1)."""

    epoch: int = -1
    phase: Phase = Phase.EMPTY
    live: Color | None = None
    weight: int = 0
    paused: bool = False
    slots: Mapping[Color, Deployment | None] = field(default_factory=lambda: dict.fromkeys(COLORS))
    # the sections of the pipeline file that decide, as the last deploy carried them (P4)
    rules: Rules | None = None
    rules_digest: str = ""
    # how much live differs from itself, as the last deploy carried it (P4)
    noise: Noise | None = None
    # where the pipeline's first deploy began: the origin of the guarantee in each partition (P11, P27)
    origin: Mapping[int, int] = field(default_factory=dict)
    # where the log of the output ended then; empty where that deploy did not say
    output_ends: Mapping[int, int] = field(default_factory=dict)
    # of the deployment the last promote took out of office, while P2 allows the way back
    rollback_to: int | None = None
    # the last accepted gap of each partition; no deployment since answers below its end (P29)
    gaps: Mapping[int, AcceptedGap] = field(default_factory=dict)
    # the last rollout that was begun, also when it has ended
    rollout: Rollout | None = None
    # deployments that no longer stand in a slot, in the order of their going: their answers are still stored
    replaced: tuple[Deployment, ...] = ()
    # every `supersede`, in the order of epochs: a publisher that comes late must know them all (P36)
    supersessions: tuple[Supersession, ...] = ()

    @property
    def live_deployment(self) -> Deployment | None:
        return self.slots[self.live] if self.live else None

    @property
    def other_deployment(self) -> Deployment | None:
        """The candidate, the aborted, the warm or the retired deployment; whatever stands in the other slot."""
        return self.slots[other(self.live)] if self.live else None

    @property
    def candidate(self) -> Deployment | None:
        """The deployment under test, while it may get weight."""
        return self.other_deployment if self.phase is Phase.CANDIDATE else None

    @property
    def fallback_to_other(self) -> bool:
        """P16: may the other color answer where live cannot?"""
        if self.phase is Phase.WARM:
            return True
        return (
            self.phase is Phase.CANDIDATE
            and self.weight > 0
            and self.rules is not None
            and self.rules.live_failed == "candidate"
        )

    def deployment(self, color: Color, number: int) -> Deployment | None:
        """A deployment of this color, whether it stands in its slot or not (an accepted gap makes two of one id)."""
        standing = self.slots[color]
        known = (*self.replaced, standing) if standing is not None else self.replaced
        return next((each for each in known if (each.color, each.id) == (color, number)), None)

    def superseded_by(self, places: Collection[tuple[int, int, int]]) -> Supersession | None:
        """The last command that supersedes some event of these (partition, first, end)."""
        return next((each for each in reversed(self.supersessions) if each.touches(places)), None)

    def start_of(self, partition: int) -> int:
        """First source offset owed; a partition that did not exist at the first deploy starts at 0 (P11)."""
        return self.origin.get(partition, 0)

    def gap_end(self, partition: int) -> int:
        """Answers begin here at the earliest, after an accepted gap; 0 where there is none (P29)."""
        return self.gaps[partition].end if partition in self.gaps else 0

    def output_begin(self, partition: int) -> int | None:
        """First log offset of the output that can hold an outcome of this pipeline (P25); None where nobody said."""
        return self.output_ends.get(partition, 0) if self.output_ends else None

    def summary(self) -> str:
        """One line for people: what is in force."""
        if self.live is None:
            return "nothing is deployed"
        parts = [
            f"epoch {self.epoch}",
            f"live {self.live} {self.live_deployment.model if self.live_deployment else ''}",
        ]
        if self.other_deployment and self.phase is not Phase.ALONE:
            deployment = self.other_deployment
            parts.append(f"{self.phase.value} {deployment.color} {deployment.model} (deployment {deployment.id})")
        parts.append(f"weight {self.weight / 100:g} %")
        if self.paused:
            parts.append("paused")
        if self.rollout is not None and self.rollout.active:
            parts.append(self.rollout.summary())
        return ", ".join(parts)
