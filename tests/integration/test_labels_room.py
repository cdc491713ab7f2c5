"""The waiting room on a real Redis, without a broker: filled, emptied, outgrown, and what labels find in it then."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
import redis.asyncio
from label_room import LABEL_TERMS, LAYOUT, WIDTH, answers, label_records, rows_of
from label_room import Room as Table
from label_room import advance as advance_in_memory
from pairs import PAIR, START, begun, cut, finish, offer

from streambg.comparing.comparison import Comparison
from streambg.comparing.side import Place
from streambg.labelling import depositing, refill
from streambg.labelling.depositing import Depositor
from streambg.labelling.desk import Answer, LabelDesk, Work
from streambg.labelling.evidence import LabelEvidence, decode, encode
from streambg.labelling.filling import Filled
from streambg.labelling.matching import Mark
from streambg.labelling.room import OtherRoom, Room
from streambg.labelling.rows import MOST_ROWS, Waiting, place_of, time_of
from streambg.labelling.stream import Fetched, Stream
from streambg.records.batch import Batch
from streambg.records.batch import encode as encode_batch
from streambg.records.coverage import Coverage
from streambg.records.source import COLORS, Color
from streambg.servers.local_redis import LocalRedis

pytestmark = pytest.mark.integration

EVENTS = 400
LOGS: Mapping[Color, Sequence[Batch]] = {
    color: cut(PAIR.of(color), answers(5, EVENTS, color), [*range(20, EVENTS, 20), EVENTS]) for color in COLORS
}
RECORDS = label_records(3, EVENTS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalRedis]:
    server = LocalRedis(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


class Message:
    def __init__(self, offset: int, batch: Batch) -> None:
        self._offset, self._value = offset, encode_batch(batch)

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value


class TopicsInMemory:
    """`LogReader`, of the two logs above."""

    def __init__(self, _config: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def ends(self, topic: Color, _partition: int) -> tuple[int, int]:
        return 0, len(LOGS[topic])

    def read(self, topic: Color, _partition: int, start: int, end: int) -> Iterator[list[Message]]:
        for at in range(start, end):
            yield [Message(at, LOGS[topic][at])]


@pytest.fixture(autouse=True)
def _topics(monkeypatch: pytest.MonkeyPatch) -> None:
    def places(_site: object, wanted: refill.Wanted) -> dict[Color, Place]:
        return {color: Place(0, Coverage(PAIR.of(color), wanted.cohort.after)) for color in COLORS}

    monkeypatch.setattr(refill, "LogReader", TopicsInMemory)
    monkeypatch.setattr(refill, "_places", places)


class Process:
    """What a comparator's process has: a comparison, a depositor, a desk, and a reader of labels."""

    def __init__(self, client: redis.asyncio.Redis, comparison: Comparison, evidence: LabelEvidence) -> None:
        self.comparison = comparison
        self.desk = LabelDesk(client, "p")
        site: Any = SimpleNamespace(reader={}, predictions={color: color for color in COLORS})
        self.depositor = Depositor(site, self.desk.room(PAIR, LAYOUT), PAIR, LAYOUT)
        self.next = evidence.position
        self._begins: list[LabelEvidence] = [evidence]
        self._rewound: list[int] = []

    async def tend(self, end: int | None = None) -> None:
        """end: where the input ends, asked a long time after the last event."""
        ends = {} if end is None else {0: (end, 10**9)}
        await self.depositor.tend({0: self.comparison}, ends, {})

    async def labels(self, upto: int) -> Answer:
        fetched = RECORDS[self.next : upto]
        self.next = max(self.next, upto)
        fresh, begins, self._begins = bool(self._begins), self._begins, []
        work = Work(PAIR, LABEL_TERMS, 1, fresh, begins, self._rewound, fetched)
        await self.desk.process(work)
        self._rewound = []
        answer = work.answer.result()
        for partition, since_ms in answer.rewinds.items():
            first = next((each.offset for each in RECORDS if each.timestamp_ms >= since_ms), len(RECORDS))
            self.next = min(first, self.evidence.position)
            self._rewound.append(partition)
        return answer

    @property
    def evidence(self) -> LabelEvidence:
        return self.desk.evidence()[0]


def comparison_to(events: int, before: Comparison | None = None) -> Comparison:
    comparison = before or begun(START, PAIR, LABEL_TERMS, 0)
    for color in COLORS:
        reach = sum(each.upto <= events for each in LOGS[color])
        offer(comparison, color, LOGS[color], reach)
    finish(comparison)
    return comparison


def begin() -> LabelEvidence:
    return LabelEvidence(0, PAIR, 0, LABEL_TERMS.gate)


@asynccontextmanager
async def client_of(store: LocalRedis) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(store.url, socket_timeout=2, socket_connect_timeout=2)
    try:
        yield client
    finally:
        await client.aclose()


def key_of(record: Fetched) -> str:
    """Of what is no label: nothing."""
    found = re.search(rb'"event_id": "(\w+)"', record.value or b"")
    return found[1].decode() if found else ""


def expected() -> bytes:
    stream = Stream(begin(), LAYOUT)
    for record in RECORDS:
        stream.offer(record)
    advance_in_memory(stream, Table(rows_of(5, EVENTS)), LABEL_TERMS)
    assert stream.evidence.position == len(RECORDS)
    return encode(stream.evidence)


async def settle(process: Process, done: Callable[[], bool]) -> None:
    """Turns until it is so; each does what there is to do."""
    for _ in range(50):
        await process.tend(EVENTS + 1)
        await process.labels(len(RECORDS))
        if done():
            return
    raise AssertionError(f"not so after 50 turns: {process.evidence.position}, {process.desk.waits_for}")


def test_P33_a_label_ahead_waits_and_what_it_finds_is_what_the_table_says(store: LocalRedis) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            process = Process(client, comparison_to(200), begin())
            await process.labels(len(RECORDS))
            assert process.evidence.position == 0
            assert process.desk.waits_for == "rows of input partitions [0]"
            await process.tend()
            await process.labels(len(RECORDS))
            assert process.evidence.position == 0, "events of the time are still to come"
            latest = time_of(LAYOUT, *max((row.cohort, row.value) for row in rows_of(5, 200)))
            said = f"is compared up to {latest - 1} ms"
            assert said in (process.desk.waits_for or ""), "of the latest event that both answered; another may follow"
            comparison_to(EVENTS, process.comparison)
            await settle(process, lambda: process.evidence.position == len(RECORDS))
            assert encode(process.evidence) == expected()

    asyncio.run(run())


def test_P33_an_emptied_room_is_filled_again_before_anything_is_counted(store: LocalRedis) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            process = Process(client, comparison_to(EVENTS), begin())
            await process.tend(EVENTS + 1)
            await process.labels(150)
            await process.labels(150)
            kept = encode(process.evidence)
            assert process.evidence.position == 150
            await client.flushall()
            answer = await process.labels(len(RECORDS))
            assert set(answer.rewinds) == {0}
            assert encode(process.evidence) == kept
            await process.labels(len(RECORDS))
            assert encode(process.evidence) == kept, "no rows yet"
            await settle(process, lambda: process.evidence.position == len(RECORDS))
            assert encode(process.evidence) == expected()

            await client.flushall()  # and a process that starts on an empty room, from an older snapshot
            again = Process(client, comparison_to(EVENTS), decode(kept))
            again.comparison.take_packed()  # as after a restart: compared before, and nothing at hand
            await settle(again, lambda: again.evidence.position == len(RECORDS))
            assert encode(again.evidence) == expected()

    asyncio.run(run())


def test_P33_a_room_that_is_emptied_while_it_is_filled_again_is_begun_anew(
    store: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            process = Process(client, comparison_to(EVENTS), begin())
            process.comparison.take_packed()  # as after a restart: nothing at hand
            for _ in range(3):
                await process.tend(EVENTS + 1)
                assert process.depositor.refilling == [0]
            assert len(await client.keys("*:0.*")) > 50, "rows that were read again"
            await client.flushall()
            await settle(process, lambda: process.evidence.position == len(RECORDS))
            assert encode(process.evidence) == expected()

    monkeypatch.setattr(depositing, "REFILL_ROWS", 40)  # of 400
    asyncio.run(run())


def test_P33_a_room_that_is_emptied_before_the_first_marks_is_noticed(
    store: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the first label of an event that both answered is among these, and the next one repeats or corrects it
    rows = {row.place for row in rows_of(5, EVENTS)}
    places = [place_of(key.encode()) for key in map(key_of, RECORDS)]
    between = next(at for at in range(100, len(RECORDS)) if places[at] == places[at - 1] and places[at] in rows)

    async def run() -> None:
        async with client_of(store) as client:
            look = Room.look

            async def look_and_lose(room: Room, asks: Sequence[Any]) -> Any:
                monkeypatch.setattr(Room, "look", look)
                found = await look(room, asks)
                await client.flushall()
                return found

            monkeypatch.setattr(Room, "look", look_and_lose)
            process = Process(client, comparison_to(EVENTS), begin())
            await process.tend(EVENTS + 1)
            await process.labels(between)
            await settle(process, lambda: process.evidence.position == len(RECORDS))
            assert encode(process.evidence) == expected()

    asyncio.run(run())


def test_P33_a_redis_that_is_down_stops_labels_and_nothing_else(store: LocalRedis) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            process = Process(client, comparison_to(EVENTS), begin())
            await process.tend(EVENTS + 1)
            await process.labels(100)
            store.kill()
            with pytest.raises((redis.RedisError, OSError)):
                await process.tend(EVENTS + 1)
            process.depositor.rest()
            before = encode(process.evidence)
            await process.labels(len(RECORDS))
            assert encode(process.evidence) == before
            assert process.desk.problem
            store.start()
            await settle(process, lambda: process.evidence.position == len(RECORDS))
            assert process.desk.problem is None
            assert encode(process.evidence) == expected()

    asyncio.run(run())


def test_rows_that_were_let_go_are_read_again(store: LocalRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            process = Process(client, comparison_to(100), begin())
            await process.tend()
            comparison_to(300, process.comparison)
            process.comparison.take_packed()  # more than fitted
            comparison_to(EVENTS, process.comparison)
            await settle(process, lambda: process.evidence.position == len(RECORDS))
            assert encode(process.evidence) == expected()
            assert process.depositor.refilling == []

    assert MOST_ROWS > EVENTS
    asyncio.run(run())


def test_labels_that_need_older_rows_get_them(store: LocalRedis) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            process = Process(client, comparison_to(EVENTS), begin())
            await process.tend(EVENTS + 1)
            room = process.desk.room(PAIR, LAYOUT)
            state = await room.state()
            raw, filled = state.raw[b"p0"], state.filled(0)
            assert filled is not None
            assert filled.since == 0
            short = Filled(filled.upto, filled.passed, WIDTH, filled.expiries)
            await room.fill(0, raw, short, ())
            await client.delete(*[key for key in await client.keys("*") if key != b"streambg:p:labels:3.7"])
            process.depositor.rest()
            await process.labels(len(RECORDS))
            assert (await room.state()).needed_since() == 0
            assert process.evidence.position == 0
            await settle(process, lambda: process.evidence.position == len(RECORDS))
            assert encode(process.evidence) == expected()
            assert (await room.state()).needed_since() is None

    asyncio.run(run())


def test_P33_what_labels_need_is_said_again_to_an_emptied_room_and_taken_back(store: LocalRedis) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            process = Process(client, comparison_to(EVENTS), begin())
            room = process.desk.room(PAIR, LAYOUT)
            short = Filled(EVENTS, 10**9, WIDTH)
            raw = await room.fill(0, b"", short, ())
            await process.labels(len(RECORDS))
            assert (await room.state()).needed(0) == 0
            await client.flushall()
            raw = await room.fill(0, b"", short, ())
            await process.labels(len(RECORDS))
            assert (await room.state()).needed(0) == 0

            again = Process(client, comparison_to(EVENTS), begin())  # that it was said is not known to this one
            await room.fill(0, raw, Filled(EVENTS, 10**9), rows_of(5, EVENTS))
            await again.labels(len(RECORDS))
            assert again.evidence.position == len(RECORDS)
            assert (await room.state()).needed_since() is None

    asyncio.run(run())


def test_two_writers_notice_each_other_and_the_first_event_of_a_key_stays(store: LocalRedis) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            room = Room(client, "p", PAIR, 40_000, WIDTH)
            place = place_of(b"k")
            later, first = b"\1" + bytes(13) + b"later", bytes(14) + b"first"
            raw = await room.fill(0, b"", Filled(5), [Waiting(7, place, later)])
            await room.put(0, raw, [Waiting(7, place, first)])
            await room.put(0, raw, [Waiting(7, place, later)])
            for before in (b"", b"x"):
                with pytest.raises(OtherRoom):
                    await room.fill(0, before, Filled(9), [Waiting(7, place, b"\0" * 14)])
            mark = await room.mark(3, b"", 12, [(7, place, Mark(3, 11, 1.0)), (8, place, Mark(3, 11, 1.0))])
            with pytest.raises(OtherRoom):
                await room.mark(3, b"", 13, [])
            state, found = await room.look([(place, (6, 8)), (place, (8, 9)), (place, (9, 8))])
            assert [[(each.value[14:], each.mark) for each in some] for some in found] == [
                [(b"first", Mark(3, 11, 1.0))],
                [],
                [],
            ]
            assert (state.filled(0), state.marked(3), mark) == (Filled(5), 12, b"12")
            assert await client.keys("*:8.*") == [], "a mark without its row would stay for ever"
            living = [await client.pttl(key) for key in await client.keys("*")]
            assert all(room.lives_ms - 60_000 < each <= room.lives_ms for each in living)

    asyncio.run(run())


def test_a_quiet_partition_says_so_before_anything_is_compared(store: LocalRedis) -> None:
    async def run() -> None:
        async with client_of(store) as client:
            process = Process(client, comparison_to(EVENTS), begin())
            now = int(time.time() * 1_000)
            await process.depositor.tend({}, {}, {0: now, 1: now})
            state = await process.desk.room(PAIR, LAYOUT).state()
            assert state.filled(0) == state.filled(1) == Filled(-1, now - 5_000)
            await settle(process, lambda: process.evidence.position == len(RECORDS))
            assert encode(process.evidence) == expected(), "what is compared then is written all the same"

    asyncio.run(run())
