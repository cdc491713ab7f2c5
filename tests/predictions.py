"""Prediction batches for tests, written as what they say: who answers which offsets how."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from streambg.publishing.answers import Fetch
from streambg.records.batch import ERROR, OK, Batch, Carried, Headers


def value(deployment: int, offset: int) -> bytes:
    """What a deployment answers to an event: the same whenever it is asked."""
    return b"%d answers %d" % (deployment, offset)


def key(offset: int) -> bytes | None:
    """Events carry one of five keys, or none."""
    return None if offset % 6 == 0 else b"key%d" % (offset % 6)


def answers(
    deployment: int,
    after: int,
    upto: int,
    offsets: Iterable[int] | None = None,
    *,
    errors: Collection[int] = (),
    sample: bool = False,
    column: list[Carried] | None = None,
    forwarded: list[Headers] | None = None,
) -> Batch:
    """The batch (after, upto], with a row for every offset if not said otherwise; `column` is the field `f`."""
    rows = list(range(after + 1, upto + 1)) if offsets is None else list(offsets)
    return Batch(
        deployment,
        after,
        upto,
        sample,
        1_000,
        10,
        np.array(rows, np.int64),
        np.array([50_000 + offset for offset in rows], np.int64),
        np.array([ERROR if offset in errors else OK for offset in rows], np.uint8),
        np.array([[offset / 7] for offset in rows], np.float64).reshape(len(rows), 1 if rows else 0),
        [key(offset) for offset in rows],
        [b"no answer from %d" % deployment if offset in errors else value(deployment, offset) for offset in rows],
        {"f": column} if column is not None else {},
        forwarded,
    )


def fetched(log_offset: int, batch: Batch, at: float = 0.0) -> Fetch:
    """As the session takes it from the log; a row counts as 40 bytes, the envelope as 60."""
    return Fetch(log_offset, 60 + 40 * len(batch), at, batch)


@dataclass
class Told:
    """P8 written out: `rows` are the accepted ones, offset -> (value, may it be published?)."""

    rows: dict[int, tuple[bytes, bool]] = field(default_factory=dict)
    covered: int | None = None
    unanswered_upto: int = -1

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> Told:
        """The fold of one deployment's batches in log order."""
        told = cls()
        for batch in batches:
            told.take(batch)
        return told

    def take(self, batch: Batch) -> None:
        if self.covered is None:
            self.covered = self.unanswered_upto = batch.after
        if not batch.after <= self.covered < batch.upto:
            return  # a hole or a repeat
        for row, offset in enumerate(batch.offsets.tolist()):
            if offset > self.covered:
                self.rows[offset] = (batch.values[row], bool(batch.statuses[row] == OK))
        self.covered = batch.upto
        if batch.sample:
            self.unanswered_upto = batch.upto

    def unanswered(self, offset: int) -> bool:
        """P9, for a deployment whose missing rows are no facts about the input."""
        return offset not in self.rows and self.covered is not None and offset <= self.covered
