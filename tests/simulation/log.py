"""One partition: records in order, open transactions, the last stable offset."""

from __future__ import annotations

from dataclasses import dataclass, field

Headers = list[tuple[str, bytes]]
NO_PRODUCER = -1


class BrokerError(Exception):
    """A response with an error code, by Kafka's name for it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(slots=True)
class Record:
    """`visible`: to a read_committed reader; None while its transaction is open."""

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None
    visible: bool | None = True
    marker: bool = False


@dataclass(slots=True)
class Sequence:
    """What a leader remembers of a producer: its epoch and its next sequence number."""

    epoch: int
    next: int = 0


@dataclass(slots=True)
class Log:
    """A partition. `records[i]` stands at offset `start + i`; None where compaction left a gap."""

    log_append: bool = True
    start: int = 0
    records: list[Record | None] = field(default_factory=list)
    open: dict[int, list[Record]] = field(default_factory=dict)  # producer id -> its open transaction's records
    sequences: dict[int, Sequence] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.start + len(self.records)

    @property
    def stable(self) -> int:
        """The last stable offset: below it every transaction has ended."""
        return min((records[0].offset for records in self.open.values()), default=self.end)

    def append(
        self,
        time_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        transaction: int = NO_PRODUCER,
    ) -> int:
        """The offset. `transaction`: the producer id whose open transaction the record belongs to."""
        record = Record(self.end, time_ms, key, value, headers)
        if transaction != NO_PRODUCER:
            record.visible = None
            self.open.setdefault(transaction, []).append(record)
        self.records.append(record)
        return record.offset

    def gap(self, count: int) -> None:
        self.records.extend([None] * count)

    def check(self, producer: int, epoch: int, first: int, count: int) -> bool:
        """Is this batch new? False: it was appended before. Raises BrokerError for an old epoch or a lost batch."""
        known = self.sequences.get(producer)
        if known is None or epoch > known.epoch:
            if known is not None and first != 0:
                raise BrokerError("OUT_OF_ORDER_SEQUENCE_NUMBER")
            known = self.sequences[producer] = Sequence(epoch, first)
        if epoch < known.epoch:
            raise BrokerError("INVALID_PRODUCER_EPOCH")
        if first < known.next:
            return False
        if first > known.next:
            raise BrokerError("OUT_OF_ORDER_SEQUENCE_NUMBER")
        known.next = first + count
        return True

    def mark(self, producer: int, epoch: int, commit: bool, time_ms: int) -> None:
        """A transaction's marker: it takes an offset and is never seen."""
        for record in self.open.pop(producer, ()):
            record.visible = commit
        self.records.append(Record(self.end, time_ms, None, None, None, visible=False, marker=True))
        known = self.sequences.get(producer)
        if known is None or epoch > known.epoch:
            self.sequences[producer] = Sequence(epoch)

    def read(self, at: int, limit: int, committed: bool) -> tuple[list[Record], int]:
        """Up to `limit` visible records from offset `at`, and the offset to go on from."""
        found: list[Record] = []
        end = self.stable if committed else self.end
        while at < end and len(found) < limit:
            record = self.records[at - self.start]
            at += 1
            if record is not None and (record.visible if committed else not record.marker):
                found.append(record)
        return found, at


Spot = tuple[str, int]
Offsets = dict[Spot, tuple[int, str]]  # (offset, metadata) each
