"""The reference pipeline as it lives: all processes, events and labels all the time, and a sensor to shift."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from checkout import Verb, renamed
from waiting import until

from streambg.config import Pipeline, load
from streambg.control import verbs
from streambg.control.verbs import Said
from streambg.demo.data import Event, Row, Stream, load_rows
from streambg.demo.labelling import Labeller
from streambg.demo.producing import Sender
from streambg.demo.stories import Learner
from streambg.demo.train import learn, register
from streambg.kafka import profiles
from streambg.kafka.positions import read_settled
from streambg.records.source import COLORS
from streambg.servers.ports import free_port
from streambg.topicplan import ensure

# A replay opens eight consumers for each; that there are more of them is the matter of other tests.
PARTITIONS = 1
# A stream of which no test sees the end; the first odd event that is planted is its 800,000th.
EVENTS = 20_000_000
# Steps of hundreds of events, labels that come within seconds: some hundred events say enough at these margins.
PLAN = """\
metrics:
  correct: {kind: correctness, role: goal, margin: 2%, abort_margin: 0.5%}
  errors: {kind: error_rate, role: guardrail, margin: 5%}
rollout:
  coverage: {rows: 90%, labels: 50%}
  steps:
    - {weight: 0, events: 300, within: 10m, gates: all}
    - {weight: 20, events: 300, within: 10m, gates: all}
    - promote
  after_promotion: {watch: 2s, keep_warm: 1h}
"""
# Labels come after a second; and a transaction costs the broker more than the events in it.
SHORTER = (("horizon: 10s", "horizon: 3s"), ("every: 50ms", "every: 200ms"))
# Each batch that is sent wakes every process of the pipeline: few larger ones leave the processor to the tests.
BATCHES = {"linger.ms": 200}


class Turning(Stream):
    """The Shuttle data; while `turned`, with the first sensor shifted. last_turned: the last such event's number."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__(rows, EVENTS)
        self._other = Stream(rows, EVENTS, shift_from=0)
        self.turned = False
        self.last_turned = -1

    def event(self, number: int) -> Event:
        if not self.turned:
            return super().event(number)
        self.last_turned = number
        return self._other.event(number)


@dataclass
class Shuttle:
    """models: the first of them is live. environment: for verbs and scripts."""

    folder: Path
    pipeline: Pipeline
    models: list[str]
    stream: Turning
    sender: Sender
    up: Verb
    environment: dict[str, str]

    def verb(self, *words: str) -> Verb:
        return Verb(self.folder, *words, merged=False, **self.environment)

    def last_words(self) -> str:
        return "\n".join(self.up.said[-40:])


@contextmanager
def shuttle(
    folder: Path, kafka: str, redis_url: str, name: str, models: Sequence[Learner], rate: int
) -> Iterator[Shuttle]:
    """The first model is live; the processes and the stream end with the block."""
    file = renamed(folder, name) / "pipeline.yaml"
    head, rest = file.read_text().split("segments:", 1)
    assert "after_promotion" in rest, "the last section but labels"
    for usual, own in SHORTER:
        assert head.count(usual) == 1, usual
        head = head.replace(usual, own)
    file.write_text(head + PLAN)
    environment = {"STREAMBG_BOOTSTRAP": kafka, "STREAMBG_REDIS": redis_url}
    config = load(file, {**os.environ, **environment})
    ensure(config, PARTITIONS)
    rows = load_rows()
    refs = [each.ref for each in register(config.registry, [learn(how, rows) for how in models], datetime.now(UTC))]
    stream = Turning(rows)
    sending = {**profiles.idempotent_producer(config, "test.sender"), **BATCHES}
    sender = Sender(sending, config.topics.input, stream, rate, EVENTS)
    labeller = _labeller(config, stream, sender)
    up = Verb(folder, "up", "--metrics-port", str(free_port()), merged=True, **environment)
    shop = Shuttle(folder, config, refs, stream, sender, up, environment)
    try:
        with verbs.client(config) as control:
            verbs.deploy(control, config, "blue", refs[0], Said("test"), start="earliest").or_raise()
        sender.start()
        labeller.start()
        yield shop
    except BaseException as error:
        error.add_note(shop.last_words())
        raise
    finally:
        sender.stop()
        if labeller.ident is not None:  # it was started
            labeller.stop()
        up.close()


def _labeller(config: Pipeline, stream: Stream, sender: Sender) -> Labeller:
    labels: Any = config.labels
    writing = {**profiles.idempotent_producer(config, "test.labeller"), **BATCHES}
    return Labeller(
        writing, labels.topic, lambda: sender.sent, lambda number: stream.label(number, labels.key, labels.value)
    )


def published(shop: Shuttle, events: int, timeout: float = 60) -> None:
    """Until so many more events have been sent and settled."""
    wanted = shop.sender.sent + events
    until(lambda: shop.sender.sent >= wanted, timeout, f"{events} events more")
    config = shop.pipeline
    topics = [config.topics.predictions(color) for color in COLORS]
    reader = profiles.reader(config, "test")

    def settled() -> bool:
        found = read_settled(reader, config.groups.publisher, topics, range(PARTITIONS))
        return sum(each + 1 for each in found.values()) >= wanted

    until(settled, timeout, f"{wanted} events settled")
