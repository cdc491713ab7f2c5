"""P21: who has a member's place, and what that means for whoever wants to join again."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streambg.errors import Fenced, SessionEnded
from streambg.kafka import membership
from streambg.kafka.membership import LEASED, Place


class Group:
    """Whoever has the place, look after look; the last answer stays."""

    def __init__(self, *answers: str | int) -> None:
        self._answers = list(answers)

    def described(self, _admin: object, _group: str) -> list[Any]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, int):
            raise KafkaException(KafkaError(answer))
        return [type("Member", (), {"member_id": answer, "group_instance_id": "i"})] if answer else []


def place(monkeypatch: pytest.MonkeyPatch, *answers: str | int, own: str = "mine", still: bool = False) -> Place:
    monkeypatch.setattr(membership, "_described", Group(*answers).described)
    monkeypatch.setattr(membership, "AdminClient", lambda _config: object())
    monkeypatch.setattr(membership, "MARGIN_S", 0.1)
    monkeypatch.setattr(membership, "LOOK_EVERY_S", 0.01)
    watch: Any = type("Watch", (), {"stood_still": lambda _self, _within_s: still})()
    made = Place({"group.id": "g", "group.instance.id": "i", "session.timeout.ms": 0}, {}, watch)
    made._own = own
    return made


def test_P21_the_first_session_takes_its_slot_and_a_later_one_its_own_place(monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, "theirs", own="").look()
    place(monkeypatch, "mine").look()
    place(monkeypatch, "").look()


@pytest.mark.parametrize(("answers", "still"), [(("theirs",), False), (("theirs", ""), True)])
def test_P21_nobody_joins_where_another_process_is(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...], still: bool
) -> None:
    """One that stood still does not wait until its own lost joins are expelled: they are."""
    with pytest.raises(Fenced, match="another process has joined g as i"):
        place(monkeypatch, *answers, still=still).look()


def test_P21_a_lost_join_of_its_own_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, "lost", "lost", "").look()


def test_P21_who_may_take_another_slot_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEASED, "1")
    with pytest.raises(Fenced):
        place(monkeypatch, "lost", "lost", "").look()


def test_P21_where_nobody_can_say_the_session_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SessionEnded, match="who is in g is unknown"):
        place(monkeypatch, KafkaError._TIMED_OUT).look()
    place(monkeypatch, KafkaError.GROUP_AUTHORIZATION_FAILED).look()


def test_P21_the_place_of_the_last_session_that_had_one_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = place(monkeypatch, "second", own="")
    for member_id in ("first", "second", ""):
        with mine.kept(type("Session", (), {"member_id": member_id})()):
            pass
    mine.look()
