"""The report of a replay as a document: `report.json`. Pure.

The same replay (`Identity.id`) gives the same bytes: no clock and no duration is in it; those stand in `timing.json`.
Two sides are compared: `against` (what was published, a color's stored predictions, or another model) and the model.
Differences are model - against; e-values and means are the gate's: positive where the model is better, as shares of a
metric's range.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from streambg.deciding.verdict import Test, Word
from streambg.errors import UpgradeFirst

FORMAT = 1
REPORT_FILE, TIMING_FILE, PAGE_FILE = "report.json", "timing.json", "report.html"


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
    log up to which it was folded. versions: of streambg, numpy and Python.
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


@dataclass(frozen=True, slots=True)
class Unlike:
    """An answer that the replay gives otherwise than production did. within: of the scores, 1e-6."""

    source: str
    deployment: int
    published: str
    replayed: str
    within: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """The replay proves itself: answers that this very model (by digest) published, and now again.

    events: how many it published in the range; reproduced: the same bytes; close: scores within 1e-6, where the borders
    of the batch are no longer recorded; different: others. other_rules: published under another decision or decoding
    than the pipeline file's, so not compared. first: the first that are not the same bytes.
    """

    events: int
    reproduced: int
    close: int
    different: int
    other_rules: int
    first: tuple[Unlike, ...]

    @property
    def word(self) -> str:
        """`not live here`, `reproduced`, `close` or `different`."""
        if self.events == self.other_rules:
            return "not live here"
        if self.different:
            return "different"
        return "close" if self.close else "reproduced"


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on the whole range: what the live comparator would say with all of this evidence.

    coverage: share of what was owed. left_out: metric -> why a replay cannot judge it. noise: of a model against
    itself.
    """

    word: Word
    exit_code: int
    ready: bool
    reasons: tuple[str, ...]
    events: int
    coverage: float
    evidence: str
    tests: tuple[Test, ...]
    blocked: tuple[str, ...] = ()
    blocked_labels: tuple[str, ...] = ()
    only_a_person: str = ""
    noise: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric over all events (field and value empty) or in one segment.

    mean: of the differences, positive where the model is better; low, high: where it lies with 95 %, at every moment.
    margin: None for a diagnostic. failed: events that the team's function failed on.
    """

    metric: str
    kind: str
    role: str
    field: str
    value: str
    events: int
    mean: float | None
    low: float
    high: float
    margin: float | None
    failed: int


@dataclass(frozen=True, slots=True)
class Side:
    """One side's own figures, of its comparable scores. quantiles: p1 ... p99. errors: rows without an answer."""

    rows: int
    errors: int
    score_mean: float | None
    score_deviation: float | None
    score_quantiles: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Events that both sides have. compared: both answered and comparable; agree: the same decision (without one, the
    same score). only_against, only_model: the other side has none.
    """

    matched: int
    compared: int
    agree: int
    flips_to_yes: int
    flips_to_no: int
    values_equal: int
    only_against: int
    only_model: int
    errors_against: int
    errors_model: int
    errors_both: int
    difference_mean: float | None
    difference_deviation: float | None
    difference_quantiles: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Changes:
    """What the published stream would be with the model at a weight; of all events (field and value empty) or of one
    segment. changed: other bytes, or an answer for a dead letter or the reverse. by_model: answers of the model.
    """

    field: str
    value: str
    events: int
    changed: int
    to_yes: int
    to_no: int
    by_model: int
    dead_letters_before: int
    dead_letters_then: int


@dataclass(frozen=True, slots=True)
class AsIf:
    """weight: hundredths of a percent. gained: metric -> mean change an event, a share of its range; positive: good."""

    weight: int
    changes: tuple[Changes, ...]
    gained: dict[str, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """decision: None without a threshold."""

    score: float
    decision: bool | None
    value: str


@dataclass(frozen=True, slots=True)
class Example:
    """One of the events on which both sides differ most. fields: of the event, secrets masked, as text."""

    source: str
    time_ms: int
    key: str | None
    against: Answer
    model: Answer
    difference: float
    flip: bool
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Bin:
    """Scores in [low, high), the last bin with its end: events of each side."""

    low: float
    high: float
    against: int
    model: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Events of the time [start, start + width), ms."""

    start_ms: int
    compared: int
    agree: int
    against_mean: float | None
    model_mean: float | None


@dataclass(frozen=True, slots=True)
class Path:
    """A metric's evidence as it grows: ln of the e-values after so many events, in the order of their times.

    needed_good: ln of what promotes, needed_harm: of what aborts.
    """

    metric: str
    needed_good: float
    needed_harm: float
    events: tuple[int, ...]
    log_good: tuple[float, ...]
    log_harm: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Labelled events with scores in [low, high) of one side: their mean score, and the share with a true label."""

    side: Literal["against", "model"]
    low: float
    high: float
    events: int
    score_mean: float
    label_mean: float


@dataclass(frozen=True, slots=True)
class Charts:
    """Series ready to be drawn. width_ms: of each `Moment`."""

    scores: tuple[Bin, ...]
    width_ms: int
    moments: tuple[Moment, ...]
    paths: tuple[Path, ...]
    calibration: tuple[Calibration, ...] = ()


@dataclass(frozen=True, slots=True)
class Labelled:
    """matched: events with their label; owed: of those older than the horizon, `there` had theirs; read: records."""

    matched: int
    owed: int
    there: int
    read: int
    bad: dict[str, int]


@dataclass(frozen=True, slots=True)
class Scored:
    """One model against the other side. reasons: of its error rows, and how many, the most frequent first."""

    model: ModelVersion
    verdict: Judged
    proof: Proof
    agreement: Agreement
    against: Side
    scores: Side
    metrics: tuple[MetricRow, ...]
    flips: tuple[Changes, ...]
    as_if: AsIf | None
    examples: tuple[Example, ...]
    reasons: tuple[tuple[str, int], ...]
    charts: Charts
    labels: Labelled | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """format: of this document. models: one or more, in the order they were asked for.

    decision, threshold: the output that the decision is made on, and from where on it is yes.
    """

    format: int
    identity: Identity
    decision: str
    threshold: float | None
    counts: Counts
    models: tuple[Scored, ...]

    @property
    def id(self) -> str:
        return self.identity.id

    @property
    def exit_code(self) -> int:
        """Of the least good verdict: abort, then inconclusive, then continue, then promote."""
        return max((scored.verdict for scored in self.models), key=lambda each: SEVERITY.index(each.word)).exit_code


SEVERITY: tuple[Word, ...] = ("promote", "continue", "inconclusive", "abort")


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the model alone: what `predict_many` with its checks took an event, microseconds."""

    model: str
    mean_us: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class Timing:
    """`timing.json`: what differs from run to run. started_ms: since 1970; seconds: of all of it, resumed ones too."""

    id: str
    started_ms: int
    seconds: float
    events: int
    events_per_second: float
    workers: int
    models: tuple[Latency, ...]


def encode(document: Report | Timing) -> bytes:
    """The same document gives the same bytes, indented for people, with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"


class _Format(msgspec.Struct):
    format: int


def decode(data: bytes) -> Report:
    """Raises ValueError for what is no report, UpgradeFirst for a newer format."""
    if msgspec.json.decode(data, type=_Format).format > FORMAT:
        raise UpgradeFirst("the report has a newer format than this process knows", way_out="upgrade streambg first")
    return msgspec.json.decode(data, type=Report)


def decode_timing(data: bytes) -> Timing:
    """Raises ValueError."""
    return msgspec.json.decode(data, type=Timing)
