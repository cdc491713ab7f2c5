"""What a replay has found in one partition up to a source offset, and its bytes: checkpoint and result alike. Pure.

It is all that is needed to go on, and its size does not grow with the events.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import numpy as np

from streambg.comparing import snapshot
from streambg.comparing.evidence import Evidence
from streambg.comparing.histogram import Histogram
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.tallywire import TallyWire, tallies_of, tally_wires
from streambg.deciding import tallies
from streambg.errors import UpgradeFirst
from streambg.labelling.cohorts import Awaited
from streambg.previewing.preview import Preview
from streambg.replaying.contender import SPENT_US, Spent
from streambg.replaying.labels import NEVER, LabelCount, Met
from streambg.replaying.plan import AGAINST_ID, MODEL_ID, Lane
from streambg.replaying.proof import Count
from streambg.replaying.series import Calibrated, Series

FORMAT = 2


class Shown(msgspec.Struct, frozen=True):
    """What both sides said of one of the strongest examples."""

    offset: int
    time_ms: int
    against: bytes
    model: bytes


class LabelsRead(msgspec.Struct, frozen=True):
    """Records of the labels' topic, and those among them that are no labels, by why."""

    records: int
    bad: dict[str, int]


class Missing(msgspec.Struct):
    """Source offsets [first, end) of which so many have nothing to compare with."""

    first: int
    end: int
    offsets: int


@dataclass(slots=True)
class ModelState:
    """Of one model."""

    evidence: Evidence
    series: Series
    flips: Preview
    as_if: Preview
    labels: LabelCount
    proof: Count = field(default_factory=Count)
    reasons: Counter[str] = field(default_factory=Counter)
    shown: list[Shown] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)


@dataclass(slots=True)
class State:
    """upto: the last source offset that is in it. done: that was all. seconds: what it took. labels: None: not read.

    met: what the labels of the events to come depend on; None once there are none.
    """

    partition: int
    upto: int
    models: list[ModelState]
    done: bool = False
    events: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    supersedes: int = 0
    seconds: float = 0.0
    came: Counter[str] = field(default_factory=Counter)
    answering: Counter[tuple[str, int]] = field(default_factory=Counter)
    missing: dict[str, Missing] = field(default_factory=dict)
    labels: LabelsRead | None = None
    met: Met | None = None


def begun(lane: Lane, terms: Terms, models: int) -> State:
    """Nothing read yet."""
    return State(lane.partition, lane.begin - 1, [_model(lane, terms) for _ in range(models)])


def followed(terms: Terms) -> tuple[str, ...]:
    """The metrics whose evidence is drawn as it grows: those that decide, without those that wait for labels."""
    return tuple(metric.name for metric in terms.gate.deciding if not metric.needs_label) if terms.gate else ()


def _model(lane: Lane, terms: Terms) -> ModelState:
    return ModelState(
        _still(Evidence(lane.partition, Pair(AGAINST_ID, MODEL_ID), lane.begin - 1, terms.gate)),
        Series(followed(terms)),
        Preview(),
        Preview(),
        LabelCount(tallies.begun(terms.gate, labelled=True)),
    )


def _still(evidence: Evidence) -> Evidence:
    evidence.follows_drift = False
    return evidence


# -- as bytes ----------------------------------------------------------------------------------------------------------


class _SeriesWire(msgspec.Struct):
    metrics: tuple[str, ...]
    width_ms: int
    first: int
    pieces: int
    cells: bytes


class _LabelWire(msgspec.Struct):
    tallies: dict[str, TallyWire]
    matched: int
    owed: int
    there: int
    cells: bytes
    outside: int


class _ModelWire(msgspec.Struct):
    evidence: bytes
    series: _SeriesWire
    flips: Preview
    as_if: Preview
    labels: _LabelWire
    proof: Count
    reasons: dict[str, int]
    shown: list[Shown]
    spent: tuple[int, int, bytes, bytes]


class _Wire(msgspec.Struct):
    format: int
    id: str
    partition: int
    upto: int
    done: bool
    events: int
    first_ms: int | None
    last_ms: int | None
    supersedes: int
    seconds: float
    came: dict[str, int]
    answering: list[tuple[str, int, int]]
    missing: dict[str, Missing]
    labels: LabelsRead | None
    met: tuple[int, int, int, bytes, bytes] | None
    models: list[_ModelWire]


class _Format(msgspec.Struct):
    format: int
    id: str


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(_Wire)
_unpack_format = msgspec.msgpack.Decoder(_Format)


class BadState(ValueError):
    """Bytes that are no checkpoint of this replay."""


def encode(state: State, replay: str) -> bytes:
    """replay: its id."""
    return _pack.encode(
        _Wire(
            FORMAT,
            replay,
            state.partition,
            state.upto,
            state.done,
            state.events,
            state.first_ms,
            state.last_ms,
            state.supersedes,
            state.seconds,
            dict(state.came),
            [(*name, number) for name, number in state.answering.items()],
            state.missing,
            state.labels,
            None if state.met is None else _met_wire(state.met),
            [_model_wire(model) for model in state.models],
        )
    )


def _model_wire(model: ModelState) -> _ModelWire:
    series, labels, spent = model.series, model.labels, model.spent
    return _ModelWire(
        snapshot.evidence_bytes(model.evidence),
        _SeriesWire(
            series.metrics, series.width_ms, series.first, len(series.cells), series.cells.astype("<i8").tobytes()
        ),
        model.flips,
        model.as_if,
        _LabelWire(
            tally_wires(labels.tallies),
            labels.matched,
            labels.owed,
            labels.there,
            labels.calibrated.cells.astype("<i8").tobytes(),
            labels.calibrated.outside,
        ),
        model.proof,
        dict(model.reasons),
        model.shown,
        (spent.events, spent.us, *spent.histogram.sparse()),
    )


def decode(data: bytes, replay: str) -> State:
    """Raises BadState, UpgradeFirst."""
    try:
        head = _unpack_format.decode(data)
        if head.format > FORMAT:
            raise UpgradeFirst("the checkpoint is of a newer streambg", way_out="upgrade this one, then --resume it")
        if head.id != replay:
            raise BadState(f"of the replay {head.id}")
        wire = _unpack.decode(data)
        models = [_model_of(model) for model in wire.models]
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise BadState(str(error)) from error
    return State(
        wire.partition,
        wire.upto,
        models,
        wire.done,
        wire.events,
        wire.first_ms,
        wire.last_ms,
        wire.supersedes,
        wire.seconds,
        Counter(wire.came),
        Counter({(color, deployment): number for color, deployment, number in wire.answering}),
        wire.missing,
        wire.labels,
        None if wire.met is None else _met_of(*wire.met),
    )


def _met_wire(met: Met) -> tuple[int, int, int, bytes, bytes]:
    keys = np.flatnonzero(met.last >= max(0, met.awaited.high - met.reach_ms))
    times = met.last[keys].astype("<i8").tobytes()
    return met.awaited.high, met.reach_ms, len(met.last), keys.astype("<i8").tobytes(), times


def _met_of(high: int, reach_ms: int, size: int, keys: bytes, times: bytes) -> Met:
    last = np.full(size, NEVER, np.int64)
    last[_ints(keys)] = _ints(times)
    return Met(Awaited(high), last, reach_ms)


def _model_of(wire: _ModelWire) -> ModelState:
    series = Series(wire.series.metrics, wire.series.width_ms, wire.series.first)
    series.cells = _ints(wire.series.cells).reshape(wire.series.pieces, series.cells.shape[1])
    events, us, filled, counts = wire.spent
    calibrated = Calibrated(_ints(wire.labels.cells).reshape(Calibrated().cells.shape), wire.labels.outside)
    return ModelState(
        _still(snapshot.decode(wire.evidence).evidence),
        series,
        wire.flips,
        wire.as_if,
        LabelCount(
            tallies_of(wire.labels.tallies), wire.labels.matched, wire.labels.owed, wire.labels.there, calibrated
        ),
        wire.proof,
        Counter(wire.reasons),
        wire.shown,
        Spent(events, us, Histogram.from_sparse(SPENT_US, filled, counts)),
    )


def _ints(data: bytes) -> np.typing.NDArray[np.int64]:
    return np.frombuffer(data, "<i8").astype(np.int64)
