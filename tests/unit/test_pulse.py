"""When a process is well: its turns, its sessions, and what `/healthz` answers."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import KafkaError, KafkaException

from streambg.errors import Denied, SessionEnded
from streambg.process.frame import Frame
from streambg.process.pulse import GOOD_SESSION_S, LIMIT_S, Pulse
from streambg.web.health import Endpoint


def begun(at: float = 0.0) -> Pulse:
    pulse = Pulse()
    pulse.begins(at)
    return pulse


def test_it_is_well_from_its_first_turn_on() -> None:
    pulse = begun()
    assert pulse.report(100) == {
        "ok": False, "unwell": "it is starting", "sessions": 1, "session_ended": None, "last_turn_s": None,
    }  # fmt: skip
    pulse.turns(100)
    assert pulse.report(100.04)["ok"]
    assert pulse.report(100.04)["last_turn_s"] == 0.0


def test_a_start_that_fails_says_why() -> None:
    pulse = begun()
    pulse.ends("no broker", 1)
    assert pulse.unwell(2) == "no broker"


def test_without_a_turn_for_half_a_minute_it_is_unwell_until_the_next() -> None:
    pulse = begun()
    pulse.turns(5)
    assert pulse.unwell(5 + LIMIT_S) is None
    assert pulse.unwell(5 + LIMIT_S + 1) == "its loop last went around 31 s ago, the limit is 30 s"
    pulse.turns(40)
    assert pulse.unwell(41) is None


def test_sessions_that_end_again_and_again_are_unwell_although_each_takes_turns() -> None:
    pulse, now = begun(), 0.0
    while now <= LIMIT_S:
        pulse.turns(now)
        assert pulse.unwell(now) is None, "one end, or some, is what starting over is for"
        pulse.ends("fenced by nobody", now)
        now += GOOD_SESSION_S / 2
        pulse.begins(now)
    pulse.turns(now)
    assert pulse.unwell(now) == "for 35 s no session has lasted 10 s, the limit is 30 s: fenced by nobody"
    pulse.turns(now + GOOD_SESSION_S)
    assert pulse.unwell(now + GOOD_SESSION_S) is not None, "not before it was a good one"
    pulse.turns(now + GOOD_SESSION_S + 1)
    assert pulse.unwell(now + GOOD_SESSION_S + 1) is None


def test_a_good_session_between_two_that_fail_begins_anew() -> None:
    pulse = begun()
    for at in (0.0, 2 * LIMIT_S, 4 * LIMIT_S):
        pulse.begins(at)
        pulse.turns(at + GOOD_SESSION_S + 1)
        pulse.ends("a broker went away", at + GOOD_SESSION_S + 1)
        assert pulse.unwell(at + GOOD_SESSION_S + 2) is None


def test_a_session_that_has_done_its_work_is_no_failure() -> None:
    """A scorer's ends where another deployment is in force."""
    pulse = begun()
    pulse.turns(1)
    pulse.ends("once", 1)
    pulse.begins(2)
    pulse.turns(3)
    pulse.ends(None, 3)
    assert pulse.report(3)["session_ended"] is None
    pulse.turns(LIMIT_S + 2)
    assert pulse.unwell(LIMIT_S + 2) is None


@pytest.fixture
def signals() -> Iterator[None]:
    """A frame listens to them for its process."""
    kept = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in kept.items():
        signal.signal(each, handler)


def asked(port: int) -> tuple[int, Any]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as unwell:
        with unwell:
            return unwell.code, json.load(unwell)


@pytest.mark.usefixtures("signals")
def test_over_http_a_process_is_well_while_it_turns_and_says_nothing_else() -> None:
    own: dict[str, Any] = {"epoch": 4}
    frame = Frame("scorer green", Endpoint(), lambda: own)
    seen = []

    def session() -> None:
        seen.append(asked(frame.port))
        if len(seen) == 1:
            raise SessionEnded("the broker went away")
        frame.turned()
        seen.append(asked(frame.port))
        own["ok"] = False  # a model that cannot be loaded
        seen.append(asked(frame.port))
        frame.stop()

    assert frame.run(session) == 0
    assert [status for status, _ in seen] == [503, 503, 200, 503]
    assert [said["unwell"] for _, said in seen] == ["it is starting", "the broker went away", None, None]
    assert seen[2][1]["epoch"] == 4


@pytest.mark.usefixtures("signals")
def test_a_clients_error_that_no_session_named_is_what_it_means() -> None:
    """A broker with a full disk answers anything with it: the session starts over, the process does not end."""
    frame = Frame("scorer green", Endpoint(), dict)
    raised = [KafkaError.KAFKA_STORAGE_ERROR, KafkaError.TOPIC_AUTHORIZATION_FAILED]

    def session() -> None:
        raise KafkaException(KafkaError(raised.pop(0)))

    assert frame.run(session) == Denied.exit_code
    assert raised == []
