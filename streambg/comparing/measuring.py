"""Joined rows as the gate's arithmetic takes them (streambg/deciding/kinds.py)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streambg.comparing.pair import Terms
from streambg.comparing.pairing import Rows
from streambg.deciding.kinds import Answers, Seen
from streambg.records.batch import Carried
from streambg.records.gate import Gate
from streambg.records.source import Color

Floats = npt.NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)


def seen_of(rows: Rows, terms: Terms, gate: Gate) -> Seen:
    """The matched rows, in source order."""
    # the team's functions may look at everything that is carried; without them segments are all that is looked at
    names = gate.carried if terms.hooks else tuple(gate.segments)
    return Seen(
        answers_of(rows, "blue", terms),
        answers_of(rows, "green", terms),
        carry={name: carried(rows, name) for name in names},
    )


def answers_of(rows: Rows, color: Color, terms: Terms) -> Answers:
    part, at = rows.side(color), rows.at(color)
    scores = taken(part.scores, at)
    ok = taken(part.ok, at)
    decided = scores[:, terms.column]
    return Answers(
        ok & np.isfinite(scores).all(axis=1),
        ~ok,
        scores,
        decided,
        None if terms.threshold is None else decided >= terms.threshold,
        taken(part.latency, at),
    )


def carried(rows: Rows, name: str) -> list[Carried]:
    """A field of the matched events: what blue carries, where it does not what green does."""
    blue = _column(rows, "blue", name)
    if None not in blue:
        return blue
    green = _column(rows, "green", name)
    return [other if value is None else value for value, other in zip(blue, green, strict=True)]


def numbers(rows: Rows, color: Color, name: str) -> Floats:
    """A field of the matched events as this color carries it; NaN where that is no number. float64 (n,)."""
    column = _column(rows, color, name)
    return np.array([value if type(value) in (int, float) else np.nan for value in column], np.float64)


def _column(rows: Rows, color: Color, name: str) -> list[Carried]:
    column, at = rows.side(color).column(name), rows.at(color)
    return column if len(at) == len(column) else [column[row] for row in at.tolist()]


def taken(column: npt.NDArray[Scalar], at: npt.NDArray[np.intp]) -> npt.NDArray[Scalar]:
    """The matched rows of a column; the column itself where all rows are."""
    return column if len(at) == len(column) else column[at]
