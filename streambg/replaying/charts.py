"""Series as the page draws them: score histograms, agreement and evidence over time, calibration. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Literal

import numpy as np

from streambg.comparing.evidence import SCORE_STEP, Figures
from streambg.comparing.histogram import Histogram
from streambg.deciding.eprocess import log_good, log_harm
from streambg.deciding.grid import PARTS_BITS
from streambg.deciding.verdict import abort_weights, margins, promote_tests
from streambg.records.gate import Gate, Metric
from streambg.replaying.plan import AGAINST, MODEL
from streambg.replaying.plotted import Bin, Calibration, Charts, Moment, Path
from streambg.replaying.series import CALIBRATION_BINS, Calibrated, Series, merged
from streambg.replaying.state import ModelState

# As many bars as stand side by side on a phone.
BARS = 40
_SIDES: tuple[Literal["against", "model"], ...] = ("against", "model")


def charts_of(parts: Sequence[ModelState], figures: Figures, gate: Gate | None) -> Charts:
    """Of one model, over partitions."""
    series = merged(part.series for part in parts)
    calibrated = Calibrated()
    for part in parts:
        calibrated.take(part.labels.calibrated)
    paths = [_path(gate, gate.metric(name), series) for name in series.metrics] if gate is not None else []
    sides = (figures.colors[color].score_histogram for color in (AGAINST, MODEL))
    return Charts(_bins(*sides), series.width_ms, _moments(series), tuple(paths), _calibration(calibrated))


def _bins(against: Histogram, model: Histogram) -> tuple[Bin, ...]:
    """Equal bars from the lowest to the highest score; from 0 to 1 where all of them lie there."""
    filled = np.flatnonzero(against.counts + model.counts).tolist()
    if not filled:
        return ()
    low, high = against.scale.edges(filled[0])[0], against.scale.edges(filled[-1])[1]
    if low >= 0 and against.scale.middle(filled[-1]) <= 1 + 1 / 32:  # the bucket that holds 1.0 goes on above it
        low, high = 0.0, 1.0
    middles = np.array([against.scale.middle(bucket) for bucket in filled])
    width = (high - low) / BARS or 1.0
    at = np.clip(((middles - low) / width).astype(np.int64), 0, BARS - 1)
    heights = [
        np.bincount(at, side.counts[filled].astype(np.float64), BARS).astype(np.int64) for side in (against, model)
    ]
    return tuple(
        Bin(low + bar * width, low + (bar + 1) * width, int(heights[0][bar]), int(heights[1][bar]))
        for bar in range(BARS)
    )


def _moments(series: Series) -> tuple[Moment, ...]:
    against, model = series.sums()
    return tuple(
        Moment(
            (series.first + piece) * series.width_ms,
            compared,
            int(series.agree[piece]),
            int(against[piece]) / compared * SCORE_STEP if compared else None,
            int(model[piece]) / compared * SCORE_STEP if compared else None,
        )
        for piece, compared in enumerate(series.compared.tolist())
    )


def _path(gate: Gate, metric: Metric, series: Series) -> Path:
    margin, abort_margin = margins(metric, segment=False)
    growing = series.growing(metric.name)
    return Path(
        metric.name,
        log(promote_tests(gate) / gate.alpha_promote),
        -log(abort_weights(gate)[0] * gate.alpha_abort),
        tuple((growing.sum(axis=1) >> PARTS_BITS).tolist()),
        tuple(log_good(counts, margin) for counts in growing),
        tuple(log_harm(counts, abort_margin) for counts in growing),
    )


def _calibration(calibrated: Calibrated) -> tuple[Calibration, ...]:
    """Nothing where scores are no probabilities, or labels no decisions: then it says nothing."""
    if calibrated.outside:
        return ()
    return tuple(
        Calibration(
            side,
            number / CALIBRATION_BINS,
            (number + 1) / CALIBRATION_BINS,
            events,
            scores / events * SCORE_STEP,
            truths / events,
        )
        for side, cells in zip(_SIDES, calibrated.cells.tolist(), strict=True)
        for number, (events, scores, truths) in enumerate(cells)
        if events
    )
