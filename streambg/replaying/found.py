"""What a report says of one model: verdict, proof, figures, changes and examples. Pure values of `document`.

Differences are model - against; e-values and means are the gate's: positive where the model is better, as shares of a
metric's range.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streambg.deciding.verdict import Test, Word


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
    margin, harm_beyond: how much worse is still good enough, and from where on it is harm; None for a diagnostic.
    failed: events that the team's function failed on.
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
    harm_beyond: float | None = None  # reports of before have none


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
class Labelled:
    """matched: events with their label; owed: of those older than the horizon, `there` had theirs; read: records."""

    matched: int
    owed: int
    there: int
    read: int
    bad: dict[str, int]
