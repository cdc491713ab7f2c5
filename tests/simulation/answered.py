"""What the predictions say, deployment by deployment, folded by code of the judge's own (P8, P9)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulation.shape import PARTITIONS
from streambg.records.batch import BadBatch, Batch, decode
from streambg.records.source import COLORS, Color

if TYPE_CHECKING:
    from simulation.world import World


@dataclass(slots=True)
class Answered:
    """One deployment's answers in one partition."""

    first: int  # `after` of the first batch
    covered: int
    unanswered: int  # up to here a missing row says nothing: below the first batch, or a sample
    taken: list[tuple[int, list[int]]] = field(default_factory=list)  # log offset -> the events that count

    def take(self, at: int, batch: Batch) -> None:
        if batch.after > self.covered or batch.upto <= self.covered:
            return  # a hole, a repeat
        self.taken.append((at, [offset for offset in batch.offsets.tolist() if offset > self.covered]))
        self.covered = batch.upto
        if batch.sample:
            self.unanswered = batch.upto


class Predictions:
    """Reads on where the logs have grown."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._at = {(color, number): 0 for color in COLORS for number in range(PARTITIONS)}
        self._answered: dict[tuple[Color, int, int], Answered] = {}

    def read(self) -> None:
        for color, number in self._at:
            log = self._world.broker.logs[self._world.topics.predictions(color), number]
            for record in log.records[self._at[color, number] :]:
                try:
                    batch = decode(record.value or b"") if record is not None else None
                except BadBatch:
                    continue
                if record is not None and batch is not None:
                    self._fold(color, number, record.offset, batch)
            self._at[color, number] = log.end

    def of(self, color: Color, number: int, deployment: int) -> Answered | None:
        """None where it has answered nothing there."""
        return self._answered.get((color, number, deployment))

    def waiting(self, color: Color, number: int, in_force: int, folded: int, settled: int, end: int) -> list[int]:
        """Rows of each accepted batch below the log offset `end` that wait for settling: above `settled`, of the
        deployment in force, or of one that is still to be folded.
        """
        counted = [
            sum(offset > settled for offset in rows)
            for (own_color, own_number, id), answered in self._answered.items()
            if (own_color, own_number) == (color, number) and (id == in_force or id > folded)
            for at, rows in (answered.taken if answered.covered > settled else ())
            if at < end
        ]
        return [rows for rows in counted if rows]

    def _fold(self, color: Color, number: int, at: int, batch: Batch) -> None:
        found = self._answered.get((color, number, batch.deployment))
        if found is None:
            self._world.judge.begins(color, number, batch)
            found = self._answered[color, number, batch.deployment] = Answered(batch.after, batch.after, batch.after)
        found.take(at, batch)
