"""The scorers of a recorded pipeline: both colors' batches, with repeats, holes, zombies and outages."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from recorded_topics import TOPIC, TOPIC_ID, Rec

from streambg.control.fold import Entry
from streambg.control.state import ControlState, Deployment
from streambg.records import batch as batches
from streambg.records.coverage import Coverage, Take
from streambg.records.source import Color

START_MS = 1_700_000_000_000
EVENT_MS = 100  # one event each
NEVER = 10**15
RULES = {"outputs": ["anomaly"], "late_live_ms": None, "late_candidate_ms": 2_000, "live_failed": "candidate"}

Row = tuple[bytes, bytes | None]  # what answers, and the error's reason instead


@dataclass(frozen=True)
class Shape:
    """What is recorded. Commands come at fractions of the events; rates are per event."""

    commands: tuple[tuple[float, str, dict[str, object]], ...]
    rules: Mapping[str, object] = field(default_factory=lambda: dict(RULES))
    partitions: int = 3
    events: int = 150
    batch: int = 12
    errors: float = 0.03
    gaps: float = 0.1
    null_keys: float = 0.1
    silent: float = 0.02  # a candidate's batch has no row
    repeats: float = 0.2
    holes: float = 0.05
    outages: tuple[tuple[float, float], ...] = ((0.55, 0.62),)  # green's batches come 5 s late
    origin: int = 0
    seed: int = 1
    wobbles: tuple[int, ...] = (-3, -1, 0, 6)  # a deployment's seed against where its command took effect
    topic: str = TOPIC
    topic_id: str = TOPIC_ID
    mischief: str = ""  # what the publisher does where it may fall back and both colors answered: nothing bad


@dataclass(frozen=True, slots=True)
class Piece:
    """What an accepted batch says."""

    after: int
    upto: int
    sample: bool
    time: int
    rows: Mapping[int, Row]


@dataclass
class Event:
    offset: int
    key: bytes | None
    machine: str | None
    time: int


class Timeline:
    """One partition's events, and from which of them on which state decides."""

    def __init__(self, shape: Shape, entries: list[tuple[float, Entry]], chance: random.Random) -> None:
        self.shape, self.entries, self.random = shape, entries, chance
        self.events = self._events()
        self.line = self._line()

    def _events(self) -> list[Event]:
        events, offset = [], 0
        for number in range(self.shape.events):
            while self.random.random() < self.shape.gaps:
                offset += 1
            key = None if self.random.random() < self.shape.null_keys else b"k%d" % self.random.randrange(40)
            machine = self.random.choice([None, "m1", "m2", "m3"])
            events.append(Event(offset, key, machine, START_MS + number * EVENT_MS))
            offset += 1
        return events

    def position(self, at: float) -> int:
        """The source offset at a fraction of the events."""
        index = min(int(at * len(self.events)), len(self.events) - 1)
        return self.events[index].offset

    def _line(self) -> list[tuple[int, ControlState]]:
        """(first, state): commands at one position make one cutover, for the last (P19)."""
        line: dict[int, ControlState] = {}
        for at, entry in self.entries:
            jitter = self.random.choice([0.0, 0.01, 0.02]) if at > 0 else 0.0
            first = max(self.position(min(at + jitter, 1.0)), self.shape.origin, *line, 0)
            line[first if line else self.shape.origin] = entry.state
        return sorted(line.items(), key=lambda item: item[0])

    def state_at(self, offset: int) -> ControlState | None:
        return next((state for first, state in reversed(self.line) if first <= offset), None)


class Scorers:
    """Writes the predictions of one partition: `score(color)`; `pieces` is what the product's fold accepts of them."""

    def __init__(self, timeline: Timeline, partition: int) -> None:
        self.timeline, self.shape, self.random = timeline, timeline.shape, timeline.random
        self.partition = partition
        self.events, self.line = timeline.events, timeline.line
        self.pieces: dict[tuple[Color, int], list[Piece]] = {}  # by color and deployment: a gap gives both one id (P29)

    def score(self, color: Color) -> list[Rec]:
        deployments: dict[int, Deployment] = {}
        for _, entry in self.timeline.entries:
            slot = entry.state.slots[color]
            if slot is not None:
                deployments.setdefault(slot.id, slot)
        records: list[Rec] = []
        ordered = list(deployments.values())
        for number, deployment in enumerate(ordered):
            seed = self._seed(deployment)
            following = ordered[number + 1] if number + 1 < len(ordered) else None
            last = self.events[-1].offset if following is None else self._seed(following) + self.random.randrange(5)
            self._score_deployment(color, deployment, seed, min(last, self.events[-1].offset), records)
            if number and self.random.random() < 0.5:
                self._zombie(ordered[number - 1], records)
        self._fold(color, records)
        return records

    def _seed(self, deployment: Deployment) -> int:
        """Settled + 1 when its scorer asked: about where its command took effect."""
        at = next(at for at, entry in self.timeline.entries if entry.offset == deployment.id)
        if not at:
            return self.shape.origin
        wobble = random.Random(f"{self.shape.seed}/{self.partition}/{deployment.id}").choice(self.shape.wobbles)
        seed = max(self.shape.origin, self.timeline.position(at) + wobble)
        lives = [
            first for first, state in self.line if state.live_deployment and state.live_deployment.id == deployment.id
        ]
        return min([seed, *lives])

    def _score_deployment(self, color: Color, deployment: Deployment, seed: int, last: int, records: list[Rec]) -> None:
        after = seed - 1
        sampled_upto = self._sampled_upto(deployment)
        while after < last:
            upto = min(last, after + self.random.randint(1, self.shape.batch))
            sample = upto <= sampled_upto
            rows = {
                event.offset: self._row(color, deployment, event)
                for event in self.events
                if after < event.offset <= upto and self._has_row(color, event, sample, deployment)
            }
            started = next(entry.appended_ms for _, entry in self.timeline.entries if entry.offset == deployment.id)
            self._append(records, deployment.id, after, upto, sample, rows, color, started + 1)
            if self.random.random() < self.shape.repeats and rows:
                again = dict.fromkeys(rows, (b"zombie", None))
                self._append(records, deployment.id, after, upto, sample, again, color, 0)
            if self.random.random() < self.shape.holes and upto + 3 < last:
                self._append(records, deployment.id, upto + 2, upto + 3, sample, {upto + 3: (b"hole", None)}, color, 0)
            after = upto

    def _sampled_upto(self, deployment: Deployment) -> int:
        """It scores a sample until its first weight (P9), and answers all once it is live."""
        if deployment.sample is None:
            return -1
        ends = [
            first
            for first, state in self.line
            for slot in state.slots.values()
            if slot is not None and slot.id == deployment.id and slot.sample is None
        ]
        lives = [
            first for first, state in self.line if state.live_deployment and state.live_deployment.id == deployment.id
        ]
        return min([*(first + 4 for first in ends), *(first - 1 for first in lives)], default=NEVER)

    def _has_row(self, color: Color, event: Event, sample: bool, deployment: Deployment) -> bool:
        state = self.timeline.state_at(event.offset)
        ever_live = any(
            state.live_deployment is not None and state.live_deployment.id == deployment.id for _, state in self.line
        )
        if sample and event.offset % 3:
            return False
        live = state is not None and state.live == color
        return live or ever_live or self.random.random() >= self.shape.silent

    def _row(self, color: Color, deployment: Deployment, event: Event) -> Row:
        if self.random.random() < self.shape.errors:
            return b"", f"{color} cannot: {event.offset}".encode()
        return f"{color}:{deployment.id}:{event.offset}".encode(), None

    def _append(
        self,
        records: list[Rec],
        deployment: int,
        after: int,
        upto: int,
        sample: bool,
        rows: Mapping[int, Row],
        color: Color,
        at_least: int,
    ) -> None:
        known = {event.offset: event for event in self.events}
        offsets = sorted(rows)
        times = [event.time for event in self.events if event.offset <= upto] or [START_MS]
        delay = 5
        for begin, end in self.shape.outages if color == "green" else ():
            if self.timeline.position(begin) <= upto <= self.timeline.position(end):
                delay = 5_000
        time = max([times[-1] + delay, at_least, *(record.time for record in records[-1:])])
        events = [known.get(offset) for offset in offsets]
        batch = batches.Batch(
            deployment, after, upto, sample, time, 1,
            np.array(offsets, np.int64),
            np.array([event.time if event else 0 for event in events], np.int64),
            np.array([batches.OK if rows[offset][1] is None else batches.ERROR for offset in offsets], np.uint8),
            np.zeros((len(offsets), 1)),
            [event.key if event else None for event in events],
            [rows[offset][1] or rows[offset][0] for offset in offsets],
            {"machine": [event.machine if event else None for event in events]},
        )  # fmt: skip
        records.append(Rec(len(records), time, None, batches.encode(batch)))

    def _zombie(self, deployment: Deployment, records: list[Rec]) -> None:
        """A batch of a replaced deployment behind its successor's: nobody may use it (P12)."""
        covered = max((h.upto for h in map(_head, records) if h.deployment == deployment.id), default=0)
        rows = {covered + 2: (b"zombie", None)}
        self._append(records, deployment.id, covered, covered + 4, False, rows, deployment.color, 0)

    def _fold(self, color: Color, records: list[Rec]) -> None:
        """What a publisher accepts of them, by the product's own fold."""
        coverage: dict[int, Coverage] = {}
        for record in records:
            batch = batches.decode(record.value or b"")
            id = batch.deployment
            if coverage and id < max(coverage):
                continue
            before = coverage.get(id, Coverage(id))
            take, coverage[id] = before.take(batch.after, batch.upto, batch.sample)
            pieces = self.pieces.setdefault((color, id), [])
            if take is Take.ACCEPTED:
                reach = before.covered if before.covered is not None else batch.after
                rows = {
                    offset: (value, None) if status == batches.OK else (b"", value)
                    for offset, status, value in zip(
                        batch.offsets.tolist(), batch.statuses.tolist(), batch.values, strict=True
                    )
                    if offset > reach
                }
                pieces.append(Piece(reach, batch.upto, batch.sample, record.time, rows))


def _head(record: Rec) -> batches.Head:
    return batches.decode_head(record.value or b"")
