"""The replay proves itself: what this very model published in the range, it must answer again. Pure but for the model.

Answers depend on their row alone (models/contract.py), so the replay's own batches do. Where one differs all the same,
it is asked again within the borders of the batch that stands in the predictions topic: those of the live scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq

import numpy as np

from streambg.comparing.pairing import Rows
from streambg.comparing.side import Part
from streambg.config.masks import SECRETS_ONLY, Masks
from streambg.deciding.grid import Ints
from streambg.models.answering import Answered
from streambg.records.batch import Batch
from streambg.records.source import Source
from streambg.replaying.found import Proof, Unlike
from streambg.scoring.batching import Polled

# Scores this near are taken for the same where nobody knows any more what stood beside them in their batch.
WITHIN = 1e-6
FIRST = 20
SHOWN_CHARACTERS = 200

# The events of these source offsets, ascending; None where one of them is gone.
Fetch = Callable[[Sequence[int]], Polled | None]
Ask = Callable[[Polled], Answered]


@dataclass(slots=True)
class Count:
    """Of one model in one partition; see `found.Proof`."""

    events: int = 0
    reproduced: int = 0
    close: int = 0
    different: int = 0
    other_rules: int = 0
    first: list[Unlike] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Published:
    """A window's rows of the other side. deployments: int64 (n,), whose answers they are, -1: nobody's.

    stored: by deployment, its accepted rows there, in the batches that its scorer wrote.
    """

    deployments: Ints
    stored: Mapping[int, Part]


class Prover:
    """same: the deployments of this very model, asked in the same way; other: those asked otherwise.

    masks: of the values that are named where they differ.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        same: Sequence[int],
        other: Sequence[int],
        ask: Ask,
        masks: Masks = SECRETS_ONLY,
    ) -> None:
        self._topic, self._partition = topic, partition
        self._same = np.array(sorted(same), np.int64)
        self._other = np.array(sorted(other), np.int64)
        self._ask = ask
        self._masks = masks

    def add(self, count: Count, rows: Rows, published: Published, fetch: Fetch) -> None:
        """The matched rows of a window: the other side's are what was published."""
        whose = published.deployments[rows.at_blue]
        count.other_rules += int(np.isin(whose, self._other).sum())
        mine = np.flatnonzero(np.isin(whose, self._same))
        count.events += len(mine) + int(np.isin(whose, self._other).sum())
        blue, green = rows.blue.values, rows.green.values
        left, right = rows.at_blue[mine].tolist(), rows.at_green[mine].tolist()
        same = map(eq, map(blue.__getitem__, left), map(green.__getitem__, right))
        equal = np.fromiter(same, np.bool_, len(mine))
        unequal = [(int(mine[at]), left[at], right[at]) for at in np.flatnonzero(~equal).tolist()]
        count.reproduced += len(mine) - len(unequal)
        again: dict[int, Answered | None] = {}
        for row, at_left, at_right in unequal:
            self._closely(count, rows, published, (int(whose[row]), at_left, at_right), fetch, again)

    def _closely(
        self,
        count: Count,
        rows: Rows,
        published: Published,
        row: tuple[int, int, int],
        fetch: Fetch,
        again: dict[int, Answered | None],
    ) -> None:
        deployment, left, right = row
        offset, value = int(rows.blue.offsets[left]), rows.blue.values[left]
        found = self._stored(published.stored.get(deployment), offset)
        replayed, scores = rows.green.values[right], rows.green.scores[right]
        if found is not None:
            batch, at = found
            if id(batch) not in again:
                polled = fetch(batch.offsets.tolist())
                again[id(batch)] = None if polled is None else self._ask(polled)
            answered = again[id(batch)]
            if answered is not None:
                replayed, scores = answered.values[at], answered.scores[at]
        near = _near(rows, left, scores)
        if replayed == value:
            count.reproduced += 1
            return
        if near and (found is None or again[id(found[0])] is None):
            count.close += 1
        else:
            count.different += 1
        if len(count.first) < FIRST:
            source = str(Source(self._topic, self._partition, offset))
            before, now = (self._masks.value_of(each)[:SHOWN_CHARACTERS] for each in (value, replayed))
            count.first.append(Unlike(source, deployment, before, now, near))

    @staticmethod
    def _stored(part: Part | None, offset: int) -> tuple[Batch, int] | None:
        if part is None:
            return None
        at = int(np.searchsorted(part.offsets, offset))
        return part.locate(at) if at < len(part) and part.offsets[at] == offset else None


def _near(rows: Rows, left: int, scores: np.typing.NDArray[np.float64]) -> bool:
    theirs = rows.blue.scores[left]
    return bool(rows.blue.ok[left]) and bool((np.abs(theirs - scores) <= WITHIN).all())


def total(parts: Sequence[Count]) -> Proof:
    """Over partitions in ascending order."""
    return Proof(
        sum(part.events for part in parts),
        sum(part.reproduced for part in parts),
        sum(part.close for part in parts),
        sum(part.different for part in parts),
        sum(part.other_rules for part in parts),
        tuple([unlike for part in parts for unlike in part.first][:FIRST]),
    )


def polled_of(known: Sequence[Polled], offsets: Sequence[int]) -> Polled | None:
    """The rows of these offsets from windows that lie one behind the other; None where one is not there."""
    columns: list[tuple[int, bytes | None, int, bytes | None]] = []
    wanted = np.array(offsets, np.int64)
    for window in known:
        have = np.array(window.offsets, np.int64)
        columns += [
            (window.offsets[at], window.keys[at], window.times[at], window.values[at])
            for at in np.flatnonzero(np.isin(have, wanted, assume_unique=True)).tolist()
        ]
    if len(columns) < len(offsets):
        return None
    return Polled(
        [column[0] for column in columns],
        [column[1] for column in columns],
        [column[2] for column in columns],
        [column[3] for column in columns],
        None,
    )
