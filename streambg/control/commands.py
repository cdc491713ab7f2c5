"""The command envelope: what a sender writes into the control log (P1, P4, P5)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from streambg.records.rules import Rules

FORMAT: Literal[1] = 1
# A command that lands later than this was prepared for another world (P5).
EXPIRES_MS = 30_000
# Enough for a reason a person types, far below the record limit.
MAX_TEXT = 2_000
MAX_ID = 64

VERBS = ("deploy", "shift", "promote", "rollback", "abort", "pause", "resume", "retire")
Verb = Literal["deploy", "shift", "promote", "rollback", "abort", "pause", "resume", "retire"]


class _Args(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DeployArgs(_Args):
    """`rules` is the text of the sections that decide (P4); `start` the first deploy's offsets (P11)."""

    color: Literal["blue", "green"]
    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*:[a-z0-9][a-z0-9._-]*$", max_length=200)]
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    rules: Annotated[str, Field(max_length=200_000)]
    start: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    sample: Annotated[int, Field(ge=1, le=10_000)] | None = None
    gives_up_rollback: bool = False
    rescore: bool = False

    @field_validator("rules")
    @classmethod
    def _rules_hold(cls, text: str) -> str:
        Rules.from_text(text)
        return text

    @field_validator("start")
    @classmethod
    def _partitions(cls, start: dict[str, int]) -> dict[str, int]:
        if any(not partition.isdecimal() for partition in start):
            raise ValueError("partitions are written as numbers")
        return start


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


class NoArgs(_Args):
    """The verb says everything."""


Args = DeployArgs | ShiftArgs | PromoteArgs | RetireArgs | NoArgs
ARGS: dict[str, type[Args]] = {
    "deploy": DeployArgs,
    "shift": ShiftArgs,
    "promote": PromoteArgs,
    "retire": RetireArgs,
    "rollback": NoArgs,
    "abort": NoArgs,
    "pause": NoArgs,
    "resume": NoArgs,
}


class Envelope(BaseModel):
    """One record of the control log. `time` is the sender's clock in ms since 1970, judged by P5."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = FORMAT
    id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]
    verb: Annotated[str, Field(max_length=MAX_ID)]
    actor: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    reason: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    time: Annotated[int, Field(ge=0)]
    expires_ms: Annotated[int, Field(ge=1, le=3_600_000)] = EXPIRES_MS
    expected_epoch: Annotated[int, Field(ge=-1)]
    args: dict[str, Any] = Field(default_factory=dict)

    def parsed(self) -> Args:
        """The verb's own arguments. Raises ValueError with one line that says what is wrong."""
        try:
            return ARGS[self.verb].model_validate(self.args)
        except ValidationError as error:
            raise ValueError(one_line(error)) from error


def one_line(error: ValidationError) -> str:
    """Pydantic's findings as one line, without the input (it may hold what must not be logged)."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'command'}: {problem['msg']}" for problem in error.errors()
    )
