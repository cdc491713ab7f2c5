"""The gate's arithmetic against brute force: every path enumerated, every sum done the slow way."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from math import exp, log, prod

import bernstein
import numpy as np
import numpy.typing as npt
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st

from streambg.deciding import bounds, detector, eprocess, patience
from streambg.deciding.bets import BETS, WATCHING, WEIGHTS
from streambg.deciding.detector import Detector
from streambg.deciding.grid import GRID, ONE, PARTS, POINTS, counted, events, mean, mirrored, steps

Ints = npt.NDArray[np.int64]

within = st.floats(-1, 1)
STEP = 1 / ONE


def of(*differences: float) -> Ints:
    return counted(steps(np.array(differences)))[0]


def slow_good(differences: Iterable[float], margin: float, slack: float = STEP) -> float:
    """E by its definition; slack: what is taken off for the rounding."""
    scale = 1 - margin + STEP
    return sum(
        weight * prod(1 + bet * (d + margin - slack) / scale for d in differences)
        for bet, weight in zip(BETS, WEIGHTS, strict=True)
    )


def slow_harm(differences: Iterable[float], margin: float, slack: float = STEP) -> float:
    scale = 1 + margin + STEP
    return sum(
        weight * prod(1 - bet * (d + margin + slack) / scale for d in differences)
        for bet, weight in zip(BETS, WEIGHTS, strict=True)
    )


# -- counting -------------------------------------------------------------------------------------------------------


def test_the_grid_is_symmetric_and_divides_every_gap() -> None:
    assert POINTS == 43
    assert (-GRID[::-1] == GRID).all()
    gaps = np.diff(GRID)
    assert ((gaps & (gaps - 1)) == 0).all()
    assert (PARTS % gaps == 0).all()
    up = GRID[GRID > 0]
    assert (up[1:] / up[:-1]).max() == 1.5


@settings(max_examples=200)
@given(st.lists(within, max_size=50))
def test_P32_counts_keep_number_and_sum_exactly(differences: list[float]) -> None:
    rounded = steps(np.array(differences))
    counts = counted(rounded)[0]
    assert counts.min() >= 0
    assert counts.sum() == PARTS * len(differences)
    assert events(counts) == len(differences)
    assert sum(int(count) * int(point) for count, point in zip(counts, GRID, strict=True)) == PARTS * int(rounded.sum())
    if differences:
        assert mean(counts) == pytest.approx(float(rounded.mean()) / ONE, abs=1e-12)


@settings(max_examples=100)
@given(st.lists(within, max_size=40), st.integers(0, 2**32))
def test_P32_counts_do_not_depend_on_cuts_or_order(differences: list[float], seed: int) -> None:
    whole = counted(steps(np.array(differences)))
    rng = random.Random(seed)
    shuffled = rng.sample(differences, len(differences))
    cut = rng.randint(0, len(differences))
    parts = [counted(steps(np.array(part))) for part in (shuffled[:cut], shuffled[cut:])]
    assert (parts[0] + parts[1] == whole).all()


def test_groups_are_counted_apart() -> None:
    rng = np.random.default_rng(1)
    differences, groups = steps(rng.uniform(-1, 1, 500)), rng.integers(0, 4, 500)
    together = counted(differences, groups, 4)
    for group in range(4):
        assert (together[group] == counted(differences[groups == group])[0]).all()
    assert (together.sum(axis=0) == counted(differences)[0]).all()


def test_errors_flips_and_correctness_are_counted_as_they_are() -> None:
    counts = of(-1, 0, 0, 1, 1, 1)
    assert {float(point) / ONE: int(count) // PARTS for point, count in zip(GRID, counts, strict=True) if count} == {
        -1.0: 1,
        0.0: 2,
        1.0: 3,
    }
    assert (mirrored(counts) == of(1, 0, 0, -1, -1, -1)).all()


def test_what_is_no_number_is_refused_and_what_is_beyond_is_the_end() -> None:
    with pytest.raises(ValueError, match="not a number"):
        steps(np.array([0.0, np.nan]))
    assert steps(np.array([-7.0, 7.0])).tolist() == [-ONE, ONE]
    assert counted(np.empty(0, np.int64)).sum() == 0


# -- the e-process --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0, 0.5, -0.25]), max_size=12), st.sampled_from([0.0, 0.005, 0.1, 0.5]))
def test_the_e_values_are_those_of_the_definition(differences: list[float], margin: float) -> None:
    counts = of(*differences)
    assert exp(eprocess.log_good(counts, margin)) == pytest.approx(slow_good(differences, margin), rel=1e-9)
    assert exp(eprocess.log_harm(counts, margin)) == pytest.approx(slow_harm(differences, margin), rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(within, max_size=30), st.sampled_from([0.0, 0.005, 0.1, 0.5]))
def test_counting_on_the_grid_only_weakens_the_evidence(differences: list[float], margin: float) -> None:
    counts = of(*differences)
    assert exp(eprocess.log_good(counts, margin)) <= slow_good(differences, margin, 0.0) * (1 + 1e-9)
    assert exp(eprocess.log_harm(counts, margin)) <= slow_harm(differences, margin, 0.0) * (1 + 1e-9)


def test_the_grid_costs_little() -> None:
    """Small continuous differences, as of two similar models' losses: 10,000 of them."""
    differences = np.random.default_rng(3).normal(0.0, 0.01, 10_000)
    exact = log(slow_good(differences.tolist()[:2_000], 0.005))
    assert eprocess.log_good(of(*differences[:2_000]), 0.005) > 0.9 * exact > 0


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.3])
@pytest.mark.parametrize(
    "values", [(-1.0, 0.0, 1.0), (-1.0, 1.0), (-0.75, 0.125, 0.9), (-0.001, 0.5)], ids=lambda values: str(len(values))
)
def test_the_expected_e_value_is_at_most_1_on_the_border_whatever_happens(
    margin: float, values: tuple[float, ...]
) -> None:
    """All paths of 6 events whose mean is exactly -margin; the second half with another spread than the first."""
    for sign, log_e in ((1, eprocess.log_good), (-1, eprocess.log_harm)):
        chances = _chances([sign * value for value in values], -margin)
        if chances is None:
            continue
        total = 0.0
        for path in itertools.product(range(len(values)), repeat=6):
            weight = prod(chances[at] for at in path)
            total += weight * exp(log_e(of(*(sign * values[at] for at in path)), margin))
        assert total <= 1 + 1e-9
        assert total > 0.9, "the border is not met: this would show nothing"


def _chances(values: list[float], wanted: float) -> list[float] | None:
    """Chances with this mean: of the lowest and the highest value, a tenth of the rest in between."""
    low, high = min(values), max(values)
    if not low <= wanted <= high:
        return None
    rest = [value for value in values if value not in (low, high)]
    share = 0.1 if rest else 0.0
    of_high = (wanted - share * sum(rest) - (1 - share) * low) / (high - low)
    chances = {low: 1 - share - of_high, high: of_high, **dict.fromkeys(rest, share)}
    return [chances[value] for value in values] if min(chances.values()) >= 0 else None


def test_a_running_mean_that_comes_back_is_bounded_too() -> None:
    """Good events first, bad ones later: at the end, where the mean is -margin, the expectation is at most 1."""
    margin, n = 0.1, 4
    total = 0.0
    for path in itertools.product((-1.0, 1.0), repeat=2 * n):
        chance = prod((0.8 if d > 0 else 0.2) if at < n else (0.1 if d > 0 else 0.9) for at, d in enumerate(path))
        total += chance * exp(eprocess.log_good(of(*path), margin))
    assert pytest.approx(-margin) == 2 * (0.6 - 0.8) / 4, "the mean of both halves"
    assert total <= 1 + 1e-9


def test_exchanging_the_colors_exchanges_good_and_harm_at_margin_0() -> None:
    counts = of(*np.random.default_rng(5).uniform(-1, 1, 200))
    assert eprocess.log_good(counts, 0.0) == pytest.approx(eprocess.log_harm(mirrored(counts), 0.0), rel=1e-9)


def test_more_margin_is_more_evidence() -> None:
    counts = of(*np.random.default_rng(6).choice([-1, 0, 1], 500, p=[0.05, 0.9, 0.05]))
    found = [eprocess.log_good(counts, margin) for margin in (0.0, 0.01, 0.05, 0.2)]
    assert found == sorted(found)


# -- the cross-check ------------------------------------------------------------------------------------------------


def test_the_constant_of_the_bernstein_form_holds_for_every_difference_and_mean() -> None:
    """exp(l (d - m) - psi(l) (d - m)**2) <= 1 + l (d - m), for d and m anywhere in [-1, 1]."""
    bets = BETS / 2
    for step in np.linspace(-2, 2, 401):
        left = np.exp(bets * step - bernstein.psi(bets) * step**2)
        assert (left <= 1 + bets * step + 1e-12).all()
    # and with less than the 4 it does not hold: the constant is needed
    assert (np.exp(-2 * bets - bernstein.psi(bets) * 0.9 * 4) > 1 - 2 * bets).any()


def test_the_bernstein_form_is_safe_and_never_the_stronger_one() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        differences = rng.choice([-1.0, 0.0, 1.0], 3_000, p=[0.02, 0.95, 0.03])
        strong, weak = eprocess.log_good(of(*differences), 0.01), bernstein.log_good(differences, 0.01)
        assert weak < strong
        assert weak > 0.5 * strong
    assert bernstein.log_good(np.empty(0), 0.1) == pytest.approx(0.0)


def test_an_independent_package_agrees_on_where_the_mean_is() -> None:
    """`ville` bets by another scheme: both intervals hold the mean, and neither is much wider."""
    for seed, chances in enumerate([(0.02, 0.95, 0.03), (0.1, 0.7, 0.2), (0.3, 0.6, 0.1)]):
        differences = np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], 5_000, p=chances)
        true = chances[2] - chances[0]
        theirs = ville.BettingCS(bounds=(-1.0, 1.0), alpha=0.05).update(differences)
        low, high = float(theirs.lower_[-1]), float(theirs.upper_[-1])
        ours = bounds.lower(of(*differences), 0.025), bounds.upper(of(*differences), 0.025)
        assert ours[0] < true < ours[1]
        assert low < true < high
        assert 0.5 < (ours[1] - ours[0]) / (high - low) < 1.5


def test_the_interval_holds_what_it_should_and_shrinks() -> None:
    rng = np.random.default_rng(9)
    differences = rng.choice([-1.0, 0.0, 1.0], 4_000, p=[0.03, 0.95, 0.02])
    widths = []
    for n in (100, 1_000, 4_000):
        low, high = bounds.lower(of(*differences[:n]), 0.05), bounds.upper(of(*differences[:n]), 0.05)
        assert low < -0.01 < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert bounds.lower(of(), 0.05) == pytest.approx(-1, abs=1e-5)


# -- the detector ---------------------------------------------------------------------------------------------------


def slow_detector(differences: Iterable[float], margin: float) -> float:
    values = np.zeros(len(BETS))
    for d in differences:
        values = (values + 1) * (1 - BETS * (d + margin + STEP) / (1 + margin + STEP))
    return float(WATCHING @ values)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.0, 0.0, -1.0, 1.0, 0.25]), max_size=60),
    st.sampled_from([0.0, 0.01, 0.2]),
    st.integers(0, 2**32),
)
def test_P32_the_detector_is_the_recursion_however_events_are_cut(
    differences: list[float], margin: float, seed: int
) -> None:
    whole, cut = Detector(margin), Detector(margin)
    whole.feed(steps(np.array(differences)))
    assert whole.value("green") == pytest.approx(slow_detector(differences, margin), rel=1e-9)
    assert whole.value("blue") == pytest.approx(slow_detector([-d for d in differences], margin), rel=1e-9)
    rng = random.Random(seed)
    at = 0
    while at < len(differences):
        to = min(len(differences), at + rng.randint(0, 7))
        cut.feed(steps(np.array(differences[at:to])))
        at = to
    assert cut.values.tobytes() == whole.values.tobytes(), "bit for bit"
    assert (cut.quiet, cut.value("green")) == (whole.quiet, whole.value("green"))


def test_the_expected_value_is_at_most_the_number_of_events() -> None:
    """All paths of 6 events with mean -abort_margin: an alarm at 1 / alpha is 1 / alpha events away on average."""
    for margin, chances in ((0.0, (0.2, 0.6, 0.2)), (0.1, (0.25, 0.6, 0.15))):
        total = 0.0
        for path in itertools.product((-1, 0, 1), repeat=6):
            watched = Detector(margin)
            watched.feed(np.array(path, np.int64) * ONE)
            total += prod(chances[d + 1] for d in path) * watched.value("green")
        assert 5.9 < total <= 6


def test_a_long_quiet_time_and_a_long_harm_have_an_end() -> None:
    watched = Detector(0.0)
    watched.feed(np.zeros(1_000_003, np.int64))
    assert watched.value("green") == pytest.approx(1_000_003, rel=0.7)
    watched.feed(np.full(2_000, -ONE))
    assert 1e199 < watched.value("green") <= 1e200
    watched.feed(np.array([0, *[ONE] * 20_000]))
    assert watched.value("green") < 100, "it comes back"


def test_partitions_add_up_in_ascending_order() -> None:
    parts = []
    for partition in (3, 0, 7):
        each = Detector(0.0)
        each.feed(np.random.default_rng(partition).integers(-1, 2, 50) * ONE)
        parts.append((partition, each))
    expected = sum(each.value("blue") for _, each in sorted(parts, key=lambda part: part[0]))
    assert detector.total(parts, "blue") == expected == detector.total(parts[::-1], "blue")


# -- how long it takes ----------------------------------------------------------------------------------------------


def test_forecasts_are_where_the_e_value_crosses() -> None:
    alpha = 0.05 / 3
    n = patience.at_least(0.01, alpha)
    assert eprocess.log_good(n * of(0.0), 0.01) >= log(1 / alpha) > eprocess.log_good((n - 1) * of(0.0), 0.01)
    counts = of(*[0.0] * 98, -1.0, 1.0)
    more = patience.still(counts, 0.02, alpha)
    assert more is not None
    each = (100 + more) / 100
    assert eprocess.log_good((counts * each).astype(np.int64), 0.02) == pytest.approx(log(1 / alpha), rel=0.02)
    assert patience.still(20 * counts, 0.02, alpha) == max(0, more - 1_900)


def test_what_cannot_come_is_said() -> None:
    worse = of(*[0.0] * 90, *[-1.0] * 10)
    assert patience.still(worse, 0.02, 0.05) is None
    assert patience.still(of(), 0.02, 0.05) is None
    assert patience.typically(0.02, 0.05, 0.1, -0.05) is None
    assert patience.to_abort(0.0, 0.01, 0.05, 0.01) is None


def test_typical_is_about_the_median_of_streams() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(60):
        differences = steps(rng.choice([-1.0, 0.0, 1.0], 6_000, p=[0.025, 0.95, 0.025]))
        reached = [
            n for n in range(50, 6_000, 50) if eprocess.log_good(counted(differences[:n])[0], 0.02) >= log(1 / 0.05)
        ]
        found.append(reached[0] if reached else 6_000)
    expected = patience.typically(0.02, 0.05, 0.05)
    assert expected is not None
    assert 0.7 < expected / float(np.median(found)) < 1.4
