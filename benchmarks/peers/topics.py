"""The broker's topics: made, filled with the events that everybody gets, watched, read by a read_committed reader."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # it is there
from confluent_kafka.cimpl import NewTopic

from benchmarks.peers import event
from streambg.errors import StreambgError

CALL_S = 30.0
LOOK_S = 0.05
# Records handed to the client between two looks at its queue; the queue takes 100,000.
CHUNK = 20_000
# The stream's clock while it is filled: events 50 us apart, as at 20,000 a second. Joins by time see this clock. It
# begins an hour ago, so that it does not run into the future, and nothing is old enough for a retention.
STEP_US = 50
BEGIN_US = 3_600_000_000
READ = 5_000
# The broker goes away at the end of a run; what matters comes as an error.
QUIET = 0
# A whole topic is read at 300,000 records a second and more; a reader that hears nothing for this long is stuck.
QUIET_S = 30.0
DECIDED_S = 60.0

Make = Callable[[int, int], bytes]


class Topics:
    """Of one broker."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": QUIET})
        self._filled: dict[str, int] = {}
        self._begin = time.time_ns() // 1_000 - BEGIN_US

    def create(self, *names: str) -> None:
        """With eight partitions each."""
        made = self._admin.create_topics([NewTopic(name, event.PARTITIONS, 1) for name in names])
        for future in made.values():
            future.result(CALL_S)
        for name in names:
            self._await_leaders(name)

    def _await_leaders(self, name: str) -> None:
        """A partition is made a moment before it has a leader; who asks for its end before is told so for long."""
        deadline = time.monotonic() + CALL_S
        while True:
            known = self._admin.list_topics(name, timeout=CALL_S).topics[name].partitions
            if len(known) == event.PARTITIONS and all(each.leader >= 0 for each in known.values()):
                return
            if time.monotonic() > deadline:
                raise StreambgError(f"{name} has not all of its leaders after {CALL_S:g} s")
            time.sleep(LOOK_S)

    def delete(self, *names: str) -> None:
        """Free the disk; in the background."""
        for future in self._admin.delete_topics(list(names)).values():
            future.result(CALL_S)

    def filled(self, name: str, count: int, make: Make = event.event) -> str:
        """The topic with at least `count` events from number 0 on, `make(number, stamp)` each."""
        have = self._filled.get(name)
        if have is None:
            self.create(name)
            have = 0
        if count > have:
            self._fill(name, range(have, count), make)
            self._filled[name] = count
        return name

    def _fill(self, name: str, numbers: range, make: Make) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": QUIET,
                "linger.ms": 50,
                "acks": "all",
                "enable.idempotence": True,
            }
        )
        for number in numbers:
            stamp = self._begin + number * STEP_US
            while True:
                try:
                    producer.produce(
                        name, make(number, stamp), event.key(number), event.partition(number), timestamp=stamp // 1_000
                    )
                    break
                except BufferError:
                    producer.poll(0.05)
            if number % CHUNK == 0:
                producer.poll(0)
        if left := producer.flush(CALL_S):
            raise StreambgError(f"{left} events for {name} were not delivered in {CALL_S:g} s")
        producer.close()

    def ends(self, name: str) -> dict[int, int]:
        """By partition, up to what is committed."""
        deadline = time.monotonic() + CALL_S
        while True:
            try:
                return self._ends(name)
            except KafkaException:  # a leader that does not know yet that it is one
                if time.monotonic() > deadline:
                    raise
                self._await_leaders(name)
                time.sleep(LOOK_S)

    def until_decided(self, name: str) -> None:
        """Until no transaction is open in it: what a dead writer left open hides from readers what came after.

        Raises StreambgError after 60 s: three times what a transaction of 10 s takes to be ended by the broker.
        """
        deadline = time.monotonic() + DECIDED_S
        while self._ends(name) != (all_of_it := self._ends(name, IsolationLevel.READ_UNCOMMITTED)):
            if time.monotonic() > deadline:
                raise StreambgError(f"{name} has open transactions below {all_of_it} after {DECIDED_S:g} s")
            time.sleep(LOOK_S)

    def _ends(self, name: str, level: IsolationLevel = IsolationLevel.READ_COMMITTED) -> dict[int, int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # no types of its own
        wanted = {TopicPartition(name, number): latest for number in range(event.PARTITIONS)}
        found = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=CALL_S)
        return {place.partition: future.result(CALL_S).offset for place, future in found.items()}

    def count(self, name: str) -> int:
        """Records up to what is committed, transaction markers among them."""
        return sum(self.ends(name).values())

    def values(self, name: str, group: str = "peers.reader") -> Iterator[bytes]:
        """Every value that a read_committed reader sees once all is decided, from the beginning."""
        self.until_decided(name)
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "log_level": QUIET,
                "group.id": group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        try:
            consumer.assign([TopicPartition(name, number, 0) for number in range(event.PARTITIONS)])
            open_ones, heard = set(range(event.PARTITIONS)), time.monotonic()
            while open_ones:
                messages = consumer.consume(READ, 0.5)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > QUIET_S:
                    raise StreambgError(f"{name}: partitions {sorted(open_ones)} did not come to their end")
                for message in messages:
                    error = message.error()
                    if error is None:
                        yield message.value() or b""
                    elif error.code() == KafkaError._PARTITION_EOF:
                        open_ones.discard(message.partition() or 0)
                    else:
                        raise KafkaException(error)
        finally:
            consumer.close()


def numbers(values: Sequence[bytes] | Iterator[bytes]) -> Iterator[int]:
    """The numbers of the events that these answers are for."""
    return (event.decode_answer(value).id for value in values)
