"""From both colors' answers to differences: what each kind of metric measures on one event.

A measure is a number in the metric's range for each event and color; d = (green - blue) / range, with the sign turned
where lower is better: positive where green did better. Kinds that are not directed (flips, shifts) measure what lies
between the colors, and d = -measure: never to anybody's credit.

Every matched event has a difference. An error row, or a score that is no number, is the worst there is: as wrong as a
wrong decision, as far away as the range goes; where both colors have none, nothing lies between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streambg.deciding.grid import Floats, Ints, steps
from streambg.records.gate import Metric

Bools = npt.NDArray[np.bool_]
Carry = Mapping[str, Sequence[object]]

# A probability is taken for at least this far from 0 and 1: the log loss of what was ruled out has an end.
_SURE = 1e-12


@dataclass(frozen=True, slots=True)
class Answers:
    """One color's rows of n matched events.

    answered: bool (n,), no error row and all scores finite. scores: float64 (n, outputs). decided: float64 (n,), the
    output that the decision is made on. yes: bool (n,), the decision; None without a threshold. latency: int64 ms (n,).
    """

    answered: Bools
    failed: Bools
    scores: Floats
    decided: Floats
    yes: Bools | None
    latency: Ints


@dataclass(frozen=True, slots=True)
class Seen:
    """n events with both colors' answers, and what is known of the events themselves.

    labels: float64 (n,), the outcome (0 or 1 for a decision); None for metrics that need none. carry: by field, n each.
    """

    blue: Answers
    green: Answers
    labels: Floats | None = None
    carry: Carry = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.blue.answered)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the team's own function gets: one color's answered rows, n of them.

    scores: float64 (n, outputs). decision: bool (n,), None without a threshold. labels: float64 (n,), None for a metric
    declared with `labels: false`. carry: by carried field, n values each.
    """

    scores: Floats
    decision: Bools | None
    labels: Floats | None
    carry: Carry


# float64 (n,) within the metric's range, a row a row: what stands beside a row must not change its number (P32).
Hook = Callable[[Sheet], Floats]


class BadMeasure(ValueError):
    """The team's own function raised, or answered something else than n numbers."""


def differences(metric: Metric, seen: Seen, hook: Hook | None = None) -> Ints:
    """d of every event in steps of grid.py, int64 (n,), positive where green did better.

    Raises BadMeasure for a `hook` that failed; ValueError where the metric needs labels and there are none.
    """
    if metric.needs_label and seen.labels is None:
        raise ValueError(f"{metric.name} needs labels")
    if not metric.directed:
        return steps(-_BETWEEN[metric.kind](metric, seen) / (metric.high - metric.low))
    blue, green = (_measured(metric, answers, seen, hook) for answers in (seen.blue, seen.green))
    better = (green - blue) / (metric.high - metric.low)
    return steps(-better if metric.better == "lower" else better)


# -- between the colors ---------------------------------------------------------------------------------------------


def _one_failed(seen: Seen) -> Bools:
    differ: Bools = seen.blue.answered != seen.green.answered
    return differ


def _flips(_metric: Metric, seen: Seen) -> Floats:
    blue, green = seen.blue, seen.green
    differ = blue.decided != green.decided if blue.yes is None or green.yes is None else blue.yes != green.yes
    flips: Bools = _one_failed(seen) | (blue.answered & green.answered & differ)
    return flips.astype(np.float64)


def _shift(metric: Metric, seen: Seen) -> Floats:
    both = seen.blue.answered & seen.green.answered
    far = np.zeros(len(seen))
    far[both] = np.abs(seen.green.decided[both] - seen.blue.decided[both])
    far[_one_failed(seen)] = metric.high
    return np.minimum(far, metric.high)


_BETWEEN: Mapping[str, Callable[[Metric, Seen], Floats]] = {"flip_rate": _flips, "score_shift": _shift}


# -- of one color ---------------------------------------------------------------------------------------------------


def _measured(metric: Metric, answers: Answers, seen: Seen, hook: Hook | None) -> Floats:
    """float64 (n,) within the metric's range."""
    if metric.kind == "error_rate":
        return answers.failed.astype(np.float64)
    if metric.kind == "latency_over":
        late: Bools = answers.latency > (metric.limit_ms or 0)
        return late.astype(np.float64)
    worst = metric.low if metric.better == "higher" else metric.high
    values = np.full(len(seen), worst)
    at = np.flatnonzero(answers.answered)
    sheet = Sheet(
        answers.scores[at],
        None if answers.yes is None else answers.yes[at],
        None if seen.labels is None else seen.labels[at],
        {name: [column[row] for row in at.tolist()] for name, column in seen.carry.items()} if hook else {},
    )
    if hook is not None:
        values[at] = _asked(metric, hook, sheet)
    elif sheet.labels is not None:
        values[at] = _LOSSES[metric.kind](answers.decided[at], sheet.decision, sheet.labels)
    inside: Floats = np.clip(values, metric.low, metric.high)
    return inside


def _asked(metric: Metric, hook: Hook, sheet: Sheet) -> Floats:
    """What the team's function says. Raises BadMeasure."""
    try:
        values = np.asarray(hook(sheet), np.float64)
    except (Exception, SystemExit) as error:
        raise BadMeasure(f"{metric.kind} raised {type(error).__name__}: {error}") from error
    if values.shape != (len(sheet.scores),):
        raise BadMeasure(f"{metric.kind} answered an array of shape {values.shape} for {len(sheet.scores)} rows")
    if not np.isfinite(values).all():
        raise BadMeasure(f"{metric.kind} answered {int((~np.isfinite(values)).sum())} values that are no numbers")
    return values


Loss = Callable[[Floats, Bools | None, Floats], Floats]


def _correct(scores: Floats, decision: Bools | None, labels: Floats) -> Floats:
    right: Bools = scores == labels if decision is None else decision == (labels != 0)
    return right.astype(np.float64)


def _log_loss(scores: Floats, _decision: Bools | None, labels: Floats) -> Floats:
    sure = np.clip(scores, _SURE, 1 - _SURE)
    loss: Floats = -np.where(labels != 0, np.log(sure), np.log1p(-sure))
    return loss


def _squared(scores: Floats, _decision: Bools | None, labels: Floats) -> Floats:
    return (scores - labels) ** 2


def _absolute(scores: Floats, _decision: Bools | None, labels: Floats) -> Floats:
    far: Floats = np.abs(scores - labels)
    return far


_LOSSES: Mapping[str, Loss] = {
    "correctness": _correct,
    "log_loss": _log_loss,
    "brier": _squared,
    "squared_error": _squared,
    "absolute_error": _absolute,
}
