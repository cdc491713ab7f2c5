"""Every name that a pipeline uses on its servers, derived from its own name. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from streambg.records.source import COLORS, Color

# Kafka's own limit is 249; `<p>.predictions.green` and `streambg.<p>.scorer.green` must fit with room for more.
PIPELINE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"


@dataclass(frozen=True, slots=True)
class Topics:
    """docs/design.md, section 4. `input` and `output` are the user's."""

    pipeline: str
    input: str
    output: str

    def predictions(self, color: Color) -> str:
        return f"{self.pipeline}.predictions.{color}"

    @property
    def control(self) -> str:
        return f"{self.pipeline}.control"

    @property
    def cutovers(self) -> str:
        return f"{self.pipeline}.cutovers"

    @property
    def evidence(self) -> str:
        return f"{self.pipeline}.evidence"

    @property
    def verdicts(self) -> str:
        return f"{self.pipeline}.verdicts"

    @property
    def dead_letters(self) -> str:
        return f"{self.pipeline}.dead-letters"

    @property
    def ours(self) -> tuple[str, ...]:
        return (
            *(self.predictions(color) for color in COLORS),
            self.control,
            self.cutovers,
            self.evidence,
            self.verdicts,
            self.dead_letters,
        )


@dataclass(frozen=True, slots=True)
class Groups:
    """Consumer groups. `reader` never commits: it is the name under which assigned-only readers connect."""

    pipeline: str

    def scorer(self, color: Color) -> str:
        return f"streambg.{self.pipeline}.scorer.{color}"

    @property
    def publisher(self) -> str:
        return f"streambg.{self.pipeline}.publisher"

    @property
    def comparator(self) -> str:
        return f"streambg.{self.pipeline}.comparator"

    @property
    def reader(self) -> str:
        return f"streambg.{self.pipeline}.reader"


def transactional_id(pipeline: str, slot: int) -> str:
    """The publisher's in this slot; also its client id and group instance id, so that the living are known (P24)."""
    return f"streambg.{pipeline}.publisher.{slot}"
