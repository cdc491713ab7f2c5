"""What clients see of Kafka, as short scenarios: one run on the model, one on a real broker, and both see the same.

Each scenario returns what was seen. The model may be trusted for what stands here, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, TopicPartition

from simulation.bench import (
    CALL_S,
    LOOK_S,
    SHORT_S,
    Bench,
    ends,
    marked,
    member,
    outcome,
    producer,
    put,
    read,
    reader,
    short,
    until,
)
from streambg.kafka import profiles
from streambg.kafka.errors import is_fenced


def visibility(bench: Bench) -> Any:
    """Nothing of a transaction before its commit, nothing ever of an aborted one; markers take offsets."""
    topic, made = bench.create("t", 1), producer(bench, "a")
    made.begin_transaction()
    put(made, topic, "x", "y")
    seen: list[Any] = [read(bench, topic), read(bench, topic, stable=False), ends(bench, topic)]
    made.commit_transaction(CALL_S)
    made.begin_transaction()
    put(made, topic, "z")
    made.abort_transaction(CALL_S)
    made.begin_transaction()
    put(made, topic, "w")
    made.commit_transaction(CALL_S)
    marked(bench, topic)
    seen += [read(bench, topic), read(bench, topic, stable=False), ends(bench, topic), ends(bench, topic, stable=False)]
    return seen


def last_stable_offset(bench: Bench) -> Any:
    """A committed record stays hidden behind an older transaction that is still open."""
    topic, old, new = bench.create("t", 1), producer(bench, "a"), producer(bench, "b")
    old.begin_transaction()
    put(old, topic, "old")
    new.begin_transaction()
    put(new, topic, "new")
    new.commit_transaction(CALL_S)
    seen: list[Any] = [read(bench, topic), ends(bench, topic)]
    old.abort_transaction(CALL_S)
    marked(bench, topic)
    return [*seen, read(bench, topic), ends(bench, topic)]


def fencing(bench: Bench) -> Any:
    """A second producer of the same id aborts what the first had open; the first is told at its next call."""
    topic, first = bench.create("t", 1), producer(bench, "a")
    first.begin_transaction()
    put(first, topic, "lost")
    second = producer(bench, "a")
    second.begin_transaction()
    put(second, topic, "kept")
    second.commit_transaction(CALL_S)
    marked(bench, topic)
    return [outcome(lambda: first.commit_transaction(CALL_S)), read(bench, topic)]


def nothing_written(bench: Bench) -> Any:
    """A transaction without records or positions commits, and leaves no trace."""
    topic, made = bench.create("t", 1), producer(bench, "a")
    made.begin_transaction()
    return [outcome(lambda: made.commit_transaction(CALL_S)), ends(bench, topic)]


def out_of_range(bench: Bench) -> Any:
    """A position beyond the end is said, once, and nothing is skipped."""
    topic, made = bench.create("t", 1), producer(bench, "a")
    made.begin_transaction()
    put(made, topic, "x")
    made.commit_transaction(CALL_S)
    marked(bench, topic)
    return [read(bench, topic, start=1), read(bench, topic, start=2), read(bench, topic, start=50)]


def ends_at_once(bench: Bench) -> Any:
    """First and end offsets of several partitions, a question each: the ends are the last stable offsets."""
    topic, made = bench.create("t", 2), producer(bench, "a")
    made.begin_transaction()
    put(made, topic, "x")
    made.commit_transaction(CALL_S)
    marked(bench, topic)
    made.begin_transaction()
    put(made, topic, "open")
    asking = reader(bench)
    found = [
        asking.offsets_for_times([TopicPartition(topic, number, which) for number in (1, 0)], CALL_S)
        for which in (OFFSET_BEGINNING, OFFSET_END)
    ]
    asking.close()
    made.abort_transaction(CALL_S)
    return [[(one.partition, one.offset, one.error) for one in each] for each in found]


def ranges(bench: Bench) -> Any:
    """Partitions with one number of two topics come to one member; the instance ids decide who gets more."""
    topics = [bench.create(name, 3) for name in ("blue", "green")]
    one = member(bench, "g", "1", topics)
    until(bench, [one], lambda: len(one.assigned) == 6)
    seen = [short(bench, one.assigned)]
    two = member(bench, "g", "0", topics)
    until(bench, [one, two], lambda: len(one.assigned) + len(two.assigned) == 6 and bool(two.assigned))
    seen += [short(bench, one.assigned), short(bench, two.assigned)]
    seen.append(list(one.told))
    one.consumer.close()
    two.consumer.close()
    return seen


def more_members_than_partitions(bench: Bench) -> Any:
    """Who is left without any is told so: it is assigned nothing."""
    topic = bench.create("t", 1)
    one = member(bench, "g", "1", [topic])
    until(bench, [one], lambda: len(one.assigned) == 1)
    two = member(bench, "g", "0", [topic])
    until(bench, [one, two], lambda: bool(two.assigned) and len(one.told) == 3)
    seen = [short(bench, two.assigned), short(bench, one.assigned), list(one.told)]
    one.consumer.close()
    two.consumer.close()
    return seen


def stale_generation(bench: Bench) -> Any:
    """Fencing is by generation: an old one is refused, a foreign partition is not."""
    topic, made = bench.create("t", 2), producer(bench, "a")
    one = member(bench, "g", "0", [topic])
    until(bench, [one], lambda: len(one.assigned) == 2)
    before = one.consumer.consumer_group_metadata()
    positions = [TopicPartition(topic, 1, 7, metadata="mine")]
    made.begin_transaction()
    seen = [outcome(lambda: made.send_offsets_to_transaction(positions, before, CALL_S))]
    made.commit_transaction(CALL_S)
    two = member(bench, "g", "1", [topic])
    until(bench, [one, two], lambda: len(one.assigned) == 1 and len(two.assigned) == 1)
    made.begin_transaction()
    seen.append(outcome(lambda: made.send_offsets_to_transaction(positions, before, CALL_S)))
    made.abort_transaction(CALL_S)
    made.begin_transaction()
    now = one.consumer.consumer_group_metadata()
    foreign = [TopicPartition(topic, 1, 3, metadata="not mine")]
    seen.append(outcome(lambda: made.send_offsets_to_transaction(foreign, now, CALL_S)))
    made.commit_transaction(CALL_S)
    found = two.consumer.committed([TopicPartition(topic, 1)], CALL_S)[0]
    one.consumer.close()
    two.consumer.close()
    return [*seen, found.offset, found.metadata]


def static_member(bench: Bench) -> Any:
    """Who comes again under an instance id takes its place without a rebalance; who had it is fenced."""
    topic, made = bench.create("t", 2), producer(bench, "a")
    one, two = member(bench, "g", "0", [topic]), member(bench, "g", "1", [topic])
    until(bench, [one, two], lambda: len(one.assigned) == 1 and len(two.assigned) == 1)
    old, told = one.consumer.consumer_group_metadata(), len(two.told)
    again = member(bench, "g", "0", [topic])
    until(bench, [again, two], lambda: len(again.assigned) == 1)
    seen: list[Any] = [short(bench, again.assigned), two.told[told:]]
    made.begin_transaction()
    position = [TopicPartition(topic, 0, 1, metadata="m")]
    seen.append(outcome(lambda: made.send_offsets_to_transaction(position, old, CALL_S)))
    made.abort_transaction(CALL_S)
    errors: list[Any] = []

    def fenced() -> bool:
        message = one.consumer.poll(LOOK_S)
        if message is not None and message.error() is not None:
            errors.append(is_fenced(message.error()))
        return bool(errors)

    until(bench, [two], fenced)
    one.consumer.close()
    again.consumer.close()
    two.consumer.close()
    return [*seen, errors[0]]


def pending_positions(bench: Bench) -> Any:
    """Positions of an open transaction: who asks for stable ones waits, who does not sees the old ones."""
    topic, made = bench.create("t", 1), producer(bench, "a")
    group = f"{bench.name}.g"
    outsider = reader(bench, group=group)  # never a member: generation -1 is accepted
    who = outsider.consumer_group_metadata()

    def send(offset: int) -> None:
        made.begin_transaction()
        made.send_offsets_to_transaction([TopicPartition(topic, 0, offset, metadata=f"m{offset}")], who, CALL_S)

    def committed(stable: bool) -> Any:
        asking = reader(bench, stable=stable, group=group)
        try:
            found = asking.committed([TopicPartition(topic, 0)], SHORT_S if stable else CALL_S)[0]
            return found.offset, found.metadata
        except KafkaException as error:
            return error.args[0].name()
        finally:
            asking.close()

    seen = [committed(True)]
    send(5)
    made.commit_transaction(CALL_S)
    bench.look()
    seen.append(committed(True))
    send(9)
    seen += [committed(True), committed(False)]
    made.abort_transaction(CALL_S)
    bench.look()
    seen += [committed(True), committed(False)]
    outsider.close()
    return seen


def no_generation(bench: Bench) -> Any:
    """Who never joined may commit in a transaction; not under the instance id of a member, or of nobody."""
    topic, made = bench.create("t", 1), producer(bench, "a")
    one = member(bench, "g", "0", [topic])
    until(bench, [one], lambda: len(one.assigned) == 1)
    seen = []
    for instance in ("", "0", "1"):
        asked = profiles.reader(bench.pipeline, "contract", group=f"{bench.name}.g")
        asked |= {"group.instance.id": f"{bench.name}.{instance}"} if instance else {}
        nobody = bench.clients.consumer(asked)
        who = nobody.consumer_group_metadata()
        nobody.close()
        made.begin_transaction()
        position = [TopicPartition(topic, 0, 1, metadata="m")]
        seen.append(outcome(lambda who=who, position=position: made.send_offsets_to_transaction(position, who, CALL_S)))
        made.abort_transaction(CALL_S)
    one.consumer.close()
    return seen


SCENARIOS: dict[str, tuple[Callable[[Bench], Any], Any]] = {
    "visibility": (
        visibility,
        [
            ["end@0"],
            ["x@0", "y@1", "end@2"],
            (0, 0),
            ["x@0", "y@1", "w@5", "end@7"],
            ["x@0", "y@1", "z@3", "w@5", "end@7"],
            (0, 7),
            (0, 7),
        ],
    ),
    "last stable offset": (last_stable_offset, [["end@0"], (0, 0), ["new@1", "end@4"], (0, 4)]),
    "fencing": (fencing, ["fenced", ["kept@2", "end@4"]]),
    "nothing written": (nothing_written, ["ok", (0, 0)]),
    "out of range": (out_of_range, [["end@2"], ["end@2"], ["_AUTO_OFFSET_RESET"]]),
    "ends at once": (ends_at_once, [[(1, 0, None), (0, 0, None)], [(1, 0, None), (0, 2, None)]]),
    "range": (
        ranges,
        [
            ["blue/0", "blue/1", "blue/2", "green/0", "green/1", "green/2"],
            ["blue/2", "green/2"],
            ["blue/0", "blue/1", "green/0", "green/1"],
            ["assigned", "dropped", "assigned"],
        ],
    ),
    "more members than partitions": (
        more_members_than_partitions,
        [["t/0"], [], ["assigned", "dropped", "assigned"]],
    ),
    "stale generation": (stale_generation, ["ok", "ILLEGAL_GENERATION", "ok", 3, "not mine"]),
    "no generation": (no_generation, ["ok", "fenced", "UNKNOWN_MEMBER_ID"]),
    "static member": (static_member, [["t/0"], [], "fenced", True]),
    "pending positions": (
        pending_positions,
        [(-1001, None), (5, "m5"), "_TIMED_OUT", (5, "m5"), (5, "m5"), (5, "m5")],
    ),
}
