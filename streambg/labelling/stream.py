"""One partition of the labels' topic: what waits to be matched, and what each becomes. Pure.

Labels are taken in their order, each when the room holds every event it may belong to: a label ahead of its event
waits, and all behind it. So what it finds does not depend on who was faster (P33).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from streambg.comparing.pair import Terms
from streambg.labelling.cohorts import EARLY_MS
from streambg.labelling.evidence import LabelEvidence
from streambg.labelling.filling import Frontier
from streambg.labelling.matching import Candidate, Dated, Kind, Mark, find, span
from streambg.labelling.rows import Layout, Place, in_sample, place_of
from streambg.records.label import Label, parse

# Labels that wait, of one partition: some seconds of the busiest topic, and less than 1 MiB.
MOST_WAITING = 8_192
# Labels looked up at once: 4 ms of Redis, and of the event loop.
AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Fetched:
    """One record of the labels' topic."""

    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Read:
    """A record as it is counted: a label on its way, or a reason why nothing is looked for."""

    offset: int
    time: int
    label: Dated | None
    why: str = ""


@dataclass(slots=True)
class Step:
    """What some labels in a row became; nothing of it counts before its marks stand in the room.

    needs: the next label waits for rows from this time on, which the room no longer has; ms.
    """

    reads: list[Read] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    matched: list[tuple[Candidate, float]] = field(default_factory=list)
    marks: list[tuple[int, Place, Mark]] = field(default_factory=list)
    needs: int | None = None


class Stream:
    """`offer` records, `next_reads`, look for them, `step`, and when its marks are written `take` it."""

    def __init__(self, evidence: LabelEvidence, layout: Layout) -> None:
        self.evidence = evidence
        self.raw = b""  # the room's field as it was left; known: is it that still?
        self.known = False
        self.rewinding = False
        self.remarking = False  # the marks in the room are known to be behind
        self._layout = layout
        self._high = evidence.high
        self._waiting: deque[Read] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def next_time(self) -> int | None:
        """Of the next label that waits for its event; ms."""
        return self._waiting[0].time if self._waiting and self._waiting[0].label is not None else None

    @property
    def full(self) -> bool:
        return len(self._waiting) >= MOST_WAITING

    @property
    def marked_from(self) -> int:
        """The time from which on labels may have marked what a label to come belongs to; ms."""
        return self.evidence.high - self._layout.labels.horizon_ms - EARLY_MS

    def rewind(self) -> None:
        """The marks are gone: whatever waits is read again, and more."""
        self._waiting.clear()
        self.rewinding = True

    def rewound(self) -> None:
        """The reader goes on at the first record that is not older than `marked_from`."""
        self._high = -1
        self.rewinding, self.remarking = False, True

    def offer(self, fetched: Fetched) -> None:
        if self.rewinding:
            return
        self._high = max(self._high, fetched.timestamp_ms)
        self._waiting.append(self._read(fetched))

    def _read(self, fetched: Fetched) -> Read:
        labels = self._layout.labels
        found = parse(fetched.value, labels.key, labels.value)
        if not isinstance(found, Label):
            return Read(fetched.offset, self._high, None, found)
        if not in_sample(found.key, labels.sample):
            return Read(fetched.offset, self._high, None, "unsampled")
        return Read(fetched.offset, self._high, Dated(fetched.offset, self._high, place_of(found.key), found.value))

    def next_reads(self, passed: int) -> list[Read]:
        """The next that may be looked for, given that all events up to a time are in the room."""
        ready: list[Read] = []
        for read in self._waiting:
            if len(ready) == AT_ONCE or (read.label is not None and read.time + EARLY_MS > passed):
                break
            ready.append(read)
        return ready

    def span(self, read: Read) -> tuple[int, int]:
        """First and last cohort in which a label's event may wait.

        Of a label that only gets its mark back: none that no label to come can belong to. That is exact but for two
        events with one key, a horizon apart.
        """
        low, high = span(self._layout, read.time)
        return (low, high) if read.offset >= self.evidence.position else (self._oldest(low), high)

    def _oldest(self, cohort: int) -> int:
        return max(cohort, span(self._layout, self.evidence.high)[0])

    def step(self, reads: Sequence[Read], found: Sequence[Sequence[Candidate]], frontier: Frontier) -> Step:
        """found: for each read that is a label, in their order, what waits with its key."""
        step = Step()
        fresh: dict[tuple[int, Place], Mark] = {}
        candidates = iter(found)
        for read in reads:
            if read.label is not None:
                if read.time + EARLY_MS > frontier.passed:
                    break
                oldest = self.span(read)[0] * self._layout.width
                if oldest < frontier.since:
                    step.needs = oldest
                    break
                self._resolve(step, read.label, next(candidates), fresh)
            elif read.offset >= self.evidence.position:
                step.counts[read.why] += 1
            step.reads.append(read)
        return step

    def _resolve(
        self, step: Step, label: Dated, candidates: Sequence[Candidate], fresh: dict[tuple[int, Place], Mark]
    ) -> None:
        known = [each._replace(mark=fresh.get((each.cohort, label.place), each.mark)) for each in candidates]
        what = find(self._layout, self.evidence.partition, label, known)
        if what.kind == "matched" and what.candidate is not None:
            mark = Mark(self.evidence.partition, label.offset, label.value)
            fresh[what.candidate.cohort, label.place] = mark
            step.marks.append((what.candidate.cohort, label.place, mark))
        if label.offset < self.evidence.position:
            return  # counted before; only its mark was lost
        kind: Kind = what.kind
        step.counts[kind] += 1
        if kind == "matched" and what.candidate is not None:
            step.counts["early"] += what.early
            step.matched.append((what.candidate, label.value))

    def take(self, step: Step, terms: Terms) -> None:
        """It counts."""
        evidence = self.evidence
        for read in step.reads:
            self._waiting.popleft()
            if read.offset >= evidence.position:
                evidence.position = read.offset + 1
                evidence.high = read.time
        evidence.counts += step.counts
        evidence.add(self._layout, terms, step.matched)
