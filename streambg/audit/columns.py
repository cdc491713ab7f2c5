"""Outcomes as columns: what a log's records say, without what nobody judges. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from streambg.audit.parsing import Says

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """n outcomes in ascending source order, each the first to come that far. offsets and epochs int64 (n,)."""

    offsets: Int64
    epochs: Int64
    says: list[Says]
    times: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    log_offsets: list[int]

    def __len__(self) -> int:
        return len(self.says)

    def between(self, after: int, upto: int) -> Column:
        """Those of (after, upto]."""
        lo, hi = (int(at) for at in np.searchsorted(self.offsets, [after, upto], "right"))
        return self if hi - lo == len(self) else self.cut(slice(lo, hi))

    def without(self, rows: npt.NDArray[np.bool_]) -> Column:
        """All but those marked."""
        return pick(self, np.flatnonzero(~rows)) if rows.any() else self

    def cut(self, rows: slice) -> Column:
        return Column(
            self.offsets[rows],
            self.epochs[rows],
            self.says[rows],
            self.times[rows],
            self.keys[rows],
            self.values[rows],
            self.log_offsets[rows],
        )


@dataclass(frozen=True, slots=True)
class Behind:
    """An outcome that comes after one of a later event: late, or a double."""

    offset: int
    log_offset: int
    says: Says


def join(columns: list[Column]) -> Column:
    """One behind the other."""
    if len(columns) == 1:
        return columns[0]
    none = np.empty(0, np.int64)
    whole = chain.from_iterable
    return Column(
        np.concatenate([column.offsets for column in columns]) if columns else none,
        np.concatenate([column.epochs for column in columns]) if columns else none,
        list(whole(column.says for column in columns)),
        list(whole(column.times for column in columns)),
        list(whole(column.keys for column in columns)),
        list(whole(column.values for column in columns)),
        list(whole(column.log_offsets for column in columns)),
    )


def pick(column: Column, rows: Int64) -> Column:
    """These rows."""
    if len(rows) == len(column):
        return column
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return column.cut(slice(int(rows[0]), int(rows[-1]) + 1))
    index = rows.tolist()
    return Column(
        column.offsets[rows],
        column.epochs[rows],
        [column.says[row] for row in index],
        [column.times[row] for row in index],
        [column.keys[row] for row in index],
        [column.values[row] for row in index],
        [column.log_offsets[row] for row in index],
    )
