"""P13, P21, P23: what a co-partitioned reader accepts; on a consumer of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Message, TopicPartition

from streambg.errors import SessionEnded
from streambg.kafka.coreader import CoReader
from streambg.records.source import Color

TOPICS: dict[Color, str] = {"blue": "p.blue", "green": "p.green"}


class Broker:
    """A consumer that hands out what the test says; `join` makes it a member."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.assigned: list[TopicPartition] = []
        self.member = False
        self._on_assign: Callable[[Any, list[TopicPartition]], None] | None = None
        self._on_lost: Callable[[Any, list[TopicPartition]], None] | None = None

    def subscribe(self, _topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.member, self._on_assign, self._on_lost = True, on_assign, on_lost

    def unsubscribe(self) -> None:
        self.member = False

    def expel(self) -> None:
        assert self._on_lost is not None
        self._on_lost(self, self.assigned)

    def join(self, *spots: tuple[str, int]) -> None:
        assert self._on_assign is not None
        self._on_assign(self, [TopicPartition(*spot) for spot in spots])

    def memberid(self) -> str:
        return "m"

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = partitions

    def resume(self, _partitions: list[TopicPartition]) -> None: ...

    def poll(self, _timeout: float) -> Message | None:
        return self.messages.pop(0) if self.messages else None

    def consume(self, _count: int, _timeout: float) -> list[Message]:
        found, self.messages = self.messages, []
        return found

    def brings(self, topic: str, partition: int, *offsets: int) -> None:
        self.messages += [
            Message(topic=topic, partition=partition, offset=offset, value=b"v", timestamp=(2, 1)) for offset in offsets
        ]


@pytest.fixture
def reader() -> tuple[CoReader, Broker]:
    """Both colors' partition 3 begin at log offset 7, wherever it is assigned."""
    broker = Broker()
    clients: Any = type("Clients", (), {"consumer": lambda _self, _config: broker})()

    def starts(partitions: frozenset[int]) -> dict[tuple[Color, int], int]:
        return {(color, number): 7 for color in TOPICS for number in partitions}

    return CoReader({}, TOPICS, starts, lambda: None, clients), broker


def test_P23_records_are_taken_one_behind_the_other(reader: tuple[CoReader, Broker]) -> None:
    made, broker = reader
    broker.join(("p.blue", 3), ("p.green", 3))
    broker.brings("p.blue", 3, 7, 8)
    broker.brings("p.green", 3, 7)
    broker.brings("p.green", 4, 99)  # revoked while this `consume` was under way
    assert [(each.color, each.offset) for each in made.poll(0, 10)] == [("blue", 7), ("blue", 8), ("green", 7)]
    assert (made.next_offset("blue", 3), made.next_offset("green", 3)) == (9, 8)


@pytest.mark.parametrize("offset", [6, 7, 9])
def test_P23_anything_but_the_next_record_ends_the_session(reader: tuple[CoReader, Broker], offset: int) -> None:
    """A silent skip, a record that came already, or one of before a seek."""
    made, broker = reader
    broker.join(("p.blue", 3), ("p.green", 3))
    broker.brings("p.blue", 3, 7, offset)
    with pytest.raises(SessionEnded, match=f"p.blue/3: expected offset 8, got {offset}"):
        made.poll(0, 10)


def test_P13_partitions_that_are_not_co_assigned_end_the_session(reader: tuple[CoReader, Broker]) -> None:
    made, broker = reader
    broker.join(("p.blue", 3), ("p.green", 4))
    assert broker.assigned == []
    with pytest.raises(SessionEnded, match=r"not co-assigned: blue \[3\], green \[4\]"):
        made.poll(0, 10)


def test_P24_who_is_assigned_nothing_is_told_so() -> None:
    """There are more members than partitions: what it had begun must be ended all the same."""
    told: list[frozenset[int]] = []
    broker = Broker()
    clients: Any = type("Clients", (), {"consumer": lambda _self, _config: broker})()

    def starts(partitions: frozenset[int]) -> dict[tuple[Color, int], int]:
        told.append(partitions)
        return {}

    CoReader({}, TOPICS, starts, lambda: None, clients)
    broker.join()
    assert told == [frozenset()]


def test_P21_who_was_expelled_ends_its_session_and_does_not_join_again_by_itself(
    reader: tuple[CoReader, Broker],
) -> None:
    """Somebody may have its place by now."""
    made, broker = reader
    broker.join(("p.blue", 3), ("p.green", 3))
    broker.expel()
    assert not broker.member
    assert made.partitions == frozenset()
    with pytest.raises(SessionEnded, match="expelled this member"):
        made.poll(0, 10)
