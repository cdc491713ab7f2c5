"""What a plan asks for, before it begins: how many events each test needs at least, and typically.

For `streambg plan check`, so that nobody waits for what cannot come. Events are those of the test: of its segment, not
of all. Guarantee: none beside `at_least` (patience.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from streambg.deciding import patience
from streambg.deciding.verdict import abort_weights, margins, promote_tests
from streambg.records.gate import OTHER, Gate, Metric

# How many events of two good models differ, where nobody has measured it: on the Shuttle data 0.6 % between a Hoeffding
# tree and a logistic regression.
ASSUMED_DISCORDANCE = 0.02


@dataclass(frozen=True, slots=True)
class Forecast:
    """One required test. margin with the floor, a share of the range; None: not within patience.MOST events.

    harm_beyond: worse than this share of the range is harm, with the floor. harm: events until a candidate that is
    worse by twice the margin is aborted.
    """

    metric: str
    field: str
    value: str
    margin: float
    harm_beyond: float
    at_least: int
    typically: int | None
    harm: int | None


def forecasts(gate: Gate, discordance: float = ASSUMED_DISCORDANCE) -> tuple[Forecast, ...]:
    """Of every required test, for a candidate as good as live that differs on this share of the events."""
    alpha = gate.alpha_promote / max(1, promote_tests(gate))
    return tuple(
        _forecast(gate, metric, field, value, alpha, discordance)
        for metric in gate.deciding
        for field, value in [("", ""), *gate.places(metric)]
        if value != OTHER or not field
    )


def _forecast(gate: Gate, metric: Metric, field: str, value: str, alpha: float, discordance: float) -> Forecast:
    margin, abort_margin = margins(metric, bool(field))
    # what lies between the colors is never zero where they differ at all
    mean = 0.0 if metric.directed else -discordance
    worse = min(1.0, 2 * margin)
    weight = abort_weights(gate)[bool(field)]
    return Forecast(
        metric.name,
        field,
        value,
        margin,
        abort_margin,
        patience.at_least(margin, alpha),
        patience.typically(margin, alpha, discordance, mean),
        patience.to_abort(abort_margin, gate.alpha_abort * weight, max(discordance, worse), -worse),
    )
