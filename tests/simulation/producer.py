"""A producer in memory: idempotent or transactional, as librdkafka drives them (transactions v1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from simulation.broker import Broker
from simulation.consumer import message_of
from simulation.groups import Membership
from simulation.link import AGAIN, RETRY_S, Link, kafka_error
from simulation.log import BrokerError, Headers, Offsets, Record, Spot

Delivered = Callable[[KafkaError | None, Message], None]
Request = Callable[[str, Callable[[], Any]], Any]
Queued = tuple[bytes | None, bytes | None, Headers | None, int, Delivered | None]
INIT_TIMEOUT_S = 30.0
SEND_TIMEOUT_S = 10.0
LINGER_S = 0.005


class SimProducer:
    """Sends what is queued when it is polled or flushed, and while time passes (linger).

    A transactional one raises later what failed then. An idempotent one sends record by record, and goes on behind one
    that failed (P10).
    """

    def __init__(self, link: Link, broker: Broker, config: Mapping[str, Any]) -> None:
        self._link = link
        self._broker = broker
        self._id = str(config.get("transactional.id", ""))
        self._timeout_s = float(config.get("transaction.timeout.ms", 60_000)) / 1_000
        self._logger = config.get("logger")
        self._queue: dict[Spot, list[Queued]] = {}
        self._next: dict[Spot, int] = {}
        self._producer, self._epoch = (-1, -1) if self._id else broker.new_producer()
        self._registered: set[Spot] = set()
        self._touched = False  # something of the transaction was sent to its coordinator
        self._error: KafkaError | None = None
        self._queued_at = 0.0
        if self._id:
            link.producers.append(self)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._queue.values())

    def _trouble(self, text: str) -> None:
        if self._logger is not None:
            self._logger.error(text)

    # -- records -------------------------------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        callback: None = None,
        on_delivery: Delivered | None = None,
        timestamp: int = 0,
        headers: Headers | None = None,
    ) -> None:
        self._link.point("produce")
        row = (key, value, headers or None, timestamp or self._broker.wall_ms(), on_delivery)
        if not self._queue:
            self._queued_at = self._link.world.now
        self._queue.setdefault((topic, partition), []).append(row)

    def send_some(self) -> None:
        """What librdkafka's own thread sends of an open transaction; nothing befalls these requests."""
        if self._queue and self._error is None and self._link.world.now - self._queued_at >= LINGER_S:
            try:  # one partition now, the next one later: each has a leader of its own
                spot = next(iter(self._queue))
                self._register(spot, lambda _kind, do: do())
                self._append(spot, self._queue.pop(spot), lambda _kind, do: do())
            except BrokerError as error:
                if error.name not in AGAIN:
                    self._error = kafka_error(error)

    def poll(self, timeout: float = 0.0) -> int:
        if self._link.held and not self._id:
            self._link.held -= 1  # deliveries take their time
        else:
            self._send()
        return 0

    def flush(self, timeout: float = -1.0) -> int:
        self._send()
        return len(self)

    def purge(self) -> None:
        self._queue.clear()

    def close(self) -> None:
        self._link.alive()
        if self._id:
            self._link.producers.remove(self)

    def _send(self) -> None:
        self._link.alive()
        while self._queue and self._error is None:
            spot = next(iter(self._queue))
            rows = self._queue.pop(spot)
            for batch in [rows] if self._id else [[row] for row in rows]:
                self._send_batch(spot, batch)

    def _send_batch(self, spot: Spot, rows: list[Queued]) -> None:
        offsets: list[int] = []
        error: KafkaError | None = None
        try:
            if self._id:
                self._register(spot, self._request)
            offsets = self._append(spot, rows, self._request)
        except KafkaException as failed:
            error = failed.args[0]
            self._failed(failed.args[0])
        for index, (key, value, headers, time_ms, delivered) in enumerate(rows):
            if delivered is not None:
                offset = offsets[index] if index < len(offsets) else -1
                delivered(error, message_of(spot, Record(offset, time_ms, key, value, headers), False))

    def _register(self, spot: Spot, request: Request) -> None:
        broker, producer, epoch = self._broker, self._producer, self._epoch
        if spot not in self._registered:
            self._touched = True
            request("add", lambda: broker.transactions.add(self._id, producer, epoch, spot, broker.now()))
            self._registered.add(spot)

    def _append(self, spot: Spot, rows: list[Queued], request: Request) -> list[int]:
        broker, producer, epoch = self._broker, self._producer, self._epoch
        first, plain = self._next.get(spot, 0), [row[:4] for row in rows]
        self._next[spot] = first + len(rows)
        offsets: list[int] = request(
            "produce", lambda: broker.produce(spot, producer, epoch, first, plain, bool(self._id))
        )
        return offsets

    def _request(self, kind: str, do: Callable[[], Any]) -> Any:
        return self._link.call(kind, do, SEND_TIMEOUT_S, retries=bool(self._id), trouble=self._trouble)

    def _failed(self, error: KafkaError) -> None:
        """A transaction is spoilt; an idempotent producer goes on with the next batch under a new epoch (P10)."""
        if self._id:
            self._error = error
        else:
            self._epoch += 1
            self._next.clear()

    # -- transactions --------------------------------------------------------------------------------------------

    def init_transactions(self, timeout: float = INIT_TIMEOUT_S) -> None:
        transactions = self._broker.transactions
        self._producer, self._epoch = self._coordinator(
            "init", lambda: transactions.init(self._id, self._timeout_s), timeout
        )

    def begin_transaction(self) -> None:
        self._link.point("begin")
        self._raise()
        self._registered.clear()
        self._touched = False

    def send_offsets_to_transaction(
        self, positions: Sequence[TopicPartition], who: Membership, timeout: float = 5.0
    ) -> None:
        self._raise()
        broker, producer, epoch = self._broker, self._producer, self._epoch
        offsets: Offsets = {(one.topic, one.partition): (one.offset, one.metadata or "") for one in positions}
        if not offsets:
            return
        self._touched = True
        add, group = broker.transactions.add, who.group
        # only the registration of partitions is tried again after 20 ms, this one after retry.backoff.ms
        self._coordinator("add", lambda: add(self._id, producer, epoch, group, broker.now()), timeout, RETRY_S)
        self._coordinator("offsets", lambda: broker.commit_in_transaction(producer, epoch, who, offsets), timeout)

    def commit_transaction(self, timeout: float = 5.0) -> None:
        self._send()
        self._end(timeout, commit=True)

    def abort_transaction(self, timeout: float = 5.0) -> None:
        self._queue.clear()
        self._end(timeout, commit=False)

    def _end(self, timeout: float, commit: bool) -> None:
        if commit:
            self._raise()
        if not self._touched:
            return  # the broker never heard of it
        transactions, producer, epoch = self._broker.transactions, self._producer, self._epoch
        self._coordinator("end", lambda: transactions.end(self._id, producer, epoch, commit), timeout)

    def _coordinator(
        self, kind: str, do: Callable[[], Any], timeout: float = SEND_TIMEOUT_S, again_s: float = 0.02
    ) -> Any:
        return self._link.call(kind, do, timeout, again_s=again_s, trouble=self._trouble)

    def _raise(self) -> None:
        self._link.alive()
        if self._error is not None:
            raise KafkaException(self._error)
