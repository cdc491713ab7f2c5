"""The evidence topic: snapshots in, the best snapshot of each key out (P30)."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from streambg.comparing.pair import LABELS, Pair
from streambg.comparing.site import ClientConfig
from streambg.comparing.snapshot import BadSnapshot, Snapshot, decode, encode
from streambg.errors import SessionEnded, Unreachable
from streambg.records.foreign import decoded

# The topic is compacted and holds a few segments of at most 16 MiB; a broker that is up hands it over in a second.
READ_TIMEOUT_S = 30.0
WATERMARK_TIMEOUT_S = 5.0
# A snapshot that is not delivered by then is given up: the next one holds more.
FLUSH_TIMEOUT_S = 5.0

log = structlog.get_logger("streambg.comparator")


class _Rank(msgspec.Struct):
    start: int
    compared: int


_rank = msgspec.msgpack.Decoder(_Rank)


@dataclass(frozen=True, slots=True)
class _Kept:
    rank: tuple[int, int]
    value: bytes


class EvidenceReader:
    """Follows the topic on request; keeps the best snapshot of each key, as bytes."""

    def __init__(self, config: ClientConfig, topic: str) -> None:
        self._consumer = Consumer({**config, "enable.partition.eof": True})
        self._topic = topic
        self._next: int | None = None
        self._kept: dict[bytes, _Kept] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        self._consumer.close()

    def catch_up(self) -> None:
        """Read to the end as it is now. Raises SessionEnded."""
        try:
            self._catch_up()
        except KafkaException as error:
            raise SessionEnded(f"{self._topic}: {error}") from error

    def _catch_up(self) -> None:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), WATERMARK_TIMEOUT_S)
        if self._next is None or self._next < low or self._next > high:
            self._next = int(low)
            self._consumer.assign([TopicPartition(self._topic, 0, self._next)])
        deadline = time.monotonic() + READ_TIMEOUT_S
        while self._next < high:
            if time.monotonic() > deadline:
                raise SessionEnded(
                    f"{self._topic} was not read to its end {high} within {READ_TIMEOUT_S:g} s; read is {self._next}"
                )
            for message in self._consumer.consume(500, 0.1):
                self._take(message)

    def _take(self, message: Message) -> None:
        error = message.error()
        offset = message.offset() or 0
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            self._next = max(self._next or 0, offset)  # compaction may leave no record before the end
            return
        self._next = offset + 1
        self.put(message.key() or b"", message.value())

    def put(self, key: bytes, value: bytes | None) -> None:
        """One record, read or delivered: kept where it is better than what is kept.

        Of two with one key the one that begins later: it had to start over, for what was before is lost; among those
        that begin alike the one that compared more.
        """
        if value is None:
            with self._lock:
                self._kept.pop(key, None)
            return
        try:
            head = decoded(_rank.decode, value)
        except ValueError:
            log.warning("foreign_record", topic=self._topic, key=repr(key[:80]))
            return
        rank = (head.start, head.compared)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or rank >= kept.rank:
                self._kept[key] = _Kept(rank, value)

    def value(self, key: bytes) -> bytes | None:
        """What is kept under a key, as it was written."""
        with self._lock:
            kept = self._kept.get(key)
        return None if kept is None else kept.value

    def best(self, pair: Pair, partition: int) -> Snapshot | None:
        """Where to resume; None where nothing was kept. Raises UpgradeFirst for a newer format."""
        value = self.value(pair.key(partition))
        if value is None:
            return None
        try:
            snapshot = decode(value)
        except BadSnapshot as error:
            log.warning("bad_snapshot", topic=self._topic, partition=partition, why=str(error))
            return None
        evidence = snapshot.evidence
        return snapshot if (evidence.pair, evidence.partition) == (pair, partition) else None

    def labels(self, pair: Pair) -> list[bytes]:
        """What labels have taught of a pair, of every partition of theirs."""
        front, end = LABELS.encode(), f"/{pair.blue}/{pair.green}".encode()
        with self._lock:
            return [kept.value for key, kept in self._kept.items() if key.startswith(front) and key.endswith(end)]

    def all(self) -> list[Snapshot]:
        """Every snapshot of comparing that is kept and readable, by key."""
        with self._lock:
            kept = sorted(item for item in self._kept.items() if not item[0].startswith(LABELS.encode()))
        found = []
        for key, entry in kept:
            try:
                found.append(decode(entry.value))
            except BadSnapshot as error:
                log.warning("bad_snapshot", topic=self._topic, key=repr(key[:80]), why=str(error))
        return found

    def forget_before(self, pair: Pair) -> None:
        """Deployments only grow: pairs with an id that was replaced never come back."""
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if not _replaced(key, pair)}


def _replaced(key: bytes, pair: Pair) -> bool:
    parts = key.removeprefix(LABELS.encode()).split(b"/")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        return True
    return int(parts[1]) < pair.blue or int(parts[2]) < pair.green


class RecordWriter:
    """Writes snapshots and verdicts; `write` returns when they are delivered."""

    def __init__(self, config: ClientConfig) -> None:
        self._producer: Producer | None = Producer(dict(config))

    def close(self) -> None:
        """Give the client back; that takes up to a second."""
        self._producer = None

    def write(self, topic: str, records: Collection[tuple[bytes, bytes]], timeout: float = FLUSH_TIMEOUT_S) -> None:
        """(key, value) each. Raises Unreachable where one was not delivered: what counts is read back, not sent."""
        producer, failed = self._producer, list[str]()
        if producer is None:
            raise Unreachable(f"{topic}: the writer was closed", way_out="start the comparator again")

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failed.append(error.str())

        try:
            for key, value in records:
                producer.produce(topic, value, key, 0, on_delivery=delivered)
            left = producer.flush(timeout)
        except (BufferError, KafkaException) as error:
            raise Unreachable(f"{topic}: {error}", way_out="is the broker up?") from error
        if left or failed:
            raise Unreachable(
                f"{topic}: {left + len(failed)} of {len(records)} records were not delivered"
                f"{': ' + failed[0] if failed else f' within {timeout:g} s'}",
                way_out="is the broker up, and may this process write the topic?",
            )


def encoded(snapshot: Snapshot) -> tuple[bytes, bytes]:
    """Key and value of its record."""
    return snapshot.key, encode(snapshot)


def read_evidence(config: ClientConfig, topic: str) -> list[Snapshot]:
    """Every snapshot in the topic, for `status` where Redis is down. Raises SessionEnded."""
    reader = EvidenceReader(config, topic)
    try:
        reader.catch_up()
        return reader.all()
    finally:
        reader.close()
