"""Drift of scores and carried features: distances, windows, and whose drift it is."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import BLUE, GREEN, TERMS, Answer, batch, begun, feed
from scipy.spatial.distance import jensenshannon

from streambg.comparing.comparison import Comparison
from streambg.comparing.drift import Alarm, alike, bound
from streambg.comparing.evidence import alarms_of, diverged
from streambg.comparing.judging import material_of
from streambg.comparing.liveview import summary_of
from streambg.comparing.snapshot import evidence_bytes
from streambg.comparing.windows import Windows
from streambg.deciding.divergence import FEWEST, PSI_LIMIT, between
from streambg.records.batch import Batch

WATCHING = replace(TERMS, drift=("f1", "f2"))


def counts(values: np.ndarray, cells: int) -> np.ndarray:
    return np.bincount(values, minlength=cells)


def test_psi_and_js_are_the_textbooks() -> None:
    """JS against scipy, PSI by its definition; empty cells have an end."""
    p, q = np.array([400, 300, 200, 100]), np.array([100, 200, 300, 600])
    found = between(p, q)
    share_p, share_q = (p + 0.5) / (p.sum() + 2), (q + 0.5) / (q.sum() + 2)
    assert found.js == pytest.approx(jensenshannon(share_p, share_q) ** 2, rel=1e-12)
    expected = sum((a - b) * math.log(a / b) for a, b in zip(share_p, share_q, strict=True))
    assert found.psi == pytest.approx(expected, rel=1e-12)
    assert found.far
    assert between(p, p).psi == 0.0
    gone = between(np.array([500, 500]), np.array([1_000, 0]))
    assert math.isfinite(gone.psi)
    assert gone.js < math.log(2)
    with pytest.raises(ValueError, match="999 events say nothing"):
        between(p, np.array([999, 0, 0, 0]))
    with pytest.raises(ValueError, match="4 cells and 3"):
        between(p, p[:3])


def test_without_a_change_both_are_what_chance_makes_of_them() -> None:
    rng = np.random.default_rng(3)
    found = [
        between(counts(rng.integers(0, 10, FEWEST), 10), counts(rng.integers(0, 10, 2 * FEWEST), 10))
        for _ in range(600)
    ]
    assert found[0].expected_psi == pytest.approx(9 * (1 / FEWEST + 1 / (2 * FEWEST)))
    # the mean of 600 chi squares with 9 degrees of freedom has a deviation of 1.9 %
    assert np.mean([each.psi for each in found]) == pytest.approx(found[0].expected_psi, rel=0.06)
    assert np.mean([each.js for each in found]) == pytest.approx(found[0].expected_js, rel=0.06)
    assert max(each.psi for each in found) < PSI_LIMIT / 3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 3_499), max_size=12), st.booleans())
def test_P32_windows_do_not_depend_on_chunks(seed: int, cuts: list[int], discrete: bool) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, 3_500).astype(float) if discrete else rng.normal(0, 50, 3_500)
    values[2_200:] += 40
    offsets = np.arange(3_500) * 3
    whole, parts = Windows(), Windows()
    ranks, crossings = whole.feed(offsets, values)
    found, seen = [], []
    borders = sorted({0, *cuts, 3_500})
    for first, last in itertools.pairwise(borders):
        more, crossed = parts.feed(offsets[first:last], values[first:last])
        found.append(more)
        seen += [replace(each, at=each.at + first) for each in crossed]
    assert parts == whole
    assert np.array_equal(np.concatenate(found), ranks)
    assert seen == crossings
    assert len(ranks) == 3_500 - FEWEST
    assert sum(whole.reference) == FEWEST


def test_a_window_that_is_far_is_said_once_and_again_after_it_was_near() -> None:
    rng = np.random.default_rng(1)
    windows = Windows()
    levels = (0, 0, 5, 5, 0, 5)  # the first is the reference
    values = np.concatenate([rng.normal(level, 1, FEWEST) for level in levels])
    ranks, crossings = windows.feed(np.arange(len(values)), values)
    assert [(each.window.since, each.window.upto) for each in crossings] == [(2_000, 2_999), (5_000, 5_999)]
    assert ranks[:FEWEST].mean() == pytest.approx(0.5, abs=0.03)
    assert ranks[-FEWEST:].mean() > 0.95
    assert windows.divergence is not None
    assert windows.divergence.psi > PSI_LIMIT


@pytest.mark.parametrize("now", [-1.0, 0.0, 1.0])
def test_a_stream_of_one_value_has_a_cell_for_it(now: float) -> None:
    windows = Windows()
    _, crossings = windows.feed(np.arange(2 * FEWEST), np.concatenate([np.zeros(FEWEST), np.full(FEWEST, now)]))
    assert bool(crossings) == (now != 0.0), "above and below are told apart from it"


def test_the_bound_is_adwins() -> None:
    """By its formula (Bifet & Gavalda 2007), with river's grace; fewer events, or more spread: a wider one."""
    m, confidence = 1 / (1 / 196 + 1 / 96), math.log(2 * math.log(300) / 0.002)
    assert bound(200, 100, 0.04) == pytest.approx(math.sqrt(2 / m * 0.04 * confidence) + 2 / (3 * m) * confidence)
    assert bound(2_000, 1_000, 0.04) < bound(200, 100, 0.04) < bound(200, 100, 0.09)


# -- features -------------------------------------------------------------------------------------------------------


def log(deployment: int, n: int, size: int, shift_at: int, *, shifted: float, seed: int = 5) -> list[Batch]:
    """Steady scores; the carried f1 moves by `shifted` at an offset, f2 does not; some events carry no number."""
    rng = random.Random(seed)
    rows = [(rng.gauss(60, 9), rng.randrange(3)) for _ in range(n)]
    made = []
    for first in range(0, n, size):
        last = min(n, first + size)
        each = batch(deployment, first - 1, last - 1, {at: Answer(0.3) for at in range(first, last)})
        f1 = [None if at % 50 == 7 else rows[at][0] + (shifted if at >= shift_at else 0) for at in range(first, last)]
        made.append(replace(each, carry={**each.carry, "f1": f1, "f2": [rows[at][1] for at in range(first, last)]}))
    return made


def compared(blue: list[Batch], green: list[Batch], seed: int | None = None, restarts: float = 0.0) -> Comparison:
    return feed(begun(terms=WATCHING), {"blue": blue, "green": green}, seed, restarts)


def test_drift_of_the_input_is_an_alarm_of_both_colors_alike() -> None:
    evidence = compared(log(BLUE, 5_000, 40, 3_100, shifted=12), log(GREEN, 5_000, 64, 3_100, shifted=12)).evidence
    alarms = alarms_of([evidence])
    assert {(each.stream, each.measure) for each in alarms} == {
        ("blue f1", "mean"),
        ("green f1", "mean"),
        ("blue f1", "psi"),
        ("green f1", "psi"),
    }
    for each in alarms:
        assert alike(each, alarms)
        assert each.value >= each.limit > 0
        assert each.after > each.before
    mean = next(each for each in alarms if each.measure == "mean")
    assert 3_100 <= mean.at < 3_400
    assert 2_900 <= mean.since <= 3_120
    psi = next(each for each in alarms if each.measure == "psi")
    assert psi.since <= 3_100 + FEWEST <= psi.at + FEWEST
    told = material_of([evidence], ()).drifted
    assert all(each.alike for each in told)
    assert {each.stream for each in diverged([evidence])} == {
        "blue score", "green score", "blue f1", "green f1", "blue f2", "green f2",
    }  # fmt: skip
    summary = summary_of([begun(terms=WATCHING).snapshot(), compared([], []).snapshot()], "blue")
    assert (summary.alarm_count, summary.diverged) == (0, ())


def test_drift_of_what_one_color_sees_is_not_the_inputs() -> None:
    """Its decoder was changed, for example."""
    evidence = compared(log(BLUE, 5_000, 40, 5_000, shifted=0), log(GREEN, 5_000, 64, 3_100, shifted=12)).evidence
    alarms = alarms_of([evidence])
    assert {each.stream for each in alarms} == {"green f1"}
    assert not any(alike(each, alarms) for each in alarms)


def test_alike_means_at_that_time_and_in_that_direction() -> None:
    alarm = Alarm(1, "blue score", 200, 100, 100, 0.2, 0.4)
    assert alike(alarm, [alarm, replace(alarm, stream="green score", since=180, at=230)])
    for other in (
        replace(alarm, stream="green score", since=201, at=300),
        replace(alarm, stream="green score", after=0.1),
        replace(alarm, stream="green score", partition=2),
        replace(alarm, stream="green f1"),
        replace(alarm, stream="green score", measure="psi"),
        replace(alarm, stream="disagreement"),
        alarm,
    ):
        assert not alike(alarm, [other]), other


@pytest.mark.parametrize("seed", [1, 2])
def test_P30_P32_drift_of_features_is_bit_equal_after_crashes_whatever_the_batches(seed: int) -> None:
    reference = compared(log(BLUE, 4_500, 4_500, 2_600, shifted=12), log(GREEN, 4_500, 4_500, 2_600, shifted=12))
    blue, green = log(BLUE, 4_500, 37, 2_600, shifted=12), log(GREEN, 4_500, 90, 2_600, shifted=12)
    found = compared(blue, green, seed, restarts=0.1)
    assert found.evidence.features["f1"].alarm_count > 0
    assert evidence_bytes(found.evidence) == evidence_bytes(reference.evidence)
