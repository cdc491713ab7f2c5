"""What a replay reads, pinned when it begins: ranges of source offsets, log offsets, deployments. Pure.

It is written beside the checkpoints, so a replay that was interrupted goes on with the same ends, and every worker
reads the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from streambg.control.state import ControlState, Deployment
from streambg.errors import UpgradeFirst
from streambg.records.gate import Gate, Metric
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color
from streambg.replaying.recorded import Identity, ModelVersion, TopicRange

FORMAT = 1
# Above every source offset: nothing of a compacted topic can be called lost.
NOWHERE = 2**62
# The side that a model is compared with stands where blue stands in a living pipeline, the model where green does.
AGAINST: Color = "blue"
MODEL: Color = "green"
# The ids that the two sides have in evidence; no deployment's.
AGAINST_ID, MODEL_ID = 0, 1


@dataclass(frozen=True, slots=True)
class Ends:
    """Log offsets [start, end) of one partition."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One partition: the source offsets [begin, end). asked: where it was to begin; retention took what is between.

    settled: the last settled source offset below `end`. origin: the first one owed. floor: outcomes below this epoch
    are of an earlier input topic (P25). output_begin: the first log offset of the output that counts. outcomes_from:
    outcomes of earlier events may have expired. logs: role -> where to read.
    """

    partition: int
    asked: int
    begin: int
    end: int
    settled: int
    origin: int
    floor: int
    output_begin: int | None
    outcomes_from: int
    logs: dict[str, Ends]


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment as the control log has it. asks: what its answers depend on beside the model (`asks_of`)."""

    id: int
    color: Color
    model: str
    digest: str
    asks: str


@dataclass(frozen=True, slots=True)
class Plan:
    """deployed: by epoch, what stood in both slots. asks: of the pipeline file that the models are asked by.

    rows: the file that every event's row is wanted in, None: nobody wants them.
    publish_to: where the model's answers go, too; no part of the identity, for the report is the same.
    """

    format: int
    identity: Identity
    pipeline_file: str
    lanes: tuple[Lane, ...]
    labels: tuple[TopicRange, ...]
    deployed: dict[int, tuple[Deployed, ...]]
    asks: str
    compacted: bool
    started_ms: int
    rows: str | None = field(default=None, kw_only=True)
    publish_to: str | None = field(default=None, kw_only=True)

    def by_id(self) -> dict[tuple[str, int], Deployed]:
        """(color, id) -> deployment."""
        return {(each.color, each.id): each for slots in self.deployed.values() for each in slots}


def asks_of(rules: Rules) -> str:
    """What decides an answer's bytes beside the model: decoding and decision."""
    decision = [rules.decision.output, rules.decision.threshold] if rules.decision else None
    return msgspec.json.encode([rules.decode, decision]).decode()


def deployed_of(states: Mapping[int, ControlState]) -> dict[int, tuple[Deployed, ...]]:
    """By epoch, from the folded control log."""
    return {
        epoch: tuple(
            Deployed(slot.id, color, slot.model, slot.digest, asks_of(slot.rules))
            for color in COLORS
            if (slot := state.slots[color]) is not None
        )
        for epoch, state in states.items()
    }


def deployments(models: Iterable[ModelVersion], rules: Rules) -> list[Deployment]:
    """The models as if they were deployed by these rules."""
    return [Deployment(MODEL_ID, MODEL, model.ref, model.digest, rules) for model in models]


def against_deployment(identity: Identity, rules: Rules) -> Deployment:
    """The other side, as a verdict names it."""
    model = identity.against_model
    ref, digest = (model.ref, model.digest) if model is not None else (identity.against, "")
    return Deployment(AGAINST_ID, AGAINST, ref, digest, rules)


def judgeable(gate: Gate | None) -> tuple[Gate | None, dict[str, str]]:
    """The gate without what a replay cannot measure, and why not: metric -> reason."""
    if gate is None:
        return None, {}
    left_out = {metric.name: _why_not(metric) for metric in gate.metrics if _why_not(metric)}
    return replace(gate, metrics=tuple(metric for metric in gate.metrics if metric.name not in left_out)), left_out


def _why_not(metric: Metric) -> str:
    if metric.kind == "latency_over":
        return "how late an answer comes is the live scorers' matter; a replay answers when it is asked"
    return ""


def identified(identity: Identity) -> Identity:
    """With its id: the SHA-256 of everything else in it."""
    plain: dict[str, Any] = msgspec.to_builtins(replace(identity, id=""))
    return replace(identity, id=hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest())


def encode(plan: Plan) -> bytes:
    return msgspec.json.encode(plan)


class _Format(msgspec.Struct):
    format: int


def decode(data: bytes) -> Plan:
    """Raises ValueError for what is no plan, UpgradeFirst for a newer format."""
    if msgspec.json.decode(data, type=_Format).format > FORMAT:
        raise UpgradeFirst("the replay was begun by a newer streambg", way_out="upgrade this one, then --resume it")
    return msgspec.json.decode(data, type=Plan)
