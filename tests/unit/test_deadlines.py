"""P14, P18: when a color is late, and when a person is told that a partition stands still."""

from __future__ import annotations

from control_log import Log
from predictions import answers, fetched

from streambg.publishing.deadlines import STUCK_S, Deadlines
from streambg.publishing.outcomes import Home
from streambg.publishing.partition import Partition
from streambg.records.source import Color


def half_way() -> Partition:
    """Blue live, green candidate at 100 %: every event waits for green."""
    log = Log()
    log.deploy("blue", "m:1", start={"0": 0})
    log.deploy("green", "m:2")
    log.say("shift", candidate=1, weight=10_000)
    partition = Partition(Home("in", 0, "t", "c"), -1, -1, {"blue": (0, None), "green": (0, None)}, 0)
    partition.control(log.fold.state, log.fold.folded)
    return partition


class Log2:
    """Ends and read positions of both colors, as the test says."""

    def __init__(self) -> None:
        self.ends: dict[Color, int] = {"blue": 1, "green": 5}
        self.reads: dict[Color, int] = {"blue": 1, "green": 3}

    def end(self, color: Color, _partition: int) -> int:
        return self.ends[color]

    def read(self, color: Color, _partition: int) -> int:
        return self.reads[color]


def test_P18_it_fires_when_the_late_colors_log_was_read_to_an_end_asked_for_after_the_deadline() -> None:
    partition, log, deadlines = half_way(), Log2(), Deadlines()
    partition.offer("blue", fetched(0, answers(0, -1, 2), at=100.0))
    assert partition.advance(100) is None

    def late(now: float) -> object:
        return deadlines.fired(partition, now, log.end, log.read)

    assert late(101.9) is None, "the deadline is 2 s from the fetch"
    log.ends["green"] = 9
    assert late(102.0) is None, "only now is the end asked for"
    log.reads["green"] = 8
    assert late(102.1) is None, "not read to it yet"
    log.reads["green"] = 9
    found = late(102.2)
    assert found is not None
    waiting, color = found  # type: ignore[misc] # a pair
    assert (waiting.offset, color) == (0, "green")
    partition.fire(waiting)
    records = partition.advance(100)
    assert records is not None
    assert len(records) == 3, "waited once, not once an event"


def test_P18_an_end_asked_for_one_wait_fires_no_other() -> None:
    partition, log, deadlines = half_way(), Log2(), Deadlines()
    partition.offer("blue", fetched(0, answers(0, -1, 4), at=100.0))
    assert partition.advance(100) is None
    assert deadlines.fired(partition, 103.0, log.end, log.read) is None, "green's end, 5, is asked for"
    partition.offer("green", fetched(0, answers(1, -1, 1), at=103.0))
    while partition.advance(100) is not None:
        pass
    assert partition.settled == 1
    log.reads["green"], log.ends["green"] = 6, 7
    assert deadlines.fired(partition, 103.1, log.end, log.read) is None, "it waits for another event now"
    log.reads["green"] = 7
    assert deadlines.fired(partition, 103.2, log.end, log.read) is not None


def test_P14_a_standstill_is_said_once_per_offset_and_an_idle_partition_is_none() -> None:
    partition, deadlines = half_way(), Deadlines()
    assert partition.advance(100) is None
    assert deadlines.standstill(partition, 0.0) is None
    assert deadlines.standstill(partition, 1_000.0) is None, "nothing was answered that could be published"
    partition.offer("blue", fetched(0, answers(0, -1, 1), at=0.0))
    partition.advance(100)
    assert deadlines.standstill(partition, 1_000.0) is None
    assert deadlines.standstill(partition, 1_000.0 + STUCK_S - 1) is None
    words = deadlines.standstill(partition, 1_000.0 + STUCK_S)
    assert words is not None
    assert "in/0@0 waits" in words
    assert "green" in words
    assert deadlines.standstill(partition, 2_000.0) is None
