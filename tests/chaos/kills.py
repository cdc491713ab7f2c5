"""K and Z: processes that die, stop in their tracks, or come back from the dead."""

from __future__ import annotations

import time
from functools import partial

from waiting import until

from chaos.open_ends import hidden
from chaos.scenario import scenario
from chaos.world import World, wait_s
from streambg.process.crash import EXIT_CODE, SITES
from streambg.records.source import COLORS

# A static member's place is kept for its session (6 s); a zombie sleeps three of them.
SESSION_S = 6.0
# From one site of K2 to the next: 12 visits come by all of them, 4 by one of each stage of a transaction.
SITES_APART = 5
# Sites that a session comes by once; by the others with each transaction, and its first has positions only.
OF_AN_ASSIGNMENT = ("fenced-the-dead", "initialised", "positions-read", "taken-up")
LATER = 20
# What is written is in the log there, and not committed.
WITH_OUTCOMES = ("after-flush", "before-offsets", "after-offsets", "before-commit")


@scenario("K1", "kill -9 publisher, random point", "resume p95 <= 8 s", counts=(2, 8, 50))
def kill_publisher(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(3, 8)
        world.recovered(world.members.kill("publisher.0"))
        world.injections += 1
    return max(world.recoveries) <= SESSION_S + 2


@scenario("K2", "publisher ends at each of 12 code sites (short: 4)", "an end at each, 0/0", counts=(4, 12, 240))
def crash_at_each_site(world: World, count: int) -> bool:
    """One life of the publisher ends at the site, the next one is not armed."""
    name = "publisher.0"
    for number in range(count):
        site = SITES[number * SITES_APART % len(SITES)]
        world.members.rearm(name, f"{site}:{1 if site in OF_AN_ASSIGNMENT else LATER}")
        at = world.members.kill(name)
        world.members[name].keep = False
        until(partial(world.members.gone, name), 40, f"an end at {site}")
        assert world.members.exit_code(name) == EXIT_CODE, f"{site}: ended with {world.members.exit_code(name)}"
        if site in WITH_OUTCOMES:
            assert hidden(world), f"{site}: no outcome was left in an open transaction"
        world.members.begin(name)
        world.recovered(at)
        world.injections += 1
    return True


@scenario("K3", "kill -9 scorer blue / green", "0/0", counts=(2, 8, 30))
def kill_scorer(world: World, count: int) -> bool:
    """The other color must not be all that answers: the one that was killed comes back."""
    for number in range(count):
        world.pause(1, 4)
        color = COLORS[number % 2]
        world.recovered(world.members.kill(color))
        until(partial(world.members.assigned, color), 60, f"partitions for {color}")
        world.injections += 1
    return True


@scenario("K5", "kill -9 everything at once", "drained <= 30 s after start", counts=(1, 4, 10))
def kill_everything(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(3, 6)
        at = time.monotonic()
        for name in world.members.names():
            world.members.kill(name, restart=False)
        for name in world.members.names():
            world.members.begin(name)
        world.recovered(at)
        world.injections += 1
    return max(world.recoveries) <= 30


@scenario("K6", "SIGTERM, rolling restart", "longest gap <= 3 s", counts=(1, 2, 10))
def rolling_restart(world: World, count: int) -> bool:
    began = time.monotonic()
    for _ in range(count):
        for name in world.members.names():
            world.pause(4, 5)
            world.recovered(world.members.terminate(name))
            world.injections += 1
    return world.reader.longest_silence(began, time.monotonic()) <= 3


@scenario("Z1", "publisher stopped for 3 sessions, woken", "zombie exits fenced <= 5 s after CONT", counts=(1, 1, 5))
def zombie_publisher(world: World, count: int) -> bool:
    """Whoever watches it takes it for dead and starts another one in its slot."""
    fast = True
    for number in range(count):
        world.pause(1, 3)
        zombie = f"publisher.0.{number}" if number else "publisher.0"
        at = time.monotonic()
        world.members.freeze(zombie)
        world.members.start(f"publisher.0.{number + 1}", "publisher", "--slot", "0")
        world.recovered(at)
        wait_s(at, 3 * SESSION_S)
        world.members[zombie].keep = False
        woken = time.monotonic()
        world.members.thaw(zombie)
        until(partial(world.members.gone, zombie), 30, "the zombie ends")
        fast = fast and time.monotonic() - woken <= 5 and world.members.exit_code(zombie) == 7
        world.injections += 1
    return fast
