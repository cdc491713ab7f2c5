"""Exact sums, histograms with fixed edges, and the drift detectors' own state."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streambg.comparing.drift import KEPT_ALARMS, STREAMS, Detector, DetectorState, Drift, Marks, squashed
from streambg.comparing.histogram import LATENCY_MS, SCORES, SUB_BITS, Histogram, Scale
from streambg.comparing.sums import SCORE_LIMIT, Sum, quantised

steps = st.lists(st.integers(-(2**51), 2**51), max_size=50)


@given(steps, st.integers(0, 50))
def test_P32_sums_are_those_of_whole_numbers_however_they_are_cut(values: list[int], at: int) -> None:
    whole, cut = Sum(), Sum()
    whole.add(np.array(values, np.int64))
    for part in (values[:at], values[at:]):
        cut.add(np.array(part, np.int64))
    expected = Sum(
        len(values),
        sum(values),
        sum(value * value for value in values),
        sum(map(abs, values)),
        min(values, default=None),
        max(values, default=None),
    )
    assert whole == cut == expected
    assert whole.plus(Sum()) == whole
    assert whole.negated().negated() == whole
    assert whole.negated().total == -whole.total


def test_a_chunk_of_the_largest_magnitudes_does_not_overflow() -> None:
    """The limits in sums.py: 2**14 values just below each of them."""
    for magnitude in ((1 << 24) - 1, 1 << 24, (1 << 48) - 1, 1 << 48, 1 << 51):
        n = (1 << 14) + 3
        exact = Sum()
        exact.add(np.full(n, -magnitude, np.int64))
        assert (exact.total, exact.squares, exact.magnitudes) == (-n * magnitude, n * magnitude**2, n * magnitude)


def test_mean_and_deviation() -> None:
    exact = Sum()
    exact.add(quantised(np.array([0.25, 0.5, 0.75])))
    assert exact.mean(2**-20) == 0.5
    assert exact.deviation(2**-20) == pytest.approx(np.std([0.25, 0.5, 0.75]))
    assert (Sum().mean(1), Sum().deviation(1)) == (None, None)


@given(st.floats(-SCORE_LIMIT, SCORE_LIMIT))
def test_rounding_is_to_half_a_step(score: float) -> None:
    assert abs(int(quantised(np.array([score]))[0]) / 2**20 - score) <= 2**-21


def test_scores_beyond_the_limit_count_as_the_limit() -> None:
    assert quantised(np.array([1e300, -np.inf])).tolist() == [2**51, -(2**51)]


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=2, max_size=100))
def test_buckets_ascend_with_the_value(values: list[float]) -> None:
    ordered = np.array(sorted(values))
    buckets = SCORES.buckets(ordered)
    assert (np.diff(buckets) >= 0).all()
    assert buckets.min() >= 0
    assert buckets.max() < SCORES.size


@given(st.floats(2**-20, 2**31, exclude_max=True), st.sampled_from([1, -1]))
def test_a_value_lies_in_its_bucket_and_the_bucket_is_narrow(magnitude: float, sign: int) -> None:
    value = sign * magnitude
    low, high = SCORES.edges(int(SCORES.buckets(np.array([value]))[0]))
    assert low <= value < high if sign > 0 else low < value <= high
    assert high - low <= magnitude / 2**SUB_BITS


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["uniform", "normal", "wide"]), st.integers(1, 3_000))
def test_quantiles_are_numpys_within_a_bucket(seed: int, shape: str, n: int) -> None:
    rng = np.random.default_rng(seed)
    values = {"uniform": rng.random(n), "normal": rng.normal(0, 3, n), "wide": np.exp(rng.normal(0, 3, n))}[shape]
    histogram = Histogram(SCORES)
    for part in np.array_split(values, 7):
        histogram.add(part)
    for q in (0.01, 0.25, 0.5, 0.9, 0.99, 1.0):
        expected = float(np.quantile(values, q, method="inverted_cdf"))
        found = histogram.quantile(q)
        assert found is not None
        assert abs(found - expected) <= abs(expected) / 2**SUB_BITS + 2**-20


def test_quantile_of_nothing() -> None:
    assert Histogram(LATENCY_MS).quantile(0.5) is None


@given(st.lists(finite, max_size=200))
def test_a_mirrored_histogram_is_that_of_the_negated_values(values: list[float]) -> None:
    there, back = Histogram(SCORES), Histogram(SCORES)
    there.add(np.array(values))
    back.add(-np.array(values))
    assert (there.mirrored().counts == back.counts).all()


@given(st.lists(finite, max_size=200))
def test_a_histogram_survives_its_bytes(values: list[float]) -> None:
    histogram = Histogram(SCORES)
    histogram.add(np.array(values))
    again = Histogram.from_sparse(SCORES, *histogram.sparse())
    assert (again.counts == histogram.counts).all()
    assert histogram.total == len(values)


@pytest.mark.parametrize(("filled", "counts"), [([SCORES.size], [1]), ([-1], [1]), ([1], [-1]), ([1, 2], [1])], ids=str)
def test_bytes_that_do_not_fit_the_scale_are_refused(filled: list[int], counts: list[int]) -> None:
    with pytest.raises(ValueError, match="a histogram of"):
        Histogram.from_sparse(SCORES, np.array(filled, "<i4").tobytes(), np.array(counts, "<i8").tobytes())


def test_latency_scale_starts_at_a_millisecond() -> None:
    assert LATENCY_MS.buckets(np.array([0.0, 1.0, 2.0])).tolist() == [0, 1, 33]
    assert Scale(0, 30, signed=False).edges(0) == (0.0, 1.0)


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=50))
def test_squashing_keeps_the_order_and_leaves_probabilities_alone(scores: list[float]) -> None:
    ordered = np.array(sorted(scores))
    flat = squashed(ordered)
    assert (np.diff(flat) >= 0).all()
    assert (np.abs(flat) <= 2).all()
    inside = np.abs(ordered) <= 1
    assert (flat[inside] == ordered[inside]).all()


def values(n: int, jump: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found: np.ndarray = rng.random(n) * 0.5 + np.where(np.arange(n) >= jump, 0.4, 0.0)
    return found


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 2_999), max_size=6), st.integers(0, 100))
def test_P30_a_detector_goes_on_from_its_bytes_bit_for_bit(cuts: list[int], seed: int) -> None:
    stream = values(3_000, 1_700, seed)
    straight, broken = Detector(), Detector()
    expected = list(straight.feed(stream))
    found = []
    borders = [0, *sorted(set(cuts)), len(stream)]
    for first, last in pairwise(borders):
        broken = Detector(broken.state())
        found += [(first + at, *rest) for at, *rest in broken.feed(stream[first:last])]
    assert found == expected
    assert expected, "the jump raises an alarm"
    assert broken.state() == straight.state()


def test_a_damaged_block_is_refused_before_river_sees_it() -> None:
    detector = Detector()
    list(detector.feed(values(100, 100, 1)))
    state = detector.state()
    with pytest.raises(ValueError, match="checksum"):
        Detector(DetectorState(state.block[:-1], state.checksum, state.fed, state.total))


@given(st.integers(0, 5_000), st.lists(st.integers(1, 700), max_size=20))
def test_P32_marks_do_not_depend_on_chunks_and_stay_few(n: int, chunks: list[int]) -> None:
    offsets = np.arange(n, dtype=np.int64) * 3
    whole, cut = Marks(), Marks()
    whole.add(offsets)
    at = 0
    for size in [*chunks, n]:
        cut.add(offsets[at : at + size])
        at = min(n, at + size)
    assert (whole.number, whole.levels) == (cut.number, cut.levels)
    assert sum(map(len, whole.levels)) <= 4 * 9
    for back in (0, 1, 100, n // 2):
        number = n - 1 - back
        found = whole.at_or_before(number)
        if number >= 0 and found is not None:
            assert number * 3 - found <= 3 * max(32, back), "within half of how far back it lies, and one mark"


def test_only_the_last_alarms_are_kept_and_all_are_counted() -> None:
    drift = Drift(0, -1)
    rng = random.Random(4)
    n = 40_000
    stream = np.array([rng.random() * 0.2 + (0.7 if offset // 500 % 2 else 0.0) for offset in range(n)])
    for first in range(0, n, 1_000):
        chunk = stream[first : first + 1_000]
        drift.feed(np.arange(first, first + 1_000), (chunk, np.zeros(1_000), np.zeros(1_000)))
    assert drift.alarm_count > KEPT_ALARMS == len(drift.alarms)
    assert {alarm.stream for alarm in drift.alarms} == {STREAMS[0]}
    assert [alarm.at for alarm in drift.alarms] == sorted(alarm.at for alarm in drift.alarms)
