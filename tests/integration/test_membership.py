"""P21: a static member that is fenced by its own repeated join goes on; one that another process fenced ends."""

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


@pytest.mark.parametrize(("client_id", "raised"), [(None, SessionEnded), ("somebody~0", Fenced)])
def test_P21_who_was_fenced_looks_by_whom(
    kafka: str, unique: str, tmp_path: Path, client_id: str | None, raised: type[Exception]
) -> None:
    """The second consumer has the first one's instance id. With our signature it is the join whose answer was lost."""
    with pipeline(tmp_path, kafka, unique, partitions=1) as run:
        config = dict(profiles.co_reader(run.pipeline, f"{unique}.group", "member", "member"))
        topics = {color: run.pipeline.topics.predictions(color) for color in COLORS}
        starts = {(color, 0): 0 for color in COLORS}
        first = CoReader(config, topics, lambda _: starts, lambda: None)
        until(lambda: first.poll(0.1, 10) or first.partitions, 20, "an assignment")
        second = Consumer({**config, "client.id": client_id or config["client.id"]})
        second.subscribe(list(topics.values()))
        try:
            until(lambda: second.poll(0.1) or second.assignment(), 20, "the other one has joined")
            with pytest.raises(raised), own_joins_forgiven(config, profiles.admin(run.pipeline)):
                until(lambda: first.poll(0.1, 10), 20, "the first one is fenced")
        finally:
            first.close()
            second.close()
