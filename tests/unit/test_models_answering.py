"""Every event gets exactly one answer, whatever the model does; and the same one in any batch."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambg.models.answering import Answered, answer, answer_rows
from streambg.models.contract import Answers, Events, Row, Schema
from streambg.models.features import FeatureCheck
from streambg.models.reasons import MAX_REASON_BYTES, reason_bytes
from streambg.records.batch import ERROR, MAX_VALUE_BYTES, OK

SCHEMA = Schema({"x": "number"}, ("anomaly",), "anomaly", 0.5)
PLAIN = Schema({"x": "number"}, ("anomaly",))
TWO = Schema({"x": "number"}, ("a", "b"), "b", 0.0)


class Says:
    """A model that is one function."""

    def __init__(self, say: Callable[[Events], Any]) -> None:
        self.say = say
        self.calls: list[int] = []

    def predict_many(self, events: Events) -> Any:
        self.calls.append(len(events))
        return self.say(events)


def ask(say: Callable[[Events], Any], values: Sequence[float], schema: Schema = SCHEMA) -> Answered:
    return answer(Says(say), Events([{"x": x} for x in values], [None] * len(values), [0] * len(values)), schema)


def test_the_default_value_is_compact_json_of_outputs_and_decision() -> None:
    got = ask(lambda events: events.column("x"), [0.0123, 0.5])
    assert got.values == [b'{"anomaly":0.0123,"decision":false}', b'{"anomaly":0.5,"decision":true}']
    assert got.scores.tolist() == [[0.0123], [0.5]]
    assert (got.scores.dtype.name, got.statuses.dtype.name) == ("float64", "uint8")
    assert got.statuses.tolist() == [OK, OK]
    assert ask(lambda events: events.matrix(["x"]), [1.0], PLAIN).values == [b'{"anomaly":1.0}']
    assert ask(lambda events: [[1, -2]], [1.0], TWO).values == [b'{"a":1.0,"b":-2.0,"decision":false}']
    assert len(ask(lambda events: events.column("x"), [])) == 0


def test_a_model_may_say_its_own_values_and_errors() -> None:
    got = ask(lambda events: Answers(events.column("x"), [b"a", b"", b"c"], {2: "too\n old"}), [0.1, 0.2, math.nan])
    assert got.values == [b"a", b"", b"model: too old"]
    assert got.statuses.tolist() == [OK, OK, ERROR]
    assert np.isnan(got.scores[2, 0])


@pytest.mark.parametrize("code", [0, 4, None])
def test_a_model_that_exits_raises_like_any_other(code: int | None) -> None:
    """Else `sys.exit(0)` passes every gate: the verb that asked the model ends there, with 0."""

    def say(events: Events) -> Any:
        if (events.column("x") < 0).any():
            sys.exit(code)
        return events.column("x")

    got = ask(say, [1.0, -1.0, 2.0])
    assert got.statuses.tolist() == [OK, ERROR, OK]
    assert got.values[1].startswith(b"model raised SystemExit:")


def test_only_the_rows_that_make_the_model_raise_become_error_rows() -> None:
    def say(events: Events) -> Any:
        if (events.column("x") < 0).any():
            raise ValueError(f"negative: {events.column('x').min()}")
        return events.column("x")

    model = Says(say)
    values = [float(i) for i in range(1_000)]
    values[17], values[400] = -1.0, -2.0
    got = answer(model, Events([{"x": x} for x in values], [None] * 1_000, [0] * 1_000), SCHEMA)
    assert np.flatnonzero(got.statuses == ERROR).tolist() == [17, 400]
    assert got.values[17] == b"model raised ValueError: negative: -1.0"
    assert got.values[400] == b"model raised ValueError: negative: -2.0"
    assert got.values[999] == b'{"anomaly":999.0,"decision":true}'
    assert len(model.calls) < 50  # halved, not asked one by one


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (lambda events: events.column("x")[:-1], b"model answered 2 rows to 3 events"),
        (lambda events: np.zeros((4, 1)), b"model answered 4 rows to 3 events"),
        (lambda events: np.zeros((3, 2)), b"model answered an array (3, 2), (3, 1) is needed"),
        (lambda events: np.zeros((3, 1, 1)), b"model answered an array (3, 1, 1), (3, 1) is needed"),
        (lambda events: None, b"model answered NoneType, an array (3, 1) is needed"),
        (lambda events: 0.5, b"model answered float, an array (3, 1) is needed"),
        (lambda events: ["0.5"] * 3, b"model answered str96, float64 is needed"),
        (lambda events: [0.5, None, 0.5], b"model answered object, float64 is needed"),
        (lambda events: np.zeros(3, complex), b"model answered complex128, float64 is needed"),
        (lambda events: Answers(np.zeros(3), [b""] * 2), b"model answered 2 values to 3 events"),
        (lambda events: Answers(np.zeros(3), errors={3: "x"}), b"model named an error for a row that is none of 0..2"),
    ],
)
def test_an_answer_of_the_wrong_form_makes_every_row_an_error_row(say: Callable[[Events], Any], reason: bytes) -> None:
    got = ask(say, [1.0, 2.0, 3.0])
    assert got.values == [reason] * 3
    assert got.statuses.tolist() == [ERROR] * 3
    assert np.isnan(got.scores).all()
    assert got.scores.shape == (3, 1)


@pytest.mark.parametrize(
    "odd",
    [
        Answers(np.zeros(2), errors=[1]),  # type: ignore[arg-type]  # what a team may do
        Answers(np.zeros(2), values=iter([b"", b""])),  # type: ignore[arg-type]  # as above
        Answers([[1.0], [1.0, 2.0]]),  # ragged
    ],
)
def test_an_answers_that_is_none_stops_nothing(odd: Answers) -> None:
    got = ask(lambda events: odd, [1.0, 2.0])
    assert got.statuses.tolist() == [ERROR, ERROR]
    assert all(value.startswith(b"model ") for value in got.values)


def test_nan_and_infinity_are_error_rows_that_name_the_output() -> None:
    got = ask(lambda events: [[1.0, 2.0], [math.nan, 1.0], [1.0, -math.inf]], [0.0] * 3, TWO)
    assert got.values == [
        b'{"a":1.0,"b":2.0,"decision":true}',
        b"model answered NaN for a",
        b"model answered infinity for b",
    ]
    assert np.isnan(got.scores[1:]).all()


def test_what_a_mask_hides_is_no_answer() -> None:
    got = ask(lambda events: np.ma.masked_less(events.column("x"), 0), [1.0, -1.0])
    assert got.values == [b'{"anomaly":1.0,"decision":true}', b"model answered NaN for anomaly"]


def test_a_value_over_the_limit_or_of_another_type_is_an_error_row() -> None:
    big = b"x" * (MAX_VALUE_BYTES + 1)
    values: list[Any] = [big[:-1], big, "text", bytearray(b"y")]
    got = ask(lambda events: Answers(events.column("x"), values), [0.0] * 4)
    assert got.statuses.tolist() == [OK, ERROR, ERROR, ERROR]
    assert got.values[0] == big[:-1]
    assert got.values[1] == f"answer over the size limit: {len(big)} bytes, limit {MAX_VALUE_BYTES}".encode()
    assert got.values[2] == b"model answered a value of type str, bytes are needed"


def test_a_model_keeps_no_hold_on_what_it_answered() -> None:
    mine = np.array([1.0, 2.0])
    got = ask(lambda events: mine, [0.0, 0.0])
    mine[:] = 99
    assert got.scores.tolist() == [[1.0], [2.0]]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_reasons_are_one_short_line_and_alike_in_every_process() -> None:
    def mute(events: Events) -> Any:
        raise Mute

    assert ask(mute, [1.0]).values == [b"model raised Mute: (it cannot say why)"]
    assert reason_bytes("a\n\tb <x at 0x7f00aa>") == b"a b <x>"
    long = reason_bytes("ü" * 1_000)
    assert len(long) <= MAX_REASON_BYTES
    assert long.decode().endswith("ü...")
    assert reason_bytes("\ud800") == b"?"


def test_unfit_events_never_reach_the_model_and_keep_their_places() -> None:
    model = Says(lambda events: events.column("x") + events.times + [int(key or b"0") for key in events.keys])
    rows: list[Row | str] = ["not JSON: x", {"x": 0.25}, {}, {"x": 1}]
    got = answer_rows(model, rows, [b"1", b"2", None, b"4"], np.array([10, 20, 30, 40]), SCHEMA, CHECK)
    assert got.values == [
        b"not JSON: x",
        b'{"anomaly":22.25,"decision":true}',
        b"missing feature x",
        b'{"anomaly":45.0,"decision":true}',
    ]
    assert got.statuses.tolist() == [ERROR, OK, ERROR, OK]
    assert model.calls == [2]


CHECK = FeatureCheck(SCHEMA.features)
numbers = st.floats(allow_nan=False, allow_infinity=False)
rows = st.lists(
    st.one_of(
        st.just("not JSON: x"),
        st.builds(lambda x: {"x": x}, st.one_of(numbers, st.integers(-(10**30), 10**30), st.just("no"), st.none())),
        st.just({}),
    ),
    max_size=30,
)


def _a_pure_model(events: Events) -> Answers:
    """Raises, answers NaN, names errors and says values, each by the row alone."""
    x = events.column("x")
    if (x == 0).any():
        raise ZeroDivisionError("x is 0")
    with np.errstate(over="ignore"):
        scores = np.where(abs(x) < 1e-3, np.nan, np.sinh(x))
    values = [msgspec.json.encode(value) for value in x.tolist()]
    return Answers(scores, values, {at: f"refused {x[at]}" for at in np.flatnonzero((x > 1) & (x < 2)).tolist()})


@given(rows, st.lists(st.integers(0, 30), max_size=6), st.booleans())
def test_a_pure_models_answers_are_the_same_bytes_however_the_batches_are_cut(
    rows: list[Row | str], cuts: list[int], own_values: bool
) -> None:
    """Cutover, replay and audit rest on it: who polls how much must not show in an answer."""
    model = Says(_a_pure_model if own_values else lambda events: _a_pure_model(events).scores)

    def parts(borders: list[int]) -> list[Answered]:
        return [
            answer_rows(model, rows[a:b], [None] * len(rows[a:b]), np.zeros(len(rows[a:b]), np.int64), SCHEMA, CHECK)
            for a, b in pairwise(borders)
        ]

    def flat(answered: list[Answered]) -> tuple[bytes, bytes, list[bytes]]:
        return (
            b"".join(part.scores.tobytes() for part in answered),
            b"".join(part.statuses.tobytes() for part in answered),
            [value for part in answered for value in part.values],
        )

    borders = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    assert flat(parts(borders)) == flat(parts([0, len(rows)])) == flat(parts(list(range(len(rows) + 1))))
    assert len(flat(parts(borders))[2]) == len(rows)
