"""D: what is in the topics goes wrong."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException
from waiting import until

from chaos.scenario import scenario
from chaos.world import World
from streambg import topicplan


@scenario("D2", "committed positions deleted, publisher down", "resumes from the tail", counts=(1, 2, 5))
def positions_deleted(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(2, 4)
        at = world.members.kill("publisher.0", restart=False)
        until(lambda: _deleted(world), 40, "the broker counts no member any more")
        world.members.begin("publisher.0")
        world.recovered(at)
        world.injections += 1
    return True


def _deleted(world: World) -> bool:
    group = world.run.pipeline.groups.publisher
    try:
        world.run.admin.delete_consumer_groups([group], request_timeout=10)[group].result()
    except KafkaException:
        return False
    return True


@scenario("D3", "two partitions more, in the middle of cutovers", "0/0 from offset 0", counts=(1, 1, 2))
def partitions_added(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(2, 4)
        run = world.run
        topicplan.ensure(run.pipeline, run.partitions + 2)
        world.grow(run.partitions + 2)
        world.recovered(time.monotonic())
        world.injections += 1
    return True


@scenario(
    "D6",
    "1 % of the events are poison, the models raise on 1 %",
    "0/0, no restart",
    counts=(100, 300, 1_000),
    params={"1": {"raises_at": 17}, "2": {"raises_at": 71}},
)
def poison(world: World, count: int) -> bool:
    """Bytes that are no event, a missing feature, a NaN, nothing at all: each is one dead letter, beside what a color
    cannot answer and the other may not.
    """
    for number in range(count):
        bad = (b"\xff\xfe", b"{}", b'{"id": 1, "f1": NaN, "f2": 1}', None)[number % 4]
        world.feeder.put(bad, b"poison")
        world.pause(0.05, 0.15)
    world.injections = count
    world.checks.append(lambda: _answered(world, count))
    return True


def _answered(world: World, poison: int) -> bool:
    """A dead letter at least for each poison; the other color for some of the rest; and nobody was started again."""
    read = world.run.read()
    instead = sum(outcome.why == "error" for outcome in read.outcomes)
    world.notes.append(f"{len(read.letters):,} dead letters, {instead:,} answers by the other color")
    restarts = sum(len(world.members[name].ended) for name in world.members.names())
    return len(read.letters) >= poison and instead > 0 and restarts == 0
