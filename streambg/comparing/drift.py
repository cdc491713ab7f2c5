"""ADWIN (river) on both score streams and on the disagreement: alarms and diagnostics, never a gate.

A detector is sequential: its state is a function of every value since its last alarm. So it is carried in the
snapshot (P30): river's detector gives its window as a block of bytes (`__getstate__`, numbers only; nothing in it is
code, and no pickle is loaded) and takes it back. The block is bound to river's version and to a checksum; where either
differs, the detectors begin again at the source offset compared, and the evidence says how often that happened.
Within one version a restart changes no bit of what follows; a test shows it.

What is fed: scores as they are while within [-1, 1] (probabilities are), beyond that squashed smoothly towards 2,
because ADWIN's bound is for bounded values: on outputs of a much larger scale the alarm is weak. The disagreement is 1
where the decisions differ, else 0; without a decision, the difference's magnitude, at most 1.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import compress, count
from typing import Any

import numpy as np
import numpy.typing as npt
from river._river_rust.drift import AdaptiveWindowing

from streambg.comparing.sums import SCORE_STEP_BITS, quantised

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STREAMS = ("blue score", "green score", "disagreement")
RIVER = version("river")
# The last alarms of a partition that are kept; their number is counted without limit.
KEPT_ALARMS = 20
# Where the events stand, by number: every 32nd (ADWIN looks for a change every 32 values) at the finest level, 4 marks
# a level, each level twice as coarse: a change n events ago is placed within n/2, about as ADWIN's own buckets know it.
_MARK_EVERY = 32
_MARKS_A_LEVEL = 4
_MAX_LEVELS = 48  # 2**48 * 32 events do not fit any topic


@dataclass(frozen=True, slots=True)
class Alarm:
    """A stream's mean changed. Source offsets: `at` where it was noticed, `since` the latest known start of it.

    before and after are means of what was fed; `events` is how many are on the new level.
    """

    partition: int
    stream: str
    at: int
    since: int
    events: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class DetectorState:
    """What a snapshot holds of one detector: river's block, and exact sums since its last alarm."""

    block: bytes
    checksum: int
    fed: int
    total: int


def squashed(scores: Floats) -> Floats:
    """The identity on [-1, 1]; beyond, x -> sign(x) (2 - 1/|x|): continuous, ascending, below 2."""
    size = np.abs(scores)
    beyond = size > 1
    if not beyond.any():
        return scores
    return np.where(beyond, np.copysign(2 - 1 / np.where(beyond, size, 1.0), scores), scores)


class Detector:
    """One ADWIN. As river's own wrapper does, it begins anew after an alarm."""

    __slots__ = ("_adwin", "fed", "total")

    def __init__(self, state: DetectorState | None = None) -> None:
        self._adwin = _adwin()
        self.fed = 0  # since the last alarm
        self.total = 0  # of what was fed, in multiples of 2**-20
        if state is not None:
            if zlib.crc32(state.block) != state.checksum:
                raise ValueError("the checksum of a detector's block does not fit")
            self._adwin.__setstate__(state.block)
            self.fed, self.total = state.fed, state.total

    def state(self) -> DetectorState:
        block = bytes(self._adwin.__getstate__())
        return DetectorState(block, zlib.crc32(block), self.fed, self.total)

    def feed(self, values: Floats) -> Iterator[tuple[int, int, float, float]]:
        """Per alarm: the number of the value that raised it, events on the new level, mean before, mean after."""
        exact = np.cumsum(quantised(values))  # |steps| <= 2**21 and a chunk of 2**14: far within int64
        numbers = values.tolist()
        first = 0
        while first < len(numbers):
            hit = next(compress(count(first), map(self._adwin.update, numbers[first:])), None)
            last = len(numbers) if hit is None else hit + 1
            self.fed += last - first
            self.total += int(exact[last - 1]) - (int(exact[first - 1]) if first else 0)
            if hit is not None:
                yield hit, *self._alarm()
                self._adwin, self.fed, self.total = _adwin(), 0, 0
            first = last

    def _alarm(self) -> tuple[int, float, float]:
        width = int(self._adwin.get_width())
        after_total = float(self._adwin.get_total())
        before = (self.total / (1 << SCORE_STEP_BITS) - after_total) / max(1, self.fed - width)
        return width, before, after_total / max(1, width)


def _adwin() -> Any:
    """What river's `drift.ADWIN()` wraps. The wrapper costs as much again as the update, its reset after an alarm is
    Detector's, and its package imports scipy for other detectors: 76 MB and 0.6 s in every comparator.
    """
    # river's defaults, as a test shows
    return AdaptiveWindowing(delta=0.002, clock=_MARK_EVERY, max_buckets=5, min_window_length=5, grace_period=10)


class Marks:
    """Source offsets of some events by their number: dense near the end, sparse far back. O(log n) of them."""

    __slots__ = ("levels", "number")

    def __init__(self, number: int = 0, levels: list[list[tuple[int, int]]] | None = None) -> None:
        self.number = number  # events seen
        self.levels: list[list[tuple[int, int]]] = levels if levels is not None else []

    def add(self, offsets: Ints) -> None:
        first = -self.number % _MARK_EVERY
        for at in range(first, len(offsets), _MARK_EVERY):
            number = self.number + at
            for level in range(_MAX_LEVELS):
                if number % (_MARK_EVERY << level):
                    break
                if level == len(self.levels):
                    self.levels.append([])
                self.levels[level] = [*self.levels[level][1 - _MARKS_A_LEVEL :], (number, int(offsets[at]))]
                if number == 0:
                    break  # the first event belongs to no level but the finest: it would fill them all
        self.number += len(offsets)

    def at_or_before(self, number: int) -> int | None:
        """The source offset of the last marked event not after `number`."""
        found = [mark for level in self.levels for mark in level if mark[0] <= number]
        return max(found)[1] if found else None


class Drift:
    """The three detectors of one partition and their alarms."""

    def __init__(self, partition: int, start: int) -> None:
        self.partition = partition
        self.start = start  # the source offset the detectors begin after
        self.detectors = [Detector() for _ in STREAMS]
        self.marks = Marks()
        self.alarms: list[Alarm] = []
        self.alarm_count = 0
        self.restarts = 0

    def feed(self, offsets: Ints, streams: tuple[Floats, Floats, Floats]) -> None:
        """The values of `STREAMS` for n events, in source order."""
        if len(offsets) == 0:
            return
        base = self.marks.number
        found = [
            (at, stream, hit)
            for stream, (detector, values) in enumerate(zip(self.detectors, streams, strict=True))
            for at, *hit in detector.feed(values)
        ]
        told = 0
        for at, stream, (events, before, after) in sorted(found):
            # the marks as they stood at the alarm, not at the end of the chunk: chunks leave no trace (P32)
            self.marks.add(offsets[told : at + 1])
            told = at + 1
            since = self.marks.at_or_before(base + at - int(events) + 1)
            self.alarm_count += 1
            self.alarms = [
                *self.alarms[1 - KEPT_ALARMS :],
                Alarm(
                    self.partition,
                    STREAMS[stream],
                    int(offsets[at]),
                    self.start + 1 if since is None else since,
                    int(events),
                    before,
                    after,
                ),
            ]
        self.marks.add(offsets[told:])
