"""What a report says of what was read: which replay it is, and what stood in its range. Pure values of `document`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopicRange:
    """Log offsets [start, end) of one partition that was read. role: input, output, blue, labels, ..."""

    role: str
    topic: str
    topic_id: str
    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """digest: `sha256:...`. runtime: library -> version, of those that its answers come from."""

    ref: str
    digest: str
    format: str
    runtime: dict[str, str]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the id is the SHA-256 of. rules_digest: of the pipeline file's sections that decide. epoch: of the control
    log up to which it was folded. versions: of streambg, numpy and Python, and the source of the team's own
    functions. masked: what examples must not show (`config.masks.Masks.words`).
    """

    id: str
    pipeline: str
    cluster_id: str
    topics: tuple[TopicRange, ...]
    models: tuple[ModelVersion, ...]
    against: str
    against_model: ModelVersion | None
    rules_digest: str
    epoch: int
    settled: dict[str, int]
    as_if_weight: int | None
    labels: bool
    versions: dict[str, str]
    masked: str = ""


@dataclass(frozen=True, slots=True)
class Hole:
    """Source offsets [first, end) of a partition that are not there, or have nothing to compare with, and why.

    offsets: how many of them; of holes that lie between others a sum (`first` of the first, `end` of the last).
    """

    partition: int
    first: int
    end: int
    offsets: int
    what: str


@dataclass(frozen=True, slots=True)
class Answering:
    """A deployment whose answers production published in the range, and how many."""

    color: str
    deployment: int
    model: str
    digest: str
    events: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the range. times: ms since 1970 of the first and the last event, None without any.

    came: what the events came to in production, against published only: the last word of an output header (`route`,
    `absent`, `error`, `late`), `dead-letter`, or why there is nothing to compare with: `unsettled`, `expired`,
    `before-origin`, `lost`. supersedes: records republished on purpose, which are not compared.
    """

    events: int
    partitions: int
    first_ms: int | None
    last_ms: int | None
    came: dict[str, int]
    answering: tuple[Answering, ...]
    supersedes: int
    holes: tuple[Hole, ...]
