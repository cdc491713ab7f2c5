"""P21: a static member that is fenced by its own lost join goes on; one that another process fenced ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer
from pipelines import pipeline
from waiting import until

from streambg.errors import Fenced, SessionEnded
from streambg.kafka import profiles
from streambg.kafka.coreader import CoReader
from streambg.kafka.membership import own_joins_forgiven
from streambg.records.source import COLORS

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("lives", "raised"), [(False, SessionEnded), (True, Fenced)])
def test_P21_who_was_fenced_waits_whether_anybody_is_there(
    kafka: str, unique: str, tmp_path: Path, lives: bool, raised: type[Exception]
) -> None:
    """The second consumer takes the first one's instance id; where it then falls silent, it was a lost join."""
    with pipeline(tmp_path, kafka, unique, partitions=1) as run:
        config = {
            **profiles.co_reader(run.pipeline, f"{unique}.group", "member", "member"),
            "session.timeout.ms": 2_000,
        }
        topics = {color: run.pipeline.topics.predictions(color) for color in COLORS}
        first = CoReader(config, topics, lambda _: {(color, 0): 0 for color in COLORS}, lambda: None)
        until(lambda: first.poll(0.1, 10) or first.partitions, 20, "an assignment")
        second = Consumer(config)
        second.subscribe(list(topics.values()))
        try:
            until(lambda: second.poll(0.1) or second.assignment(), 20, "the other one has joined")
            if not lives:
                second.close()  # a static member that leaves is silent until its session ends
            with pytest.raises(raised), own_joins_forgiven(config, profiles.admin(run.pipeline)):
                until(lambda: first.poll(0.1, 10), 20, "the first one is fenced")
        finally:
            first.close()
            if lives:
                second.close()


def test_Z1_a_loop_that_stood_still_is_given_no_time() -> None:
    config = {"max.poll.interval.ms": -1, "group.id": "nobody asks", "group.instance.id": "i", "session.timeout.ms": 0}
    with pytest.raises(Fenced, match="replaced"), own_joins_forgiven(config, {"bootstrap.servers": "127.0.0.1:1"}):
        raise Fenced("replaced")
