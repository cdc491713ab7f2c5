"""From evidence and the control state to a verdict: who is judged, what is owed, and what it was made from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from streambg.comparing.comparison import Comparison
from streambg.comparing.drift import alike
from streambg.comparing.evidence import COUNTS, Evidence, alarms_of, diverged, merged
from streambg.comparing.pair import gate_in_force, pair_of
from streambg.control.state import ControlState, Deployment, Phase
from streambg.deciding import bounds, coverage, tallies
from streambg.deciding.coverage import Coverage
from streambg.deciding.record import FORMAT, Distance, Drifted, VerdictRecord, digest_of
from streambg.deciding.tallies import Merged
from streambg.deciding.verdict import Findings, decide
from streambg.labelling import cohorts
from streambg.labelling.evidence import LabelEvidence
from streambg.records.gate import Gate
from streambg.records.source import Color, other

# A floor that is too low calls noise harm, one that is too high costs nothing but power: 1 %, whenever one looks.
NOISE_ALPHA = 0.01
# Of the drift alarms that evidence keeps (20 a partition), those that stand in each verdict.
TOLD_DRIFTS = 20


@dataclass(frozen=True, slots=True)
class Case:
    """Who is judged, against whom, by what. watched: it was promoted, and the old color still scores."""

    candidate: Deployment
    against: Deployment
    gate: Gate
    watched: bool
    epoch: int


@dataclass(frozen=True, slots=True)
class Material:
    """What a verdict is made from, by value: judged apart from the event loop, while comparing goes on.

    labels: of each partition of their topic, which offsets [start, end) are counted. by_label: of the events older than
    the label horizon, how many have their label; None: no labels were read.
    """

    compared: Mapping[int, tuple[int, int]]
    counts: Mapping[str, int]
    merged: Mapping[str, Merged]
    obstacles: tuple[str, ...]
    drifted: tuple[Drifted, ...] = ()
    labels: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    by_label: Coverage | None = None
    distances: tuple[Distance, ...] = ()


def case_of(state: ControlState) -> Case | None:
    """None: nobody is under test, or the deploy declared no metrics. Raises UpgradeFirst for a newer gate."""
    live, beside = state.live_deployment, state.other_deployment
    gate = gate_in_force(state)
    if live is None or beside is None or gate is None or pair_of(state) is None:
        return None
    if state.phase is Phase.CANDIDATE:
        return Case(beside, live, gate, False, state.epoch)
    if state.phase is Phase.WARM:
        return Case(live, beside, gate, True, state.epoch)
    return None


def aborted_case(state: ControlState) -> Case | None:
    """Who was judged before the abort; None where the candidate was not aborted, or nobody had judged it."""
    return case_of(replace(state, phase=Phase.CANDIDATE)) if state.phase is Phase.ABORTED else None


def material_of(
    parts: Sequence[Evidence],
    obstacles: Sequence[str],
    labelled: Sequence[LabelEvidence] = (),
    horizon_ms: int = 0,
) -> Material:
    """Of the partitions of one pair, and of those of the labels' topic, which have tallies of their own (P33)."""
    figures = merged(parts)
    counts = {name: figures.counts[name] for name in COUNTS}
    measured = tallies.merged((part.partition, part.tallies) for part in parts)
    by_label = None
    if labelled:
        measured |= tallies.merged((each.partition, each.tallies) for each in labelled)
        until_ms = max(each.high for each in labelled)
        by_label = cohorts.coverage(
            (part.awaited for part in parts), (each.labelled for each in labelled), until_ms, horizon_ms
        )
        counts |= {"labels": by_label.matched, "labels_missing": by_label.missing}  # they count for the digest, too
    return Material(
        {part.partition: (part.start, part.compared) for part in parts},
        counts,
        measured,
        tuple(obstacles),
        _drifted(parts),
        {each.partition: (each.start, each.position) for each in labelled},
        by_label,
        tuple(
            Distance(
                each.partition,
                each.stream,
                each.since,
                each.upto,
                each.divergence.psi,
                each.divergence.expected_psi,
                each.divergence.limit,
                each.divergence.js,
                each.divergence.expected_js,
            )
            for each in diverged(parts)
        ),
    )


def _drifted(parts: Sequence[Evidence]) -> tuple[Drifted, ...]:
    alarms = alarms_of(parts)
    return tuple(
        Drifted(
            each.partition,
            each.stream,
            each.since,
            each.at,
            each.before,
            each.after,
            each.measure,
            each.value,
            each.limit,
            alike(each, alarms),
        )
        for each in alarms[-TOLD_DRIFTS:]
    )


def judge(case: Case, material: Material, pipeline: str, at_ms: int) -> VerdictRecord:
    """Deterministic: equal material gives an equal verdict."""
    rows = coverage.of_counts(material.counts)
    findings = Findings(
        case.candidate.color,
        rows,
        material.merged,
        material.by_label,
        material.obstacles,
        case.watched,
        # what the other color has alone
        material.counts[f"only_{other(case.candidate.color)}"],
    )
    verdict = decide(case.gate, findings)
    return VerdictRecord(
        FORMAT,
        at_ms,
        pipeline,
        verdict.word,
        verdict.ready,
        case.watched,
        verdict.reasons,
        case.candidate.color,
        case.candidate.model,
        case.candidate.id,
        case.against.id,
        case.epoch,
        digest_of(material.compared, material.counts, material.merged),
        {str(partition): reach for partition, (_, reach) in sorted(material.compared.items())},
        rows.matched,
        rows.share,
        verdict.tests,
        noise_of(case, material) if case.candidate.digest == case.against.digest else {},
        verdict.blocked,
        verdict.blocked_labels,
        verdict.only_a_person,
        material.drifted,
        {str(partition): position for partition, (_, position) in sorted(material.labels.items())},
        material.distances,
    )


def noise_of(case: Case, material: Material) -> dict[str, float]:
    """How much a model differs from itself, at most: an upper bound of each flip rate and shift (see NOISE_ALPHA)."""
    return {
        metric.name: -bounds.lower(material.merged[metric.name].counts[0], NOISE_ALPHA)
        for metric in case.gate.metrics
        if not metric.directed and metric.name in material.merged
    }


def behind_ms(comparison: Comparison, candidate: Color, now_ms: int, since_ms: int) -> int:
    """How long the candidate has answered nothing for what live has answered; 0 where it owes nothing.

    since_ms: from when on its answers were looked for.
    """
    side, live = comparison.side(candidate), comparison.side(other(candidate))
    if live.covered is None or (side.covered is not None and side.covered >= live.covered):
        return 0
    return max(0, now_ms - (side.newest_ms or since_ms))


def obstacles_of(
    candidate: Color,
    gate: Gate,
    behind: Mapping[int, int],
    unanswered: Sequence[tuple[int, Color]],
    missing: Sequence[int],
) -> list[str]:
    """What a promote must wait for beside evidence. behind: ms by partition; missing: partitions nobody has told of."""
    found = [f"partition {partition}: {color} has not answered anything yet" for partition, color in unanswered]
    late = {partition: ms for partition, ms in behind.items() if ms > gate.max_lag_ms}
    if late:
        partition, ms = max(late.items(), key=lambda entry: entry[1])
        limit = f"max_lag is {gate.max_lag_ms / 1_000:g} s"
        found.append(
            f"{candidate} owes answers in {len(late)} partitions, for {ms / 1_000:.0f} s in {partition}; {limit}"
        )
    if missing:
        found.append(f"no evidence yet of partitions {', '.join(map(str, missing))}")
    return found
