"""The verdict, and the words it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log

import numpy as np
import numpy.typing as npt
import pytest

from streambg.deciding.coverage import Coverage, of_counts
from streambg.deciding.forecast import forecasts
from streambg.deciding.grid import GRID, PARTS, POINTS
from streambg.deciding.tallies import Merged
from streambg.deciding.verdict import Findings, Verdict, decide, promote_tests, show_e
from streambg.records.gate import Gate, LabelTerms, Metric

Ints = npt.NDArray[np.int64]

ERRORS = Metric("errors", "error_rate", "guardrail", 0, 1, "lower", False, 0.01, 0.005)
FLIPS = Metric(
    "flips",
    "flip_rate",
    "guardrail",
    0,
    1,
    "lower",
    False,
    0.03,
    0.015,
    segments=("machine",),
    segment_margin=0.1,
    segment_abort_margin=0.05,
)
SHIFT = Metric("shift", "score_shift", "diagnostic", 0, 1, "lower", False)
CORRECT = Metric("correct", "correctness", "goal", 0, 1, "higher", True, 0.005, 0.0025)
MACHINES = {"machine": ("m1", "m2")}
GATE = Gate((ERRORS, FLIPS, SHIFT), MACHINES, 0.05, 0.01, 0.999, 0.95)
LABELLED = replace(GATE, metrics=(CORRECT, ERRORS), segments={}, labels=LabelTerms("l", "id", "y", 1, 10_000, False))


def counts(*rows: tuple[int, int, int]) -> Ints:
    """Rows of (worse, same, better) events."""
    made = np.zeros((len(rows), POINTS), np.int64)
    for at, (worse, same, better) in enumerate(rows):
        made[at, 0], made[at, GRID == 0], made[at, -1] = PARTS * worse, PARTS * same, PARTS * better
    return made


def merged(*rows: tuple[int, int, int], failed: int = 0, harm: Mapping[str, float] | None = None) -> Merged:
    return Merged(counts(*rows), failed, harm or {})  # type: ignore[arg-type]  # colors as literals


def flips(total: int, share: float) -> Merged:
    """All events, and three places of a third each."""
    third, bad = total // 3, round(total // 3 * share)
    return merged((3 * bad, 3 * (third - bad), 0), *[(bad, third - bad, 0)] * 3)


def judged(gate: Gate, by_metric: Mapping[str, Merged], rows: Coverage | None = None, **more: object) -> Verdict:
    return decide(gate, Findings("green", rows or Coverage(9_000, 0), by_metric, **more))  # type: ignore[arg-type]  # by name


GOOD = {"errors": merged((0, 9_000, 0)), "flips": flips(9_000, 0.005)}


def test_promote_needs_every_required_test_at_one_moment() -> None:
    assert promote_tests(GATE) == 4
    verdict = judged(GATE, GOOD)
    assert (verdict.word, verdict.ready) == ("promote", True)
    needed = {test.name: test.needed_good for test in verdict.tests if test.required}
    assert set(needed) == {"errors", "flips", "flips in machine=m1", "flips in machine=m2"}
    assert all(value == pytest.approx(log(4 / 0.05)) for value in needed.values())
    assert verdict.reasons[0].startswith("errors: evidence over a million of the 80 needed, mean +0.00 points")
    assert verdict.passed(["errors", "flips"])
    for name in GOOD:
        less = {key: value for key, value in GOOD.items() if key != name}
        assert judged(GATE, less).word == "continue"
        assert not judged(GATE, less).passed(["errors", "flips"])
        assert judged(GATE, less).passed(less)
    assert not verdict.passed(["shift"]), "a diagnostic is never good enough for anything"


def test_what_is_missing_is_said_with_how_long_it_takes() -> None:
    verdict = judged(GATE, {**GOOD, "errors": merged((3, 900, 2))})
    assert verdict.word == "continue"
    assert len(verdict.reasons) == 1
    reason = verdict.reasons[0]
    assert reason.startswith("errors: evidence ")
    assert " of the 80 needed, about " in reason
    assert reason.endswith(" more events")
    never = judged(GATE, {**GOOD, "errors": merged((11, 1_000, 0))})
    assert never.word == "continue"
    assert never.reasons[0].endswith("not in sight as it goes")
    assert judged(GATE, {"flips": GOOD["flips"]}).reasons == ("errors: no events yet",)


def test_harm_aborts_even_where_everything_is_good_enough() -> None:
    verdict = judged(GATE, {**GOOD, "flips": merged((900, 8_100, 0), (900, 2_100, 0), (0, 3_000, 0), (0, 3_000, 0))})
    assert verdict.word == "abort"
    assert verdict.reasons[0].startswith("flips: harm beyond 1.5 points, evidence over a million of the 400 needed: ")
    assert verdict.reasons[1].startswith("flips in machine=m1: harm beyond 5 points, ")
    assert "mean -30.00 points over 3,000 events" in verdict.reasons[1]
    assert not verdict.ready


def test_harm_in_what_is_not_declared_aborts_and_its_silence_holds_nothing_up() -> None:
    good = merged((0, 6_000, 0), (0, 3_000, 0), (0, 3_000, 0), (0, 0, 0))
    assert judged(GATE, {**GOOD, "flips": good}).word == "promote"
    bad = merged((180, 8_820, 0), (0, 3_000, 0), (0, 5_400, 0), (180, 420, 0))
    verdict = judged(GATE, {**GOOD, "flips": bad})
    assert (verdict.word, len(verdict.reasons)) == ("abort", 1)
    assert verdict.reasons[0].startswith("flips in machine=other: harm")


def test_abort_weights_add_up_to_1() -> None:
    for gate in (GATE, LABELLED):
        tests = judged(gate, {}).tests
        assert sum(np.exp(-test.needed_harm) for test in tests) == pytest.approx(0.01)
    segments = [test for test in judged(GATE, {}).tests if test.field]
    assert sum(np.exp(-test.needed_harm) for test in segments) == pytest.approx(0.005)


def test_blue_is_judged_by_the_same_counts_turned() -> None:
    found = {"errors": merged((0, 8_500, 500)), "flips": GOOD["flips"]}
    green, blue = (decide(GATE, Findings(color, Coverage(9_000, 0), found)) for color in ("green", "blue"))  # type: ignore[arg-type]  # colors as literals
    assert (green.word, blue.word) == ("promote", "abort")
    assert blue.reasons[0].startswith("errors: harm")


def test_low_coverage_is_never_a_pass_and_very_low_coverage_is_an_abort() -> None:
    verdict = judged(GATE, GOOD, Coverage(9_000, 100))
    assert (verdict.word, verdict.ready) == ("continue", False)
    assert verdict.reasons == ("coverage 98.90 % of 9,100 events, the limit is 99.9 %",)
    assert judged(GATE, GOOD, Coverage(900, 90)).word == "continue", "too few to call it broken"
    broken = judged(GATE, GOOD, Coverage(900, 101))
    assert broken.word == "abort"
    assert broken.reasons == ("coverage 89.91 % of 1,001 events, below 95% the candidate is taken for broken",)
    assert judged(GATE, GOOD, Coverage(0, 0)).word == "continue"
    lost_by_live = judged(GATE, GOOD, Coverage(900, 101), left_out=40)
    assert lost_by_live.word == "continue", "a candidate is not broken by what the other color has lost"
    assert lost_by_live.reasons == ("coverage 89.91 % of 1,001 events, the limit is 99.9 %",)


def test_what_stands_in_the_way_is_said_and_holds_everything_up() -> None:
    verdict = judged(GATE, GOOD, obstacles=("green is 7 s behind",))
    assert (verdict.word, verdict.ready, verdict.reasons) == ("continue", False, ("green is 7 s behind",))
    assert verdict.passed(GOOD)


def test_no_evidence_is_never_a_pass() -> None:
    assert judged(GATE, {}).word == "continue"
    only = replace(GATE, metrics=(SHIFT,), segments={})
    assert judged(only, {"shift": merged((0, 9_000, 0))}).word == "continue"
    assert judged(only, {}).reasons == ("no metric is a goal or a guardrail: nothing decides",)


def test_no_decision_by_the_declared_end_is_inconclusive() -> None:
    ending = replace(GATE, max_events=9_000)
    half = {**GOOD, "errors": merged((1, 200, 1))}
    assert judged(ending, half, Coverage(8_999, 0)).word == "continue"
    verdict = judged(ending, half)
    assert verdict.word == "inconclusive"
    assert verdict.reasons[0] == "no decision after 9,000 events, max_events is 9,000"
    assert verdict.reasons[1].startswith("errors: evidence ")
    assert judged(ending, GOOD).word == "promote"


def test_labels_must_be_there_and_cover() -> None:
    found = {"errors": merged((0, 9_000, 0)), "correct": merged((5, 8_990, 5))}
    assert judged(LABELLED, found, by_label=Coverage(9_000, 100)).word == "promote"
    assert judged(LABELLED, found).reasons == ("correct: no labels were read",)
    few = judged(LABELLED, found, by_label=Coverage(9_000, 1_000))
    assert (few.word, few.reasons) == ("continue", ("labels: coverage 90.00 % of 10,000 events, the limit is 95 %",))


def test_labels_that_depend_on_the_answer_need_a_person() -> None:
    assert LABELLED.labels is not None
    gate = replace(LABELLED, labels=replace(LABELLED.labels, depends_on_answer=True))
    found = {"errors": merged((0, 9_000, 0)), "correct": merged((5, 8_990, 5))}
    verdict = judged(gate, found, by_label=Coverage(9_000, 0))
    assert (verdict.word, verdict.ready) == ("continue", True)
    assert verdict.reasons[0].startswith("correct: only a person may promote")
    without = replace(gate, metrics=(ERRORS,))
    assert judged(without, found).word == "promote"


def test_a_function_that_fails_hides_nothing() -> None:
    found = {**GOOD, "errors": merged((0, 9_000, 0), failed=30)}
    verdict = judged(GATE, found)
    assert verdict.word == "continue"
    assert verdict.reasons == ("errors: error_rate failed on 30 events: coverage 99.66 % of 9,030 events",)


def test_the_noise_of_a_model_against_itself_is_nobodys_fault() -> None:
    noisy = {**GOOD, "flips": flips(90_000, 0.04)}
    assert judged(GATE, noisy).word == "abort"
    floor = replace(GATE, metrics=(ERRORS, replace(FLIPS, floor=0.04)))
    assert judged(floor, noisy).word == "promote"


def test_after_the_promote_harm_is_what_the_detectors_say() -> None:
    quiet = {"errors": merged((0, 1, 0), harm={"blue": 5e6, "green": 99_000.0})}
    verdict = judged(GATE, quiet, watched=True)
    assert verdict.word == "continue"
    assert verdict.reasons == ("errors: evidence of harm 99,000, acted on at 100,000",)
    counted = {**quiet, "correct": merged((0, 1, 0), harm={"blue": 0.0, "green": 0.0})}
    for labels in (None, Coverage(0, 40)):
        unseen = judged(LABELLED, counted, watched=True, by_label=labels)
        assert unseen.reasons == (
            "correct: no labels were read",
            "errors: evidence of harm 99,000, acted on at 200,000",
        )
    early = {"correct": merged((0, 1, 0), harm={"blue": 0.0, "green": 9.0})}
    assert judged(LABELLED, early, watched=True, by_label=Coverage(0, 0)).reasons == (
        "correct: evidence of harm 9, acted on at 100,000",
    ), "labels count before their horizon is over"
    assert judged(LABELLED, {}, watched=True).reasons == ("correct: no labels were read",)
    loud = {"errors": merged((0, 1, 0), harm={"blue": 0.0, "green": 100_000.0})}
    assert judged(GATE, loud, watched=True).word == "abort"
    again = judged(GATE, {**GOOD, "errors": replace(GOOD["errors"], harm={"blue": 0.0, "green": 1e9})})
    assert (again.word, again.ready) == ("continue", False), "what was rolled back is not promoted again by its past"
    assert again.reasons == ("errors: evidence of recent harm over a million, acted on at 100,000",)
    both = {**loud, "correct": merged((0, 1, 0), harm={"blue": 0.0, "green": 1.0})}
    assert judged(LABELLED, both, watched=True).word == "continue", "two metrics share the false alarms"
    assert judged(GATE, {}, watched=True).reasons == ("no goal or guardrail can show harm after the promote",)


def test_coverage_counts_what_was_owed() -> None:
    found = of_counts({"matched": 7, "only_blue": 1, "only_green": 2, "unanswered_green": 90, "unanswered_blue": 5})
    assert (found.matched, found.owed, found.share) == (7, 10, 0.7)
    assert str(Coverage(99_999, 1)) == "coverage 99.99 % of 100,000 events"


def test_e_values_for_people() -> None:
    assert [show_e(log(value)) for value in (0.314, 9.4, 88.2, 1_204, 2e6)] == [
        "0.31",
        "9.4",
        "88",
        "1,204",
        "over a million",
    ]
    assert show_e(50_000.0) == "over a million"


# -- before it begins -----------------------------------------------------------------------------------------------


def test_a_plan_says_how_many_events_each_test_needs() -> None:
    found = {(each.metric, each.value): each for each in forecasts(GATE, 0.01)}
    assert list(found) == [("errors", ""), ("flips", ""), ("flips", "m1"), ("flips", "m2")]
    errors, m1 = found["errors", ""], found["flips", "m1"]
    assert (errors.margin, m1.margin) == (0.01, 0.1)
    assert errors.typically is not None
    assert errors.harm is not None
    assert 0 < m1.at_least < errors.at_least < errors.typically
    identical = merged((0, errors.at_least, 0))
    assert judged(GATE, {"errors": identical}).passed(["errors"])
    assert not judged(GATE, {"errors": merged((0, errors.at_least - 1, 0))}).passed(["errors"])
    worse = round(errors.harm * 0.02)
    assert judged(GATE, {"errors": merged((2 * worse, 2 * errors.harm - 2 * worse, 0))}).word == "abort"


def test_what_a_plan_cannot_reach_has_no_number() -> None:
    found = forecasts(GATE, 0.05)
    assert found[1].metric == "flips"
    assert found[1].typically is None, "5 % flips are not within 3 %"
    assert found[1].at_least < 1_000
