"""The labels' waiting room as a table in memory: what the one in Redis must do."""

from __future__ import annotations

from collections.abc import Sequence

from streambg.comparing.pair import Terms
from streambg.labelling.filling import Frontier
from streambg.labelling.matching import Candidate, Mark
from streambg.labelling.rows import Place, Waiting
from streambg.labelling.stream import Read, Stream

# ms since 1970, in the year 5138
FOR_EVER = 10**14


class Room:
    """What the real one does, in memory."""

    def __init__(self, rows: Sequence[Waiting]) -> None:
        self.rows = {(row.cohort, row.place): row.value for row in rows}
        self.marks: dict[tuple[int, Place], Mark] = {}
        self.marked = 0

    def look(self, stream: Stream, reads: Sequence[Read]) -> list[list[Candidate]]:
        found = []
        for read in reads:
            if read.label is None:
                continue
            low, high = stream.span(read)
            place = read.label.place
            found.append(
                [
                    Candidate(cohort, self.rows[cohort, place], self.marks.get((cohort, place)))
                    for cohort in range(low, high + 1)
                    if (cohort, place) in self.rows
                ]
            )
        return found


def advance(stream: Stream, room: Room, terms: Terms, passed: int = FOR_EVER, since: int = 0, mark: bool = True) -> int:
    """How many labels were taken. mark=False: the process dies after the marks, before they count."""
    total = 0
    while reads := stream.next_reads(passed):
        step = stream.step(reads, room.look(stream, reads), Frontier(passed, since))
        for cohort, place, each in step.marks:
            room.marks[cohort, place] = each
        if step.reads:
            room.marked = step.reads[-1].offset + 1
        if not step.reads or not mark:
            return total
        stream.take(step, terms)
        total += len(step.reads)
    return total
