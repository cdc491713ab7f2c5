"""A window of a replay as rows for a file: an event each, with what both sides have for it. Pure."""

from __future__ import annotations

import numpy as np

from streambg.comparing.pairing import match
from streambg.comparing.side import Part
from streambg.replaying.against import NOBODY, Baseline
from streambg.replaying.labels import Given
from streambg.replaying.rows import Answered, RowsBatch

ANSWER, ERROR = "answer", "error"


def rows_of(partition: int, baseline: Baseline, model: Part, given: Given | None) -> RowsBatch:
    """Of the window's events, each of which the model has a row for."""
    count, other = len(model), baseline.part
    at_other, at = match(other.offsets, model.offsets)
    ok, scores = np.zeros(count, np.bool_), np.full(model.scores.shape, np.nan)
    deployments, outcomes = np.full(count, NOBODY, np.int64), np.full(count, "", np.object_)
    ok[at], scores[at] = other.ok[at_other], other.scores[at_other]
    deployments[at] = baseline.published.deployments[at_other]
    outcomes[at] = np.where(other.ok[at_other], ANSWER, ERROR)
    for why, offsets in baseline.missing.items():
        _, rows = match(offsets, model.offsets)  # an outcome may have outlived its event
        outcomes[rows], ok[rows] = why, False
    return RowsBatch(
        partition,
        model.offsets,
        model.times,
        Answered(model.ok, model.scores),
        Answered(ok, scores),
        outcomes.tolist(),
        deployments,
        {name: model.column(name) for name in (model.pieces[0][0].carry if model.pieces else ())},
        None if given is None else given.labels,
    )
