"""Labels of recorded events: read once into a table, found by key and time, counted like the live ones. Pure.

As in a living pipeline (labelling/matching.py), a label of the time t belongs to the first event with its key of the
times [t - horizon, t + EARLY_MS]; an event has the first label that belongs to it; and of several events with one key
in one cohort only the first one waits. So whose a label is depends on what came before in the partition: `Met`. All
events are looked at, also where a living pipeline lets only a sample of them wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import xxhash

from streambg.deciding.coverage import Coverage
from streambg.deciding.grid import Floats, Ints
from streambg.deciding.kinds import Answers, Seen
from streambg.deciding.tallies import Tallies
from streambg.errors import ConfigError
from streambg.labelling.cohorts import EARLY_MS, Awaited, width_of
from streambg.records.batch import Carried
from streambg.records.bucket import field_bytes
from streambg.records.gate import LabelTerms
from streambg.records.label import Label, parse
from streambg.replaying.series import Calibrated

# 24 bytes each; 8 more while they are sorted, and then for what was met of a partition: 256 MB, in each worker.
MOST_LABELS = 8_000_000
GROWS = 65_536
Bools = npt.NDArray[np.bool_]
NEVER = -1  # before every time of an event


@dataclass(slots=True)
class Met:
    """The events of a partition so far, as far as they decide whose a label is.

    awaited: their latest time. last: int64, by the row of a key's first label: the time, ms, of the last event that
    waited under that key; NEVER: there was none. reach_ms: who waited longer before the latest time matters no more.
    """

    awaited: Awaited
    last: Ints
    reach_ms: int


@dataclass(frozen=True, slots=True)
class Given:
    """Of n events. times: int64 (n,) ms, never going back. keyed: can it have a label? there, labels: has it one?"""

    times: Ints
    keyed: Bools
    there: Bools
    labels: Floats


class LabelTable:
    """Sorted by key and time. keys: uint64 hashes, times: int64 ms, values: float64."""

    def __init__(self, terms: LabelTerms) -> None:
        self._terms = terms
        self.read = 0
        self.until_ms = -1  # the latest time of a label
        self.bad: Counter[str] = Counter()
        self._size = 0
        self._high = NEVER
        self._keys, self._times, self._values = np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0)

    @property
    def key(self) -> str:
        """The carried field that a label shares with its event."""
        return self._terms.key

    def begin(self) -> None:
        """What comes now is of another partition of the labels' topic."""
        self._high = NEVER

    def take(self, times: Sequence[int], values: Sequence[bytes | None]) -> None:
        """Records of the labels' topic, in the order of their partition: there a label is never before the one before
        it. Raises ConfigError for too many.
        """
        if not values:
            return
        keys: list[int] = []
        dates: list[int] = []
        outcomes: list[float] = []
        ascending = np.maximum.accumulate(np.maximum(np.array(times, np.int64), self._high)).tolist()
        self._high = ascending[-1]
        for time, value in zip(ascending, values, strict=True):
            found = parse(value, self._terms.key, self._terms.value)
            if isinstance(found, Label):
                keys.append(digest(found.key))
                dates.append(time)
                outcomes.append(found.value)
            else:
                self.bad[found] += 1
        self.read += len(values)
        self.until_ms = max(self.until_ms, self._high)
        self._append(np.array(keys, np.uint64), np.array(dates, np.int64), np.array(outcomes, np.float64))

    def _append(self, keys: np.typing.NDArray[np.uint64], times: Ints, values: Floats) -> None:
        end = self._size + len(keys)
        if end > MOST_LABELS:
            raise ConfigError(
                f"the range has more than {MOST_LABELS:,} labels, which is what a replay holds at once",
                way_out="replay a shorter range: --from, --to; or some partitions: --partition",
            )
        if end > len(self._keys):
            room = max(end, GROWS, min(2 * len(self._keys), MOST_LABELS)) - len(self._keys)
            self._keys, self._times = np.pad(self._keys, (0, room)), np.pad(self._times, (0, room))
            self._values = np.pad(self._values, (0, room))
        self._keys[self._size : end], self._times[self._size : end] = keys, times
        self._values[self._size : end] = values
        self._size = end

    def sort(self) -> None:
        """Once all are there. Among equals the one that was read first stays first."""
        order = np.lexsort((self._times[: self._size], self._keys[: self._size]))
        self._keys, self._times, self._values = self._keys[order], self._times[order], self._values[order]

    def begun(self) -> Met:
        """Of a partition of which nothing was read."""
        # an event to come is in another cohort then, and the labels that it may have are not the other's
        reach_ms = self._terms.horizon_ms + max(EARLY_MS, width_of(self._terms.horizon_ms))
        return Met(Awaited(), np.full(self._size, NEVER, np.int64), reach_ms)

    def find(self, met: Met, column: Sequence[Carried], times: Ints) -> Given:
        """The next n events of a partition by what they carry as the label's key; `met` follows."""
        dated = met.awaited.dated(np.maximum(times, 0))
        keys = [field_bytes(value) for value in column]
        keyed = np.fromiter(map(bool, keys), np.bool_, len(keys))
        rows = np.flatnonzero(keyed)
        hashes = np.fromiter((digest(key) for key in keys if key), np.uint64, len(rows))
        low, high = (np.searchsorted(self._keys, hashes, side).astype(np.int64) for side in ("left", "right"))
        known = low < high
        given = Given(dated, keyed, np.zeros(len(keys), np.bool_), np.full(len(keys), np.nan))
        self._give(given, met, rows[known], low[known], high[known])
        return given

    def _give(self, given: Given, met: Met, rows: Ints, low: Ints, high: Ints) -> None:
        """rows: events whose key has labels, those of [low, high)."""
        width, horizon = width_of(self._terms.horizon_ms), self._terms.horizon_ms
        waits = np.argsort(low, kind="stable")  # by key, then as they came
        cohorts = given.times[rows] // width
        same = _follows(low[waits]) & _follows(cohorts[waits])
        last = met.last[low[waits]]
        waits = waits[~same & ((last == NEVER) | (last // width != cohorts[waits]))]
        rows, low, high = rows[waits], low[waits], high[waits]
        times, again = given.times[rows], _follows(low)
        before = np.where(again, np.roll(times, 1), met.last[low])
        met.last[low[~np.roll(again, -1)]] = times[~np.roll(again, -1)]
        # what belongs to the event before it with that key, or to none of both, is not its own
        earliest = np.maximum(times - EARLY_MS, np.where(before == NEVER, NEVER, before + horizon + 1))
        at, end = low.copy(), max(0, self._size - 1)
        # mostly one label a key: the loop ends with the key that has most of them
        while (behind := np.flatnonzero((at < high) & (self._times[np.minimum(at, end)] < earliest))).size:
            at[behind] += 1
        there = at < high
        there[there] = self._times[at[there]] <= (times + horizon)[there]
        given.there[rows[there]] = True
        given.labels[rows[there]] = self._values[at[there]]


def _follows(values: Ints) -> Bools:
    """Is each the same as the one before it?"""
    same: Bools = np.diff(values, prepend=values[:1] - 1) == 0
    return same


def digest(key: bytes) -> int:
    """64 bits: among 8 million keys two are alike with a chance of one in 600,000."""
    return xxhash.xxh3_64_intdigest(key)


@dataclass(slots=True)
class LabelCount:
    """Of one model in one partition. owed: events with a key, older than the horizon when the last label came; there:
    those of them that have a label.
    """

    tallies: Tallies
    matched: int = 0
    owed: int = 0
    there: int = 0
    calibrated: Calibrated = field(default_factory=Calibrated)

    def count(self, given: Given, rows: npt.NDArray[np.intp], until_ms: int, horizon_ms: int) -> None:
        """The matched events: these rows of a window's."""
        complete = given.times[rows] + horizon_ms <= until_ms
        self.matched += int(np.count_nonzero(given.there[rows]))
        self.owed += int(np.count_nonzero(complete & given.keyed[rows]))
        self.there += int(np.count_nonzero(complete & given.there[rows]))


def coverage(counts: Iterable[LabelCount]) -> Coverage:
    """Over partitions."""
    parts = list(counts)
    there = sum(part.there for part in parts)
    return Coverage(there, sum(part.owed for part in parts) - there)


def labelled(seen: Seen, rows: Ints, labels: Floats) -> Seen:
    """The events that have a label, with it."""
    picked = rows.tolist()
    carry = {name: [column[row] for row in picked] for name, column in seen.carry.items()}
    return Seen(_of(seen.blue, rows), _of(seen.green, rows), labels, carry)


def _of(answers: Answers, rows: Ints) -> Answers:
    return Answers(
        answers.answered[rows],
        answers.failed[rows],
        answers.scores[rows],
        answers.decided[rows],
        None if answers.yes is None else answers.yes[rows],
        answers.latency[rows],
    )
