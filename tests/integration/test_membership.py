"""P21: a static member that is fenced by its own lost join goes on; one that another process fenced ends."""

from __future__ import annotations

import threading
from itertools import product
from pathlib import Path
from typing import Any, Self

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import NewPartitions
from pipelines import Running, pipeline
from waiting import until

from streambg.errors import Fenced, SessionEnded
from streambg.kafka import profiles
from streambg.kafka.coreader import CoReader
from streambg.kafka.errors import is_fenced
from streambg.kafka.membership import Place
from streambg.records.source import COLORS

pytestmark = pytest.mark.integration


def test_P21_a_process_that_stood_still_is_given_no_time() -> None:
    """Nobody is asked: what it began before it stood still was expelled meanwhile."""
    config = {"group.id": "nobody asks", "group.instance.id": "i", "session.timeout.ms": 0}
    woken: Any = type("Watch", (), {"stood_still": lambda _self, _within_s: True})()
    place = Place(config, {"bootstrap.servers": "127.0.0.1:1"}, woken)
    session: Any = type("Session", (), {"member_id": "m"})()
    with pytest.raises(Fenced, match="replaced"), place.kept(session):
        raise Fenced("replaced")


class Beating:
    """Polls a consumer in a thread of its own; counts the turns, and how often it was fenced."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._over = threading.Event()
        self._turns = 0
        self.fenced = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(5)

    def beats(self, count: int) -> None:
        """Until so many more turns of 0.1 s are over."""
        goal = self._turns + count
        until(lambda: self._turns >= goal, 20, f"{count} turns")

    def _run(self) -> None:
        while not self._over.is_set():
            message = self._consumer.poll(0.1)
            self._turns += 1
            error = message.error() if message is not None else None
            self.fenced += error is not None and is_fenced(error)


class Members:
    """Consumers that take one place after the other; `asleep` longer than a session of 2 s they are expelled."""

    def __init__(self, run: Running, group: str) -> None:
        self.topics = {color: run.pipeline.topics.predictions(color) for color in COLORS}
        self.config = {
            **profiles.co_reader(run.pipeline, group, "member", "member"),
            "session.timeout.ms": 2_000,
            "max.poll.interval.ms": 2_000,
        }
        self.admin = profiles.admin(run.pipeline)

    def first(self) -> CoReader:
        reader = CoReader(
            self.config, self.topics, lambda numbers: dict.fromkeys(product(COLORS, numbers), 0), lambda: None
        )
        until(lambda: reader.poll(0.1, 10) or reader.partitions, 20, "an assignment")
        return reader

    def second(self) -> Consumer:
        """Another process, in the first one's place."""
        consumer = Consumer(self.config)
        consumer.subscribe(list(self.topics.values()))
        until(lambda: consumer.poll(0.1) or consumer.assignment(), 20, "the other one has joined")
        return consumer


def fenced_or_over(place: Place, reader: CoReader) -> None:
    """Its session until it is fenced, and the look before the next one."""
    try:
        with place.kept(reader):
            until(lambda: reader.poll(0.1, 10), 20, "it is fenced")
    except SessionEnded as error:
        place.look()
        raise error


@pytest.mark.parametrize(("lives", "raised"), [(False, SessionEnded), (True, Fenced)])
def test_P21_who_was_fenced_waits_whether_anybody_is_there(
    kafka: str, unique: str, tmp_path: Path, lives: bool, raised: type[Exception]
) -> None:
    """The second consumer takes the first one's place; where it then falls silent, it was a lost join."""
    with pipeline(tmp_path, kafka, unique, partitions=1) as run:
        members = Members(run, f"{unique}.group")
        place = Place(members.config, members.admin)
        first = members.first()
        second = members.second()
        try:
            with Beating(second) as heart:
                if not lives:
                    heart.stop()
                    second.close()  # a static member that leaves is silent until its session ends
                with pytest.raises(raised):
                    fenced_or_over(place, first)
        finally:
            first.close()
            if lives:
                second.close()


def test_P21_who_was_expelled_does_not_take_the_place_back_from_who_has_it_now(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    """Row Z1: the client itself would join again, and so fence the one that lives."""
    with pipeline(tmp_path, kafka, unique, partitions=1) as run:
        members = Members(run, f"{unique}.group")
        place = Place(members.config, members.admin)
        first = members.first()
        with place.kept(first):
            pass
        second = members.second()
        try:
            with Beating(second) as heart:
                heart.beats(30)  # 3 s: the first one was not polled for longer than it may be
                with pytest.raises((SessionEnded, Fenced)):
                    until(lambda: first.poll(0.1, 10), 20, "the first one learns of it")
                first.close()
                with pytest.raises(Fenced, match="another process has joined"):
                    place.look()
                heart.beats(20)
                assert heart.fenced == 0
        finally:
            second.close()


def test_P13_partitions_that_were_added_while_a_member_was_away_are_shared_out(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    """A static member is given what it had before; the client it comes back with knows nothing of another count."""
    with pipeline(tmp_path, kafka, unique, partitions=1) as run:
        members = Members(run, f"{unique}.group")
        members.config |= {"session.timeout.ms": 10_000, "max.poll.interval.ms": 10_000}  # it is not missed meanwhile
        place = Place(members.config, members.admin)
        members.first().close()
        more = {topic: NewPartitions(topic, 2) for topic in members.topics.values()}
        for future in run.admin.create_partitions(list(more.values())).values():
            future.result(20)
        again = members.first()
        try:
            assert again.partitions == frozenset({0})

            def shared_out() -> bool:
                again.poll(0.1, 10)
                place.share_out(2, again)
                return again.partitions == frozenset({0, 1})

            until(shared_out, 20, "both partitions")
            joined = again.member_id
            until(lambda: shared_out() and place._shared == (joined, 2), 10, "it is known to be well")
        finally:
            again.close()
