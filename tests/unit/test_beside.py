"""P21: a call that does not return is left behind with its producer; too many of them end the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka import KafkaError, KafkaException
from waiting import until

from streambg.errors import Hung
from streambg.kafka import beside as beside_
from streambg.kafka import watched
from streambg.kafka.beside import MOST_LEFT, beside
from streambg.kafka.clients import KAFKA
from streambg.process.watch import WATCH


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What the calls wait for."""
    monkeypatch.setattr(beside_, "LATE_S", 0.01)
    release = threading.Event()
    yield release
    release.set()
    until(lambda: not any(thread.is_alive() for thread in beside_._left), 10, "the threads end once the calls return")


def test_P21_a_call_beside_comes_to_what_it_comes_to(stuck: threading.Event) -> None:
    said: list[str] = []
    beside("call", 5.0, partial(said.append, "done"), partial(said.append, "left"))
    assert said == ["done"]
    with pytest.raises(ZeroDivisionError):
        beside("call", 5.0, lambda: 1 // 0, stuck.set)
    assert not stuck.is_set()


def test_P21_calls_that_do_not_return_are_left_behind_and_too_many_end_the_process(stuck: threading.Event) -> None:
    left: list[int] = []

    def hangs() -> None:
        stuck.wait()

    for number in range(MOST_LEFT):
        with pytest.raises(KafkaException, match="has not returned within") as told:
            beside("commit_transaction", 0.0, hangs, partial(left.append, number))
        assert told.value.args[0].code() == KafkaError._TIMED_OUT
    assert left == list(range(MOST_LEFT))
    with pytest.raises(Hung, match=f"nor have {MOST_LEFT} such calls before"):
        beside("commit_transaction", 0.0, hangs, left.clear)


def test_P21_nothing_more_is_asked_of_a_producer_that_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    call = WATCH.call
    monkeypatch.setattr(WATCH, "call", lambda name, timeout: asked.append(name) or call(name, timeout))
    monkeypatch.setattr(watched, "beside", lambda _name, _timeout, _call, left: left())
    producer = KAFKA.producer({"bootstrap.servers": "127.0.0.1:1", "transactional.id": "t", "log_level": 0})
    producer.purge()
    producer.commit_transaction(0.0)
    producer.purge()
    assert asked == ["purge"]
