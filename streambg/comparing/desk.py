"""Where comparing happens: every comparison of this process, fed with what one poll brought.

The reader thread hands over one `Work` at a time and waits for its answer: so there is never more than one poll's
worth of batches on the way, and the reader knows which color has run ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from streambg.comparing.comparison import Comparison
from streambg.comparing.holes import Hole
from streambg.comparing.snapshot import Snapshot
from streambg.kafka.coreader import Fetched, Position
from streambg.records.batch import BadBatch, Batch, decode
from streambg.records.source import COLORS

log = structlog.get_logger("streambg.comparator")


@dataclass(frozen=True, slots=True)
class Work:
    """One poll. `fresh`: everything compared so far is void (a new assignment, another pair); then come `begins`.

    folded: the control offset folded to (P12). answer: the positions that must not be read on for now (P20). all_rows:
    compare what is there, however little; else few rows wait for more (evidence is the same, P32, at a lower cost).
    """

    folded: int
    fresh: bool = False
    begins: Sequence[Comparison] = ()
    fetched: Sequence[Fetched] = ()
    all_rows: bool = True
    answer: Future[frozenset[Position]] = field(default_factory=Future)


class Desk:
    """The comparisons, by partition. One thread only: the event loop's."""

    def __init__(self) -> None:
        self.comparisons: dict[int, Comparison] = {}
        self.not_batches: Counter[str] = Counter()  # color -> records, for metrics

    def steps(self, work: Work) -> Iterator[None]:
        """Do the work piece by piece; between two pieces every comparison is consistent.

        Sets `work.answer`. Raises what went wrong: then what is here may be anything, and `clear` is the only way on.
        """
        if work.fresh:
            self.comparisons.clear()
        for comparison in work.begins:
            self.comparisons[comparison.partition] = comparison
        for comparison in self.comparisons.values():
            comparison.control(work.folded)
        for fetched in work.fetched:
            # a partition without a comparison is not placed yet: it is read again from its place
            known = self.comparisons.get(fetched.partition)
            if known is not None:
                known.offer(fetched.color, fetched.offset, len(fetched.value), self._decoded(fetched))
        for comparison in list(self.comparisons.values()):
            while (work.all_rows or comparison.pairing.gathered()) and comparison.advance():
                yield
        work.answer.set_result(
            frozenset(
                (color, partition)
                for partition, comparison in self.comparisons.items()
                for color in comparison.pairing.full()
            )
        )

    def _decoded(self, fetched: Fetched) -> Batch | None:
        """None where the bytes are no batch; UpgradeFirst passes: the process must not go on (P5)."""
        try:
            return decode(fetched.value)
        except BadBatch as error:
            self.not_batches[fetched.color] += 1
            log.warning(
                "not_a_batch", color=fetched.color, partition=fetched.partition, offset=fetched.offset, why=str(error)
            )
            return None

    def clear(self) -> None:
        self.comparisons.clear()

    def snapshots(self) -> list[Snapshot]:
        """As of now; encode them before the next piece of work."""
        return [comparison.snapshot() for _, comparison in sorted(self.comparisons.items())]

    def holes(self) -> dict[Hole, int]:
        """How many batches stand beyond each open hole: not accepted until a scorer closes it (P8). From any thread."""
        return {
            Hole(color, partition, side.covered): side.open_drops["hole"]
            for partition, comparison in sorted(dict(self.comparisons).items())
            for color in COLORS
            if (side := comparison.side(color)).open_drops["hole"]
        }
