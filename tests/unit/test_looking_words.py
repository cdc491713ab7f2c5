"""The sentence that says why; and bytes as people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pytest
from msgspec import structs

from streambg.control.state import ControlState, Deployment, Phase
from streambg.looking import why
from streambg.looking.event import Event, Given, Reached, as_json, status_words
from streambg.looking.why import Choice, Reply, choice_of
from streambg.looking.words import as_fields, parse_since, reasons, show, show_time
from streambg.records.outcome import GIVEN_UP, DeadLetter, Outcome, Why
from streambg.records.rules import Rules
from streambg.records.source import Color, Source

RULES = Rules(("p",), late_candidate_ms=2_000)
AT = Source("sensors", 3, 6821)


def state(weight: int = 1_000, phase: Phase = Phase.CANDIDATE, **more: object) -> ControlState:
    slots: dict[Color, Deployment | None] = {
        "blue": Deployment(0, "blue", "m:1", "sha256:" + "a" * 64, RULES),
        "green": None if phase is Phase.ALONE else Deployment(4, "green", "m:2", "sha256:" + "b" * 64, RULES),
    }
    return ControlState(
        epoch=5, phase=phase, live="blue", weight=weight, slots=slots, rules=structs.replace(RULES, **more)
    )  # type: ignore[arg-type] # rules by name


def replies(blue: Reply | None = None, green: Reply | None = None) -> dict[Color, Reply]:
    return {"blue": blue or Reply("ok"), "green": green or Reply("ok")}


def out(color: Color, said: Why) -> Outcome:
    return Outcome(AT, color, "m:1", "sha256:aa", 5, said)


def chosen(bucket: int | None, weight: int = 1_000) -> Choice:
    found = choice_of(state(weight), bucket)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("control", "bucket", "says"),
    [
        (state(), 412, "green was chosen: bucket 412 < weight 1000 (10 %) at epoch 5"),
        (state(), 1_000, "blue was chosen: bucket 1000 >= weight 1000 (10 %) at epoch 5"),
        (state(0), 412, "blue was chosen: it is live at epoch 5, and green's weight is 0"),
        (state(0, Phase.ALONE), None, "blue was chosen: it is live at epoch 5, and there is no candidate"),
        (state(5_000, Phase.WARM), 412, "blue was chosen: it is live at epoch 5, and there is no candidate"),
        (state(), None, "weight 1000 (10 %) at epoch 5 decides, and the event's bucket is not known"),
    ],
)
def test_P15_who_was_chosen(control: ControlState, bucket: int | None, says: str) -> None:
    choice = choice_of(control, bucket)
    assert choice is not None
    assert choice.words().startswith(says)


def test_P15_fallbacks_say_what_the_chosen_color_lacked() -> None:
    late = why.published(out("blue", "late"), chosen(412), replies(green=Reply("not yet")), state())
    assert late.text.startswith("blue instead of green: late; green's answer did not come within 2s; green was chosen")
    error = why.published(out("blue", "error"), chosen(412), replies(green=Reply("error", "NaN")), state())
    assert error.text.startswith("blue instead of green: error; green has an error: NaN; green was chosen: bucket 412")
    absent = why.published(out("blue", "absent"), chosen(412), replies(green=Reply("sampled")), state())
    assert "green did not answer it: it scored a sample then" in absent.text
    assert [late.doubt, error.doubt, absent.doubt] == ["", "", ""]


def test_what_does_not_fit_the_route_is_doubted() -> None:
    assert why.published(out("blue", "route"), chosen(412), replies(), state()).doubt
    assert why.published(out("green", "late"), chosen(412), replies(), state()).doubt
    assert why.published(out("blue", "route"), None, replies(), state()).doubt
    assert why.dead(DeadLetter(AT, 5, "blue", {"blue": "x", "green": "none"}), chosen(412)).doubt
    assert not why.published(out("blue", "route"), chosen(None), replies(), state()).doubt
    assert "recorded command" in why.published(out("blue", "supersedes"), chosen(412), replies(), state()).text


@pytest.mark.parametrize(
    ("reasons", "says"),
    [
        ({"blue": "not JSON", "green": "none"}, "blue could not answer: not JSON; green was not allowed to stand in"),
        ({"blue": "not JSON", "green": "late"}, "blue could not answer: not JSON; green's answer did not come in time"),
        (
            {"blue": "NaN", "green": "not JSON"},
            "blue could not answer: NaN; green's answer is an error as well: not JS",
        ),
        ({"blue": "none", "green": "not JSON"}, "blue did not answer (none); green's answer is an error as well"),
    ],
)
def test_P17_dead_letters(reasons: Mapping[str, str], says: str) -> None:
    told = why.dead(DeadLetter(AT, 5, "blue", reasons), chosen(4_000))
    assert told.text.startswith(says)
    assert told.text.endswith("blue was chosen: bucket 4000 >= weight 1000 (10 %) at epoch 5")
    assert not told.doubt


def test_P29_an_accepted_gap_is_no_failure_of_a_color() -> None:
    letter = DeadLetter(AT, 5, "blue", {"blue": GIVEN_UP, "green": GIVEN_UP})
    assert why.dead(letter, chosen(412)) == why.Why(
        "it was given up: a recorded `accept-gap`, settled under epoch 5; nobody was asked"
    )


@pytest.mark.parametrize(
    ("control", "bucket", "said", "says"),
    [
        (state(), 412, replies(green=Reply("not yet")), "it waits for green's answer (2s at most); blue answered"),
        (state(), 412, replies(Reply("not yet")), "green's answer is there: the publisher's next transaction"),
        (state(), 4_000, replies(Reply("not yet")), "it waits for blue's answer (for as long as it takes); green answ"),
        (state(), 412, replies(green=Reply("later")), "blue's answer is there"),
        (state(), 4_000, replies(Reply("error", "NaN")), "nobody can answer it: it will be a dead letter"),
        (state(live_failed="candidate"), 4_000, replies(Reply("error", "NaN")), "green's answer is there"),
        (state(0), 412, replies(Reply("error", "NaN")), "nobody can answer it"),
        (state(0, Phase.WARM), None, replies(Reply("error", "NaN")), "green's answer is there"),
        (state(), 4_000, replies(Reply("missing")), "blue says it is no event of the input"),
        (state(), None, replies(Reply("not yet")), "blue has not answered yet; green answered"),
        (state(), 412, replies(Reply("gone")), "blue's predictions of that time are no longer kept; green answered"),
    ],
)
def test_P14_P17_what_an_event_waits_for(
    control: ControlState, bucket: int | None, said: dict[Color, Reply], says: str
) -> None:
    choice = choice_of(control, bucket)
    assert choice is not None
    assert why.waiting(choice, said, control, first=True).startswith(says)


def test_the_turn_of_an_event_behind_others() -> None:
    assert why.waiting(chosen(4_000), replies(), state(), first=False).endswith("it goes out in its turn")


def test_a_status_for_every_state_of_not_yet() -> None:
    reached = Reached((100, 7_000), 50, 6_800, {"blue": 6_900, "green": 6_799})
    event = Event(AT, "waiting", why.Why("w"), reached, Given(b"m1", b"{}", 0))
    assert status_words(event) == "not settled yet: settled is 6800; 20 before it come first"
    fresh = replace(reached, settled=None)
    nothing = replace(event, reached=fresh, source=Source("sensors", 3, 51))
    assert status_words(nothing) == "not settled yet: settled is nothing; 1 before it come first"
    beyond = replace(event, status="beyond the end", source=Source("sensors", 3, 7_001), given=None)
    assert status_words(beyond) == "not there yet: the partition's last event is 6999"
    empty = replace(beyond, reached=replace(reached, input=(7_000, 7_000)))
    assert status_words(empty) == "not there yet: the partition is empty"
    assert beyond.input_words == "not written yet: the input's partition ends at 7000"
    below = replace(event, status="below the origin", source=Source("sensors", 3, 20), given=None)
    assert "began at 50" in status_words(below)
    assert below.input_words == "expired by retention: the input's partition begins at 100"
    assert "no longer kept" in status_words(replace(event, status="expired"))
    assert "no record" in status_words(replace(event, status="no event"))
    assert replace(event, given=None).input_words.startswith("no record")
    assert "nothing is deployed" in status_words(replace(event, status="not deployed"))
    assert "ATTENTION" in status_words(replace(event, status="lost"))


def test_json_masks_and_cuts_unless_full() -> None:
    value = json.dumps({"note": "x" * 300, "token": "abc"}).encode()
    reached = Reached((0, 7_000), 0, 6_800, {"blue": 6_900, "green": None})
    event = Event(AT, "waiting", why.Why("w"), reached, Given(b"\xff", value, 1_000))
    short, full = as_json(event, full=False)["input"], as_json(event, full=True)["input"]
    assert "abc" not in short["value"]
    assert short["value"].endswith(f"... ({len(value)} bytes)")
    assert full["value"] == value.decode()
    assert short["key_base64"] == "/w=="
    assert short["bytes"] == len(value)
    assert short["time"] == "1970-01-01T00:00:01.000+00:00"


# -- bytes and times ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "null"),
        (b"", ""),
        (b"plain", "plain"),
        (b"\x00\x01", "0x0001"),
        (b"\x1b[31m", "0x1b5b33316d"),
        (b"\xff" * 300, "0x" + "ff" * 100 + "... (300 bytes)"),
        (b"y" * 201, "y" * 200 + "... (201 bytes)"),
        (b'{"password": "x", "a": {"secret": "y"}}', '{"password": "***", "a": {"secret": "***"}}'),
        (b'{"a":1}', '{"a":1}'),
    ],
)
def test_show(data: bytes | None, says: str) -> None:
    assert show(data) == says


def test_show_full_keeps_everything() -> None:
    assert show(b'{"password": "x"}' + b" " * 300, full=True) == '{"password": "x"}' + " " * 300
    assert show(b"\x00" * 300, full=True) == "0x" + "00" * 300


def test_fields_lose_nothing() -> None:
    assert as_fields("value", "ü".encode()) == {"value": "ü"}
    assert as_fields("value", b"\xff\x00") == {"value_base64": "/wA="}
    assert as_fields("value", None) == {"value": None}


def test_since() -> None:
    assert parse_since("2h", 10_000_000) == 10_000_000 - 7_200_000
    assert parse_since("7d", 1_000) == 0
    moment = datetime(2026, 11, 27, 14, 30).astimezone()
    assert parse_since("2026-11-27T14:30", 0) == int(moment.timestamp() * 1_000)
    assert parse_since("2026-11-27T14:30+00:00", 0) == 1_795_789_800_000
    assert show_time(1_795_789_800_000) == "2026-11-27T14:30:00.000+00:00"
    with pytest.raises(ValueError, match="neither a duration"):
        parse_since("yesterday", 0)


def test_P17_a_color_that_was_not_asked_is_called_so() -> None:
    letter = DeadLetter(AT, 5, "blue", {"blue": "not JSON", "green": "none"})
    assert reasons(letter) == {"blue": "not JSON", "green": "not asked"}
    assert reasons(replace(letter, reasons={"blue": "none", "green": "late"})) == {"blue": "none", "green": "late"}
