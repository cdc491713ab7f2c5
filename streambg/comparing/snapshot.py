"""Evidence as bytes: a record of `<pipeline>.evidence`, and a field of the live view (P30).

A snapshot holds the evidence of one partition and pair together with the read positions and the fold states of both
predictions topics that belong to it. A reader resumes from these and never from group offsets, so an old snapshot, or
one that a zombie wrote, only means more replay. The same structs are written as MessagePack (the topic) and as JSON
(the live view). Sums are decimal text: they may exceed 64 bits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec

from streambg.comparing.drift import RIVER, Alarm, Detector, DetectorState, Drift, Marks
from streambg.comparing.evidence import COUNTS, ColorEvidence, Evidence, Figures, feature
from streambg.comparing.histogram import LATENCY_MS, SCORES, Histogram, Scale
from streambg.comparing.pair import Pair
from streambg.comparing.side import Place
from streambg.comparing.sums import Sum
from streambg.comparing.tallywire import TallyWire, tallies_of, tally_wires
from streambg.comparing.windows import Windows
from streambg.comparing.worst import Example
from streambg.errors import UpgradeFirst
from streambg.labelling.cohorts import Awaited, Cohort
from streambg.records.coverage import Coverage
from streambg.records.foreign import decoded
from streambg.records.source import COLORS, Color

# 2: the gate's counts. A snapshot of format 1 has none: where a gate is declared, evidence begins anew.
FORMAT = 2


class BadSnapshot(ValueError):
    """Bytes that are no snapshot of evidence."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Evidence, and where to read on from."""

    evidence: Evidence
    places: dict[Color, Place]

    @property
    def key(self) -> bytes:
        return self.evidence.pair.key(self.evidence.partition)


class SumWire(msgspec.Struct):
    n: int
    total: str
    squares: str
    magnitudes: str
    low: int | None
    high: int | None


class HistogramWire(msgspec.Struct):
    """Filled buckets (int32) and counts (int64), little-endian; the edges are in histogram.py."""

    buckets: bytes
    counts: bytes


class PlaceWire(msgspec.Struct):
    log_offset: int
    covered: int | None
    sample_upto: int


class ColorWire(msgspec.Struct):
    scores: SumWire
    score_histogram: HistogramWire
    latency: SumWire
    latency_histogram: HistogramWire
    dropped: dict[str, int]
    place: PlaceWire


class DriftWire(msgspec.Struct):
    river: str
    start: int
    restarts: int
    detectors: list[DetectorState]
    events: int
    marks: list[list[tuple[int, int]]]
    alarms: list[Alarm]
    alarm_count: int
    windows: list[Windows] | None = None


class AwaitedWire(msgspec.Struct):
    """What waits for labels; cohorts: number, after and events each."""

    high: int
    cohorts: list[tuple[int, int, int]]
    older: int
    keyless: int


class SnapshotWire(msgspec.Struct):
    format: int
    partition: int
    blue: int
    green: int
    start: int
    compared: int
    counts: dict[str, int]
    difference: SumWire
    difference_histogram: HistogramWire
    times: SumWire
    colors: dict[Color, ColorWire]
    worst: list[Example]
    drift: DriftWire
    tallies: dict[str, TallyWire] | None = None
    awaited: AwaitedWire | None = None
    features: dict[str, DriftWire] = {}


class _Format(msgspec.Struct):
    format: int


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(SnapshotWire)
_unpack_format = msgspec.msgpack.Decoder(_Format)


def encode(snapshot: Snapshot) -> bytes:
    return _pack.encode(to_wire(snapshot))


def decode(data: bytes) -> Snapshot:
    """Raises BadSnapshot; UpgradeFirst for a newer format."""
    try:
        format_ = decoded(_unpack_format.decode, data).format
        if format_ > FORMAT:
            raise UpgradeFirst(
                f"a snapshot of evidence has format {format_}, this process knows {FORMAT}",
                way_out="upgrade this process first",
            )
        return from_wire(_unpack.decode(data))
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise BadSnapshot(str(error)) from error


def evidence_bytes(evidence: Evidence) -> bytes:
    """The evidence alone, without read positions: what must be bit-equal at equal source positions (P32)."""
    return encode(Snapshot(evidence, {color: Place(0, Coverage(evidence.pair.of(color))) for color in COLORS}))


def to_wire(snapshot: Snapshot) -> SnapshotWire:
    evidence = snapshot.evidence
    figures = evidence.figures
    return SnapshotWire(
        FORMAT,
        evidence.partition,
        evidence.pair.blue,
        evidence.pair.green,
        evidence.start,
        evidence.compared,
        {name: figures.counts[name] for name in COUNTS},
        _sum(figures.difference),
        HistogramWire(*figures.difference_histogram.sparse()),
        _sum(figures.times),
        {color: _color(figures.colors[color], snapshot.places[color]) for color in COLORS},
        figures.worst,
        _drift(evidence.drift),
        tally_wires(evidence.tallies),
        _awaited(evidence.awaited),
        {name: _drift(drift) for name, drift in sorted(evidence.features.items())},
    )


def _sum(exact: Sum) -> SumWire:
    return SumWire(exact.n, str(exact.total), str(exact.squares), str(exact.magnitudes), exact.low, exact.high)


def _color(own: ColorEvidence, place: Place) -> ColorWire:
    return ColorWire(
        _sum(own.scores),
        HistogramWire(*own.score_histogram.sparse()),
        _sum(own.latency),
        HistogramWire(*own.latency_histogram.sparse()),
        dict(sorted(own.dropped.items())),
        PlaceWire(place.log_offset, place.coverage.covered, place.coverage.sample_upto),
    )


def _drift(drift: Drift) -> DriftWire:
    return DriftWire(
        RIVER,
        drift.start,
        drift.restarts,
        [detector.state() for detector in drift.detectors],
        drift.marks.number,
        drift.marks.levels,
        drift.alarms,
        drift.alarm_count,
        drift.windows,
    )


def _awaited(awaited: Awaited) -> AwaitedWire:
    cohorts = [(cohort.number, cohort.after, cohort.events) for cohort in awaited.cohorts]
    return AwaitedWire(awaited.high, cohorts, awaited.older, awaited.keyless)


def from_wire(wire: SnapshotWire, detectors: bool = True) -> Snapshot:
    """Raises ValueError where the parts contradict each other.

    detectors=False leaves the drift detectors' own state aside: to look at evidence, not to go on with it.
    """
    pair = Pair(wire.blue, wire.green)
    if set(wire.colors) != set(COLORS) or wire.compared < wire.start:
        raise ValueError(f"colors {sorted(wire.colors)}, evidence ({wire.start}, {wire.compared}]")
    evidence = Evidence(wire.partition, pair, wire.start)
    evidence.compared = wire.compared
    evidence.figures = Figures(
        Counter({name: wire.counts[name] for name in COUNTS if name in wire.counts}),
        _exact(wire.difference),
        _histogram(SCORES, wire.difference_histogram),
        {
            color: ColorEvidence(
                _exact(wire.colors[color].scores),
                _histogram(SCORES, wire.colors[color].score_histogram),
                _exact(wire.colors[color].latency),
                _histogram(LATENCY_MS, wire.colors[color].latency_histogram),
                Counter(wire.colors[color].dropped),
            )
            for color in COLORS
        },
        _exact(wire.times),
        list(wire.worst),
    )
    evidence.drift = _restored(Drift(wire.partition, wire.drift.start), wire.drift, wire.compared, detectors)
    evidence.features = {
        name: _restored(feature(wire.partition, each.start, name), each, wire.compared, detectors)
        for name, each in wire.features.items()
    }
    evidence.tallies = tallies_of(wire.tallies or {})
    if wire.awaited is not None:
        cohorts = [Cohort(*cohort) for cohort in wire.awaited.cohorts]
        evidence.awaited = Awaited(wire.awaited.high, cohorts, wire.awaited.older, wire.awaited.keyless)
    places: dict[Color, Place] = {}
    for color in COLORS:
        place = wire.colors[color].place
        places[color] = Place(place.log_offset, Coverage(pair.of(color), place.covered, place.sample_upto))
    return Snapshot(evidence, places)


def _exact(wire: SumWire) -> Sum:
    return Sum(wire.n, int(wire.total), int(wire.squares), int(wire.magnitudes), wire.low, wire.high)


def _histogram(scale: Scale, wire: HistogramWire) -> Histogram:
    return Histogram.from_sparse(scale, wire.buckets, wire.counts)


def _restored(drift: Drift, stored: DriftWire, compared: int, detectors: bool) -> Drift:
    """The detectors as they were; new ones from `compared` on where another river wrote them or a block is damaged."""
    drift.marks = Marks(stored.events, stored.marks)
    drift.alarms, drift.alarm_count, drift.restarts = stored.alarms, stored.alarm_count, stored.restarts
    if stored.windows is not None:
        drift.windows = stored.windows
    if not detectors:
        return drift
    try:
        if stored.river != RIVER or len(stored.detectors) != len(drift.detectors) or stored.windows is None:
            raise ValueError(f"detectors of river {stored.river}")
        drift.detectors = [Detector(state) for state in stored.detectors]
    except ValueError:
        drift.start = compared
        drift.restarts += 1
    return drift
