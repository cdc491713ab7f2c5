"""ADWIN (river) on both score streams, the disagreement and carried features, and how far each stream lies from its own
beginning (windows.py): alarms and diagnostics, never a gate.

A detector is sequential: its state is a function of every value since its last alarm. So it is carried in the
snapshot (P30): river's detector gives its window as a block of bytes (`__getstate__`, numbers only; nothing in it is
code, and no pickle is loaded) and takes it back. The block is bound to river's version and to a checksum; where either
differs, the detectors begin again at the source offset compared, and the evidence says how often that happened.
Within one version a restart changes no bit of what follows; a test shows it.

What is fed: scores as they are while within [-1, 1] (probabilities are), beyond that squashed smoothly towards 2,
because ADWIN's bound is for bounded values: on outputs of a much larger scale the alarm is weak. The disagreement is 1
where the decisions differ, else 0; without a decision, the difference's magnitude, at most 1. A feature may have any
scale: what is fed is a value's rank among the stream's first events.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import compress, count
from math import log, sqrt
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from river._river_rust.drift import AdaptiveWindowing

from streambg.comparing.sums import SCORE_STEP_BITS, quantised
from streambg.comparing.windows import Crossing, Windows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STREAMS = ("blue score", "green score", "disagreement")
# What a color says; the disagreement lies between them and has its own alarm.
WINDOWED = 2
# Squares are summed in multiples of 2**-20, of values rounded to 2**-10: 2**22 of them at most for one value below 2.
_SQUARE_BITS = 10
_STEPS = 1 << SCORE_STEP_BITS
DELTA, GRACE = 0.002, 5  # river's defaults, as a test shows
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
    """A stream has changed. Source offsets: `at` where it was noticed, `since` the latest known start of it.

    measure: `mean` (ADWIN) or `psi` (windows.py); value reached the limit. before and after: means of what was fed
    (psi: of the ranks); `events` is how many are on the new level.
    """

    partition: int
    stream: str
    at: int
    since: int
    events: int
    before: float
    after: float
    measure: Literal["mean", "psi"] = "mean"
    value: float = 0.0
    limit: float = 0.0

    @property
    def of(self) -> str:
        """What changed: `score`, a feature's name, `disagreement`."""
        return self.stream.rpartition(" ")[2]


def alike(alarm: Alarm, alarms: Iterable[Alarm]) -> bool:
    """Did the other color's stream of the same change, too, then and in the same direction? It is the input then."""
    return any(
        (other.partition, other.of, other.measure) == (alarm.partition, alarm.of, alarm.measure)
        and other.stream != alarm.stream
        and (other.after > other.before) == (alarm.after > alarm.before)
        and other.since <= alarm.at
        and alarm.since <= other.at
        for other in alarms
    )


@dataclass(frozen=True, slots=True)
class DetectorState:
    """What a snapshot holds of one detector: river's block, and exact sums since its last alarm.

    squares: None in what an older version wrote.
    """

    block: bytes
    checksum: int
    fed: int
    total: int
    squares: int | None = None
    sums: list[list[tuple[int, int]]] = field(default_factory=list)


def squashed(scores: Floats) -> Floats:
    """The identity on [-1, 1]; beyond, x -> sign(x) (2 - 1/|x|): continuous, ascending, below 2."""
    size = np.abs(scores)
    beyond = size > 1
    if not beyond.any():
        return scores
    return np.where(beyond, np.copysign(2 - 1 / np.where(beyond, size, 1.0), scores), scores)


class Marks:
    """What was known of some events, by their number: dense near the end, sparse far back. O(log n) of them.

    A source offset, or a sum up to there.
    """

    __slots__ = ("levels", "number")

    def __init__(self, number: int = 0, levels: list[list[tuple[int, int]]] | None = None) -> None:
        self.number = number  # events seen
        self.levels: list[list[tuple[int, int]]] = levels if levels is not None else []

    def add(self, known: Ints) -> None:
        first = -self.number % _MARK_EVERY
        for at in range(first, len(known), _MARK_EVERY):
            number = self.number + at
            for level in range(_MAX_LEVELS):
                if number % (_MARK_EVERY << level):
                    break
                if level == len(self.levels):
                    self.levels.append([])
                self.levels[level] = [*self.levels[level][1 - _MARKS_A_LEVEL :], (number, int(known[at]))]
                if number == 0:
                    break  # the first event belongs to no level but the finest: it would fill them all
        self.number += len(known)

    def at_or_before(self, number: int) -> int | None:
        """What is known of the last marked event not after `number`."""
        return max((mark for mark in self.all() if mark[0] <= number), default=(0, None))[1]

    def all(self) -> list[tuple[int, int]]:
        """(number of the event, what is known of it)."""
        return [mark for level in self.levels for mark in level]


@dataclass(frozen=True, slots=True)
class Cut:
    """Events on the new level, the means before and on it, and ADWIN's bound for two parts of these sizes."""

    events: int
    before: float
    after: float
    limit: float


def bound(before: int, after: int, variance: float) -> float:
    """How far two means of so many events may lie apart by chance; variance of both together (Bifet & Gavalda 2007)."""
    each = 1 / max(1, before - GRACE + 1) + 1 / max(1, after - GRACE + 1)
    confidence = log(2 * log(max(3, before + after)) / DELTA)
    return sqrt(2 * each * variance * confidence) + 2 / 3 * confidence * each


class Detector:
    """One ADWIN. As river's own wrapper does, it begins anew after an alarm."""

    __slots__ = ("_adwin", "fed", "squares", "sums", "total")

    def __init__(self, state: DetectorState | None = None) -> None:
        self._adwin = _adwin()
        self.fed = 0  # since the last alarm
        self.total = 0  # of what was fed, in multiples of 2**-20
        self.squares = 0  # the same
        self.sums = Marks()  # `total` at some events, for where it changed
        if state is not None:
            if zlib.crc32(state.block) != state.checksum or state.squares is None:
                raise ValueError("the checksum of a detector's block does not fit, or it has no sum of squares")
            self._adwin.__setstate__(state.block)
            self.fed, self.total, self.squares = state.fed, state.total, state.squares
            self.sums = Marks(state.fed, [list(level) for level in state.sums])

    def state(self) -> DetectorState:
        block = bytes(self._adwin.__getstate__())
        return DetectorState(block, zlib.crc32(block), self.fed, self.total, self.squares, self.sums.levels)

    def feed(self, values: Floats) -> Iterator[tuple[int, Cut]]:
        """Per alarm: the number of the value that raised it, and what was found."""
        exact = np.cumsum(quantised(values))  # |steps| <= 2**21 and a chunk of 2**14: far within int64
        squares = np.cumsum(np.rint(values * (1 << _SQUARE_BITS)).astype(np.int64) ** 2)
        numbers = values.tolist()
        first = 0
        while first < len(numbers):
            hit = next(compress(count(first), map(self._adwin.update, numbers[first:])), None)
            last = len(numbers) if hit is None else hit + 1
            before, squared = (int(exact[first - 1]), int(squares[first - 1])) if first else (0, 0)
            self.sums.add(exact[first:last] - before + self.total)
            self.fed += last - first
            self.total += int(exact[last - 1]) - before
            self.squares += int(squares[last - 1]) - squared
            if hit is not None:
                yield hit, self._cut()
                self._adwin, self.fed, self.total, self.squares, self.sums = _adwin(), 0, 0, 0, Marks()
            first = last

    def _cut(self) -> Cut:
        """Where both means are furthest apart, against ADWIN's bound: it has found that they are, somewhere."""
        mean = self.total / _STEPS / self.fed
        variance = max(0.0, self.squares / (1 << 2 * _SQUARE_BITS) / self.fed - mean * mean)
        found = [self._split(number + 1, total, variance) for number, total in self.sums.all() if number + 1 < self.fed]
        return max(found, key=lambda cut: abs(cut.after - cut.before) / cut.limit)

    def _split(self, events: int, total: int, variance: float) -> Cut:
        left = self.fed - events
        before, after = total / _STEPS / events, (self.total - total) / _STEPS / left
        return Cut(left, before, after, bound(events, left, variance))


def _adwin() -> Any:
    """What river's `drift.ADWIN()` wraps. The wrapper costs as much again as the update, its reset after an alarm is
    Detector's, and its package imports scipy for other detectors: 76 MB and 0.6 s in every comparator.
    """
    # river's defaults, as a test shows
    return AdaptiveWindowing(delta=DELTA, clock=_MARK_EVERY, max_buckets=5, min_window_length=GRACE, grace_period=10)


class Drift:
    """Some streams of one partition: of each a detector and, of the first `windowed`, its windows; and their alarms.

    ranked: a detector is fed the ranks that the windows find, from the end of their reference on.
    """

    def __init__(
        self,
        partition: int,
        start: int,
        streams: Sequence[str] = STREAMS,
        windowed: int = WINDOWED,
        ranked: bool = False,
    ) -> None:
        self.partition = partition
        self.start = start  # the source offset the detectors begin after
        self.streams = tuple(streams)
        self.ranked = ranked
        self.detectors = [Detector() for _ in streams]
        self.windows = [Windows() for _ in range(windowed)]
        self.marks = Marks()
        self.alarms: list[Alarm] = []
        self.alarm_count = 0
        self.restarts = 0

    def feed(self, offsets: Ints, values: Sequence[Floats]) -> None:
        """The values of each stream for n events, in source order."""
        if len(offsets) == 0:
            return
        base, told = self.marks.number, 0
        found = [each for stream in range(len(self.streams)) for each in self._found(stream, offsets, values[stream])]
        for at, stream, what in sorted(found, key=lambda each: each[:2]):
            # the marks as they stood at the alarm, not at the end of the chunk: chunks leave no trace (P32)
            self.marks.add(offsets[told : at + 1])
            told = max(told, at + 1)
            alarm = self._alarm(base + at, int(offsets[at]), stream, what)
            self.alarm_count += 1
            self.alarms = [*self.alarms[1 - KEPT_ALARMS :], alarm]
        self.marks.add(offsets[told:])

    def _found(self, stream: int, offsets: Ints, values: Floats) -> Iterator[tuple[int, int, Cut | Crossing]]:
        """(number of the value that raised it, stream, what): ADWIN's first."""
        windows = self.windows[stream] if stream < len(self.windows) else None
        ranks, crossings = windows.feed(offsets, values) if windows is not None else (values, [])
        fed = ranks if self.ranked else values
        for at, cut in self.detectors[stream].feed(fed):
            yield len(values) - len(fed) + at, stream, cut
        for crossing in crossings:
            yield crossing.at, stream, crossing

    def _alarm(self, number: int, at: int, stream: int, what: Cut | Crossing) -> Alarm:
        name = self.streams[stream]
        if isinstance(what, Crossing):
            windows, window, divergence = self.windows[stream], what.window, what.divergence
            before, after = windows.rank(windows.reference), windows.rank(window.counts)
            events, psi, limit = sum(window.counts), divergence.psi, divergence.limit
            return Alarm(self.partition, name, at, window.since, events, before, after, "psi", psi, limit)
        since = self.marks.at_or_before(number - what.events + 1)
        since = self.start + 1 if since is None else since
        before, after, far = what.before, what.after, abs(what.after - what.before)
        return Alarm(self.partition, name, at, since, what.events, before, after, "mean", far, what.limit)
