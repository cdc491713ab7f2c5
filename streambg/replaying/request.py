"""What a replay is asked for: which models, against what, over which part of the input. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of the range: a time (ms since 1970), an offset in every partition, or offsets of some partitions.

    Nothing said: as far as the input goes.
    """

    time_ms: int | None = None
    offset: int | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """models: `name:version` each. against: `published`, a color, or a model. partitions: none named: all of them.

    rate: events a second at the most, of all workers together. as_if_weight: hundredths of a percent.
    publish_to: a topic of its own for the model's answers, then one model alone (backfill.py).
    """

    models: tuple[str, ...]
    against: str = PUBLISHED
    begin: Bound = field(default_factory=Bound)
    end: Bound = field(default_factory=Bound)
    partitions: tuple[int, ...] = ()
    rate: float | None = None
    workers: int = 1
    labels: bool = False
    as_if_weight: int | None = None
    publish_to: str | None = None
