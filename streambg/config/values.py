"""The small languages of pipeline.yaml: durations, percents and weights as text, to numbers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BeforeValidator

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
# Longer than any wait or retention that makes sense: a typo is found here, not as an overflow in a broker.
_MAX_MS = 100 * 365 * _UNITS_MS["d"]


def said(value: object) -> str:
    """A value of a file as a person would name it: `'text'`, `5`, `true`, a list, a mapping."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping of keys"
    return "a list" if isinstance(value, list | tuple) else repr(value)


def parse_duration(value: object) -> int:
    """`50ms`, `2s`, `1.5m`, `24h`, `7d` in milliseconds. Raises ValueError with what is wrong.

    A number without a unit is refused: nobody remembers whether it was seconds.
    """
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        millis = Decimal(match[1]) * _UNITS_MS[match[2]]
        if millis != int(millis):
            raise ValueError(f"{said(value)} is finer than a millisecond")
        if millis > _MAX_MS:
            raise ValueError(f"{said(value)} is longer than 100 years")
        return int(millis)
    raise ValueError(f"{said(value)} is no duration; write a number and a unit: 50ms, 2s, 10m, 24h or 7d")


def parse_wait(value: object) -> int | None:
    """A duration in milliseconds, or None for `wait`: no deadline."""
    if value == "wait":
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, or the word wait") from None


def parse_percent(value: object) -> float:
    """`99.9%` as 0.999. Raises ValueError below 0 % and above 100 %."""
    return float(_percent(value) / 100)


def parse_weight(value: object) -> int:
    """`10`, `12.5` or `0.01%` in hundredths of a percent, 0..10000 (P3): how many buckets go to the candidate.

    Raises ValueError for more than two decimals: a weight that is not a whole number of buckets cannot be kept.
    """
    text = str(value)
    hundredths = _percent(text if text.endswith("%") else f"{text}%") * 100
    if hundredths != int(hundredths):
        raise ValueError(f"{said(value)} has more than two decimals; the smallest step of a weight is 0.01 %")
    return int(hundredths)


def show_weight(hundredths: int) -> str:
    """1250 as `12.5 %`."""
    return f"{Decimal(hundredths) / 100:f} %"


def show_percent(share: float) -> str:
    """0.5 as `50%`."""
    return f"{100 * share:g}%"


def show_duration(millis: int) -> str:
    """2000 as `2s`: the largest unit that keeps it whole."""
    for unit, size in reversed(_UNITS_MS.items()):
        if millis % size == 0 and millis >= size:
            return f"{millis // size}{unit}"
    return f"{millis}ms"


def _percent(value: object) -> Decimal:
    text = str(value).strip()
    try:
        number = Decimal(text.removesuffix("%").strip()) if text.endswith("%") else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{said(value)} is no percentage; write a number and %: 99.9%, 1%")
    if not 0 <= number <= 100:
        raise ValueError(f"{said(value)} is not between 0% and 100%")
    return number


def _whole(value: object) -> object:
    """`${SLOTS:-2}` arrives as text; a bool is no number, whatever Python says."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{said(value)} is no whole number")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{said(value)} is no number")
    return value


Millis = Annotated[int, BeforeValidator(parse_duration)]
Wait = Annotated[int | None, BeforeValidator(parse_wait)]
Whole = Annotated[int, BeforeValidator(_whole)]
Percent = Annotated[float, BeforeValidator(parse_percent)]
Weight = Annotated[int, BeforeValidator(parse_weight)]
Number = Annotated[float, BeforeValidator(_number)]
