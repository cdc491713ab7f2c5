"""What one partition's replay reads: own consumers of no group, from pinned start to pinned end; none commits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Message

from streambg.audit.parsing import HeaderParser, LetterParser
from streambg.audit.sources import Chunk, Role
from streambg.audit.stream import Bounds, Stream
from streambg.audit.tally import Tally
from streambg.comparing.locate import covering, first_of
from streambg.comparing.side import Place
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.kafka import profiles
from streambg.kafka.reading import LogReader
from streambg.looking.logs import Predictions
from streambg.records.coverage import Coverage
from streambg.records.outcome import HEADER, find_header
from streambg.records.source import Color
from streambg.replaying.partition import WINDOW
from streambg.replaying.plan import NOWHERE, Lane
from streambg.replaying.proof import polled_of
from streambg.scoring.batching import Polled

CLIENT = "streambg.replay"
# A replay has up to eight consumers at once: each keeps less in front of it than a pipeline's own process does. At
# 250 bytes an event that is still a tenth of a second at full speed.
QUEUED_KBYTES = 4_096
# How long a replay that is paced, or waits for a broker, does not look whether it is to stop.
LOOK_S = 0.2


class Stopped(Exception):
    """Whoever runs the replay wants it to end."""


class Pace:
    """At most `rate` events a second; None: as fast as it goes. Raises Stopped from `passed` where it is asked to."""

    def __init__(self, rate: float | None, stopping: Callable[[], bool]) -> None:
        self._rate = rate
        self._stopping = stopping
        self._begun = time.monotonic()
        self._events = 0

    def passed(self, events: int) -> None:
        """So many more: wait until they are due."""
        self._events += events
        while not self._stopping():
            early = self._begun + self._events / self._rate - time.monotonic() if self._rate else 0.0
            if early <= 0:
                return
            time.sleep(min(early, LOOK_S))
        raise Stopped


def reader_config(pipeline: Pipeline) -> dict[str, Any]:
    """Of every consumer of a replay."""
    return {**profiles.reader(pipeline, CLIENT), **verbs.QUIET, "queued.max.messages.kbytes": QUEUED_KBYTES}


class Readers:
    """Consumers, each of one topic, that go from lane to lane: the first record of a new one takes 50 ms to come."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._config = reader_config(pipeline)
        self._all = ExitStack()
        self._idle: dict[str, list[LogReader]] = {}
        self.looks = self._all.enter_context(LogReader(self._config, looks=True))

    @contextmanager
    def lent(self, topic: str) -> Iterator[LogReader]:
        """One that nobody else has meanwhile."""
        idle = self._idle.setdefault(topic, [])
        log = idle.pop() if idle else self._all.enter_context(LogReader(self._config))
        yield log
        log.rest()
        idle.append(log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._all.close()


class Reading:
    """One lane's topics: `with Reading(...) as reading`."""

    def __init__(self, pipeline: Pipeline, lane: Lane, pace: Pace, readers: Readers) -> None:
        self._lane = lane
        self._pace = pace
        self._readers = readers
        topics = pipeline.topics
        self._topics: Mapping[str, str] = {
            "input": topics.input,
            "output": topics.output,
            "dead-letters": topics.dead_letters,
            "blue": topics.predictions("blue"),
            "green": topics.predictions("green"),
        }
        self._stack = ExitStack()
        self._tally = Tally(topics.input, lane.partition)
        self._streams: list[Stream] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _read(self, role: str, start: int, end: int) -> Iterator[list[Message]]:
        """With a consumer of its own, which begins to fetch now: so a lane waits once for its first records."""
        log = self._stack.enter_context(self._readers.lent(self._topics[role]))
        return log.read(self._topics[role], self._lane.partition, start, end)

    def windows(self, upto: int) -> Iterator[tuple[Polled, int]]:
        """The events above `upto`, WINDOW at a time, each with the source offset that it reaches to. Raises Stopped."""
        return self._windows(self._read("input", upto + 1, self._lane.end), upto)

    def _windows(self, read: Iterator[list[Message]], upto: int) -> Iterator[tuple[Polled, int]]:
        lane, waiting = self._lane, Polled([], [], [], [], None)
        for messages in read:
            self._pace.passed(len(messages))
            _extend(waiting, messages)
            while len(waiting.offsets) >= WINDOW:
                window, waiting = _split(waiting, WINDOW)
                # markers behind it belong to it where nothing else comes
                yield window, window.offsets[-1]
        if upto < lane.end - 1:
            yield waiting, lane.end - 1

    def outcomes(self, role: Role, upto: int) -> Stream:
        """Output records or dead letters of the events above `upto`, from the log offset where the range begins."""
        lane, topic = self._lane, self._topics["input"]
        bounds = Bounds(lane.origin, lane.settled, lane.end, lane.floor, lane.output_begin, upto + 1)
        parser = (HeaderParser if role == "output" else LetterParser)(topic, lane.partition)
        read = self._read(role, lane.logs[role].start, lane.logs[role].end)
        stream = Stream(role, (_outcomes(messages, role) for messages in read if messages), parser, bounds, self._tally)
        self._streams.append(stream)
        return stream

    def drained(self) -> Tally:
        """What stands among the outcomes, read to their pinned ends."""
        for stream in self._streams:
            stream.take(NOWHERE)
        return self._tally

    def fetch(self, offsets: Sequence[int]) -> Polled | None:
        """Single events, ascending, wherever they stand; None where one of them is gone."""
        found, topic, partition = Polled([], [], [], [], None), self._topics["input"], self._lane.partition
        with self._readers.lent(topic) as beside:
            low, high = beside.ends(topic, partition)
            if not offsets or offsets[0] < low or offsets[-1] >= high:
                return None
            for messages in beside.read(topic, partition, offsets[0], offsets[-1] + 1):
                _extend(found, messages)
        return polled_of([found], offsets)

    def begin_of(self, color: Color, deployment: int) -> int | None:
        """The source offset that a deployment's answers begin above, as far as the log still reaches."""
        first = first_of(self._predictions(color), deployment)
        return None if first is None else first[1].after

    def _predictions(self, color: Color) -> Predictions:
        ends = self._lane.logs[color]
        return Predictions(self._readers.looks, self._topics[color], self._lane.partition, (ends.start, ends.end))

    def stored(self, color: Color, deployment: int, low: int) -> DeploymentLog | None:
        """`stored.Open`."""
        log = self._predictions(color)
        first = first_of(log, deployment)
        if first is None:
            return None
        offset, head = first
        if head.after >= low:
            place = Place(offset, Coverage(deployment))
        else:
            place = Place(covering(log, offset, deployment, low), Coverage(deployment, low))
        return DeploymentLog(self._readers, self._topics[color], self._lane, self._lane.logs[color].end, place)


class DeploymentLog:
    """`stored.Log` on a broker, with a consumer of its own."""

    def __init__(self, readers: Readers, topic: str, lane: Lane, end: int, place: Place) -> None:
        self.place = place
        self._lent = ExitStack()
        self._log = self._lent.enter_context(readers.lent(topic))
        self._where = (topic, lane.partition, place.log_offset, end)

    def __iter__(self) -> Iterator[list[tuple[int, bytes]]]:
        for messages in self._log.read(*self._where):
            yield [(message.offset() or 0, message.value() or b"") for message in messages]

    def close(self) -> None:
        self._lent.close()


def _outcomes(messages: list[Message], role: Role) -> Chunk:
    """As columns. When they were written, and under which key, is nobody's question here: asking costs a tenth."""
    named: list[Any] = list(map(Message.headers, messages)) if role == "output" else []
    offsets: list[int] = list(map(Message.offset, messages))  # type: ignore[arg-type] # read messages have one
    headers = [found[0][1] if found and found[0][0] == HEADER else find_header(found) for found in named]
    values = list(map(Message.value, messages))
    return Chunk(offsets, [None] * len(messages), [0] * len(messages), values, headers)


def _extend(polled: Polled, messages: list[Message]) -> None:
    polled.offsets.extend(map(Message.offset, messages))  # type: ignore[arg-type] # read messages have one
    polled.keys.extend(map(Message.key, messages))
    polled.times.extend([timestamp for _, timestamp in map(Message.timestamp, messages)])
    polled.values.extend(map(Message.value, messages))


def _split(polled: Polled, size: int) -> tuple[Polled, Polled]:
    first, rest = slice(0, size), slice(size, None)
    return (
        Polled(polled.offsets[first], polled.keys[first], polled.times[first], polled.values[first], None),
        Polled(polled.offsets[rest], polled.keys[rest], polled.times[rest], polled.values[rest], None),
    )
