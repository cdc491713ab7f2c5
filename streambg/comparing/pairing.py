"""The join: a merge of two folds in source order, on arrays, with no window (docs/design.md, section 8).

`compared` moves to where both colors have answered; every source offset that a color has a row for falls into one
class:

    matched             both have a row
    only_blue           blue has a row; green's accepted batch, no sample, covers the offset without one. By P9 that
                        says `not in the input` where green is live, and `unanswered` where green is the candidate
    unanswered_green    blue has a row; green was sampled there, or had not begun (P9): it says nothing
    only_green, unanswered_blue    the same with the colors exchanged

Who is live is no part of evidence: it changes with the control log, and evidence must depend on the two logs alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streambg.comparing.pair import Pair, Terms
from streambg.comparing.side import MAX_BYTES, Part, Place, Side
from streambg.records.source import COLORS, Color, other

Ints = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]

# Rows of one color taken at once. Large enough that numpy's cost a call is spread thin; small enough that exact sums
# stay within int64 (see sums.py) and that one step of the event loop stays near 10 ms.
CHUNK_ROWS = 8_192
# Rows that are worth a step: numpy's cost a call, some 0.5 ms a step with five metrics, is 0.5 us a row then; with the
# 160 rows that a poll of a quiet pipeline brings it is 3 us.
GATHER_ROWS = 1_024
# Large rows are not gathered: a color is paused at MAX_BYTES, and must not stand there until somebody takes them.
GATHER_BYTES = MAX_BYTES // 4


@dataclass(frozen=True, slots=True)
class Rows:
    """What both colors say about the source offsets (low, high].

    `blue` and `green` hold all their rows there; `at_blue[i]` and `at_green[i]` are the rows of the i-th matched
    event, ascending. `only` and `unanswered` count offsets by the color that has *no* row.
    """

    low: int
    high: int
    blue: Part
    green: Part
    at_blue: Indices
    at_green: Indices
    silent: dict[Color, int]
    unanswered: dict[Color, int]

    def side(self, color: Color) -> Part:
        return self.blue if color == "blue" else self.green

    def at(self, color: Color) -> Indices:
        return self.at_blue if color == "blue" else self.at_green

    def __len__(self) -> int:
        return len(self.at_blue)


class Pairing:
    """The two sides of one pair in one partition."""

    def __init__(self, pair: Pair, terms: Terms, places: dict[Color, Place], compared: int) -> None:
        for color in COLORS:
            if places[color].coverage.deployment != pair.of(color):
                raise ValueError(f"{color} is {pair.of(color)}, its place is of {places[color].coverage.deployment}")
        self.pair = pair
        self.compared = compared
        self.sides: dict[Color, Side] = {color: Side(places[color], terms.outputs) for color in COLORS}

    def full(self) -> frozenset[Color]:
        """The colors that have run ahead: read the other one (P20)."""
        return frozenset(color for color in COLORS if self.sides[color].full())

    def gathered(self) -> bool:
        """Are enough rows of both colors there for a step that is worth its cost?"""
        sides = self.sides.values()
        return min(side.rows for side in sides) >= GATHER_ROWS or max(side.bytes for side in sides) >= GATHER_BYTES

    def take(self, limit: int = CHUNK_ROWS) -> Rows | None:
        """The next rows that both colors have covered, or None; they stay until `retire`."""
        reaches = [self.sides[color].reach(limit) for color in COLORS]
        if None in reaches:
            return None
        high = min(reach for reach in reaches if reach is not None)
        if high <= self.compared:
            return None
        low = self.compared
        blue, green = (self.sides[color].part(low, high) for color in COLORS)
        at_blue, at_green = match(blue.offsets, green.offsets)
        silent: dict[Color, int] = dict.fromkeys(COLORS, 0)
        unanswered: dict[Color, int] = dict.fromkeys(COLORS, 0)
        for color, part, at in (("blue", blue, at_blue), ("green", green, at_green)):
            if len(at) == len(part):
                continue
            without = other(color)  # type: ignore[arg-type]  # a literal of the tuple above, mypy widens it to str
            alone = np.delete(part.offsets, at)
            nothing = int(self.sides[without].unanswered(alone).sum())
            unanswered[without] = nothing
            silent[without] = len(alone) - nothing
        return Rows(low, high, blue, green, at_blue, at_green, silent, unanswered)

    def retire(self, compared: int, counted: int, start: int) -> dict[Color, dict[str, int]]:
        """Everything up to `compared` is evidence now; what was dropped on the way, by color and why (Side.retire)."""
        self.compared = compared
        return {color: dict(self.sides[color].retire(compared, counted, start)) for color in COLORS}

    def places(self) -> dict[Color, Place]:
        return {color: self.sides[color].place for color in COLORS}


def match(left: Ints, right: Ints) -> tuple[Indices, Indices]:
    """Rows with equal offsets, of two ascending arrays without repeats."""
    if len(left) == len(right) and np.array_equal(left, right):
        every = np.arange(len(left))
        return every, every
    if len(left) == 0 or len(right) == 0:
        none = np.empty(0, np.intp)
        return none, none
    at = np.searchsorted(right, left)
    np.minimum(at, len(right) - 1, out=at)
    hit = np.flatnonzero(right[at] == left)
    return hit, at[hit]
