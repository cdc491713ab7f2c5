"""The command envelope: what a sender writes into the control log (P1, P4, P5)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from streambg.records.gate import Gate, Noise
from streambg.records.rules import Rules
from streambg.rollout.plan import Plan

# Whoever adds a verb raises the format, so that a process that does not know it halts instead of passing it (P5).
# A command is written in the oldest format that has its verb: only who uses a new verb needs new readers.
FORMATS: dict[int, tuple[str, ...]] = {
    1: ("deploy", "shift", "promote", "rollback", "abort", "pause", "resume", "retire"),
    2: ("accept-gap",),
    3: (
        "rollout-start",
        "rollout-advance",
        "rollout-skip",
        "rollout-approve",
        "rollout-hold",
        "rollout-stop",
        "rollout-abort",
        "rollout-rollback",
        "rollout-keep",
        "rollout-retire",
    ),
    4: ("supersede",),
}
# Arguments that came later than their verb, with the format that has them: whoever uses one needs new readers, too.
LATER_ARGS: dict[tuple[str, str], int] = {("deploy", "contract_change"): 4, ("deploy", "noise"): 4}
NEWEST_FORMAT = max(*FORMATS, *LATER_ARGS.values())
# A command that lands later than this was prepared for another world (P5).
EXPIRES_MS = 30_000
# Enough for a reason a person types, far below the record limit.
MAX_TEXT = 2_000
MAX_ID = 64
# More than a person reads before accepting them; a version with more has another contract altogether.
MAX_CHANGES = 50
# A range takes some 120 bytes: with as many as these a command stays far below the record limit.
MAX_RANGES = 1_000
# Whoever takes over a partition that stands still reads back over what was superseded last (P25), within the 15 s that
# it has for an assignment: a million records are read in about 3 s.
MAX_SUPERSEDED = 1_000_000

VERBS = tuple(verb for verbs in FORMATS.values() for verb in verbs)


def format_of(verb: str, args: Iterable[str] = ()) -> int:
    """The oldest format that has the verb and these arguments of it; the newest where none has the verb."""
    of_verb = next((number for number, verbs in FORMATS.items() if verb in verbs), NEWEST_FORMAT)
    return max([of_verb, *(LATER_ARGS.get((verb, name), of_verb) for name in args)])


class _Args(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class NoiseArgs(_Args):
    """How much the live model, of this digest, differs from itself, as an A/A phase has measured (records/gate.py)."""

    digest: Digest
    events: Annotated[int, Field(ge=1)]
    floors: dict[str, Annotated[float, Field(ge=0, lt=1)]]


class DeployArgs(_Args):
    """`rules` is the text of the sections that decide (P4); `noise` what their gate is held against (format 4).

    contract_change: where the version does not keep live's contract, in words, and a person accepted it (format 4).
    The first deploy's alone: `start`, the first source offset owed per partition (P11), and `output`, where the log of
    the output ended: what stands below is from before this pipeline (P25).
    """

    color: Literal["blue", "green"]
    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*:[a-z0-9][a-z0-9._-]*$", max_length=200)]
    digest: Digest
    rules: Annotated[str, Field(max_length=200_000)]
    start: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    output: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    sample: Annotated[int, Field(ge=1, le=10_000)] | None = None
    gives_up_rollback: bool = False
    rescore: bool = False
    contract_change: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]], Field(max_length=MAX_CHANGES)
    ] = Field(default_factory=list)
    noise: NoiseArgs | None = None

    @field_validator("rules")
    @classmethod
    def _rules_hold(cls, text: str) -> str:
        Rules.from_text(text)
        return text

    @model_validator(mode="after")
    def _above_the_noise(self) -> Self:
        gate = Rules.from_text(self.rules).gate
        found = None if gate is None else Gate.from_data(gate)
        if self.noise is not None and found is not None:
            found.above(Noise(self.noise.digest, self.noise.events, self.noise.floors))
        return self

    @field_validator("start", "output")
    @classmethod
    def _partitions(cls, offsets: dict[str, int]) -> dict[str, int]:
        if any(not partition.isdecimal() for partition in offsets):
            raise ValueError("partitions are written as numbers")
        return offsets


class ShiftArgs(_Args):
    """`weight` in hundredths of a percent; `candidate` is the deployment it was decided for (P1)."""

    weight: Annotated[int, Field(ge=0, le=10_000)]
    candidate: int


class PromoteArgs(_Args):
    """`candidate` is the deployment it was decided for (P1)."""

    candidate: int


class RetireArgs(_Args):
    """`color` is the slot whose deployment stops scoring."""

    color: Literal["blue", "green"]


class AcceptGapArgs(_Args):
    """What `partition` owes for the source offsets `first` <= o < `end` is given up (P29)."""

    partition: Annotated[int, Field(ge=0)]
    first: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.first:
            raise ValueError(f"the gap ends at {self.end}, before it begins at {self.first}")
        return self


class SupersedeRange(_Args):
    """Source offsets `first` <= o < `end` of one partition of the input.

    The answers that count stand in the color's predictions partition at log offsets `answers_first` <= o <
    `answers_end`, and their fold begins there with `covered`, as the sender found them: no reader has to search, and
    all take the same ones.
    """

    partition: Annotated[int, Field(ge=0)]
    first: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=1)]
    answers_first: Annotated[int, Field(ge=0)]
    answers_end: Annotated[int, Field(ge=0)]
    covered: Annotated[int, Field(ge=-1)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.first:
            raise ValueError(f"partition {self.partition}: the range from {self.first} to {self.end - 1} is empty")
        if self.end - self.first > MAX_SUPERSEDED:
            raise ValueError(
                f"partition {self.partition}: {self.end - self.first} offsets, at most {MAX_SUPERSEDED} in one range"
            )
        return self


class SupersedeArgs(_Args):
    """Publish again what `deployment` of `color` answered in `ranges`, which ascend and do not overlap (P36)."""

    color: Literal["blue", "green"]
    deployment: Annotated[int, Field(ge=0)]
    ranges: Annotated[list[SupersedeRange], Field(min_length=1, max_length=MAX_RANGES)]

    @field_validator("ranges")
    @classmethod
    def _ascending(cls, ranges: list[SupersedeRange]) -> list[SupersedeRange]:
        for before, after in pairwise(ranges):
            if (after.partition, after.first) < (before.partition, before.end):
                raise ValueError(f"partition {after.partition}: the ranges do not ascend, or overlap at {after.first}")
        return ranges


class RolloutStartArgs(_Args):
    """Begin the plan `plan` (its text, P4) for a candidate; `events`: pairs compared when this was decided."""

    candidate: int
    plan: Annotated[str, Field(max_length=200_000)]
    events: Annotated[int, Field(ge=0)] = 0

    @field_validator("plan")
    @classmethod
    def _plan_holds(cls, text: str) -> str:
        Plan.from_text(text)
        return text


class RolloutArgs(_Args):
    """What happens to the rollout that began at epoch `rollout`, while its step `step` is in force.

    `evidence` is the digest of what it was decided on, `events` the pairs compared by then (DESIGN 9).
    """

    rollout: int
    step: Annotated[int, Field(ge=0)]
    evidence: Annotated[str, Field(max_length=100)] = ""
    events: Annotated[int, Field(ge=0)] = 0


class NoArgs(_Args):
    """The verb says everything."""


Args = (
    DeployArgs
    | ShiftArgs
    | PromoteArgs
    | RetireArgs
    | AcceptGapArgs
    | SupersedeArgs
    | RolloutStartArgs
    | RolloutArgs
    | NoArgs
)
ARGS: dict[str, type[Args]] = {
    "deploy": DeployArgs,
    "shift": ShiftArgs,
    "promote": PromoteArgs,
    "retire": RetireArgs,
    "rollback": NoArgs,
    "abort": NoArgs,
    "pause": NoArgs,
    "resume": NoArgs,
    "accept-gap": AcceptGapArgs,
    "supersede": SupersedeArgs,
    "rollout-start": RolloutStartArgs,
    **{verb: RolloutArgs for verb in FORMATS[3] if verb != "rollout-start"},
}


class Envelope(BaseModel):
    """One record of the control log. `time` is the sender's clock in ms since 1970, judged by P5."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Annotated[int, Field(ge=1, le=NEWEST_FORMAT)] = 1
    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    verb: Annotated[str, Field(max_length=MAX_ID)]
    actor: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    reason: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    time: Annotated[int, Field(ge=0)]
    expires_ms: Annotated[int, Field(ge=1, le=3_600_000)] = EXPIRES_MS
    expected_epoch: Annotated[int, Field(ge=-1)]
    args: dict[str, Any] = Field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Does its format have its verb? Otherwise every reader rejects it, old and new alike (P5)."""
        return any(self.verb in verbs for number, verbs in FORMATS.items() if number <= self.format)

    def parsed(self) -> Args:
        """The verb's own arguments. Raises ValueError with one line that says what is wrong."""
        if early := [name for name in self.args if LATER_ARGS.get((self.verb, name), 1) > self.format]:
            # as a process reads it that knows no newer format: both must come to the same (P5)
            raise ValueError(f"{early[0]}: format {self.format} does not have it")
        try:
            return ARGS[self.verb].model_validate(self.args)
        except ValidationError as error:
            raise ValueError(one_line(error)) from error


def one_line(error: ValidationError) -> str:
    """Pydantic's findings as one line, without the input (it may hold what must not be logged)."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'command'}: {problem['msg']}" for problem in error.errors()
    )
