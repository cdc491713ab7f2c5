"""The contract gate's comparison: each mismatch planted once, and the same model beside itself keeps the contract."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambg.control.commands import MAX_CHANGES, MAX_TEXT
from streambg.control.contract import Mismatches
from streambg.models.answering import Answered
from streambg.models.contract import Row, Schema
from streambg.models.fitting import ENOUGH, MAX_LABELS, RANGES, Fit, Mismatch, Side, alone, beside, declared, range_of
from streambg.records.batch import ERROR, OK

SCHEMA = Schema({"x": "number"}, ("p",), "p", 0.5)
EVENTS: list[Row | str] = [{"x": float(number)} for number in range(2 * ENOUGH)]
SPREAD = np.linspace(0.01, 0.99, len(EVENTS))


def side(
    scores: Any = SPREAD, values: Any = None, rows: Any = None, schema: Schema = SCHEMA, errors: Any = None
) -> Side:
    """values: of a row's score and number; errors: row -> reason."""
    rows = EVENTS if rows is None else rows
    scores = np.array(scores, float).reshape(len(rows), -1)
    said = [json.dumps({"p": score}).encode() for score in scores[:, 0].tolist()]
    if values is not None:
        said = [values(score, at) for at, score in enumerate(scores[:, 0].tolist())]
    statuses = np.full(len(rows), OK, np.uint8)
    for at, reason in (errors or {}).items():
        statuses[at], said[at] = ERROR, reason.encode()
    return Side("m:1", schema, rows, Answered(scores, statuses, said))


def found(fit: Fit) -> list[str]:
    return [str(mismatch) for mismatch in fit.mismatches]


def test_a_model_beside_itself_keeps_the_contract() -> None:
    fit = beside(side(), side())
    assert fit == Fit((), len(EVENTS), ())


def as_words(*words: str) -> Any:
    return lambda score, at: json.dumps({"p": score, "decision": words[at % len(words)]}).encode()


@pytest.mark.parametrize(
    ("live", "mine", "said"),
    [
        (
            {},
            {"errors": {3: "model answered NaN for p", 4: "model raised ValueError: no"}},
            "answers: none to 2 of 200",
        ),
        ({}, {"values": lambda score, at: b'{"q":%f}' % score}, "kind: field 'p' (number) is gone"),
        ({}, {"values": lambda score, at: b'{"p":%f,"q":1}' % score}, "kind: field 'q' (number) is new"),
        ({}, {"values": lambda score, at: b'{"p":"%f"}' % score}, "kind: field 'p' is text, live's is number"),
        ({}, {"values": lambda score, at: b"yes" if at == 7 else b'{"p":%f}' % score}, "kind: field 'p' is nothing"),
        ({"values": lambda score, at: b"plain"}, {}, "kind: the published value (no JSON) is gone"),
        ({}, {"scores": SPREAD * 100}, "range: p is 1 to 99, live's 0.01 to 0.99: 199 of 200 are outside [0, 1]"),
        ({"scores": SPREAD * 100}, {}, "range: p is 0.01 to 0.99, live's 1 to 99: within [0, 1], where 199 of live's"),
        ({}, {"scores": np.log(SPREAD / (1 - SPREAD))}, "range: p is -4.59512 to 4.59512"),
        (
            {"values": as_words("ok", "fraud")},
            {"values": as_words("ok", "FRAUD")},
            "labels: field 'decision' says 'FRAU",
        ),
        ({"values": lambda s, a: b"ok"}, {"values": lambda s, a: b"no"}, "labels: the published value says 'no' (200)"),
    ],
)
def test_what_breaks_the_contract_is_named(live: dict[str, Any], mine: dict[str, Any], said: str) -> None:
    assert found(beside(side(**live), side(**live))) == [], "live beside itself"
    assert any(each.startswith(said) for each in found(beside(side(**live), side(**mine)))), found(
        beside(side(**live), side(**mine))
    )


@pytest.mark.parametrize(
    ("live", "mine"),
    [
        ({"errors": {3: "model raised ValueError: no"}}, {}),  # it answers more than live does
        ({}, {"scores": 1 - SPREAD}),  # how good it is, is not looked at
        ({"scores": SPREAD * 1.1}, {}),  # a few of live's beyond 1 make no other scale
        ({"values": as_words("ok", "fraud")}, {"values": as_words("ok")}),  # fewer labels
        (
            {"values": lambda s, a: b'"text %d"' % a},
            {"values": lambda s, a: b'"other %d"' % a},
        ),  # sentences, not labels
    ],
)
def test_what_keeps_the_contract(live: dict[str, Any], mine: dict[str, Any]) -> None:
    assert found(beside(side(**live), side(**mine))) == []


def test_few_events_say_nothing_of_ranges_and_labels_and_it_says_so() -> None:
    few = EVENTS[: ENOUGH - 1]
    spread = SPREAD[: ENOUGH - 1]
    fit = beside(side(spread, rows=few), side(spread * 100, rows=few))
    assert (fit.mismatches, fit.compared) == ((), ENOUGH - 1)
    assert fit.notes == ("99 events were answered by both, 100 are needed to compare ranges and labels",)
    assert MAX_LABELS < ENOUGH, "more answers than labels, or nothing would ever be a label"


def test_a_feature_that_events_lack() -> None:
    wider = Schema({"x": "number", "y": "number"}, ("p",))
    rows: list[Row | str] = [*EVENTS[:-1], "not JSON"]
    missing = dict.fromkeys(range(len(rows)), "missing feature y")
    broken = {len(rows) - 1: "not JSON"}
    fit = beside(side(rows=rows, errors=broken), side(rows=rows, schema=wider, errors=missing))
    assert found(fit) == [
        "features: 199 of 200 events that live can be asked about do not fit: missing feature y (199)"
    ]


def test_a_first_deploy_is_judged_by_what_concerns_every_event() -> None:
    wider = Schema({"x": "number", "y": "number"}, ("p",))
    missing = dict.fromkeys(range(len(EVENTS)), "missing feature y")
    assert found(alone(side(schema=wider, errors=missing))) == ["features: missing feature y in all 200 events"]
    nothing = dict.fromkeys(range(len(EVENTS)), "model raised ValueError: no")
    assert found(alone(side(errors=nothing))) == ["answers: none to 200 events: model raised ValueError: no (200)"]
    some = {at: reason for at, reason in nothing.items() if at}
    assert found(alone(side(errors=some))) == []
    assert alone(side()).notes == ("nothing is live: there are no answers to compare with",)
    only_bad: Sequence[Row | str] = ["not JSON"] * 3
    unread = dict.fromkeys(range(3), "not JSON")
    assert found(alone(side([math.nan] * 3, rows=only_bad, errors=unread))) == []


def test_what_is_declared() -> None:
    pipeline = Schema({"x": "number", "y": "string"}, ("p",), "p", 0.5)
    assert declared("m:2", SCHEMA, pipeline, SCHEMA) == [], "a version may take fewer features than are declared"
    other = Schema({"x": "string", "z": "number"}, ("p", "q"))
    assert [str(each) for each in declared("m:2", other, pipeline, None)] == [
        "features: m:2 needs x (string), declared is number",
        "features: m:2 needs z (number), declared is none of it",
        "outputs: m:2 answers p, q, the pipeline's are p",
    ]
    undecided = Schema({"x": "number"}, ("q",))
    assert [str(each) for each in declared("m:2", SCHEMA, pipeline, undecided)] == [
        "outputs: the pipeline's are now p, live answers q",
        "outputs: the decision is now made on p, live's on nothing",
    ]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_range_holds_its_scores_and_no_narrower_one_does(scores: list[float]) -> None:
    low, high = range_of(np.array(scores))
    assert all(low <= score <= high for score in scores)
    for narrower in RANGES[: RANGES.index((low, high))]:
        assert not all(narrower[0] <= score <= narrower[1] for score in scores)


def test_what_the_log_keeps_of_many_mismatches_is_bounded() -> None:
    found = tuple(Mismatch("kind", f"field 'f{at}' is new" + "!" * 3_000 * (at == 1)) for at in range(MAX_CHANGES + 5))
    kept = Mismatches("m:1", "sha256:0", 3, "m:0", 10, 10, found, ()).record()
    assert len(kept) == MAX_CHANGES
    assert kept[0] == "kind: field 'f0' is new"
    assert (len(kept[1]), kept[1][-3:]) == (MAX_TEXT, "...")
    assert kept[-1] == "and 6 more", "none is dropped without a word"
