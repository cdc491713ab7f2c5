"""The short form of `make statistics`: fewer streams, the same arithmetic, and the same figures to reach."""

from __future__ import annotations

import numpy as np
import pytest
from decisions import questions
from decisions.looks import aborted_at, alarmed_at, promoted_at
from decisions.questions import QUESTIONS, Size, median_bound, share_bound
from decisions.streams import independent_errors, oscillating, paired

from streambg.deciding.detector import ALARM_AT, Detector
from streambg.deciding.eprocess import log_good
from streambg.deciding.grid import ONE, counted

SHORT = Size(streams=300, events=4_000)


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_what_is_measured_keeps_what_must_be_reached(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measured values, not their bounds: with so few streams a bound says little."""
    monkeypatch.setattr(questions, "OTHERS", 20)
    answers = list(QUESTIONS[name](np.random.default_rng(1), SHORT))
    assert answers
    for answer in answers:
        assert answer.keeps(answer.value), f"{answer.question}: {answer.value:g}, limit {answer.limit}"


def test_a_gate_without_the_guarantee_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: thresholds that are ten times too low."""
    monkeypatch.setattr(questions, "ALPHA_PROMOTE", 0.5)
    monkeypatch.setattr(questions, "ALPHA_ABORT", 0.2)
    monkeypatch.setattr(questions, "OTHERS", 20)
    for name in ("false-promotion", "false-abort"):
        first = next(QUESTIONS[name](np.random.default_rng(1), SHORT))
        assert not first.reached, first.question
        assert not first.keeps(first.value), first.question


def test_looks_after_every_event_are_those_of_the_product() -> None:
    streams = paired(np.random.default_rng(2), (4, 3_000), 0.01, 0.05)
    for row, at in zip(streams, promoted_at(streams, 0.02, 0.05).tolist(), strict=True):
        values = [log_good(counted(row[:n].astype(np.int64) * ONE)[0], 0.02) >= np.log(20) for n in (at - 1, at)]
        assert values == [False, True]
    harmful = independent_errors(np.random.default_rng(3), (3, 2_000), 0.1, 0.3)
    for row, at in zip(harmful, alarmed_at([harmful[:, :50], harmful[:, 50:]], 3, ALARM_AT).tolist(), strict=True):
        values = []
        for n in (at - 1, at):
            detector = Detector(0.0)
            detector.feed(row[:n].astype(np.int64) * ONE)
            values.append(detector.value("green") >= ALARM_AT)
        assert values == [False, True]


def test_streams_are_what_they_say() -> None:
    rng = np.random.default_rng(5)
    even = paired(rng, (200, 5_000), -0.02, 0.10)
    assert even.mean() == pytest.approx(-0.02, abs=0.001)
    assert (even != 0).mean() == pytest.approx(0.10, abs=0.001)
    swings = oscillating(rng, (200, 4_000), (-0.03, 0.015), 0.05, 1_000)
    periods = [float(swings[:, first : first + 1_000].mean()) for first in (0, 1_000, 2_000)]
    assert periods == pytest.approx([-0.03, 0.015, -0.03], abs=0.002)
    errors = independent_errors(rng, (200, 5_000), 0.1, 0.4)
    assert errors.mean() == pytest.approx(-0.3, abs=0.003)
    assert (aborted_at(errors, 0.0, 0.01) > 0).all()


def test_a_stream_that_never_alarms_counts_with_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    fired = np.array([questions.BEFORE + 10, 0, questions.BEFORE - 1, questions.BEFORE + 30])
    monkeypatch.setattr(questions, "alarmed_at", lambda *_: fired)
    answer = questions._delay("delay", "-", [np.zeros((4, questions.BEFORE)), np.zeros((4, 1_000))], 20.0)
    assert answer.value == pytest.approx((10 + 1_000 + 30) / 3)
    assert answer.question == "delay; without an alarm in 1,000: 1; left out, alarmed before: 1"
    assert not answer.keeps(answer.value), "half of the harm found soon is not enough"


def test_bounds() -> None:
    assert share_bound(0, 2_000) == pytest.approx(0.0015, abs=1e-4)
    assert share_bound(60, 2_000) == pytest.approx(0.037, abs=1e-3)
    assert median_bound(np.array([5, 1, 0, 3, 2])) == float("inf"), "who never fires counts as infinity"
    assert median_bound(np.arange(1, 10_002)) == pytest.approx(5_083, abs=2)
