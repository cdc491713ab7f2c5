"""Axes of a chart: from values to a range, and where its ticks stand. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, isfinite, log10

# A tick's label takes some 60 of a chart's 560 pixels.
TICKS = 6
# Seconds between ticks of a time axis: what clocks and calendars have.
STEPS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800)
DAY_S = 86_400
# Differences of what lies further out have no finite size; what is nearer than a millionth of itself is one value.
FAR, NEAR = 1e150, 1e-6


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high`, low < high, and its ticks: (value, what is written there)."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Where the value stands: 0 at `low`, 1 at `high`; what lies outside stands at the end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def linear(label: str, values: Iterable[float], *, percent: bool = False) -> Axis:
    """Over all finite values, from tick to tick; percent: the values are shares."""
    found = [min(FAR, max(-FAR, value)) for value in values if isfinite(value)] or [0.0]
    low, high = min(found), max(found)
    if high - low <= max(NEAR * max(abs(low), abs(high)), 1 / FAR):
        around = abs(low) / 2 or 0.5
        low, high = low - around, high + around
    step = _nice((high - low) / (TICKS - 1))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    show = 100 * step if percent else step
    digits = max(0, -floor(log10(show) + 1e-9))
    unit, scale = (" %", 100) if percent else ("", 1)
    ticks = tuple((n * step, f"{n * step * scale + 0.0:,.{digits}f}{unit}") for n in range(first, last + 1))
    return Axis(label, first * step, last * step, ticks)


def _nice(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least `step`."""
    power: float = 10.0 ** floor(log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def counts(label: str, logs: Iterable[float]) -> Axis:
    """Over log10(1 + count): nothing stands at 0, and one event can be seen beside a million."""
    top = max(1, ceil(max(logs, default=0.0) - 1e-9))
    every = -(-(top + 1) // TICKS)
    ticks = ((0.0, "0"), *((log10(1 + 10.0**at), _power(at)) for at in range(0, top + 1, every)))
    return Axis(label, 0.0, log10(1 + 10.0**top), ticks)


def decades(label: str, logs: Iterable[float]) -> Axis:
    """Over decimal logarithms, from one power of ten to another; the ticks say the powers."""
    found = [value for value in logs if isfinite(value)] or [0.0]
    low, high = floor(min(found) + 1e-9), ceil(max(found) - 1e-9)
    high = max(high, low + 1)
    every = -(-(high - low) // (TICKS - 1))
    return Axis(label, low, high, tuple((at, _power(at)) for at in range(low, high + 1, every)))


def _power(exponent: int) -> str:
    """1, 10, 1,000, 0.01; beyond that nobody counts zeros."""
    if -4 < exponent < 6:
        return f"{10**exponent:,}" if exponent >= 0 else f"{10.0**exponent:.{-exponent}f}"
    return f"1e{exponent}"


def times(label: str, times_ms: Iterable[int]) -> Axis:
    """Over ms since 1970; the ticks are UTC."""
    found = list(times_ms) or [0]
    low, high = min(found) / 1_000, max(*found, min(found) + 1_000) / 1_000
    wanted = (high - low) / (TICKS - 1)
    step = next((each for each in STEPS_S if each >= wanted), ceil(wanted / DAY_S) * DAY_S)
    form = "%m-%d" if step >= DAY_S else "%m-%d %H:%M" if high - low > DAY_S else "%H:%M" if step >= 60 else "%H:%M:%S"
    first, last = ceil(low / step), floor(high / step)
    ticks = (n * step for n in range(first, last + 1))
    return Axis(label, low * 1_000, high * 1_000, tuple((at * 1_000.0, _clock(at, form)) for at in ticks))


def _clock(time_s: int, form: str) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime(form)
