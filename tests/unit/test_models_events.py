"""What a model is given: decoded, checked events; and what is said of those that are not fit."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambg.errors import ModelError
from streambg.models.contract import Events, Schema
from streambg.models.decoding import json_rows, load_decode_hook
from streambg.models.features import FeatureCheck, feature_reasons

TWO_MB = 2 * 1024 * 1024
FEATURES = {"f1": "number", "f2": "number", "word": "string", "yes": "boolean"}
GOOD: dict[str, Any] = {"f1": 1, "f2": 2.5, "word": "w", "yes": True, "more": [1]}


def events(*rows: dict[str, Any]) -> Events:
    return Events(list(rows), [None] * len(rows), [0] * len(rows))


# --- Events


def test_columns_and_matrices_are_float64_in_c_order() -> None:
    some = Events([{"a": 1, "b": True}, {"a": 2.5, "b": False}], [b"k", None], [10, 11])
    assert len(some) == 2
    assert some.keys == [b"k", None]
    assert some.times.dtype == np.int64
    assert some.column("a").tolist() == [1.0, 2.5]
    assert some.column("b").tolist() == [1.0, 0.0]
    matrix = some.matrix(["b", "a"])
    assert matrix.tolist() == [[1.0, 1.0], [0.0, 2.5]]
    assert matrix.dtype == np.float64
    assert matrix.flags["C_CONTIGUOUS"]
    assert some.matrix(["a"]).shape == (2, 1)
    assert some.matrix([]).shape == (2, 0)
    assert events().matrix(["a", "b"]).shape == (0, 2)
    assert events().column("a").shape == (0,)


def test_a_model_that_writes_into_its_array_changes_nobody_elses() -> None:
    some = events({"a": 1, "b": 2})
    some.matrix(["a", "b"])[0, 0] = 99
    some.column("a")[0] = 99
    assert some.matrix(["a", "b"]).tolist() == [[1.0, 2.0]]
    assert some.column("a").tolist() == [1.0]


@pytest.mark.parametrize("value", ["3.5", None, [1], {}])
def test_only_numbers_become_columns(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        events({"a": value}).column("a")
    with pytest.raises((TypeError, ValueError)):
        events({"a": value, "b": 1}, {"a": 1, "b": 2}).matrix(["a", "b"])


def test_whole_numbers_beyond_64_bits_are_numbers() -> None:
    assert events({"a": 10**30, "b": -1}).matrix(["a", "b"]).tolist() == [[1e30, -1.0]]


def test_a_field_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        events({"a": 1}).column("b")
    with pytest.raises(ValueError, match="1 rows, 2 keys, 1 times"):
        Events([{}], [None, None], [0])


@pytest.mark.parametrize(
    ("features", "outputs", "decision", "what"),
    [
        ({"f": "float"}, ("a",), (None, None), "feature f has the type 'float'"),
        ({}, (), (None, None), "outputs"),
        ({}, ("a", "a"), (None, None), "outputs"),
        ({}, ("decision",), (None, None), "outputs"),
        ({}, ('a"b',), (None, None), "output name"),
        ({}, ("a",), ("b", 0.5), "none of"),
        ({}, ("a",), ("a", None), "half a decision"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(
    features: dict[str, str], outputs: tuple[str, ...], decision: tuple[str | None, float | None], what: str
) -> None:
    with pytest.raises(ModelError, match=what):
        Schema(features, outputs, *decision)


# --- decoding


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value (null)"),
        (b"", "not JSON: "),
        (b"secret=1", "not JSON: "),
        (b'{"f1": NaN}', "not JSON: "),
        (b'{"f1": 1e999}', "not JSON: Number out of range"),
        (b'{"f1": "\xff"}', "not JSON: a string is not UTF-8"),
        (b"[" * 200_000, "not JSON: nested too deeply"),
        (b'{"f1": ' + b"1" * 5_000 + b"}", "not JSON: Integer value out of range"),
        (b"[1]", "JSON array, an object is needed"),
        (b"1.5", "JSON number, an object is needed"),
        (b'"x"', "JSON string, an object is needed"),
        (b"true", "JSON boolean, an object is needed"),
        (b"null", "JSON null, an object is needed"),
    ],
)
def test_an_event_that_is_no_json_object_says_why_and_stops_no_other(value: bytes | None, reason: str) -> None:
    first, bad, last = json_rows([b'{"f1":1}', value, b'{"f1":2}'])
    assert (first, last) == ({"f1": 1}, {"f1": 2})
    assert isinstance(bad, str)
    assert bad.startswith(reason)
    assert len(bad) <= 100
    assert "secret" not in bad


def test_an_event_of_2_mb_is_an_event() -> None:
    (row,) = json_rows([b'{"f1":1,"text":"' + b"x" * TWO_MB + b'"}'])
    assert isinstance(row, dict)
    assert len(row["text"]) == TWO_MB
    assert feature_reasons([row], {"f1": "number"}) == [None]


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "hooks_of_a_team.py").write_text(
        "def decode(value):\n"
        "    print('a word of theirs')\n"
        "    if value == b'bad':\n        raise ValueError('cannot read ' + 'x' * 500)\n"
        "    if value == b'exit':\n        raise SystemExit(0)\n"
        "    return {'f1': float(value)} if value != b'list' else [1]\n"
        "CONSTANT = 3\n"
    )
    (tmp_path / "hooks_of_a_team_too.py").write_text("raise RuntimeError('must not be imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "hooks_of_a_team"


def test_a_decode_hook_makes_rows_and_its_failures_are_of_one_event(
    hooks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    decode = load_decode_hook(f"{hooks}:decode", [hooks])
    good, bad, listed, null, nan, exits = decode([b"1.5", b"bad", b"list", None, b"nan", b"exit"])
    assert exits == "decode hook raised SystemExit: 0"
    said = capsys.readouterr()
    assert (said.out, said.err.count("a word of theirs")) == ("", 5), "stdout is for what a verb says"
    assert good == {"f1": 1.5}
    assert isinstance(bad, str)
    assert bad.startswith("decode hook raised ValueError: cannot read x")
    assert len(bad) < 120
    assert (listed, null) == ("decode hook returned list, a dict is needed", "no value (null)")
    assert feature_reasons([nan], {"f1": "number"}) == ["feature f1 is NaN"]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("decode", "the entry"),
        ("hooks_of_a_team:decode()", "the entry"),
        ("../x:decode", "the entry"),
        ("hooks_of_a_team_too:decode", "not on the allow-list"),  # a prefix ends at a dot
        ("os:system", "not on the allow-list"),
        ("hooks_of_a_team:nothing", "not there"),
        ("hooks_of_a_team:CONSTANT", "not callable"),
        ("hooks_of_a_team.sub:decode", "cannot be imported"),
    ],
)
def test_a_hook_that_is_not_allowed_or_not_there_is_refused(hooks: str, entry: str, what: str) -> None:
    with pytest.raises(ModelError, match=what) as caught:
        load_decode_hook(entry, [hooks])
    assert caught.value.way_out
    assert "hooks_of_a_team_too" not in sys.modules


# --- features


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"f1": ...}, "missing feature f1"),
        ({"yes": ...}, "missing feature yes"),
        ({"f2": "2.5"}, "feature f2 is str, declared number"),
        ({"f2": True}, "feature f2 is bool, declared number"),
        ({"f2": None}, "feature f2 is null, declared number"),
        ({"f2": [1]}, "feature f2 is list, declared number"),
        ({"f2": math.nan}, "feature f2 is NaN"),
        ({"f2": -math.inf}, "feature f2 is infinite"),
        ({"f2": 10**400}, "feature f2 is too large for a float64"),
        ({"word": 1}, "feature word is int, declared string"),
        ({"yes": 1}, "feature yes is int, declared boolean"),
        ({"yes": "true"}, "feature yes is str, declared boolean"),
    ],
)
def test_a_missing_or_wrong_feature_is_named_and_only_its_event_suffers(change: dict[str, Any], reason: str) -> None:
    bad = {name: value for name, value in (GOOD | change).items() if value is not ...}
    assert feature_reasons([GOOD, bad, GOOD, "not JSON: x"], FEATURES) == [None, reason, None, "not JSON: x"]
    assert feature_reasons([bad], FEATURES) == [reason]


def test_good_events_give_their_numbers_along() -> None:
    check = FeatureCheck(FEATURES)
    checked = check.check([GOOD, GOOD | {"f1": 10**30, "more": None}])
    assert checked.reasons == []
    assert check.numbers == ("f1", "f2")
    assert checked.numbers is not None
    assert checked.numbers.tolist() == [[1.0, 2.5], [1e30, 2.5]]


@pytest.mark.parametrize("features", [{}, {"f1": "number"}, {"word": "string"}, {"yes": "boolean"}])
def test_few_features_and_no_rows_are_no_special_case(features: dict[str, str]) -> None:
    assert feature_reasons([GOOD, GOOD], features) == [None, None]
    assert feature_reasons([], features) == []
    assert feature_reasons([{}], features) == ([f"missing feature {next(iter(features))}"] if features else [None])


anything: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, 1, -(2**63), 10**30, 10**400, 0.5, math.nan, math.inf, "", "w", [], {}]
)


changed = st.dictionaries(st.sampled_from([*FEATURES, "more"]), anything).map(lambda change: GOOD | change)


@given(st.lists(st.one_of(st.just("reason"), st.just({}), changed), max_size=10))
def test_a_row_is_judged_alike_alone_and_in_a_batch(rows: list[dict[str, Any] | str]) -> None:
    alone = [feature_reasons([row], FEATURES)[0] for row in rows]
    assert feature_reasons(rows, FEATURES) == alone
