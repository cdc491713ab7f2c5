"""The producer of one session and its open transaction: begin, write, commit, and whether to trust it (P21, P26).

Crash-only: nothing is retried and nothing aborted by hand. What is open when the producer is let go ends with the next
one's `init_transactions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any, Protocol

import structlog
from confluent_kafka import KafkaError, Producer, TopicPartition

from streambg.errors import SessionEnded
from streambg.kafka.errors import cause_of
from streambg.process.crash import CRASH
from streambg.process.watch import WATCH
from streambg.publishing.fencing import leave_open, purge, take_over
from streambg.publishing.outcomes import Records
from streambg.publishing.site import Site
from streambg.publishing.suspicion import TroubleLog, suspicion
from streambg.records.cutover import Superseded, encode_cutover

# Of a flush, and of the calls of an assignment. The transactional ones end when they are no longer trusted (P21).
CALL_TIMEOUT_S = 5.0
INIT_TIMEOUT_S = 30.0

log = structlog.get_logger("streambg.publisher")


class Meter(Protocol):
    """What a session reports; the process turns it into metrics."""

    def outcomes(self, records: Records) -> None: ...
    def committed(self, count: int, seconds: float) -> None: ...
    def alarm(self, text: str) -> None: ...


class Transaction:
    """One after the other, by one producer."""

    def __init__(self, site: Site, meter: Meter) -> None:
        self.trouble = TroubleLog(site.transactional_id)
        self.count = 0  # outcomes in the open one
        self._site = site
        self._clients = site.clients
        self._meter = meter
        self._producer: Producer | None = None
        self._open_since: float | None = None
        self._flush_s = 0.0  # how long the last flush took

    @property
    def open(self) -> bool:
        return self._open_since is not None

    @property
    def room(self) -> int:
        """How many outcomes the open one, or the next, may still take."""
        return self._site.records - self.count

    @property
    def due(self) -> bool:
        if self._open_since is None:
            return False
        return self.room <= 0 or self._clients.now() - self._open_since >= self._site.every_s

    def start(self, position: TopicPartition) -> None:
        """A new producer with the old one's transactional id: the broker ends what that one had open.

        Positions that the broker has forgotten to end (forgotten.py) would come into force with the next commit, also
        those of partitions that are another's by now: a transaction of any one position is opened first, to be ended.
        """
        site = self._site
        leave_open(site, [site.transactional_id], position)
        self._producer = self._clients.producer(
            {
                **site.producer,
                "transactional.id": site.transactional_id,
                "client.id": site.transactional_id,
                "logger": self.trouble.logger,
                "error_cb": self.trouble.error,
            }
        )
        take_over([self._producer], INIT_TIMEOUT_S, self._clients)

    def begin(self) -> None:
        if self._open_since is None:
            self._distrust(0.0)
            self._at_hand.begin_transaction()
            self._open_since = self._clients.now()

    def write(self, number: int, records: Records) -> None:
        """The run of one partition."""
        self.begin()
        CRASH.at("before-produce")
        site = self._site
        for cutover in records.cutovers:
            log.info("cutover", partition=number, epoch=cutover.epoch, first=cutover.first)
            self.produce(site.cutovers, encode_cutover(cutover), cutover.key, 0)
        self._produce_answers(number, records, records.times if site.input_timestamps else repeat(0))
        for key, value in records.dead_letters:
            self.produce(site.dead_letters, value, key, number)
        self.count += len(records)
        self._meter.outcomes(records)
        CRASH.at("after-produce")

    def supersede(self, number: int, records: Records, progress: Superseded) -> None:
        """What a `supersede` asks of one partition, and how far it has come with that (P36)."""
        self.write(number, records)
        self.note(progress)

    def note(self, progress: Superseded) -> None:
        """How far a `supersede` has come, beside the cutovers; a transaction is open."""
        self.produce(self._site.cutovers, encode_cutover(progress), progress.key, 0)

    def _produce_answers(self, number: int, records: Records, stamps: Iterable[int]) -> None:
        """The per-event path: nothing but the client's own call, by position (0.53 us with a header, by name 0.77)."""
        producer, output = self._at_hand, self._site.output
        produce = producer.produce
        for value, key, headers, stamp in zip(records.values, records.keys, records.headers, stamps, strict=False):
            while True:
                try:
                    produce(output, value, key, number, None, None, stamp, headers)
                    break
                except BufferError:
                    producer.poll(0.01)  # the queue is full: deliver some first

    def produce(self, topic: str, value: bytes, key: bytes | None, partition: int) -> None:
        while True:
            try:
                self._at_hand.produce(topic, value, key, partition)
                return
            except BufferError:
                self._at_hand.poll(0.01)

    def deliver(self) -> None:
        """Bring what was written to the log; nobody sees it before the commit.

        The broker may still be writing the last transaction's markers and then answers CONCURRENT_TRANSACTIONS. The
        client retries the outputs' registration after 20 ms, but that of the positions only after retry.backoff.ms:
        2.6 s, a suspicion. So the outputs go first: once they are delivered, the new transaction is open.
        """
        CRASH.at("before-flush")
        started = self._clients.now()
        self._at_hand.flush(CALL_TIMEOUT_S)
        self._flush_s = self._clients.now() - started
        CRASH.at("after-flush")

    def commit(self, positions: list[TopicPartition], group_metadata: Any) -> None:
        """What was delivered and positions at once (P26); then judge whether to trust it (P21)."""
        producer, trusted_s = self._at_hand, self._site.trusted_s
        assert self._open_since is not None
        started = self._clients.now()
        CRASH.at("before-offsets")
        producer.send_offsets_to_transaction(positions, group_metadata, trusted_s)
        sent = self._clients.now()
        CRASH.at("after-offsets")
        CRASH.at("before-commit")
        producer.commit_transaction(trusted_s)
        done = self._clients.now()
        CRASH.at("after-commit")
        self._meter.committed(self.count, done - self._open_since)
        self._open_since, self.count = None, 0
        self._distrust(max(self._flush_s + sent - started, done - sent))
        CRASH.behind_a_commit()

    def _distrust(self, slowest_call_s: float) -> None:
        """P21, judged after each commit and before each begin."""
        self._at_hand.poll(0)
        doubt = suspicion(slowest_call_s, self.trouble.signs, self._site.trusted_s)
        if doubt:
            raise SessionEnded(f"suspicion: {doubt} (P21)")

    def let_go(self) -> None:
        """Drop the producer as it is."""
        producer, self._producer = self._producer, None
        self._open_since, self.count = None, 0
        if producer is not None:
            purge(producer)
            with WATCH.call("the end of a producer", CALL_TIMEOUT_S):
                del producer

    def cause_of(self, error: KafkaError) -> KafkaError:
        """What has happened, where the client says only that it cannot go on."""
        return error if self._producer is None else cause_of(error, self._producer)

    @property
    def _at_hand(self) -> Producer:
        assert self._producer is not None
        return self._producer
