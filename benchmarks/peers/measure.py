"""A contender at work: how fast, at what cost; how long an event takes; what ten kills do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.peers.counting import Tally, tally
from benchmarks.peers.load import Load, Watch
from benchmarks.peers.team import Team
from benchmarks.peers.windows import Rate, Sample, percentile, rate
from streambg.errors import StreambgError
from streambg.process.usage import cpu_seconds

LOOK_S = 0.1
# A JVM with RocksDB, or eight consumers, until the first answer; and an abandoned transaction is waited for 10 s.
FIRST_S = 90.0
# Between the next kill and the first answer after the last: inside a batch, between two commits, anywhere.
KILL_AFTER_S = (0.2, 2.0)
# Far more than the backlog of the slowest start takes.
DRAIN_S = 90.0
# No new answer for this long: there will be none. A transaction of the dead times out after 10 s, and the broker looks
# for those every 10 s.
STILL_S = 25.0
# The same moments for everybody, as far as starting up lets them be.
SEED = 20
# A process that ends by itself again and again is no pipeline.
MOST_ENDS = 20

Progress = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians of three windows; `peak_mb` of the largest process."""

    rate: Rate
    peak_mb: float


def speed(team: Team, progress: Progress, warm: int, total: int, seconds: float, broker_pid: int) -> Speed:
    """Start the team, let it do `warm` events, then watch it for `seconds` or until all `total` are done."""
    team.start()
    _until(team, lambda: progress() >= warm, FIRST_S + warm / 1_000, f"the first {warm:,} events")
    samples: list[Sample] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        team.check()
        done = progress()
        samples.append(Sample(time.monotonic(), done, team.cpu(), cpu_seconds(broker_pid) or 0.0))
        if done >= total:
            break
        time.sleep(LOOK_S)
    return Speed(rate(samples), team.peak_mb())


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from an event's making to its answer in a read_committed reader; `seen` of the `sent` events.

    None where it does not keep up: then the latencies only say how long it has been running.
    """

    sent: int
    seen: int
    p50: float | None
    p99: float | None


# Of what was sent in the measured time, so much must have been seen within a second of its end.
KEEPS_UP = 0.98
AFTER_S = 1.0


def latency(team: Team, load: Load, watch: Watch, progress: Progress, warm: int, times: tuple[float, float]) -> Latency:
    """Warm the team up with what the input already holds, then send; `times`: seconds dropped, seconds measured."""
    dropped, measured = times
    team.start()
    _until(team, lambda: progress() >= warm, FIRST_S + warm / 1_000, f"the first {warm:,} events")
    with watch, load:
        load.start()
        _sleep(team, dropped)
        first = time.time_ns() // 1_000
        sent = load.sent
        _sleep(team, measured)
        last = time.time_ns() // 1_000
        sent = load.sent - sent
        time.sleep(AFTER_S)
        found = sorted(watch.delays(first, last))
    if not found or len(found) < sent * KEEPS_UP:
        return Latency(sent, len(found), None, None)
    return Latency(sent, len(found), percentile(found, 0.5) / 1_000, percentile(found, 0.99) / 1_000)


@dataclass(frozen=True, slots=True)
class Crash:
    """`back_s`: median seconds from a kill to the first new answer. `ended`: how often a process ended by itself."""

    kills: int
    tally: Tally
    back_s: float
    ended: int
    note: str = ""


def crash(team: Team, load: Load, progress: Progress, answered: Callable[[], list[int]], kills: int) -> Crash:
    """Kill all of the team -9 at random moments under load, `kills` times; drain; compare input and output.

    progress: answers that a read_committed reader has seen; answered: the numbers that it sees when all is over.
    """
    moments = random.Random(SEED)
    kept = _Kept(team)
    team.start()
    back: list[float] = []
    with load:
        load.start()
        kept.until_more(progress, 0)
        for _ in range(kills):
            kept.sleep(moments.uniform(*KILL_AFTER_S))
            team.kill()
            killed, before = time.monotonic(), progress()
            team.start()
            kept.until_more(progress, before)
            back.append(time.monotonic() - killed)
    sent = load.delivered()
    kept.drain(progress)
    team.stop()
    return Crash(kills, tally(sent, answered()), median(back), kept.ended)


class _Kept:
    """Starts a team again whose process ended by itself, as its supervisor would."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self.ended = 0

    def look(self) -> None:
        if not self._team.alive:
            self.ended += 1
            if self.ended > MOST_ENDS:
                self._team.check()
            self._team.kill()
            self._team.start()
        time.sleep(LOOK_S)

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()

    def until_more(self, progress: Progress, than: int) -> None:
        deadline = time.monotonic() + FIRST_S
        while progress() <= than:
            self.look()
            if time.monotonic() > deadline:
                raise StreambgError(f"no new answer within {FIRST_S:g} s of a kill")

    def drain(self, progress: Progress) -> None:
        """Until no answer comes any more."""
        last, moved = progress(), time.monotonic()
        deadline = moved + DRAIN_S
        while time.monotonic() - moved < STILL_S and time.monotonic() < deadline:
            self.look()
            if (now := progress()) > last:
                last, moved = now, time.monotonic()


def _until(team: Team, condition: Callable[[], bool], timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        team.check()
        if time.monotonic() > deadline:
            raise StreambgError(f"{what} were not done within {timeout:.0f} s")
        time.sleep(LOOK_S)


def _sleep(team: Team, seconds: float) -> None:
    """The measured time itself; a process that ends in it is an error."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        team.check()
        time.sleep(min(LOOK_S, left))
