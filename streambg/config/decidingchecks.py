"""Contradictions in what decides about a candidate: a plan that cannot end, a gate on what nobody measures. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from streambg.config.checks import repeated
from streambg.config.decided import DEFAULT_RANGE, FULL, kind_of, needs_label, range_of
from streambg.config.deciding import MetricSection, StepSection
from streambg.config.sections import Pipeline
from streambg.config.values import show_duration, show_weight
from streambg.config.yamlfile import At, Problem
from streambg.records.gate import KINDS, OTHER


def deciding_contradictions(pipeline: Pipeline) -> list[Problem]:
    looks = (_labels, _segments, _metrics, _aa, _drift, _rollout)
    return [problem for look in looks for problem in look(pipeline)]


def _labels(pipeline: Pipeline) -> Iterator[Problem]:
    labels = pipeline.labels
    if labels is None:
        return
    if labels.key not in pipeline.input.carry:
        yield Problem(("labels", "key"), _not_carried(labels.key, pipeline))
    if labels.topic in (pipeline.input.topic, pipeline.output.topic, *pipeline.topics.ours):
        yield Problem(("labels", "topic"), f"`{labels.topic}` is the input, the output or one of streambg's own topics")


def _not_carried(field: str, pipeline: Pipeline) -> str:
    carried = ", ".join(pipeline.input.carry) or "none"
    return f"`{field}` is not carried by predictions (carried: {carried}); add it to `input.carry`"


def _segments(pipeline: Pipeline) -> Iterator[Problem]:
    used = {field for metric in pipeline.metrics.values() for field in metric.segments}
    for field, values in pipeline.segments.items():
        at: At = ("segments", field)
        if field not in pipeline.input.carry:
            yield Problem(at, _not_carried(field, pipeline))
        elif pipeline.metrics and field not in used:
            yield Problem(at, "no metric looks at it; name it in a metric's `segments`, or remove it")
        yield from repeated(at, values)
        if OTHER in values:
            yield Problem(at, f"`{OTHER}` is what all values that are not declared are called")


def _metrics(pipeline: Pipeline) -> Iterator[Problem]:
    for name, metric in pipeline.metrics.items():
        at: At = ("metrics", name)
        if metric.kind not in KINDS and not metric.hook:
            yield Problem((*at, "kind"), f"`{metric.kind}` is no kind of metric{_near(metric.kind, KINDS)}")
            continue
        yield from _needs(metric, at)
        yield from _margins(metric, at)
        if needs_label(metric) and pipeline.labels is None:
            yield Problem((*at, "kind"), f"`{metric.kind}` needs labels, and there is no section `labels`")
        yield from repeated((*at, "segments"), metric.segments)
        for field in metric.segments:
            if field not in pipeline.segments:
                near = _near(field, pipeline.segments)
                yield Problem((*at, "segments"), f"`{field}` is not declared in `segments`{near}")


def _aa(pipeline: Pipeline) -> Iterator[Problem]:
    kinds = [KINDS[metric.kind] for metric in pipeline.metrics.values() if metric.kind in KINDS]
    if pipeline.aa is not None and all(kind.directed for kind in kinds):
        yield Problem(("aa",), "no metric lies between the colors: declare a `flip_rate` or a `score_shift`")


def _drift(pipeline: Pipeline) -> Iterator[Problem]:
    at: At = ("drift", "features")
    yield from repeated(at, pipeline.drift.features)
    for name in pipeline.drift.features:
        kind = pipeline.model.features.get(name, "number")
        if name not in pipeline.input.carry:
            yield Problem(at, _not_carried(name, pipeline))
        elif kind != "number":
            yield Problem(at, f"`{name}` is a {kind}; drift is watched of numbers")


def _near(wrong: str, right: Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, list(right), 1)
    return f"; did you mean `{close[0]}`?" if close else f"; there are {', '.join(right) or 'none'}"


def _needs(metric: MetricSection, at: At) -> Iterator[Problem]:
    """What the kind takes beside role and margins."""
    kind = kind_of(metric)
    spread = range_of(metric)
    if spread is None:
        yield Problem(at, f"`{metric.kind}` needs a `range`, such as [0, 50]: evidence is for bounded values")
    elif not spread[0] < spread[1]:
        yield Problem((*at, "range"), f"[{spread[0]:g}, {spread[1]:g}] does not rise")
    elif metric.reach is not None and kind.high is not None:
        yield Problem((*at, "range"), f"`{metric.kind}` has the range [{DEFAULT_RANGE[0]:g}, {DEFAULT_RANGE[1]:g}]")
    elif not metric.hook and spread[0] != 0:
        yield Problem((*at, "range"), f"`{metric.kind}` begins at 0; [{spread[0]:g}, {spread[1]:g}] does not")
    if (metric.kind == "latency_over") != (metric.limit_ms is not None):
        what = "needs a `limit`, such as 200ms" if metric.limit_ms is None else "takes no `limit`"
        yield Problem((*at, "limit") if metric.limit_ms is not None else at, f"`{metric.kind}` {what}")
    if metric.hook != (metric.better is not None):
        what = "needs `better: higher` or `better: lower`" if metric.hook else "takes no `better`: its kind says it"
        yield Problem(at if metric.hook else (*at, "better"), f"`{metric.kind}` {what}")
    if not metric.hook and metric.labels is not None:
        yield Problem((*at, "labels"), f"`{metric.kind}` takes no `labels`: its kind says it")
    if metric.floor and kind.directed:
        why = "the noise of a model against itself is a floor for flips and shifts only"
        yield Problem((*at, "floor"), f"`{metric.kind}` takes no `floor`: {why}")


def _margins(metric: MetricSection, at: At) -> Iterator[Problem]:
    given = {
        "margin": metric.margin,
        "abort_margin": metric.abort_margin,
        "segment_margin": metric.segment_margin,
    }
    if metric.role == "diagnostic":
        for key, value in given.items():
            if value is not None:
                yield Problem((*at, key), f"a diagnostic decides nothing and has no `{key}`; make it a guardrail?")
        return
    if metric.margin is None:
        yield Problem(at, f"a {metric.role} needs a `margin`: how much worse than live is still good enough")
        return
    for key in ("margin", "segment_margin"):
        value = given[key]
        if value is not None and not 0 < value + metric.floor < 1:
            both = f" with the floor {metric.floor:.4g}" if metric.floor else ""
            why = "no number of events shows that a candidate is no worse at all"
            yield Problem((*at, key), f"{value:.2%}{both} is not between 0 % and 100 % of the range; at 0 % {why}")
    if metric.abort_margin is not None and metric.abort_margin > metric.margin:
        what = f"{metric.abort_margin:.2%} is above the margin {metric.margin:.2%}"
        yield Problem((*at, "abort_margin"), f"{what}: what may be promoted would be called harm only later")
    if metric.segment_margin is not None and not metric.segments:
        yield Problem((*at, "segment_margin"), "the metric names no `segments`")


# -- the plan -------------------------------------------------------------------------------------------------------


def _rollout(pipeline: Pipeline) -> Iterator[Problem]:
    rollout, at = pipeline.rollout, ("rollout", "steps")
    after = rollout.after_promotion
    if after.keep_warm_ms < after.watch_ms:
        what = f"{show_duration(after.keep_warm_ms)} is shorter than `watch` {show_duration(after.watch_ms)}"
        yield Problem(("rollout", "after_promotion", "keep_warm"), f"{what}: there would be nothing to roll back to")
    deciding = {name for name, metric in pipeline.metrics.items() if metric.role != "diagnostic"}
    if rollout.steps and not deciding:
        yield Problem(at, "no metric is a goal or a guardrail: nothing would decide; declare `metrics`")
        return
    weight: int | None = None
    for number, step in enumerate(rollout.steps):
        here: At = (*at, number)
        if step.promote:
            yield from _promote(pipeline, number, here)
            continue
        yield from _step(step, here, pipeline)
        if step.weight is not None and weight is not None and step.weight <= weight:
            what = f"the weight {show_weight(step.weight)} is not above the {show_weight(weight)} of the step before"
            yield Problem((*here, "weight"), what)
        weight = step.weight


def _promote(pipeline: Pipeline, number: int, at: At) -> Iterator[Problem]:
    steps = pipeline.rollout.steps
    if number == 0:
        yield Problem(at, "a plan does not begin with promote: nothing would be known of the candidate")
        return
    if number < len(steps) - 1:
        yield Problem(at, "promote is the last step")
    deciding = {name: metric for name, metric in pipeline.metrics.items() if metric.role != "diagnostic"}
    by_label = [name for name, metric in deciding.items() if needs_label(metric)]
    if pipeline.labels and pipeline.labels.depends_on_answer and by_label and not steps[number - 1].approval:
        names = ", ".join(f"`{name}`" for name in by_label)
        why = f"the answer decides whether a label exists (`depends_on_answer`), so {names} cannot promote by itself"
        yield Problem(at, f"{why}; put `approval: true` into the step before")


def _step(step: StepSection, at: At, pipeline: Pipeline) -> Iterator[Problem]:
    for name in step.gates or ():
        metric = pipeline.metrics.get(name)
        if metric is None:
            yield Problem((*at, "gates"), f"`{name}` is not declared in `metrics`{_near(name, pipeline.metrics)}")
        elif metric.role == "diagnostic":
            yield Problem((*at, "gates"), f"`{name}` is a diagnostic and decides nothing; make it a guardrail?")
    yield from repeated((*at, "gates"), step.gates or ())
    if step.within_ms is None and step.gates != ():
        yield Problem(at, "a step with gates needs `within`: after that long without a decision it is inconclusive")
    if step.within_ms is not None and step.within_ms < step.at_least_ms:
        what = f"{show_duration(step.within_ms)} is shorter than `at_least` {show_duration(step.at_least_ms)}"
        yield Problem((*at, "within"), what)
    if step.weight is None:
        yield Problem((*at, "weight"), "is missing")
    if step.weight == FULL:
        yield Problem((*at, "weight"), "100 % is what promote is for, and only from there a rollback leads back")
