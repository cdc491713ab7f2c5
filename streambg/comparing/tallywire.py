"""The gate's counts as a snapshot holds them: sparse, exact, and enough by itself to go on from (P30)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from streambg.deciding.bets import BETS
from streambg.deciding.detector import Detector
from streambg.deciding.grid import POINTS, Ints
from streambg.deciding.tallies import Tallies, Tally
from streambg.records.source import COLORS


class DetectorWire(msgspec.Struct):
    """values: float64 (2, bets), little-endian."""

    abort_margin: float
    values: bytes
    quiet: int


class TallyWire(msgspec.Struct):
    """Filled cells (int32: place * points + point) and their parts (int64), little-endian."""

    places: int
    cells: bytes
    parts: bytes
    detector: DetectorWire | None = None
    failed: int = 0


def tally_wires(tallies: Tallies) -> dict[str, TallyWire]:
    return {name: _wire(tally) for name, tally in tallies.metrics.items()}


def _wire(tally: Tally) -> TallyWire:
    flat = tally.counts.reshape(-1)
    filled = np.flatnonzero(flat)
    return TallyWire(
        len(tally.counts),
        filled.astype("<i4").tobytes(),
        flat[filled].astype("<i8").tobytes(),
        None if tally.detector is None else _detector_wire(tally.detector),
        tally.failed,
    )


def _detector_wire(detector: Detector) -> DetectorWire:
    return DetectorWire(detector.abort_margin, detector.values.astype("<f8").tobytes(), detector.quiet)


def tallies_of(wires: Mapping[str, TallyWire]) -> Tallies:
    """Raises ValueError where the bytes do not fit."""
    return Tallies({name: _tally(wire) for name, wire in wires.items()})


def _tally(wire: TallyWire) -> Tally:
    cells, parts = np.frombuffer(wire.cells, "<i4"), np.frombuffer(wire.parts, "<i8")
    counts: Ints = np.zeros((wire.places, POINTS), np.int64)
    size = counts.size
    if len(cells) != len(parts) or (len(cells) and (cells.min() < 0 or cells.max() >= size or parts.min() < 0)):
        raise ValueError(f"{len(parts)} counts for {len(cells)} cells of {size}")
    counts.reshape(-1)[cells] = parts
    return Tally(counts, None if wire.detector is None else _detector(wire.detector), wire.failed)


def _detector(wire: DetectorWire) -> Detector:
    values = np.frombuffer(wire.values, "<f8").astype(np.float64)
    if len(values) != len(COLORS) * len(BETS):
        raise ValueError(f"a detector with {len(values)} values for {len(BETS)} bets")
    return Detector(wire.abort_margin, values.reshape(len(COLORS), -1), wire.quiet)


def fit(tallies: Tallies, wanted: Tallies) -> bool:
    """Are these the counts of that gate? `wanted`: what a new evidence would begin with."""
    shapes = ({name: tally.counts.shape for name, tally in each.metrics.items()} for each in (tallies, wanted))
    return next(shapes) == next(shapes)
