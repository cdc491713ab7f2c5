"""Durations, percents, weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambg.config.values import (
    parse_duration,
    parse_percent,
    parse_wait,
    parse_weight,
    show_duration,
    show_weight,
)


@pytest.mark.parametrize(
    ("text", "millis"),
    [("50ms", 50), ("2s", 2_000), ("1.5s", 1_500), ("10m", 600_000), ("24h", 86_400_000), ("7 d", 604_800_000)],
)
def test_durations(text: str, millis: int) -> None:
    assert parse_duration(text) == millis


@pytest.mark.parametrize("bad", ["50", 50, "", "s", "-1s", "1.5ms", "2 weeks", "1e3s", None, True, "999999d"])
def test_no_durations(bad: object) -> None:
    with pytest.raises(ValueError, match=r"is no duration|finer than|longer than"):
        parse_duration(bad)


def test_waits() -> None:
    assert parse_wait("wait") is None
    assert parse_wait("2s") == 2_000
    with pytest.raises(ValueError, match="or the word wait"):
        parse_wait("forever")


def test_percents() -> None:
    assert parse_percent("99.9%") == 0.999
    assert parse_percent("1%") == 0.01
    for bad in ("99.9", "101%", "-1%", "nan%", "x%", 1):
        with pytest.raises(ValueError, match=r"no percentage|not between"):
            parse_percent(bad)


def test_P3_weights_are_hundredths_of_a_percent() -> None:
    assert [parse_weight(text) for text in ("10", "12.5", "0.01%", "100", 0, 50.25)] == [
        1_000,
        1_250,
        1,
        10_000,
        0,
        5_025,
    ]
    for bad in ("0.001", "101", "ten", "", "1%%"):
        with pytest.raises(ValueError, match=r"two decimals|not between|no percentage"):
            parse_weight(bad)


@given(st.integers(0, 10_000))
def test_P3_a_weight_is_shown_as_it_was_meant(weight: int) -> None:
    assert parse_weight(show_weight(weight)) == weight


@given(st.integers(1, 10**11))
def test_a_duration_is_shown_as_it_was_meant(millis: int) -> None:
    assert parse_duration(show_duration(millis)) == millis
