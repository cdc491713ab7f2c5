"""Labels in memory: a gate that wants them, answers and labels by seed, and the waiting room as a table."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pairs import GATE, PAIR, TERMS, Answer, begun, cut, feed

from streambg.comparing.pair import Terms
from streambg.labelling.filling import Frontier
from streambg.labelling.matching import Candidate, Mark
from streambg.labelling.rows import Packed, Place, Waiting, layout_of
from streambg.labelling.stream import Fetched, Read, Stream
from streambg.records.gate import LabelTerms, Metric
from streambg.records.source import COLORS

# ms since 1970, in the year 5138
FOR_EVER = 10**14
HORIZON = 40_000
CORRECT = Metric(
    "correct", "correctness", "goal", 0.0, 1.0, "higher", True, 0.01, 0.005, segments=("event_id",), segment_margin=0.02
)
LOSS = Metric("loss", "log_loss", "guardrail", 0.0, 5.0, "lower", True, 0.01, 0.005)
LABELS = LabelTerms("labels", "event_id", "outcome", HORIZON, 10_000, False)
LABEL_GATE = replace(GATE, metrics=(*GATE.metrics, CORRECT, LOSS), labels=LABELS)
LABEL_TERMS = replace(TERMS, gate=LABEL_GATE)
found_layout = layout_of(LABEL_TERMS)
assert found_layout is not None
LAYOUT = found_layout
WIDTH = LAYOUT.width


def answers(seed: int, upto: int, color: str) -> Mapping[int, Answer]:
    rng = random.Random(f"{seed}/{color}")
    return {
        offset: Answer(None if rng.random() < 0.1 else rng.random())
        for offset in range(upto + 1)
        if rng.random() < 0.9 or offset < 3
    }


def packed_of(terms: Terms, seed: int = 5, upto: int = 120) -> list[Packed]:
    comparison = begun(terms=terms)
    feed(comparison, {color: cut(PAIR.of(color), answers(seed, upto, color), [upto]) for color in COLORS})
    return comparison.take_packed()


def label_records(seed: int, events: int) -> list[Fetched]:
    """Labels of most events, some repeated, corrected, of nothing, or none at all."""
    rng = random.Random(seed)
    records: list[Fetched] = []

    def add(time: int, data: bytes) -> None:
        records.append(Fetched(0, len(records), time, data))

    for offset in range(events):
        value = b'{"event_id": "e%d", "outcome": %d}'
        time = offset + rng.randrange(-3, 4_000)
        draw = rng.random()
        if draw < 0.85:
            add(time, value % (offset, rng.random() < 0.5))
        if draw < 0.15:
            add(time + 50, value % (offset, rng.random() < 0.5))
        if 0.85 < draw < 0.9:
            add(time, rng.choice([b"", b"{", b'{"event_id": 3}', value % (offset + 10**6, 1)]))
    return records


def rows_of(seed: int, events: int) -> list[Waiting]:
    return [row for packed in packed_of(LABEL_TERMS, seed, events) for row in packed.rows]


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
