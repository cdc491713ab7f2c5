"""Reads what was published last: the tail of the outcomes and the cutover records (P25)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streambg.errors import SessionEnded
from streambg.kafka.clients import KAFKA, Clients
from streambg.kafka.looking import Spot, ranges, read_on
from streambg.publishing.resume import Tail
from streambg.records.cutover import Cutover, Superseded, decode_cutover
from streambg.records.outcome import decode_dead_letter, find_header, parse_header

# Most tails are among the last few records; markers and superseding records push them back: look further each time.
FIRST_LOOK = 16
LOOK_FURTHER = 8
# All tails of a busy member were read in 0.1 s; a broker that needs this long is in trouble: start over.
DEADLINE_S = 20.0
WATERMARK_TIMEOUT_S = 10.0
SUPERSEDES = b" supersedes"  # the last word of a header

log = structlog.get_logger("streambg.publisher")

Parse = Callable[[Message], Tail | None]


def read_tails(
    config: Mapping[str, Any],
    output: str,
    dead_letters: str,
    floors: Mapping[int, int],
    begins: Mapping[int, int],
    clients: Clients = KAFKA,
) -> dict[int, Tail | None]:
    """The tail of each partition in `floors`, whose value is the least epoch that counts there.

    begins: the first log offset of the output that counts; below it stand other people's records, millions perhaps.
    """
    consumer = clients.consumer({**config, "enable.partition.eof": True})
    try:
        found: dict[Spot, Tail | None] = {}
        todo: dict[Spot, Parse] = {}
        for partition in floors:
            todo[output, partition] = _output_tail
            todo[dead_letters, partition] = _dead_letter_tail
        ends = ranges(consumer, todo, WATERMARK_TIMEOUT_S)
        for partition, begin in begins.items():
            low, high = ends[output, partition]
            ends[output, partition] = (min(max(low, begin), high), high)
        look, deadline = FIRST_LOOK, clients.now() + DEADLINE_S
        while todo:
            starts = {spot: max(ends[spot][0], ends[spot][1] - look) for spot in todo}
            last = _last_records(clients, consumer, starts, todo, floors, deadline)
            for spot in list(todo):
                if last[spot] is not None or starts[spot] == ends[spot][0]:
                    found[spot] = last[spot]
                    del todo[spot]
            look *= LOOK_FURTHER
    finally:
        consumer.close()
    return {
        partition: max(
            (tail for topic in (output, dead_letters) if (tail := found[topic, partition]) is not None),
            key=lambda tail: tail.offset,
            default=None,
        )
        for partition in floors
    }


def _last_records(
    clients: Clients,
    consumer: Consumer,
    starts: Mapping[Spot, int],
    parse: Mapping[Spot, Parse],
    floors: Mapping[int, int],
    deadline: float,
) -> dict[Spot, Tail | None]:
    last: dict[Spot, Tail | None] = dict.fromkeys(starts)
    for message in read_on(consumer, starts, deadline - clients.now(), clients=clients):
        spot = (message.topic() or "", message.partition() or 0)
        tail = parse[spot](message)
        if tail is not None and tail.epoch >= floors[spot[1]]:
            best = last[spot]
            last[spot] = tail if best is None or tail.offset > best.offset else best
    return last


def output_says(message: Message) -> tuple[Tail, bool]:
    """What a record of the output says, and whether it supersedes. Raises ValueError for a foreign one."""
    outcome = parse_header(_header(message))
    return Tail(outcome.source.offset, outcome.epoch), outcome.why == "supersedes"


def letter_says(message: Message) -> tuple[Tail, bool]:
    """What a record of the dead letters says, and whether it supersedes. Raises ValueError for a foreign one."""
    letter = decode_dead_letter(message.value() or b"")
    return Tail(letter.source.offset, letter.epoch), letter.supersedes


def _header(message: Message) -> bytes:
    return find_header(message.headers()) or b""  # type: ignore[arg-type] # confluent-kafka types values as str | bytes | None


def _output_tail(message: Message) -> Tail | None:
    if _header(message).endswith(SUPERSEDES):
        return None  # a million may stand there (P36): not worth more than a look
    try:
        return output_says(message)[0]
    except ValueError as error:
        log.warning("foreign_record", topic=message.topic(), offset=message.offset(), why=str(error))
        return None


def _dead_letter_tail(message: Message) -> Tail | None:
    try:
        tail, supersedes = letter_says(message)
    except ValueError as error:
        log.warning("foreign_record", topic=message.topic(), offset=message.offset(), why=str(error))
        return None
    return None if supersedes else tail


def first_stamped(
    config: Mapping[str, Any], begins: Mapping[str, int], partition: int, epoch: int, clients: Clients = KAFKA
) -> int | None:
    """The first source offset stamped with `epoch` in any of the outcome topics that still hold it (P25).

    begins: the first log offset that counts in each of them.
    Epochs never go back within a partition, so each log is searched by halves: a dozen reads of one record.
    """
    consumer = clients.consumer({**config, "enable.partition.eof": True})
    try:
        found = [_first_of(clients, consumer, (topic, partition), begin, epoch) for topic, begin in begins.items()]
    finally:
        consumer.close()
    return min((offset for offset in found if offset is not None), default=None)


def _first_of(clients: Clients, consumer: Consumer, spot: Spot, begin: int, epoch: int) -> int | None:
    low, high = ranges(consumer, [spot], WATERMARK_TIMEOUT_S)[spot]
    low = max(low, begin)
    first: int | None = None
    while low < high:
        middle = (low + high) // 2
        there = _outcome_from(clients, consumer, spot, middle)
        if there is not None and there[1].epoch < epoch:
            low = there[0] + 1
            continue
        high = middle
        if there is not None and there[1].epoch == epoch:
            first = there[1].offset
    return first


def _outcome_from(clients: Clients, consumer: Consumer, spot: Spot, at: int) -> tuple[int, Tail] | None:
    """(log offset, what it says) of the first outcome at or behind `at`; None where there is none."""
    consumer.assign([TopicPartition(*spot, at)])
    deadline = clients.now() + DEADLINE_S
    while clients.now() < deadline:
        message = consumer.poll(0.1)
        error = message.error() if message is not None else None
        if message is None:
            continue
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return None
        if error is not None:
            raise KafkaException(error)
        tail = _output_tail(message) if _header(message) else _dead_letter_tail(message)
        if tail is not None:
            return message.offset() or 0, tail
    raise SessionEnded(f"{spot[0]}/{spot[1]} was not read within {DEADLINE_S:g} s")


def _written(clients: Clients, config: Mapping[str, Any], topic: str) -> int:
    """The end of the topic for its writers: above the last stable offset where a transaction is open."""
    consumer = clients.consumer({**config, "isolation.level": "read_uncommitted"})
    try:
        return ranges(consumer, [(topic, 0)], WATERMARK_TIMEOUT_S)[topic, 0][1]
    finally:
        consumer.close()


@dataclass(frozen=True, slots=True)
class Settlements:
    """What the cutovers topic says of each partition: cutovers in the order of epochs, and how far each `supersede` is
    carried out, by its epoch.
    """

    cutovers: dict[int, list[Cutover]]
    superseded: dict[int, dict[int, Superseded]]

    def last_superseded(self, partition: int) -> Superseded | None:
        """Of the last `supersede` that was begun there."""
        notes = self.superseded.get(partition, {})
        return notes[max(notes)] if notes else None

    def superseded_to(self, partition: int) -> tuple[int, int]:
        """(epoch, source offset) up to where superseding records are committed there (P36)."""
        last = self.last_superseded(partition)
        return (last.epoch, last.superseded) if last is not None else (-1, -1)


def read_settlements(
    config: Mapping[str, Any], topic: str, clients: Clients = KAFKA, *, complete: bool = False
) -> Settlements:
    """The whole topic. A handful of records a command: it is small.

    complete: wait for the transactions that are open now. All publishers share the topic, so an open one of a living
    publisher hides the records that others have committed behind it (P24); raises Unreachable where it stays open.
    """
    at_least = _written(clients, config, topic) if complete else 0
    consumer = clients.consumer({**config, "enable.partition.eof": True})
    try:
        low, _ = ranges(consumer, [(topic, 0)], WATERMARK_TIMEOUT_S)[topic, 0]
        messages = read_on(consumer, {(topic, 0): low}, DEADLINE_S, at_least=at_least, clients=clients)
    finally:
        consumer.close()
    cutovers: dict[int, dict[int, Cutover]] = {}
    superseded: dict[int, dict[int, Superseded]] = {}
    for message in messages:
        try:
            record = decode_cutover(message.value() or b"")
        except ValueError as error:
            log.warning("foreign_record", topic=topic, offset=message.offset(), why=str(error))
            continue
        if isinstance(record, Cutover):
            cutovers.setdefault(record.partition, {})[record.epoch] = record
        else:
            superseded.setdefault(record.partition, {})[record.epoch] = record
    in_order = {partition: [by_epoch[epoch] for epoch in sorted(by_epoch)] for partition, by_epoch in cutovers.items()}
    return Settlements(in_order, superseded)


def read_cutovers(
    config: Mapping[str, Any], topic: str, clients: Clients = KAFKA, *, complete: bool = False
) -> dict[int, list[Cutover]]:
    """Every cutover record, per partition in the order of epochs; see `read_settlements`."""
    return read_settlements(config, topic, clients, complete=complete).cutovers
