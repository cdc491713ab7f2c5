"""Does a model answer the same whatever stands beside a row? Asked in batches of 1, 7 and 1,000, compared as bytes.

Cutover, replay and audit compare a model's answers with its own: one differing last bit is a difference there. Pure
but for the model; the sample's randomness is an argument.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streambg.models.answering import Answered, Asked, answer_in_batches
from streambg.models.contract import Model, Row, Schema
from streambg.models.features import FeatureCheck
from streambg.records.batch import OK

# one at a time; a size that no vector width divides; the most a prediction batch holds
SIZES = (1, 7, 1_000)
# two full batches of the largest size and a part of one
SAMPLE_ROWS = 2_500
MAX_EXAMPLES = 5
# Relative, from 1 on, else absolute. A product of matrices in another batch, or at another address, differs in the last
# bits: 1e-16 in 64 bits, 1e-6 in the 32 of many graphs. A draw of lots differs by what it decides.
ROUNDING = 1e-4
_WORDS = ("", "a", "b", "card", "Zürich", "x" * 64)


@dataclass(frozen=True, slots=True)
class Difference:
    """Row `row` (from 0) got `first` in batches of SIZES[0] and `then` in batches of `size`."""

    row: int
    size: int
    first: str
    then: str


@dataclass(frozen=True, slots=True)
class Verified:
    """answered: rows that got an answer, not an error row; differing: rows whose bytes differ between batch sizes (why
    an error row has no answer may differ), far: those of them by more than ROUNDING, of which the examples are where
    there are any; changed: rows that the model wrote into. `first_reason` is of the first
    error row, `batch_reason` of the first that is answered alone and is an error row in a larger batch.
    """

    rows: int
    answered: int
    differing: int
    far: int
    changed: int
    examples: list[Difference]
    first_reason: str = ""
    batch_reason: str = ""

    @property
    def passed(self) -> bool:
        """A model that answered nothing has shown nothing."""
        return self.answered > 0 and not self.differing and not self.changed


def verify(model: Model, rows: Sequence[Row | str], schema: Schema, sizes: Sequence[int] = SIZES) -> Verified:
    """`verify_asked` for rows of a sample, which have no keys and times."""
    return verify_asked(model, Asked(rows), schema, sizes)


def verify_asked(model: Model, asked: Asked, schema: Schema, sizes: Sequence[int] = SIZES) -> Verified:
    """Score the rows once per batch size, in order, with the same model, and compare statuses, scores and values."""
    rows, check = asked.rows, FeatureCheck(schema.features)
    passes: list[Answered] = []
    changed = np.zeros(len(rows), bool)
    for size in sizes:
        mine = asked.own()
        passes.append(answer_in_batches(model, mine, schema, check, size))
        changed |= _unlike(rows, mine.rows)
    first = passes[0]
    differing, far = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    examples: list[tuple[bool, Difference]] = []
    batch_reason = ""
    for size, then in zip(sizes[1:], passes[1:], strict=True):
        unequal = _unequal(first, then)
        differing |= unequal
        apart = unequal & _apart(first, then)
        far |= apart
        for row in np.flatnonzero((first.statuses == OK) & (then.statuses != OK))[:1].tolist():
            batch_reason = batch_reason or _words_of(then, row)
        examples += [
            (bool(not_far), Difference(row, size, _shown(first, row), _shown(then, row)))
            for not_far, some in ((False, apart), (True, unequal & ~apart))
            for row in np.flatnonzero(some)[:MAX_EXAMPLES].tolist()
        ]
    examples.sort(key=lambda each: each[0])
    errors = np.flatnonzero(first.statuses != OK)
    return Verified(
        len(rows),
        len(rows) - len(errors),
        int(differing.sum()),
        int(far.sum()),
        int(changed.sum()),
        [each for _, each in examples[:MAX_EXAMPLES]],
        _words_of(first, int(errors[0])) if len(errors) else "",
        batch_reason,
    )


def answers_one(model: Model, row: Row, schema: Schema) -> str | None:
    """Why the model has no answer to this event; None: it has one."""
    said = answer_in_batches(model, Asked([row]).own(), schema, FeatureCheck(schema.features), 1)
    return None if said.statuses[0] == OK else _words_of(said, 0)


def sample_rows(schema: Schema, rng: random.Random, count: int = SAMPLE_ROWS) -> list[Row]:
    """Events that fit the schema: numbers of many magnitudes, whole ones, zero; empty and long strings."""
    return [{name: _sample(kind, rng) for name, kind in schema.features.items()} for _ in range(count)]


def _sample(kind: str, rng: random.Random) -> float | str | bool:
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "string":
        return rng.choice(_WORDS)
    if rng.random() < 0.2:
        return rng.choice((0, 1, -1, rng.randint(-1_000, 1_000)))
    return rng.gauss(0, 1) * 10.0 ** rng.randint(-3, 4)


def _unlike(first: Sequence[object], then: Sequence[object]) -> np.typing.NDArray[np.bool_]:
    return np.array([ours != theirs for ours, theirs in zip(first, then, strict=True)], bool)


def _unequal(first: Answered, then: Answered) -> np.typing.NDArray[np.bool_]:
    """Rows whose bytes differ: NaN equals itself here, 0.0 and -0.0 do not."""
    unequal: np.typing.NDArray[np.bool_] = (first.scores.view(np.int64) != then.scores.view(np.int64)).any(axis=1)
    unequal |= first.statuses != then.statuses
    unequal |= _unlike(first.values, then.values)
    both_errors: np.typing.NDArray[np.bool_] = (first.statuses != OK) & (then.statuses != OK)
    return unequal & ~both_errors


def _apart(first: Answered, then: Answered) -> np.typing.NDArray[np.bool_]:
    """Rows with an answer here and none there, with scores that rounding does not explain, or with other values though
    the scores are the same: what is published has a clock in it, or draws lots.
    """
    size = np.maximum(1.0, np.abs(first.scores))
    near: np.typing.NDArray[np.bool_] = np.all(np.abs(first.scores - then.scores) <= ROUNDING * size, axis=1)
    same: np.typing.NDArray[np.bool_] = np.all(first.scores.view(np.int64) == then.scores.view(np.int64), axis=1)
    far: np.typing.NDArray[np.bool_] = ~near | (first.statuses != then.statuses)
    return far | (same & _unlike(first.values, then.values))


def _words_of(answered: Answered, row: int) -> str:
    """An error row's reason."""
    return answered.values[row].decode("utf-8", "replace")


def _shown(answered: Answered, row: int) -> str:
    scores = ", ".join(repr(score) for score in answered.scores[row].tolist())
    return f"[{scores}] {answered.values[row][:120].decode('utf-8', 'replace')}"
