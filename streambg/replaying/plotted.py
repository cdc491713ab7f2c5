"""What a report draws. Pure values of `document`; `charts` makes them, `drawing` makes pictures of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Bin:
    """Scores in [low, high), the last bin with its end: events of each side."""

    low: float
    high: float
    against: int
    model: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Events of the time [start, start + width), ms."""

    start_ms: int
    compared: int
    agree: int
    against_mean: float | None
    model_mean: float | None


@dataclass(frozen=True, slots=True)
class Path:
    """A metric's evidence as it grows: ln of the e-values after so many events, in the order of their times.

    needed_good: ln of what promotes, needed_harm: of what aborts.
    """

    metric: str
    needed_good: float
    needed_harm: float
    events: tuple[int, ...]
    log_good: tuple[float, ...]
    log_harm: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Labelled events with scores in [low, high) of one side: their mean score, and the share with a true label."""

    side: Literal["against", "model"]
    low: float
    high: float
    events: int
    score_mean: float
    label_mean: float


@dataclass(frozen=True, slots=True)
class Charts:
    """Series ready to be drawn. width_ms: of each `Moment`."""

    scores: tuple[Bin, ...]
    width_ms: int
    moments: tuple[Moment, ...]
    paths: tuple[Path, ...]
    calibration: tuple[Calibration, ...] = ()
