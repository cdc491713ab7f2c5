"""Where labels meet the room: on the event loop, fed with what one poll of the labels' topic brought.

As in comparing, the reader thread hands over one `Work` at a time and waits for its answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import redis.asyncio
import structlog

from streambg.comparing.pair import Pair, Terms
from streambg.labelling.cohorts import EARLY_MS
from streambg.labelling.evidence import LabelEvidence, encode
from streambg.labelling.filling import Filled, Frontier, frontier
from streambg.labelling.room import OtherRoom, Room, State
from streambg.labelling.rows import Layout, layout_of
from streambg.labelling.stream import Fetched, Stream

log = structlog.get_logger("streambg.comparator")

# At most so many lookups a poll (8,192 labels): then timers and the comparison have their turn with the reader.
ROUNDS = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """full: label partitions that must not be read on for now. rewinds: to be read again, from that time on; ms."""

    full: frozenset[int] = frozenset()
    rewinds: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """One poll. `fresh`: everything so far is void; then come `begins`. rewound: partitions that were rewound.

    inputs: how many partitions the input has. ends, idle: as `Depositor.tend` takes them.
    """

    pair: Pair | None
    terms: Terms
    inputs: int
    fresh: bool = False
    begins: Sequence[LabelEvidence] = ()
    rewound: Sequence[int] = ()
    fetched: Sequence[Fetched] = ()
    ends: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    idle: Mapping[int, int] = field(default_factory=dict)
    answer: Future[Answer] = field(default_factory=Future)


class LabelDesk:
    """The label partitions of this process. One thread only: the event loop's."""

    def __init__(self, client: redis.asyncio.Redis, pipeline: str) -> None:
        self.streams: dict[int, Stream] = {}
        self.problem: str | None = None
        self.waits_for: str | None = None  # what the next label of some partition waits for
        self._client = client
        self._pipeline = pipeline
        self._terms = Terms(1)
        self._layout: Layout | None = None
        self._room: Room | None = None
        self._inputs = 0

    def room(self, pair: Pair, layout: Layout) -> Room:
        return Room(self._client, self._pipeline, pair, layout.labels.horizon_ms, layout.width)

    async def process(self, work: Work) -> None:
        """Sets `work.answer`. Redis that does not answer is no error: labels wait (P33)."""
        if work.fresh:
            self._start_over(work)
        for partition in work.rewound:
            if partition in self.streams:
                self.streams[partition].rewound()
        for fetched in work.fetched:
            if fetched.partition in self.streams:
                self.streams[fetched.partition].offer(fetched)
        self._inputs = work.inputs
        try:
            await self._advance()
        except (redis.RedisError, OSError) as error:
            self._say(str(error) or type(error).__name__)
        else:
            self._say(None)
        work.answer.set_result(self._answer())

    def _start_over(self, work: Work) -> None:
        self._terms, self._layout = work.terms, layout_of(work.terms)
        self.streams, self._room = {}, None
        if work.pair is not None and self._layout is not None:
            self._room = self.room(work.pair, self._layout)
            self.streams = {each.partition: Stream(each, self._layout) for each in work.begins}

    def _answer(self) -> Answer:
        return Answer(
            frozenset(partition for partition, stream in self.streams.items() if stream.full),
            {partition: stream.marked_from for partition, stream in self.streams.items() if stream.rewinding},
        )

    def _say(self, problem: str | None) -> None:
        if problem is not None and self.problem is None:
            log.warning("labels_wait", why=problem)
        elif problem is None and self.problem is not None:
            log.info("labels_go_on")
        if problem is not None:
            for stream in self.streams.values():
                stream.known = False  # what was under way may or may not be written
        self.problem = problem

    # -- matching ------------------------------------------------------------------------------------------------

    async def _advance(self) -> None:
        room, layout = self._room, self._layout
        if room is None or layout is None or not self.streams:
            return
        for _ in range(ROUNDS):
            state = await room.state()
            front = self._frontier(state, layout)
            moved = [
                partition
                for partition, stream in sorted(self.streams.items())
                if await self._knows(room, partition, stream, state)
                and front is not None
                and await self._match(room, layout, partition, stream, front)
            ]
            if not moved:
                return

    def _frontier(self, state: State, layout: Layout) -> Frontier | None:
        now = int(time.time() * 1_000)
        filled = {partition: state.filled(partition) for partition in range(self._inputs)}
        front = frontier(filled, now, layout.width)
        self.waits_for = self._said(filled, front)
        return front

    def _said(self, filled: Mapping[int, Filled | None], front: Frontier | None) -> str | None:
        """What the next labels wait for, in words."""
        nexts = [time_ms for stream in self.streams.values() if (time_ms := stream.next_time) is not None]
        if not nexts:
            return None
        if front is None:
            missing = sorted(partition for partition, each in filled.items() if each is None)
            return f"rows of input partitions {missing[:10]}"
        slowest = min((each.passed, partition) for partition, each in filled.items() if each is not None)
        if min(nexts) + EARLY_MS <= slowest[0]:
            return None
        return (
            f"events up to {min(nexts) + EARLY_MS} ms; input partition {slowest[1]} is compared up to {slowest[0]} ms"
        )

    async def _knows(self, room: Room, partition: int, stream: Stream, state: State) -> bool:
        """Are the marks of what was counted in the room? If not, the labels of a horizon are read again."""
        if stream.rewinding:
            return False
        raw = state.raw.get(b"q%d" % partition, b"")
        if raw and stream.known and raw == stream.raw:
            return True
        marked, evidence = state.marked(partition), stream.evidence
        behind = evidence.position > evidence.start and (marked is None or marked < evidence.position)
        if behind and not stream.remarking:
            log.info("label_marks_lost", partition=partition, position=evidence.position, marked=marked)
            stream.rewind()
            return False
        if not raw:  # a field that is empty before the first marks would be so after they are lost
            try:
                raw = await room.mark(partition, raw, evidence.start, ())
            except OtherRoom:
                return False
        stream.raw, stream.known, stream.remarking = raw, True, False
        return True

    async def _match(self, room: Room, layout: Layout, partition: int, stream: Stream, front: Frontier) -> bool:
        """Some labels of one partition; did it get any further?"""
        reads = stream.next_reads(front.passed)
        if not reads:
            return False
        asks = [(read.label.place, stream.span(read)) for read in reads if read.label is not None]
        state, found = await room.look(asks)
        now_front = self._frontier(state, layout)
        if now_front is None or state.raw.get(b"q%d" % partition, b"") != stream.raw:
            stream.known = False
            return True
        step = stream.step(reads, found, now_front)
        if step.needs != state.needed(partition):  # the room may have lost it, or have it of a process before
            await room.need(partition, step.needs)
            if step.needs is not None:
                log.info("labels_need_rows", partition=partition, since_ms=step.needs)
        if not step.reads:
            return False
        try:
            stream.raw = await room.mark(partition, stream.raw, step.reads[-1].offset + 1, step.marks)
        except OtherRoom:
            stream.known = False
            return True
        stream.take(step, self._terms)
        return True

    def evidence(self) -> list[LabelEvidence]:
        """As of now, by partition."""
        return [stream.evidence for _, stream in sorted(self.streams.items())]

    def snapshots(self) -> list[tuple[bytes, bytes]]:
        """Key and value of the evidence as of now."""
        return [(each.key, encode(each)) for each in self.evidence()]
