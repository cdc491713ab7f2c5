"""The events on which the colors differ most, kept for a person to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streambg.comparing.pairing import Rows
from streambg.records.batch import MAX_CARRY_BYTES, Carried

# One screen of a terminal.
KEPT = 20
# A key is shown, not used: what is longer is cut, so that evidence stays small whatever the keys are.
MAX_KEY_BYTES = MAX_CARRY_BYTES


@dataclass(frozen=True, slots=True)
class Example:
    """One disagreement: where it stands in the input, both scores, and what the event carried."""

    partition: int
    offset: int
    steps: int  # |green - blue| in multiples of 2**-20: what the rank goes by
    blue: float
    green: float
    flip: bool
    key: bytes | None = None
    carry: Mapping[str, Carried] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[int, int, int]:
        """Largest difference first; among equals the lower partition and the earlier event."""
        return -self.steps, self.partition, self.offset


def worst_of(examples: Iterable[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: example.rank)[:KEPT]


def with_rows(
    kept: list[Example],
    partition: int,
    rows: Rows,
    which: npt.NDArray[np.intp],
    steps: npt.NDArray[np.int64],
    scores: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    flips: npt.NDArray[np.bool_],
) -> list[Example]:
    """The worst of those kept and of the matched rows `which` of `rows`.

    steps, scores and flips are of the rows `which`, in that order. Rows come in source order, so an equal difference
    never displaces an earlier event: the result does not depend on how the rows were cut (P32).
    """
    floor = kept[-1].steps if len(kept) == KEPT else 0
    better = np.flatnonzero(steps > floor)
    if len(better) == 0:
        return kept
    # of many, only the 20 largest can stay; a stable sort keeps source order among equals
    chosen = better[np.argsort(-steps[better], kind="stable")[:KEPT]]
    found = [
        _example(partition, rows, int(which[at]), int(steps[at]), scores[0][at], scores[1][at], bool(flips[at]))
        for at in chosen.tolist()
    ]
    return worst_of([*kept, *found])


def _example(
    partition: int, rows: Rows, matched: int, steps: int, blue: np.float64, green: np.float64, flip: bool
) -> Example:
    row = int(rows.at_blue[matched])
    key = rows.blue.key(row)
    return Example(
        partition,
        int(rows.blue.offsets[row]),
        steps,
        float(blue),
        float(green),
        flip,
        None if key is None else key[:MAX_KEY_BYTES],
        rows.blue.carry(row),
    )
