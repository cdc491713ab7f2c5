"""A model that answers recorded events: the scorer's own step, without its clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from streambg.comparing.histogram import Histogram, Scale
from streambg.comparing.side import Part, part_of
from streambg.models.answering import Answered
from streambg.records.batch import MAX_ROWS, Batch
from streambg.scoring.batching import Polled, Scored, batches

# Microseconds an event, from a hundredth (2**-7) to hours.
SPENT_US = Scale(-7, 33, signed=False)


class Scoring(Protocol):
    """A loaded model with its decoding and checks (scoring/answerer.py)."""

    deployment: int

    def score(self, polled: Polled, partition: int, sample: int | None) -> Scored: ...


class Spent:
    """What a model took. histogram: of microseconds an event, one value for each batch."""

    def __init__(self, events: int = 0, us: int = 0, histogram: Histogram | None = None) -> None:
        self.events = events
        self.us = us
        self.histogram = histogram or Histogram(SPENT_US)

    def add(self, events: int, us: int) -> None:
        self.events += events
        self.us += us
        self.histogram.add(np.array([us / events], np.float64))

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.events + other.events, self.us + other.us, self.histogram.plus(other.histogram))


class Contender:
    """Asked in batches of MAX_ROWS events, as a busy scorer is, so that the same range gives the same batches."""

    def __init__(self, scoring: Scoring, partition: int, outputs: int, spent: Spent) -> None:
        self._scoring = scoring
        self._partition = partition
        self._outputs = outputs
        self._spent = spent

    def part(self, low: int, events: Polled) -> Part:
        """Its rows of the events above `low`: one each, in source order."""
        pieces: list[tuple[Batch, int, int]] = []
        for polled in cut(events, MAX_ROWS):
            for batch in batches(self._scoring.deployment, low, self._scored(polled)):
                low = batch.upto
                pieces.append((batch, 0, len(batch)))
        return part_of(pieces, self._outputs)

    def ask(self, polled: Polled) -> Answered:
        """These events as one batch."""
        return self._scored(polled).answered

    def _scored(self, polled: Polled) -> Scored:
        scored = self._scoring.score(polled, self._partition, None)
        self._spent.add(len(polled.offsets), scored.spent_us)
        # when a replay ran is no part of what it found
        return replace(scored, scored_at=0, spent_us=0)


def cut(events: Polled, size: int) -> Iterator[Polled]:
    """In pieces of so many events, the last one of what is left."""
    for first in range(0, len(events.offsets), size):
        part = slice(first, first + size)
        yield Polled(events.offsets[part], events.keys[part], events.times[part], events.values[part], None)
