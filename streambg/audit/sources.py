"""What the audit reads, whoever keeps it: a broker, or lists in a test.

The ends are pinned when the source is made, in this order: committed positions first, then every topic that a
publisher writes or reads, the ends of control log and input last. So an outcome that is judged has its reasons within
the spans, and a batch or a cutover its command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Role = Literal["input", "blue", "green", "output", "dead-letters", "control", "cutovers"]
# what has one partition for each partition of the input
PARTITIONED: tuple[Role, ...] = ("input", "blue", "green", "output", "dead-letters")
SINGLE: tuple[Role, ...] = ("control", "cutovers")


@dataclass(frozen=True, slots=True)
class Span:
    """Log offsets start <= o < end of one partition; what stood below `start` is gone (P35)."""

    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of one partition as columns of one length, in log order.

    times are ms since 1970, headers the `streambg` header's bytes (of output records; None where one has none).
    log_append: the times are the broker's, not a writer's. Never empty; read with `keys_only` it has offsets and
    keys alone.
    """

    offsets: list[int]
    keys: list[bytes | None]
    times: list[int] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[bytes | None] = field(default_factory=list)
    log_append: bool = True

    def __len__(self) -> int:
        return len(self.offsets)

    def since(self, row: int) -> Chunk:
        """The rows from `row` on."""
        return self.cut(row, len(self))

    def cut(self, lo: int, hi: int) -> Chunk:
        """The rows lo <= row < hi."""
        return Chunk(
            self.offsets[lo:hi],
            self.keys[lo:hi],
            self.times[lo:hi],
            self.values[lo:hi],
            self.headers[lo:hi],
            self.log_append,
        )


class Records(Protocol):
    """A pipeline's topics as one reader sees them."""

    @property
    def input_topic(self) -> str:
        """The name that source positions carry."""

    @property
    def input_topic_id(self) -> str | None:
        """The broker's id of the input topic as it is now; None where it cannot be known."""

    @property
    def partitions(self) -> int:
        """How many partitions the widest of the partitioned topics has."""

    @property
    def compacted(self) -> frozenset[Role]:
        """Topics whose records may vanish by key: a missing record says nothing there (P35)."""

    @property
    def output_times_copied(self) -> bool:
        """Output records carry the input's times (`output.timestamp: input`): they say nothing about lateness."""

    def settled(self) -> Mapping[int, int]:
        """partition -> last settled source offset by the publisher's committed positions, read before all else."""

    def span(self, role: Role, partition: int) -> Span:
        """The pinned log offsets; an empty span where the topic has no such partition."""

    def read(self, role: Role, partition: int, *, keys_only: bool = False, begin: int = 0) -> Iterator[Chunk]:
        """The visible records within the span, from log offset `begin` on.

        Raises Unreachable, Denied, Gap.
        """

    def reread(self, role: Role, partition: int, begin: int) -> Iterator[Chunk]:
        """As `read`, beside the one that reads the partition already; `rewind` does not move it."""

    def peek(self, role: Role, partition: int, offset: int) -> Chunk | None:
        """The first visible record at or above a log offset, alone; None where the span has none."""


class LiveRecords(Records, Protocol):
    """A pipeline's topics while it runs: the ends move on, and a reader that came to its end goes on."""

    def refresh(self) -> None:
        """Pin positions and ends anew. Raises Unreachable, Denied, Gap; then all is as before."""

    def rewind(self, role: Role, partition: int, offset: int) -> None:
        """What `read` gives next of this partition begins at `offset` again."""
