"""From what was found in the partitions to the report: a pure function of them, in ascending order (P32)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from streambg.comparing.evidence import merged
from streambg.comparing.judging import Case, Material, judge, material_of
from streambg.comparing.summary import ColorSummary, summarize
from streambg.control.state import Deployment
from streambg.deciding import bounds, grid, tallies
from streambg.deciding.tallies import Merged
from streambg.deciding.verdict import EXIT, margins
from streambg.previewing.preview import Counts as Moved
from streambg.previewing.preview import Preview, total
from streambg.records.gate import Gate, Metric
from streambg.records.rules import Rules
from streambg.replaying import proof
from streambg.replaying.against import GIVEN_UP_GAP, UNREADABLE
from streambg.replaying.charts import charts_of
from streambg.replaying.document import FORMAT, Report, Scored
from streambg.replaying.found import Agreement, AsIf, Changes, Example, Judged, Labelled, MetricRow, Side
from streambg.replaying.labels import coverage
from streambg.replaying.plan import AGAINST, MODEL, Plan, against_deployment, deployments, judgeable
from streambg.replaying.recorded import Answering, Counts, Hole
from streambg.replaying.state import ModelState, State

# The interval of a metric's mean: as wide as people are used to.
INTERVAL_ALPHA = 0.05
REASONS = 20
NO_GATE = "the pipeline file declares no metrics: nothing decides"


@dataclass(frozen=True, slots=True)
class Found:
    """Everything. examples: by model, in the order of its evidence."""

    plan: Plan
    rules: Rules
    states: Sequence[State]
    examples: Sequence[tuple[Example, ...]]


def report(found: Found) -> Report:
    """The same findings give the same report."""
    plan, rules = found.plan, found.rules
    by_model = zip(deployments(plan.identity.models, rules), found.examples, strict=True)
    counts = _counts(found)
    return Report(
        FORMAT,
        plan.identity,
        rules.decision.output if rules.decision else rules.outputs[0],
        rules.decision_threshold,
        counts,
        tuple(_scored(found, counts, number, model, shown) for number, (model, shown) in enumerate(by_model)),
    )


# -- the range ---------------------------------------------------------------------------------------------------------


def _counts(found: Found) -> Counts:
    states = found.states
    came, answering = Counter[str](), Counter[tuple[str, int]]()
    for state in states:
        came += state.came
        answering += state.answering
    known = found.plan.by_id()
    whose = [
        Answering(color, number, model.model if model else "", model.digest if model else "", events)
        for (color, number), events in sorted(answering.items())
        for model in [known.get((color, number))]
    ]
    return Counts(
        sum(state.events for state in states),
        len(states),
        min((state.first_ms for state in states if state.first_ms is not None), default=None),
        max((state.last_ms for state in states if state.last_ms is not None), default=None),
        dict(sorted(came.items())),
        tuple(whose),
        sum(state.supersedes for state in states),
        tuple(_holes(found)),
    )


_WHY = {
    "unsettled": "not published yet when the replay began",
    "expired": "its outcome has expired",
    "before-origin": "before the first event that the pipeline owes an answer",
    "lost": "no outcome: streambg audit says more",
    "unanswered": "the color has no answer to it",
    UNREADABLE: "not comparable: its value could not be read as the model's outputs",
    GIVEN_UP_GAP: "given up with accept-gap: nobody was asked",
}


def _holes(found: Found) -> list[Hole]:
    gone = "compacted away, or a transaction's marker" if found.plan.compacted else "a transaction's marker or aborted"
    holes = []
    for lane, state in zip(found.plan.lanes, found.states, strict=True):
        if lane.asked < lane.begin:
            taken = lane.begin - lane.asked
            holes.append(Hole(lane.partition, lane.asked, lane.begin, taken, "expired from the input"))
        if state.events < lane.end - lane.begin:
            empty = lane.end - lane.begin - state.events
            holes.append(Hole(lane.partition, lane.begin, lane.end, empty, f"no record: {gone}"))
        for why, missing in sorted(state.missing.items()):
            holes.append(Hole(lane.partition, missing.first, missing.end, missing.offsets, _WHY[why]))
    return holes


# -- one model ---------------------------------------------------------------------------------------------------------


def _scored(found: Found, counts: Counts, number: int, model: Deployment, examples: tuple[Example, ...]) -> Scored:
    parts = [state.models[number] for state in found.states]
    figures = merged([part.evidence for part in parts])
    summary = summarize(figures, AGAINST)
    gate, left_out = judgeable(None if found.rules.gate is None else Gate.from_data(found.rules.gate))
    material = _material(found, parts, gate)
    against = against_deployment(found.plan.identity, found.rules)
    digests = {each.digest for each in counts.answering}
    if digests == {model.digest}:  # everything was published by this very model
        against = replace(against, digest=model.digest)
    seen = figures.counts
    reasons = sum((part.reasons for part in parts), Counter[str]())
    return Scored(
        found.plan.identity.models[number],
        _judged(found, model, against, gate, material, left_out),
        proof.total([part.proof for part in parts]),
        Agreement(
            summary.matched,
            summary.compared,
            seen["agree"],
            summary.flips_to_yes,
            summary.flips_to_no,
            summary.values_equal,
            seen[f"only_{AGAINST}"],
            seen[f"only_{MODEL}"],
            seen[f"error_{AGAINST}"],
            seen[f"error_{MODEL}"],
            seen["error_both"],
            summary.difference_mean,
            summary.difference_deviation,
            dict(summary.difference_quantiles),
        ),
        _side(summary.live),
        _side(summary.candidate),
        tuple(_metrics(gate, material.merged)) if gate is not None else (),
        _changes(total([part.flips for part in parts])),
        _as_if(found, parts),
        examples,
        tuple(sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))[:REASONS]),
        charts_of(parts, figures, gate),
        _labelled(found, parts),
    )


def _side(own: ColorSummary) -> Side:
    return Side(own.rows, own.errors, own.score_mean, own.score_deviation, dict(own.score_quantiles))


def _material(found: Found, parts: Sequence[ModelState], gate: Gate | None) -> Material:
    material = material_of([part.evidence for part in parts], ())
    if found.states[0].labels is None or gate is None:
        return material
    by_label = coverage(part.labels for part in parts)
    counted = tallies.merged(
        (state.partition, part.labels.tallies) for state, part in zip(found.states, parts, strict=True)
    )
    counts = {**material.counts, "labels": by_label.matched, "labels_missing": by_label.missing}
    return replace(material, merged={**material.merged, **counted}, by_label=by_label, counts=counts)


def _judged(
    found: Found,
    model: Deployment,
    against: Deployment,
    gate: Gate | None,
    material: Material,
    left_out: Mapping[str, str],
) -> Judged:
    if gate is None:
        return Judged("continue", EXIT["continue"], False, (NO_GATE,), material.counts["matched"], 0.0, "", ())
    case = Case(model, against, gate, False, found.plan.identity.epoch)
    record = judge(case, material, found.plan.identity.pipeline, 0)
    return Judged(
        record.word,
        EXIT[record.word],
        record.ready,
        record.reasons,
        record.events,
        record.coverage,
        record.digest,
        record.tests,
        record.blocked,
        record.blocked_labels,
        record.only_a_person,
        record.noise,
        dict(left_out),
    )


def _metrics(gate: Gate, counted: Mapping[str, Merged]) -> list[MetricRow]:
    return [
        _metric_row(metric, field, value, counted[metric.name].for_candidate(metric, MODEL)[row], failed)
        for metric in gate.metrics
        if metric.name in counted
        for row, (field, value) in enumerate([("", ""), *gate.places(metric)])
        for failed in [counted[metric.name].failed if not field else 0]
    ]


def _metric_row(metric: Metric, field: str, value: str, counts: grid.Ints, failed: int) -> MetricRow:
    margin, abort_margin = margins(metric, bool(field)) if metric.decides else (None, None)
    return MetricRow(
        metric.name,
        metric.kind,
        metric.role,
        field,
        value,
        grid.events(counts),
        grid.mean(counts),
        bounds.lower(counts, INTERVAL_ALPHA / 2),
        bounds.upper(counts, INTERVAL_ALPHA / 2),
        margin,
        failed,
        abort_margin,
    )


def _changes(preview: Preview) -> tuple[Changes, ...]:
    places = [(("", ""), preview.whole), *sorted(preview.segments.items())]
    return tuple(_change(*place, moved) for place, moved in places)


def _change(field: str, value: str, moved: Moved) -> Changes:
    return Changes(
        field,
        value,
        moved.events,
        moved.changed,
        moved.to_yes,
        moved.to_no,
        moved.candidate_then,
        moved.letters_now,
        moved.letters_then,
    )


def _as_if(found: Found, parts: Sequence[ModelState]) -> AsIf | None:
    weight = found.plan.identity.as_if_weight
    if weight is None:
        return None
    whole = total([part.as_if for part in parts])
    gained = {name: value / max(1, whole.whole.events) for name, value in sorted(whole.gained.items())}
    return AsIf(weight, _changes(whole), gained)


def _labelled(found: Found, parts: Sequence[ModelState]) -> Labelled | None:
    read = found.states[0].labels  # every partition looks at all of them
    if read is None:
        return None
    matched = sum(part.labels.matched for part in parts)
    owed, there = (sum(getattr(part.labels, name) for part in parts) for name in ("owed", "there"))
    return Labelled(matched, owed, there, read.records, dict(sorted(read.bad.items())))
