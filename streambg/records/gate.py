"""What "good enough" means: metrics, margins, segments, alphas. `deploy` carries it, so it is declared before the run.

Folded from the control log like the rules (P4): the comparator counts what stands here and judges by it, whatever
became of the pipeline file since. All margins are shares of a metric's range: 0.01 of [0, 50] is 0.5.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

FORMAT = 1

Role = Literal["goal", "guardrail", "diagnostic"]
Better = Literal["higher", "lower"]
# The values of a segment that are not declared go together under this name.
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Kind:
    """What one built-in kind of metric needs.

    directed: swapping the colors turns the sign (who errs more). Not directed: both colors differ from each other, and
    that is never to the candidate's credit (flips, shifts). low, high: the range of what is measured for one event of
    one color; None: the file declares it.
    """

    needs_label: bool
    directed: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    better: Better = "lower"


KINDS: Mapping[str, Kind] = {
    "error_rate": Kind(needs_label=False),
    "flip_rate": Kind(needs_label=False, directed=False),
    "score_shift": Kind(needs_label=False, directed=False, high=None),
    "latency_over": Kind(needs_label=False),
    "correctness": Kind(needs_label=True, better="higher"),
    "log_loss": Kind(needs_label=True, high=None),
    "brier": Kind(needs_label=True),
    "squared_error": Kind(needs_label=True, high=None),
    "absolute_error": Kind(needs_label=True, high=None),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `kind`: one of KINDS, or the team's function as `module:function`.

    margin: how much worse than live is still good enough; None for a diagnostic, which decides nothing.
    abort_margin: worse than this is harm. floor: the disagreement of a model with itself, which is nobody's fault.
    limit_ms: of latency_over. segments: the carried fields by whose values it must hold, too, within segment_margin.
    segment_abort_margin: as abort_margin, in a segment.
    """

    name: str
    kind: str
    role: Role
    low: float
    high: float
    better: Better
    needs_label: bool
    margin: float | None = None
    abort_margin: float | None = None
    floor: float = 0.0
    limit_ms: int | None = None
    segments: tuple[str, ...] = ()
    segment_margin: float | None = None
    segment_abort_margin: float | None = None

    @property
    def decides(self) -> bool:
        return self.role != "diagnostic"

    @property
    def directed(self) -> bool:
        """Does exchanging the colors turn the sign of its differences?"""
        return self.kind not in KINDS or KINDS[self.kind].directed


@dataclass(frozen=True, slots=True)
class Noise:
    """How much a model differs from itself: what an A/A phase has measured, as a candidate's `deploy` carries it (P4).

    digest: of the model that was blue and green then. events: the pairs that it was seen on. floors: by metric that
    lies between the colors, at most so large a share of its range.
    """

    digest: str
    events: int
    floors: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LabelTerms:
    """Labels as the gate sees them. `topic` is the user's.

    key: the carried field that a label shares with its event; value: the label's field that holds the outcome.
    horizon_ms: event times older than this are complete. sample: hundredths of a percent of the predictions that wait.
    depends_on_answer: the served answer decides whether a label exists, so only a person may promote on it.
    """

    topic: str
    key: str
    value: str
    horizon_ms: int
    sample: int
    depends_on_answer: bool


@dataclass(frozen=True, slots=True)
class Gate:
    """Everything that decides about a candidate. `segments`: carried field -> declared values, in order.

    alpha_promote: the chance of ever promoting what is worse than a margin; alpha_abort: of ever aborting what is not
    worse than the abort margins. rows, labels_covered: the coverage that evidence must have. max_lag_ms: further behind
    live, a candidate is not promoted. carried: the fields that predictions carry, for the team's functions. max_events:
    without a decision by then the verdict is `inconclusive`; None: no such end.
    """

    metrics: tuple[Metric, ...]
    segments: Mapping[str, tuple[str, ...]]
    alpha_promote: float
    alpha_abort: float
    rows: float
    labels_covered: float
    max_lag_ms: int = 5_000
    carried: tuple[str, ...] = ()
    max_events: int | None = None
    labels: LabelTerms | None = None
    format: int = FORMAT

    def metric(self, name: str) -> Metric:
        """Raises KeyError."""
        return {metric.name: metric for metric in self.metrics}[name]

    @property
    def between(self) -> tuple[Metric, ...]:
        """What lies between the colors, and has a noise floor: flips, shifts."""
        return tuple(metric for metric in self.metrics if not metric.directed)

    def above(self, noise: Noise | None) -> Gate:
        """Held against the measured floors, where these are above the declared ones.

        Raises ValueError where a margin and its floor leave nothing that could be shown.
        """
        if noise is None:
            return self
        floors = {metric.name: max(metric.floor, noise.floors.get(metric.name, 0.0)) for metric in self.between}
        metrics = tuple(replace(metric, floor=floors.get(metric.name, metric.floor)) for metric in self.metrics)
        for metric in metrics:
            largest = max(metric.margin or 0.0, metric.segment_margin or 0.0)
            if largest + metric.floor >= 1:
                both = f"the margin {largest:.2%} and the noise {metric.floor:.2%}"
                raise ValueError(f"{metric.name}: {both} are more than all there is")
        return replace(self, metrics=metrics)

    @property
    def deciding(self) -> tuple[Metric, ...]:
        """Goals and guardrails."""
        return tuple(metric for metric in self.metrics if metric.decides)

    def places(self, metric: Metric) -> Iterator[tuple[str, str]]:
        """(field, value) of the declared segments of a metric, `other` last in each field."""
        for field in metric.segments:
            for value in (*self.segments[field], OTHER):
                yield field, value

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Gate | None:
        """None for a newer format. Raises ValueError with what is wrong; what format 1 takes never changes (P5)."""
        if data.get("format", FORMAT) != FORMAT:
            return None
        gate = msgspec.convert(data, Gate)
        names = [metric.name for metric in gate.metrics]
        if len(set(names)) != len(names):
            raise ValueError("a metric is declared twice")
        for metric in gate.metrics:
            if metric.decides and (metric.margin is None or metric.abort_margin is None):
                raise ValueError(f"metric {metric.name!r} decides and has no margin")
            if set(metric.segments) - set(gate.segments):
                raise ValueError(f"metric {metric.name!r} names a segment that is not declared")
            if not metric.low < metric.high:
                raise ValueError(f"metric {metric.name!r} has the range [{metric.low}, {metric.high}]")
        return gate

    def data(self) -> dict[str, Any]:
        """Plain values, as the control log and the rules hold them."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def canonical(data: Mapping[str, Any]) -> str:
    """The same decisions give the same bytes, however a file is laid out (P4)."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
