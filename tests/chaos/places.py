"""Z3 and R4: who has which place in a group, and who is too slow for his."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from waiting import until

from chaos.scenario import scenario
from chaos.world import World, wait_s
from streambg.errors import Fenced
from streambg.kafka.profiles import MAX_POLL_INTERVAL_MS

# So long after one of two has ended nobody may be fenced again.
QUIET_S = 10.0


@scenario("Z3", "two publishers with one slot", "one ends <= 10 s with its reason, no ping-pong", counts=(1, 2, 10))
def one_slot_twice(world: World, count: int) -> bool:
    """Neither is started again by itself: that is what the exit code is for."""
    reached = True
    name = "publisher.0"
    for number in range(count):
        world.pause(1, 3)
        second = f"publisher.0.{number + 1}"
        world.members[name].keep = False
        at = time.monotonic()
        world.members.start(second, "publisher", "--slot", "0")
        world.members[second].keep = False
        both = (name, second)
        until(partial(_one_gone, world, both), 40, "the end of one of two")
        took = time.monotonic() - at
        [gone] = [each for each in both if world.members.gone(each)]
        [name] = [each for each in both if not world.members.gone(each)]
        world.members[name].keep = True
        words = world.members.process(gone).log.read_text()
        world.notes.append(f"{gone} of {both} ended after {took:.1f} s")
        clear = world.members.exit_code(gone) == Fenced.exit_code and "--slot" in words.splitlines()[-1]
        quiet = time.monotonic()
        wait_s(quiet, QUIET_S)
        fenced = world.members.process(name).log.read_text().count('"event": "fenced"')
        world.recovered(quiet)
        reached = reached and took <= 10 and clear and fenced == 0 and world.members[name].ended == []
        world.injections += 1
    return reached


def _one_gone(world: World, names: tuple[str, str]) -> bool:
    return any(world.members.gone(name) for name in names)


@scenario(
    "R4",
    "the live model works twice as long as the group waits for a poll",
    "alarm <= 1 s after that, 0/0",
    counts=(1, 1, 5),
    params={"1": {"pause": "pause"}},
)
def slow_model(world: World, count: int) -> bool:
    """It is not started again, its answers count, and it goes on."""
    pause, waits = world.run.folder / "pause", MAX_POLL_INTERVAL_MS / 1_000
    reached = True
    for number in range(count):
        world.pause(1, 2)
        log = world.members.process("blue").log
        (pause.with_suffix(".new")).write_text(f"{2 * waits:g}")
        pause.with_suffix(".new").rename(pause)
        until(lambda: not pause.exists(), 20, "the model takes its time")
        at = time.monotonic()
        until(partial(_said, log, number + 1), 2 * waits, "the alarm")
        late = time.monotonic() - at - waits
        world.notes.append(f"alarm {late:+.1f} s after {waits:g} s")
        wait_s(at, 2 * waits)
        world.recovered(at + 2 * waits)
        reached = reached and late <= 1
        world.injections += 1
    return reached and world.members["blue"].ended == []


def _said(log: Path, times: int) -> bool:
    return log.read_text().count("the model has worked for") >= times
