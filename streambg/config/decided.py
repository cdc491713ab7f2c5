"""From the sections of a file to what the control log carries: the gate and the plan, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping

from streambg.config.deciding import Labels, MetricSection, Rollout, StepSection
from streambg.records.gate import KINDS, Gate, Kind, LabelTerms, Metric
from streambg.rollout.plan import Plan, Step

# Of the answers of a model that says probabilities; everything else declares its range.
DEFAULT_RANGE = (0.0, 1.0)
# A log loss beyond this counts as this: a probability of 0.7 % given to what then happened. Without an end one event
# would outweigh all others; with a later end the small differences that decide become smaller shares of the range.
DEFAULT_LOG_LOSS = (0.0, 5.0)
# In hundredths of a percent, as every weight.
FULL = 10_000

_HOOK = Kind(needs_label=True, low=None, high=None)


def kind_of(section: MetricSection) -> Kind:
    """What the metric's kind needs; of the team's own function, what a function needs."""
    return KINDS.get(section.kind, _HOOK)


def range_of(section: MetricSection) -> tuple[float, float] | None:
    """Lowest and highest value of one event; None where the file must say it and does not."""
    kind = kind_of(section)
    if section.reach is not None:
        return section.reach
    if kind.low is not None and kind.high is not None:
        return kind.low, kind.high
    return {"score_shift": DEFAULT_RANGE, "log_loss": DEFAULT_LOG_LOSS}.get(section.kind)


def needs_label(section: MetricSection) -> bool:
    return kind_of(section).needs_label if section.labels is None else section.labels


def gate_of(
    metrics: Mapping[str, MetricSection],
    segments: Mapping[str, tuple[str, ...]],
    labels: Labels | None,
    rollout: Rollout,
    carried: tuple[str, ...],
) -> Gate | None:
    """None where no metrics are declared: then nothing decides."""
    if not metrics:
        return None
    return Gate(
        tuple(_metric(name, section) for name, section in sorted(metrics.items())),
        dict(segments),
        rollout.alpha.promote,
        rollout.alpha.abort,
        rollout.coverage.rows,
        rollout.coverage.labels,
        rollout.max_lag_ms,
        tuple(sorted(carried)),
        rollout.max_events,
        _labels(labels) if labels else None,
    )


def _metric(name: str, section: MetricSection) -> Metric:
    kind = kind_of(section)
    low, high = range_of(section) or DEFAULT_RANGE
    margin = section.margin
    segment_margin = margin if section.segment_margin is None else section.segment_margin
    return Metric(
        name,
        section.kind,
        section.role,
        low,
        high,
        section.better or kind.better,
        needs_label(section),
        margin,
        _abort(margin, section.abort_margin),
        section.floor,
        section.limit_ms,
        section.segments,
        segment_margin,
        _abort(segment_margin, section.abort_margin),
    )


def _abort(margin: float | None, declared: float | None) -> float | None:
    """Halfway to the margin, unless the file says otherwise."""
    return declared if declared is not None or margin is None else margin / 2


def _labels(section: Labels) -> LabelTerms:
    return LabelTerms(
        section.topic,
        section.key,
        section.value,
        section.horizon_ms,
        round(section.sample * FULL),
        section.depends_on_answer,
    )


def plan_of(rollout: Rollout, gate: Gate) -> Plan:
    """The steps with the names of their gates written out; `promote` at the end is no step."""
    steps = [step for step in rollout.steps if not step.promote]
    return Plan(
        tuple(_step(step, gate) for step in steps),
        len(steps) < len(rollout.steps),
        gate,
        rollout.on_abort,
        rollout.on_inconclusive,
        rollout.after_promotion.watch_ms,
        rollout.after_promotion.keep_warm_ms,
    )


def _step(section: StepSection, gate: Gate) -> Step:
    every = tuple(metric.name for metric in gate.deciding)
    return Step(
        section.weight or 0,
        section.events,
        section.at_least_ms,
        section.within_ms,
        every if section.gates is None else tuple(sorted(section.gates)),
        section.approval,
        section.hours,
        section.check,
    )
