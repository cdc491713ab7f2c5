"""Labels of recorded events: read once into a table, found by key and time, counted like the live ones. Pure.

A label of the time t belongs to events of the times [t - horizon, t + EARLY_MS], as in a living pipeline; an event gets
the first one with its key. All labels are looked at, also where a living pipeline lets only a sample of events wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash

from streambg.deciding.coverage import Coverage
from streambg.deciding.grid import Floats, Ints
from streambg.deciding.kinds import Answers, Seen
from streambg.deciding.tallies import Tallies
from streambg.errors import ConfigError
from streambg.labelling.cohorts import EARLY_MS
from streambg.records.batch import Carried
from streambg.records.bucket import field_bytes
from streambg.records.gate import LabelTerms
from streambg.records.label import Label, parse
from streambg.replaying.series import Calibrated

# 24 bytes each, and 8 while they are sorted: 256 MB, in each worker.
MOST_LABELS = 8_000_000
GROWS = 65_536


class LabelTable:
    """Sorted by key and time. keys: uint64 hashes, times: int64 ms, values: float64."""

    def __init__(self, terms: LabelTerms) -> None:
        self._terms = terms
        self.read = 0
        self.until_ms = -1  # the latest time of a label
        self.bad: Counter[str] = Counter()
        self._size = 0
        self._keys, self._times, self._values = np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0)

    @property
    def key(self) -> str:
        """The carried field that a label shares with its event."""
        return self._terms.key

    def take(self, times: Sequence[int], values: Sequence[bytes | None]) -> None:
        """Records of the labels' topic, in the order of their partition. Raises ConfigError for too many."""
        keys: list[int] = []
        dates: list[int] = []
        outcomes: list[float] = []
        for time, value in zip(times, values, strict=True):
            found = parse(value, self._terms.key, self._terms.value)
            if isinstance(found, Label):
                keys.append(digest(found.key))
                dates.append(time)
                outcomes.append(found.value)
            else:
                self.bad[found] += 1
        self.read += len(values)
        self.until_ms = max(self.until_ms, max(times, default=-1))
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

    def find(self, column: Sequence[Carried], times: Ints) -> tuple[Ints, Ints, Floats]:
        """Of n events by what they carry as the label's key: the rows that carry one at all, those that have a label,
        and their labels.
        """
        keys = [field_bytes(value) for value in column]
        keyed = np.array([row for row, key in enumerate(keys) if key], np.int64)
        hashes = np.fromiter((digest(key) for key in keys if key), np.uint64, len(keyed))
        low, high = (np.searchsorted(self._keys, hashes, side) for side in ("left", "right"))
        at = low.astype(np.int64)
        earliest = times[keyed] - EARLY_MS
        # mostly one label a key: the loop ends with the key that has most of them
        while (
            behind := np.flatnonzero((at < high) & (self._times[np.minimum(at, max(0, self._size - 1))] < earliest))
        ).size:
            at[behind] += 1
        there = at < high
        there[there] = self._times[at[there]] <= (times[keyed] + self._terms.horizon_ms)[there]
        return keyed, keyed[there], self._values[at[there]]


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

    def count(self, times: Ints, keyed: Ints, found: Ints, until_ms: int, horizon_ms: int) -> None:
        """n events, of which the rows `keyed` can have a label, and those in `found` have it."""
        complete = times + horizon_ms <= until_ms
        self.matched += len(found)
        self.owed += int(np.count_nonzero(complete[keyed]))
        self.there += int(np.count_nonzero(complete[found]))


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
