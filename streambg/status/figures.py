"""Numbers from what was read: rates between two looks, a color's last answers, the last outcomes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streambg.records.batch import ERROR, Batch
from streambg.records.outcome import DeadLetter
from streambg.records.source import COLORS, Color


@dataclass(frozen=True, slots=True)
class Seen:
    """Where every partition stood at one moment. Source offsets; None where nothing is known.

    settled_at, covered_at, ended_at: monotonic seconds at which each was read; ends: the input's; covered: by color
    and partition.
    """

    settled_at: float
    covered_at: float
    ended_at: float
    ends: Mapping[int, int]
    covered: Mapping[Color, Mapping[int, int | None]]
    settled: Mapping[int, int | None]


@dataclass(frozen=True, slots=True)
class Rates:
    """Offsets a second between two looks about `seconds` apart, all partitions together."""

    seconds: float
    input: float
    scored: Mapping[Color, float]
    settled: float


def rates(before: Seen, after: Seen) -> Rates:
    """A position that was not there before, or went back (another deployment), counts as not moved."""
    scoring = after.covered_at - before.covered_at
    return Rates(
        scoring,
        _moved(before.ends, after.ends) / (after.ended_at - before.ended_at),
        {color: _moved(before.covered[color], after.covered[color]) / scoring for color in COLORS},
        _moved(before.settled, after.settled) / (after.settled_at - before.settled_at),
    )


def _moved(before: Mapping[int, int | None], after: Mapping[int, int | None]) -> int:
    moved = 0
    for partition, now in after.items():
        then = before.get(partition)
        if now is not None and then is not None:
            moved += max(0, now - then)
    return moved


@dataclass(frozen=True, slots=True)
class Recent:
    """A color's last answers, as far back as was looked. Age: from the event's time to its scoring, ms."""

    rows: int = 0
    errors: int = 0
    age_p50_ms: float | None = None
    age_p99_ms: float | None = None


def recent(batches: Sequence[Batch]) -> Recent:
    """Of one deployment's last batches, over all partitions."""
    filled = [batch for batch in batches if len(batch)]
    if not filled:
        return Recent()
    ages = np.concatenate([batch.scored_at - batch.times for batch in filled])
    p50, p99 = np.quantile(ages, [0.5, 0.99]).tolist()
    return Recent(len(ages), sum(int((batch.statuses == ERROR).sum()) for batch in filled), p50, p99)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The last outcomes: as many offsets of each partition as were looked at, by color and why.

    complete: that was all the output topic holds; `letters_complete` says so of the dead letters. foreign: records
    of either topic that no publisher wrote.
    """

    published: Mapping[tuple[str, str], int]
    complete: bool
    letters: int
    letters_complete: bool
    last_letter: DeadLetter | None
    foreign: int

    @property
    def looked_at(self) -> int:
        return sum(self.published.values())


def tally(
    published: Iterable[tuple[str, str] | None],
    complete: bool,
    letters: Sequence[DeadLetter | None],
    letters_complete: bool,
) -> Outcomes:
    """(color, why) of each output record, and the dead letters, oldest first; None for a foreign record."""
    counts = Counter(published)
    foreign = counts.pop(None, 0)
    known = [letter for letter in letters if letter is not None]
    return Outcomes(
        {key: n for key, n in sorted(counts.items()) if key is not None},
        complete,
        len(known),
        letters_complete,
        known[-1] if known else None,
        foreign + len(letters) - len(known),
    )
