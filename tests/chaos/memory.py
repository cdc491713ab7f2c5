"""M: a color or a reader that is far behind costs the others nothing, neither memory nor time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from endings import tied
from waiting import until

from chaos import slow_reader
from chaos.members import Member
from chaos.scenario import scenario
from chaos.table import percentile
from chaos.world import World, wait_s
from streambg.kafka import profiles

MB = 1024 * 1024
# RSS that one color far behind may cost a process (issue "Nothing lost, nothing doubled, proven").
GROWTH_MB = 64.0
# Of load that is compared: a hundred times a transaction, and more than a session that ends on purpose takes.
WINDOW_S = 10.0
# How often one looks while a reader stands still, and how long new events may take then: a session that ends on purpose
# costs seconds (K1's figure).
LOOKS = 4
DELAY_S = 8.0
# A color that catches up reads and scores at a multiple of the load's rate.
CATCH_UP_S = 300.0


@scenario(
    "M1",
    "green's scorer stopped until it is far behind, then woken",
    "RSS +<= 64 MB, live p99 +<= 10 % while it is behind",
    counts=(20_000, 100_000, 1_000_000),
    rates=(2_000.0, 5_000.0, 8_000.0),
    session_ends=0,  # each is half a second without an answer, and would be most of what p99 says
)
def far_behind(world: World, count: int) -> bool:
    """`count` events behind. Live is blue at all times, green a candidate without weight."""
    with world.commanding:
        return _far_behind(world, count)


def _far_behind(world: World, count: int) -> bool:
    comparator = world.members.start("comparator", "comparator", "--slot", "0")
    until(lambda: _covered(world, comparator) > 0, 60, "both colors compared")
    before = time.monotonic()
    wait_s(before, WINDOW_S)
    watched = {name: world.members[name] for name in ("publisher.0", "comparator")}
    resident = {name: _resident_mb(member) for name, member in watched.items()}
    pids = [member.pid for member in watched.values()]
    for member in watched.values():
        _forget_peak(member)
    stopped, sent = time.monotonic(), world.run.sent
    world.members.freeze("green")
    until(lambda: world.run.sent - sent >= count, count / world.load.rate + 60, f"{count:,} events behind")
    woken, behind = time.monotonic(), world.run.sent // world.run.partitions
    world.members.thaw("green")
    until(lambda: _covered(world, comparator) >= behind, CATCH_UP_S, "green compared up to where it was woken")
    caught_up = time.monotonic()
    wait_s(caught_up, WINDOW_S)
    growth = {name: world.members.peak_mb(name) - resident[name] for name in watched}
    windows = (before, stopped), (stopped, woken), (woken, caught_up), (caught_up, time.monotonic())
    p99 = [_p99_ms(world, *window) for window in windows]
    world.notes.append(f"{world.run.sent - sent:,} fed since, caught up after {caught_up - woken:.0f} s")
    world.notes.append("RSS " + ", ".join(f"{name} {mb:+.0f} MB" for name, mb in growth.items()))
    world.notes.append("p99 {:.0f} ms before, {:.0f} behind, {:.0f} while catching up, {:.0f} after".format(*p99))
    world.injections = 1
    assert pids == [member.pid for member in watched.values()], "one of them has ended, and its peak is not known"
    # before and after, the machine's own scatter shows
    return max(growth.values()) <= GROWTH_MB and p99[1] <= 1.1 * max(p99[0], p99[3])


@scenario(
    "M2",
    "a reader of the output stopped, then woken",
    "no effect upstream; it reads all",
    counts=(1, 1, 5),
)
def slow_reader_of_output(world: World, count: int) -> bool:
    run, unmoved = world.run, True
    seen = run.folder / "slow-reader.seen"
    config = profiles.common(run.pipeline, "chaos.slow-reader")
    path = os.pathsep.join(sys.path)
    command = tied(
        sys.executable, slow_reader.__file__, str(config["bootstrap.servers"]), run.pipeline.topics.output, str(seen)
    )
    reader = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    try:
        until(lambda: _read(seen) > 0, 30, "the reader's first records")
        ended = _lives(world)
        for _ in range(count):
            world.pause(2, 4)
            os.kill(reader.pid, signal.SIGSTOP)
            stood = _read(seen)
            for _ in range(LOOKS):
                wait_s(time.monotonic(), WINDOW_S / 2)
                world.recovered(time.monotonic())
            unmoved = unmoved and _read(seen) == stood
            os.kill(reader.pid, signal.SIGCONT)
            owed = world.reader.seen.total
            until(lambda owed=owed: _read(seen) >= owed, 60, "the reader has read all")
            world.injections += 1
        return unmoved and ended == _lives(world) and max(world.recoveries) <= DELAY_S
    finally:
        reader.kill()
        reader.wait(10)


def _lives(world: World) -> dict[str, int]:
    return {name: len(world.members[name].ended) for name in world.members.names()}


def _read(file: Path) -> int:
    return int(file.read_text() or 0) if file.exists() else 0


def _covered(world: World, comparator: Member) -> int:
    """The source offset up to which the comparator has green's answers, in every partition; -1 before it has any."""
    assert comparator.process is not None
    process = world.run.with_port(comparator.process)
    partitions = process.health()["partitions"].values()
    if len(partitions) < world.run.partitions:
        return -1
    return min(-1 if each["covered"]["green"] is None else each["covered"]["green"] for each in partitions)


def _p99_ms(world: World, since: float, until_: float) -> float:
    return 1_000 * (percentile(world.delays(since, until_), 0.99) or 0.0)


def _resident_mb(member: Member) -> float:
    status = Path(f"/proc/{member.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _forget_peak(member: Member) -> None:
    """The kernel's high-water mark begins again (man 5 proc, clear_refs)."""
    Path(f"/proc/{member.pid}/clear_refs").write_text("5")
