"""What two versions of a model have not in common: what stands in their manifests, and what they answer. Pure.

Differences of scores are second - first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streambg.models.answering import Answered
from streambg.records.batch import OK

# Rows that are shown: half a screen of a terminal.
WORST = 10


@dataclass(frozen=True, slots=True)
class Change:
    """`what` of the manifests, and both sides; None where a side has none."""

    what: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Worst:
    """A row (from 0) on which the scores differ."""

    row: int
    first: float
    second: float
    flip: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """Rows that one side has no answer to, and what it says of the first of them."""

    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class AnswersDiff:
    """Of the rows that both answered (`compared`). Rates and differences are None where there is nothing to compare.

    output: whose scores are compared. agreement: the share of equal decisions; it and the flips are None without a
    threshold. flips_to_yes: first no, second yes. scores_equal, values_equal: to the last bit, to the last byte.
    """

    rows: int
    compared: int
    output: str
    threshold: float | None
    agreement: float | None
    flips: int | None
    flips_to_yes: int | None
    flips_to_no: int | None
    scores_equal: int
    values_equal: int
    difference_mean: float | None
    difference_magnitude: float | None
    difference_max: float | None
    first_missing: Missing
    second_missing: Missing
    worst: list[Worst]


def changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Change]:
    """Only what differs between two manifests as plain values; what is a mapping there is compared by its keys."""
    ours, theirs = _flat(first), _flat(second)
    found = [
        Change(name, ours.get(name), theirs.get(name))
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
    ]
    orders = list(first["features"]), list(second["features"])
    if set(orders[0]) == set(orders[1]) and orders[0] != orders[1]:
        found.append(Change("order of features", *orders))
    return found


def _flat(manifest: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in manifest.items():
        if isinstance(value, Mapping):
            flat.update((f"{name}.{key}", part) for key, part in value.items())
        else:
            flat[name] = value
    return flat


def common_output(first: Sequence[str], second: Sequence[str], decision: str | None) -> str | None:
    """The output to compare: the decision's where both have it, else the first in common, else None."""
    common = [name for name in first if name in second]
    return decision if decision in common else common[0] if common else None


def answers_diff(
    first: Answered, second: Answered, columns: tuple[int, int], output: str, threshold: float | None
) -> AnswersDiff:
    """`columns`: where each side has `output`. Both answered the same rows in the same order."""
    both = (first.statuses == OK) & (second.statuses == OK)
    at = np.flatnonzero(both)
    ours, theirs = (side.scores[at, column] for side, column in zip((first, second), columns, strict=True))
    difference = theirs - ours
    size = np.abs(difference)
    yes = None if threshold is None else (ours >= threshold, theirs >= threshold)
    flips = np.zeros(len(at), bool) if yes is None else yes[0] != yes[1]
    chosen = [spot for spot in np.argsort(-size, kind="stable")[:WORST].tolist() if size[spot] > 0]
    some = len(at) > 0
    return AnswersDiff(
        rows=len(first),
        compared=len(at),
        output=output,
        threshold=threshold,
        agreement=float(1 - flips.mean()) if some and yes is not None else None,
        flips=None if yes is None else int(flips.sum()),
        flips_to_yes=None if yes is None else int((flips & yes[1]).sum()),
        flips_to_no=None if yes is None else int((flips & yes[0]).sum()),
        scores_equal=int((difference == 0).sum()),
        values_equal=sum(first.values[row] == second.values[row] for row in at.tolist()),
        difference_mean=float(difference.mean()) if some else None,
        difference_magnitude=float(size.mean()) if some else None,
        difference_max=float(size.max()) if some else None,
        first_missing=_missing(first),
        second_missing=_missing(second),
        worst=[Worst(int(at[spot]), float(ours[spot]), float(theirs[spot]), bool(flips[spot])) for spot in chosen],
    )


def _missing(side: Answered) -> Missing:
    errors = np.flatnonzero(side.statuses != OK)
    return Missing(len(errors), side.values[errors[0]].decode("utf-8", "replace") if len(errors) else "")
