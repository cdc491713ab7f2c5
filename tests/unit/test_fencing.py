"""P24: how transactional ids are taken over, on producers of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streambg.kafka.clients import Clients
from streambg.publishing.fencing import FENCE_TIMEOUT_S, fence_the_dead


class Coordinator(Clients):
    """Its producers are told `answers` in turn, None: taken over; every call lasts a second."""

    def __init__(self, answers: Mapping[str, list[KafkaError | None]]) -> None:
        self.answers = answers
        self.calls: list[str] = []
        self.closed: list[str] = []

    def producer(self, config: Mapping[str, Any]) -> Any:
        return Taker(self, config["transactional.id"])

    def now(self) -> float:
        return float(len(self.calls))


class Taker:
    def __init__(self, coordinator: Coordinator, name: str) -> None:
        self._coordinator, self._name = coordinator, name

    def init_transactions(self, _timeout: float) -> None:
        self._coordinator.calls.append(self._name)
        answers = self._coordinator.answers[self._name]
        error = answers.pop(0) if len(answers) > 1 else answers[0]
        if error is not None:
            raise KafkaException(error)

    def close(self) -> None:
        self._coordinator.closed.append(self._name)


BUSY = KafkaError(KafkaError.CONCURRENT_TRANSACTIONS, "the broker still ends what was open", retriable=True)
SLOW = KafkaError(KafkaError._TIMED_OUT, "no answer yet")


def site(coordinator: Coordinator) -> Any:
    return SimpleNamespace(producer={}, clients=coordinator)


def test_P24_all_dead_ids_are_asked_for_before_any_is_waited_for() -> None:
    coordinator = Coordinator({"a": [SLOW, BUSY, None], "b": [SLOW, None], "c": [None]})
    fence_the_dead(site(coordinator), {"a", "b", "c"})
    assert coordinator.calls == ["a", "b", "c", "a", "b", "a"]
    assert coordinator.closed == ["a", "b", "c"]


def test_P24_an_id_that_cannot_be_taken_over_is_said() -> None:
    denied = KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "no")
    coordinator = Coordinator({"a": [denied]})
    with pytest.raises(KafkaException) as caught:
        fence_the_dead(site(coordinator), {"a"})
    assert caught.value.args[0] is denied
    assert coordinator.calls == ["a"]


def test_P24_a_coordinator_that_stays_busy_is_given_up() -> None:
    coordinator = Coordinator({"a": [BUSY]})
    with pytest.raises(KafkaException):
        fence_the_dead(site(coordinator), {"a"})
    assert len(coordinator.calls) == FENCE_TIMEOUT_S
    assert coordinator.closed == []
