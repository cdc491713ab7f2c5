"""What each kind of metric measures, and what is counted of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streambg.deciding import tallies
from streambg.deciding.grid import ONE, events, mean
from streambg.deciding.kinds import Answers, BadMeasure, Seen, Sheet, differences
from streambg.deciding.tallies import Tallies
from streambg.records.gate import Gate, Metric

ONES = float(ONE)


def answers(
    scores: Sequence[float | None], latency: Sequence[int] | None = None, threshold: float | None = 0.5
) -> Answers:
    """One output; None is an error row, NaN a score that is no number."""
    failed = np.array([score is None for score in scores], np.bool_)
    decided = np.array([np.nan if score is None else score for score in scores], np.float64)
    return Answers(
        np.isfinite(decided),
        failed,
        decided.reshape(-1, 1),
        decided,
        None if threshold is None else decided >= threshold,
        np.array(latency or [0] * len(scores), np.int64),
    )


def metric(kind: str, **more: object) -> Metric:
    made = Metric("m", kind, "guardrail", 0.0, 1.0, "lower", False, 0.01, 0.005)
    return replace(made, **more)  # type: ignore[arg-type]  # fields by name, as the table below writes them


def found(made: Metric, seen: Seen, hook: object = None) -> list[float]:
    return [d / ONES for d in differences(made, seen, hook).tolist()]  # type: ignore[arg-type]  # hooks of the tests


BLUE, GREEN = [0.4, 0.4, 0.9, None, None, 0.5], [0.4, 0.6, 0.1, 0.5, None, float("nan")]
OUTCOMES = np.array([0.0, 1.0, 1.0, 1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (metric("error_rate"), [0, 0, 0, 1, 0, 0]),
        (metric("flip_rate"), [0, -1, -1, -1, 0, -1]),
        (metric("score_shift"), [0, -0.2, -0.8, -1, 0, -1]),
        (metric("score_shift", high=0.4), [0, -0.5, -1, -1, 0, -1]),
        (metric("latency_over", limit_ms=100), [0, 1, -1, 0, 0, 0]),
        (metric("correctness", needs_label=True, better="higher"), [0, 1, -1, 1, 0, -1]),
        (metric("brier", needs_label=True), [0, 0.2, -0.8, 0.75, 0, -0.75]),
        (metric("absolute_error", needs_label=True, high=2.0), [0, 0.1, -0.4, 0.75, 0, -0.75]),
        (metric("squared_error", needs_label=True), [0, 0.2, -0.8, 0.75, 0, -0.75]),
    ],
    ids=lambda value: value.kind if isinstance(value, Metric) else "",
)
def test_the_difference_of_each_kind(made: Metric, expected: list[float]) -> None:
    """Rows: alike, green up, green down, blue failed, both failed, green's score is no number."""
    latency = [0, 101, 100, 0, 0, 0], [0, 100, 101, 0, 0, 0]
    seen = Seen(answers(BLUE, latency[0]), answers(GREEN, latency[1]), OUTCOMES)
    assert found(made, seen) == pytest.approx(expected, abs=2e-6)
    turned = Seen(seen.green, seen.blue, OUTCOMES)
    assert found(made, turned) == pytest.approx([-d for d in expected] if made.directed else expected, abs=2e-6)


def test_log_loss_has_an_end() -> None:
    made = metric("log_loss", needs_label=True, high=5.0)
    seen = Seen(answers([0.5, 1.0, 0.0]), answers([0.25, 0.5, 0.9]), np.array([1.0, 1.0, 1.0]))
    assert found(made, seen) == pytest.approx([log(0.5) / 5, log(0.5) / 5, 1 + log(0.9) / 5], abs=2e-6)


def test_without_a_decision_a_flip_is_another_score() -> None:
    seen = Seen(answers([1.0, 2.0], threshold=None), answers([1.0, 2.5], threshold=None), np.array([1.0, 2.5]))
    assert found(metric("flip_rate"), seen) == [0, -1]
    assert found(metric("correctness", needs_label=True, better="higher"), seen) == [0, 1]


def test_labels_that_are_needed_and_missing_are_an_error() -> None:
    with pytest.raises(ValueError, match="m needs labels"):
        differences(metric("brier", needs_label=True), Seen(answers([0.5]), answers([0.5])))


# -- the team's own function ----------------------------------------------------------------------------------------


def test_a_function_sees_answered_rows_of_one_color_and_is_bounded_by_the_range() -> None:
    sheets: list[Sheet] = []

    def cost(sheet: Sheet) -> npt.NDArray[np.float64]:
        sheets.append(sheet)
        assert sheet.labels is not None
        return np.where(sheet.labels > 0, 10.0, 0.0) * (1 - sheet.scores[:, 0])

    made = metric("kpi:cost", high=5.0, needs_label=True)
    seen = Seen(answers([0.5, None]), answers([0.8, 0.1]), np.array([1.0, 1.0]), {"shop": ["a", "b"]})
    assert found(made, seen, cost) == pytest.approx([(5 - 2) / 5, 0.0], abs=2e-6), (
        "b: an error is the worst, 9 is over it"
    )
    assert [sheet.carry["shop"] for sheet in sheets] == [["a"], ["a", "b"]]
    assert sheets[0].decision is not None
    assert sheets[0].decision.tolist() == [True]


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (lambda _sheet: 1 / 0, "kpi:cost raised ZeroDivisionError: division by zero"),
        (lambda _sheet: np.zeros(3), r"kpi:cost answered an array of shape \(3,\) for 2 rows"),
        (lambda _sheet: np.array([np.nan, 1.0]), "kpi:cost answered 1 values that are no numbers"),
        (lambda _sheet: ["a", "b"], "kpi:cost raised ValueError"),
    ],
)
def test_a_function_that_fails_says_how(hook: object, said: str) -> None:
    with pytest.raises(BadMeasure, match=said):
        found(metric("kpi:cost"), Seen(answers([0.5, 0.5]), answers([0.5, 0.5])), hook)


# -- tallies --------------------------------------------------------------------------------------------------------

FLIPS = metric("flip_rate", name="flips", segments=("machine", "tier"), segment_margin=0.05, segment_abort_margin=0.02)
ERRORS = metric("error_rate", name="errors")
COST = metric("kpi:cost", name="cost", role="diagnostic", margin=None, abort_margin=None, better="higher")
CORRECT = metric("correctness", name="correct", needs_label=True, better="higher", role="goal")
GATE = Gate((COST, CORRECT, ERRORS, FLIPS), {"machine": ("m1", "m2"), "tier": ("1", "true")}, 0.05, 0.01, 0.999, 0.95)


def careful(sheet: Sheet) -> npt.NDArray[np.float64]:
    """Fails on rows it cannot take, whatever stands beside them."""
    if (sheet.scores[:, 0] > 0.95).any():
        raise ValueError("too large")
    return sheet.scores[:, 0]


def made(rows: int, seed: int) -> Seen:
    rng = random.Random(seed)
    scores = [[None if rng.random() < 0.05 else rng.random() for _ in range(rows)] for _ in range(2)]
    carry = {
        "machine": [rng.choice(["m1", "m2", "m3", None]) for _ in range(rows)],
        "tier": [rng.choice([1, True, 2.5, "true"]) for _ in range(rows)],
    }
    return Seen(answers(scores[0]), answers(scores[1]), None, carry)


def counted(seen: Seen, cuts: Sequence[int]) -> Tallies:
    total = tallies.begun(GATE, labelled=False)
    for first, last in zip([0, *cuts], [*cuts, len(seen)], strict=True):
        tallies.add(total, GATE, tallies._rows(seen, first, last), {"kpi:cost": careful})
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 120), st.integers(0, 2**32))
def test_P32_tallies_do_not_depend_on_how_events_are_cut(rows: int, seed: int) -> None:
    seen = made(rows, seed)
    rng = random.Random(seed)
    whole, cut = counted(seen, []), counted(seen, sorted(rng.choices(range(rows + 1), k=6)))
    for name, tally in whole.metrics.items():
        other = cut.metrics[name]
        assert (tally.counts == other.counts).all()
        assert tally.failed == other.failed
        assert (tally.detector is None) == (other.detector is None) == (name != "errors")
        if tally.detector is not None and other.detector is not None:
            assert tally.detector.values.tobytes() == other.detector.values.tobytes()
            assert tally.detector.quiet == other.detector.quiet


def test_segments_add_up_to_the_whole_and_values_are_compared_as_text() -> None:
    seen = made(400, 1)
    flips = counted(seen, []).metrics["flips"]
    places = list(GATE.places(FLIPS))
    assert [value for _, value in places] == ["m1", "m2", "other", "1", "true", "other"]
    assert (flips.counts[1:4].sum(axis=0) == flips.counts[0]).all()
    assert (flips.counts[4:].sum(axis=0) == flips.counts[0]).all()
    numbers = {place: events(flips.counts[1 + at]) for at, place in enumerate(places)}
    carried = seen.carry["tier"]
    assert numbers["tier", "1"] == sum(value is not True and value == 1 for value in carried)
    assert numbers["tier", "true"] == sum(value is True or value == "true" for value in carried)
    assert numbers["machine", "other"] == sum(value not in ("m1", "m2") for value in seen.carry["machine"])


def test_only_what_can_harm_is_watched_and_labels_are_apart() -> None:
    answered, labelled = tallies.begun(GATE, labelled=False), tallies.begun(GATE, labelled=True)
    assert list(answered.metrics) == ["cost", "errors", "flips"]
    assert list(labelled.metrics) == ["correct"]
    assert [name for name, tally in answered.metrics.items() if tally.detector] == ["errors"]
    assert tallies.begun(None, labelled=False).metrics == {}


def test_a_function_loses_the_rows_it_fails_on_and_no_others() -> None:
    seen = Seen(answers([0.1, 0.2, 0.3]), answers([0.5, 0.99, 0.5]))
    cost = counted(seen, [])
    assert cost.metrics["cost"].failed == 1
    assert events(cost.metrics["cost"].counts[0]) == 2
    assert mean(cost.metrics["cost"].counts[0]) == pytest.approx(0.3, abs=1e-5)
    assert cost.said == {"cost": "kpi:cost raised ValueError: too large"}


def test_a_field_that_no_row_carries_is_other() -> None:
    assert tallies.grouped(None, ("a", "b"), 3).tolist() == [2, 2, 2]
    assert tallies.grouped(["b", "a", "c", None, 1], ("a", "b", "1"), 5).tolist() == [1, 0, 3, 3, 2]


def test_P32_partitions_add_up() -> None:
    parts = [(partition, counted(made(100, partition), [])) for partition in (4, 0, 2)]
    total = tallies.merged(parts)
    assert list(total) == ["cost", "errors", "flips"]
    for name, merged in total.items():
        assert (merged.counts == sum(part.metrics[name].counts for _, part in parts)).all()
        assert merged.failed == sum(part.metrics[name].failed for _, part in parts)
    again = tallies.merged(parts[::-1])
    assert again["errors"].harm == total["errors"].harm, "bit for bit: floats are added in ascending order"
    assert set(total["errors"].harm) == {"blue", "green"}
    errors = total["errors"]
    assert mean(errors.for_candidate(ERRORS, "blue")[0]) == pytest.approx(
        -(mean(errors.for_candidate(ERRORS, "green")[0]) or 0)
    )
    flips = total["flips"]
    assert (flips.for_candidate(FLIPS, "blue") == flips.for_candidate(FLIPS, "green")).all(), "a flip is nobody's merit"
