"""One broker: topics, transactions, groups. Every method is what one request does, at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from simulation.groups import Group, Membership
from simulation.log import NO_PRODUCER, Headers, Log, Offsets, Spot
from simulation.transactions import Transaction, Transactions

Rows = Sequence[tuple[bytes | None, bytes | None, Headers | None, int]]  # key, value, headers, the sender's time

CLUSTER_ID = "cluster-id"


class Broker:
    """`now()` is its monotonic clock in seconds, `wall_ms()` its calendar."""

    def __init__(self, now: Callable[[], float], wall_ms: Callable[[], int]) -> None:
        self.now = now
        self.wall_ms = wall_ms
        self.logs: dict[Spot, Log] = {}
        self.groups: dict[str, Group] = {}
        self.transactions = Transactions(self._mark)
        self._counts: dict[str, int] = {}
        self._producers = 0

    def create(self, topic: str, partitions: int, log_append: bool = False) -> None:
        for number in range(partitions):
            self.logs[topic, number] = Log(log_append)
        self._counts[topic] = partitions

    def count(self, topic: str) -> int:
        """How many partitions it has."""
        return self._counts.get(topic, 0)

    def group(self, name: str) -> Group:
        found = self.groups.get(name)
        if found is None:
            found = self.groups[name] = Group(name, lambda: self._counts)
        return found

    def tick(self) -> None:
        """What the broker does by itself as time passes."""
        for group in self.groups.values():
            group.expire(self.now())
        self.transactions.expire(self.now())

    # -- producing -----------------------------------------------------------------------------------------------

    def new_producer(self) -> tuple[int, int]:
        """InitProducerId without a transactional id."""
        self._producers += 1
        return self._producers, 0

    def produce(self, spot: Spot, producer: int, epoch: int, first: int, rows: Rows, transactional: bool) -> list[int]:
        """One batch; its offsets, empty where it was appended before."""
        log = self.logs[spot]
        if transactional and producer not in log.open:
            known = log.sequences.get(producer)
            if known is None or epoch >= known.epoch:
                self.transactions.verify(producer, epoch, spot)
        if not log.check(producer, epoch, first, len(rows)):
            return []
        now_ms = self.wall_ms()
        transaction = producer if transactional else NO_PRODUCER
        return [
            log.append(now_ms if log.log_append else time_ms or now_ms, key, value, headers, transaction)
            for key, value, headers, time_ms in rows
        ]

    def commit_in_transaction(self, producer: int, epoch: int, who: Membership, offsets: Offsets) -> None:
        """TxnOffsetCommit."""
        self.transactions.verify(producer, epoch, who.group)
        self.group(who.group).commit_in_transaction(who, producer, offsets)

    def _mark(self, transaction: Transaction, where: Spot | str, commit: bool) -> None:
        if isinstance(where, str):
            self.group(where).end_transaction(transaction.producer, commit)
        else:
            self.logs[where].mark(transaction.producer, transaction.epoch, commit, self.wall_ms())

    # -- asking --------------------------------------------------------------------------------------------------

    def ends(self, spot: Spot, committed: bool) -> tuple[int, int]:
        log = self.logs[spot]
        return log.start, log.stable if committed else log.end

    def committed(self, group: str, wanted: Collection[Spot], stable: bool) -> Offsets:
        return self.group(group).fetch(wanted, stable)
