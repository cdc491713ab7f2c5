"""The transaction coordinator as librdkafka meets it: transactions v1, no epoch bump at their end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from simulation.log import BrokerError, Spot


class State(Enum):
    EMPTY = auto()
    ONGOING = auto()
    PREPARE_COMMIT = auto()
    PREPARE_ABORT = auto()
    COMMITTED = auto()
    ABORTED = auto()


PREPARED = (State.PREPARE_COMMIT, State.PREPARE_ABORT)


@dataclass(slots=True)
class Transaction:
    """All that is known of one transactional id."""

    producer: int
    timeout_s: float
    epoch: int = -1
    state: State = State.EMPTY
    since: float = 0.0
    partitions: set[Spot] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    marks: list[Spot | str] = field(default_factory=list)  # where the marker is still to be written


Mark = Callable[[Transaction, "Spot | str", bool], None]


class Transactions:
    """`mark(transaction, where, commit)` writes one marker into a partition, or a group's offsets."""

    def __init__(self, mark: Mark) -> None:
        self.by_id: dict[str, Transaction] = {}
        self._mark = mark

    def init(self, id: str, timeout_s: float) -> tuple[int, int]:
        """InitProducerId: (producer id, epoch); what stands open is aborted first, and who had it is fenced."""
        found = self.by_id.get(id)
        if found is None:
            found = self.by_id[id] = Transaction(1_000 + len(self.by_id), timeout_s)
        if found.state in PREPARED:
            raise BrokerError("CONCURRENT_TRANSACTIONS")
        if found.state is State.ONGOING:
            found.epoch += 1
            self._prepare(found, commit=False)
            raise BrokerError("CONCURRENT_TRANSACTIONS")
        found.epoch += 1
        found.state, found.timeout_s = State.EMPTY, timeout_s
        return found.producer, found.epoch

    def add(self, id: str, producer: int, epoch: int, where: Spot | str, now: float) -> None:
        """AddPartitionsToTxn, AddOffsetsToTxn."""
        found = self._own(id, producer, epoch)
        if found.state in PREPARED:
            raise BrokerError("CONCURRENT_TRANSACTIONS")
        if found.state is not State.ONGOING:
            found.state, found.since = State.ONGOING, now
        if isinstance(where, str):
            found.groups.add(where)
        else:
            found.partitions.add(where)

    def verify(self, producer: int, epoch: int, where: Spot | str) -> None:
        """KIP-890, part 1: a partition takes a record only of a transaction that holds it."""
        for found in self.by_id.values():
            if found.producer == producer:
                if epoch != found.epoch:
                    raise BrokerError("INVALID_PRODUCER_EPOCH")
                if found.state is State.ONGOING and where in (
                    found.groups if isinstance(where, str) else found.partitions
                ):
                    return
        raise BrokerError("INVALID_TXN_STATE")

    def end(self, id: str, producer: int, epoch: int, commit: bool) -> None:
        """EndTxn. It names no transaction: one that comes late ends the next one (KAFKA-17754)."""
        found = self._own(id, producer, epoch)
        prepared, complete = (State.PREPARE_COMMIT, State.COMMITTED) if commit else (State.PREPARE_ABORT, State.ABORTED)
        if found.state is complete:
            return
        if found.state is prepared:
            raise BrokerError("CONCURRENT_TRANSACTIONS")
        if found.state is not State.ONGOING:
            raise BrokerError("INVALID_TXN_STATE")
        self._prepare(found, commit)

    def expire(self, now: float) -> None:
        """What was not ended within its timeout is aborted, and who had it is fenced."""
        for found in self.by_id.values():
            if found.state is State.ONGOING and now - found.since > found.timeout_s:
                found.epoch += 1
                self._prepare(found, commit=False)

    def _own(self, id: str, producer: int, epoch: int) -> Transaction:
        found = self.by_id.get(id)
        if found is None or found.producer != producer:
            raise BrokerError("INVALID_PRODUCER_ID_MAPPING")
        if epoch != found.epoch:
            raise BrokerError("PRODUCER_FENCED")
        return found

    def _prepare(self, found: Transaction, commit: bool) -> None:
        found.state = State.PREPARE_COMMIT if commit else State.PREPARE_ABORT
        found.marks = [*sorted(found.partitions), *sorted(found.groups)]
        if not found.marks:
            self._complete(found)

    def write_mark(self, number: int) -> bool:
        """Write one of the markers that are due, the `number`-th modulo how many; False where none is."""
        due = [(found, at) for found in self.by_id.values() for at in range(len(found.marks))]
        if not due:
            return False
        found, at = due[number % len(due)]
        self._mark(found, found.marks.pop(at), found.state is State.PREPARE_COMMIT)
        if not found.marks:
            self._complete(found)
        return True

    def forget_marks(self, number: int) -> bool:
        """A decision is known and some markers are never written, because their partitions had no leader when they
        were due (Kafka 4.3.1 takes such a partition for a deleted one). False where nothing could be forgotten.

        Of one broker: the markers of all logs are written at once, and that of the positions last.
        """
        due = [
            found
            for found in self.by_id.values()
            if set(found.marks) in (found.partitions | found.groups, found.groups)
        ]
        due = [found for found in due if found.marks]
        if not due:
            return False
        number, which = divmod(number, len(due))
        found = due[which]
        while number % 2 and not isinstance(found.marks[0], str):
            self._mark(found, found.marks.pop(0), found.state is State.PREPARE_COMMIT)
            if not found.marks:
                break
        found.marks.clear()
        self._complete(found)
        return True

    @property
    def settled(self) -> bool:
        """No marker is due."""
        return not any(found.marks for found in self.by_id.values())

    def _complete(self, found: Transaction) -> None:
        found.state = State.COMMITTED if found.state is State.PREPARE_COMMIT else State.ABORTED
        found.partitions.clear()
        found.groups.clear()
