"""P24: how transactional ids are taken over, on producers of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streambg.kafka.clients import Clients
from streambg.publishing.fencing import FENCE_TIMEOUT_S, fence_the_dead, leave_open


class Coordinator(Clients):
    """Its producers are told `answers` in turn, None: taken over; every call lasts a second."""

    def __init__(self, answers: Mapping[str, list[KafkaError | None]]) -> None:
        self.answers = answers
        self.calls: list[str] = []
        self.closed: list[str] = []
        self.refused: dict[int, KafkaError] = {}
        self.left = 0

    def consumer(self, _config: Mapping[str, Any]) -> Any:
        return Outsider()

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

    def begin_transaction(self) -> None: ...

    def send_offsets_to_transaction(self, *_: object) -> None: ...

    def produce(self, _topic: str, _value: None, _key: bytes, partition: int, _: None, delivered: Any) -> None:
        delivered(self._coordinator.refused.get(partition), None)

    def flush(self, _timeout: float) -> int:
        return self._coordinator.left

    def purge(self) -> None: ...

    def close(self) -> None:
        self._coordinator.closed.append(self._name)


class Outsider:
    def consumer_group_metadata(self) -> None: ...

    def close(self) -> None: ...


BUSY = KafkaError(KafkaError.CONCURRENT_TRANSACTIONS, "the broker still ends what was open", retriable=True)
SLOW = KafkaError(KafkaError._TIMED_OUT, "no answer yet")


def site(coordinator: Coordinator) -> Any:
    return SimpleNamespace(producer={}, reader={}, group="publisher", trusted_s=2.0, clients=coordinator)


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


def test_P24_what_is_left_open_reaches_every_partition_or_says_which_error_kept_it_from_there() -> None:
    """A partition that was not reached gets no marker, and what is forgotten there stays."""
    coordinator = Coordinator({"a": [None]})
    spots, position = [("out", 0), ("out", 1)], TopicPartition("predictions", 0)
    leave_open(site(coordinator), ["a"], position, spots)
    away = KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "no leader")
    coordinator.refused = {1: away}
    with pytest.raises(KafkaException) as caught:
        leave_open(site(coordinator), ["a"], position, spots)
    assert caught.value.args[0] is away
    coordinator.refused, coordinator.left = {}, 1
    with pytest.raises(KafkaException, match="not every partition was reached within 5 s"):
        leave_open(site(coordinator), ["a"], position, spots)
