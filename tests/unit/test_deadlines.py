"""P14, P18: when a color is late, and when a person is told that a partition stands still."""

from __future__ import annotations

from control_log import Log
from predictions import answers, fetched

from streambg.publishing.deadlines import STUCK_S, Deadlines, Spot
from streambg.publishing.outcomes import Home
from streambg.publishing.partition import Partition
from streambg.publishing.settle import Waiting
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


class Logs:
    """Ends and read positions of both colors, as the test says; `asked` counts the questions."""

    def __init__(self, partition: Partition) -> None:
        self.ends: dict[Color, int] = {"blue": 1, "green": 5}
        self.reads: dict[Color, int] = {"blue": 1, "green": 3}
        self.asked = 0
        self.deadlines = Deadlines()
        self._partitions = {0: partition}

    def end(self, spots: list[Spot]) -> dict[Spot, int]:
        self.asked += 1
        return {(color, number): self.ends[color] for color, number in spots}

    def read(self, color: Color, _partition: int) -> int:
        return self.reads[color]

    def late(self, now: float) -> list[tuple[Partition, Waiting, Color]]:
        return self.deadlines.fired(self._partitions, now, self.end, self.read)

    def fire(self, now: float) -> None:
        """Green is read to its end, and is late."""
        self.reads["green"] = self.ends["green"]
        [(partition, waiting, _)] = self.late(now)
        partition.fire(waiting)

    def doubted(self, now: float) -> bool:
        return bool(self.deadlines.doubted(self._partitions, now))


def test_P18_it_fires_when_the_late_colors_log_was_read_to_an_end_asked_for_after_the_deadline() -> None:
    partition = half_way()
    logs = Logs(partition)
    partition.offer("blue", fetched(0, answers(0, -1, 2), at=100.0))
    assert partition.advance(100) is None
    assert logs.late(101.9) == [], "the deadline is 2 s from the fetch"
    assert logs.asked == 0
    logs.ends["green"] = 9
    assert logs.late(102.0) == [], "only now is the end asked for"
    logs.reads["green"] = 8
    assert logs.late(102.1) == [], "not read to it yet"
    logs.reads["green"] = 9
    [(_, waiting, color)] = logs.late(102.2)
    assert (waiting.offset, color) == (0, "green")
    partition.fire(waiting)
    records = partition.advance(100)
    assert records is not None
    assert len(records) == 3, "waited once, not once an event"


def test_P18_an_end_asked_for_one_wait_fires_no_other() -> None:
    partition = half_way()
    logs = Logs(partition)
    partition.offer("blue", fetched(0, answers(0, -1, 4), at=100.0))
    assert partition.advance(100) is None
    assert logs.late(103.0) == [], "green's end, 5, is asked for"
    partition.offer("green", fetched(0, answers(1, -1, 1), at=103.0))
    while partition.advance(100) is not None:
        pass
    assert partition.settled == 1
    logs.reads["green"], logs.ends["green"] = 6, 7
    assert logs.late(103.1) == [], "it waits for another event now"
    logs.reads["green"] = 7
    assert len(logs.late(103.2)) == 1


def test_P34_an_end_that_was_read_to_too_slowly_is_asked_for_again() -> None:
    """What was appended meanwhile may be the answer, and has stood in the log for longer than the deadline by now."""
    partition = half_way()
    logs = Logs(partition)
    partition.offer("blue", fetched(0, answers(0, -1, 2), at=100.0))
    partition.advance(100)
    assert logs.late(102.0) == []
    logs.reads["green"], logs.ends["green"] = 5, 7
    assert logs.late(103.1) == [], "it was asked for 1.1 s ago: half the deadline is 1 s"
    assert logs.late(103.2) == [], "and is again"
    logs.reads["green"] = 7
    assert len(logs.late(103.3)) == 1


def test_P34_while_a_color_is_late_its_log_is_read_to_its_end_again_and_again() -> None:
    """Where it is not, the partition waits as if nothing had fired: seed 2506 of the simulator."""
    partition = half_way()
    logs = Logs(partition)
    partition.offer("blue", fetched(0, answers(0, -1, 2), at=100.0))
    partition.advance(100)
    logs.fire(102.0)
    assert partition.advance(100) is not None
    asked = logs.asked
    assert logs.late(102.4) == []
    assert (logs.asked, logs.doubted(102.4)) == (asked, False)
    assert logs.late(102.6) == [], "half of the second is over that a look is good for"
    assert logs.asked == asked + 1
    assert not logs.doubted(103.5)
    logs.ends["green"] = 6
    assert logs.late(103.5) == [], "reading stands still behind a new end"
    assert not logs.doubted(103.6)
    assert logs.doubted(103.7), "the end that was read to last was asked for at 102.6"
    partition.wait_again()
    partition.offer("blue", fetched(1, answers(0, 2, 4), at=103.7))
    assert partition.advance(100) is None
    assert not logs.doubted(104.0), "nothing is late any more"
    deadline = partition.deadline()
    assert deadline is not None
    assert deadline[2] == 105.7


def test_P34_what_reaches_the_log_long_after_the_look_stands_only_by_another() -> None:
    """Seed 9274 of the simulator: a publisher stood still between the look and the append."""
    partition = half_way()
    partitions = {0: partition}
    logs = Logs(partition)
    partition.offer("blue", fetched(0, answers(0, -1, 2), at=100.0))
    partition.advance(100)
    logs.fire(102.0)
    assert partition.advance(100) is not None
    logs.deadlines.claim(partition, -1)
    assert logs.deadlines.outlived(partitions, 104.0) == [], "the look is as old as the deadline, not older"
    doubtful = logs.deadlines.outlived(partitions, 104.1)
    assert doubtful == [("green", 0)]
    assert logs.deadlines.refuted(partitions, doubtful) == [], "a color that stays silent is late for good"
    partition.offer("green", fetched(0, answers(1, -1, 0), at=104.1))
    assert logs.deadlines.refuted(partitions, doubtful) == [("green", 0)], "it answered the first that is called late"
    logs.deadlines.committed()
    assert logs.deadlines.outlived(partitions, 200.0) == []


def test_P34_answers_below_what_is_called_late_refute_nothing() -> None:
    """A color that is far behind and goes on answering must not keep a publisher with a slow broker from committing."""
    partition = half_way()
    logs = Logs(partition)
    partition.offer("blue", fetched(0, answers(0, -1, 9), at=100.0))
    partition.offer("green", fetched(0, answers(1, -1, 3), at=100.0))
    while partition.advance(100) is not None:
        pass
    logs.fire(102.0)
    assert (partition.settled, partition.advance(100) is not None, partition.settled) == (3, True, 9)
    logs.deadlines.claim(partition, 7)
    partition.offer("green", fetched(1, answers(1, 3, 7), at=105.0))
    assert logs.deadlines.refuted({0: partition}, [("green", 0)]) == []
    partition.offer("green", fetched(2, answers(1, 7, 8), at=105.0))
    assert logs.deadlines.refuted({0: partition}, [("green", 0)]) == [("green", 0)]


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
