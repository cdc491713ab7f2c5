"""What a candidate is held against where the pipeline file declares `aa`: how much live differs from itself. Pure.

An A/A phase is a deploy of live's own model to the other color. What the comparator says of that pair is the noise of
the model: a candidate's `deploy` carries it into the log, so that all processes judge by the same floors (P4), and the
next one takes it from there, for as long as the same model is live and the same metrics are declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streambg.control.state import ControlState, Deployment
from streambg.deciding.record import VerdictRecord
from streambg.errors import Refused
from streambg.records.gate import Gate, Noise
from streambg.records.source import other


@dataclass(frozen=True, slots=True)
class Asked:
    """gate: of the deploy that is asked for. events: pairs that the measurement must have seen."""

    gate: Gate
    events: int


def noise_for(state: ControlState, digest: str, asked: Asked, verdicts: Iterable[VerdictRecord]) -> Noise | None:
    """For a deploy of this digest; None where it needs none: nothing is live, or it is live's own model.

    verdicts: the last ones, oldest first. Raises Refused where live was not measured, or differs from itself as much
    as the margins allow at all.
    """
    live = state.live_deployment
    if live is None or not asked.gate.between:
        return None
    kept = state.noise if _same_metrics(state, asked.gate) else None
    if kept is not None and kept.digest != live.digest:
        kept = None
    if digest == live.digest:
        return kept if kept is not None and kept.events >= asked.events else None
    measured = kept or _measured(state, live, asked.gate, verdicts)
    if measured is None or measured.events < asked.events:
        seen = measured.events if measured else 0
        raise Refused(
            f"aa: {live.model} was seen against itself on {seen:,} events, {asked.events:,} are needed",
            way_out=f"streambg deploy {other(live.color)} {live.model}; once `verdict` tells of as many, this again",
        )
    try:
        asked.gate.above(measured)
    except ValueError as error:
        raise Refused(
            f"aa: {error}", way_out="a longer A/A phase bounds the noise more narrowly; or a metric that tells more"
        ) from None
    return measured


def _measured(state: ControlState, live: Deployment, gate: Gate, verdicts: Iterable[VerdictRecord]) -> Noise | None:
    """By the last verdict about the pair that stands there now, both of live's digest."""
    beside = state.other_deployment
    if beside is None or beside.digest != live.digest or not _same_metrics(state, gate):
        return None
    pair = {live.id, beside.id}
    found = [each for each in verdicts if {each.deployment, each.against} == pair and each.noise]
    if not found:
        return None
    wanted = {metric.name for metric in gate.between}
    return Noise(live.digest, found[-1].events, {name: at for name, at in found[-1].noise.items() if name in wanted})


def _same_metrics(state: ControlState, gate: Gate) -> bool:
    """Were these flips and shifts measured by what was deployed last? Each with its kind and range."""
    before = None if state.rules is None or state.rules.gate is None else Gate.from_data(state.rules.gate)
    if before is None:
        return False
    known = {(metric.name, metric.kind, metric.low, metric.high) for metric in before.between}
    return {(metric.name, metric.kind, metric.low, metric.high) for metric in gate.between} <= known
