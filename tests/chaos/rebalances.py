"""R: members come and go while everything flows."""

from __future__ import annotations

import time
from functools import partial

from waiting import until

from chaos.open_ends import hidden
from chaos.scenario import scenario
from chaos.world import World, wait_s
from streambg.kafka.profiles import SESSION_TIMEOUT_MS, TRANSACTION_TIMEOUT_MS
from streambg.process.crash import EXIT_CODE

# A static member does not leave by itself: only one that is away for longer than its session (6 s) is missed, and only
# then its partitions move. Away and back: the group changes every 4 to 8 s.
AWAY_S = SESSION_TIMEOUT_MS / 1_000 + 2
BACK_S = 4.0


@scenario("R1", "a second publisher comes and goes, under full load", ">= 50 % of steady", counts=(1, 3, 12))
def publisher_churn(world: World, count: int) -> bool:
    """By turns killed and stopped cleanly."""
    world.publisher(1)
    steady = world.steady(AWAY_S)
    began, before = time.monotonic(), world.reader.seen.total
    _churn(world, ["publisher.1"], count)
    meanwhile = (world.reader.seen.total - before) / (time.monotonic() - began)
    return world.compared(meanwhile, steady) >= 0.5


@scenario("R2", "a second scorer of each color comes and goes", "0/0", counts=(1, 3, 25))
def scorer_churn(world: World, count: int) -> bool:
    for color in ("blue", "green"):
        world.members.start(f"{color}.1", "scorer", "--color", color, "--slot", "1")
    _churn(world, ["blue.1", "green.1"], count)
    return True


def _churn(world: World, names: list[str], count: int) -> None:
    """Leave and come back. Whoever leaves had partitions, or nothing would change by it."""
    for number in range(count):
        for name in names:
            until(partial(world.members.assigned, name), 60, f"partitions for {name}")
        leave = world.members.terminate if number % 2 else world.members.kill
        for name in names:
            leave(name, restart=False)
        wait_s(time.monotonic(), AWAY_S)
        back = time.monotonic()
        for name in names:
            world.members.begin(name)
        world.recovered(back)
        wait_s(back, BACK_S)
        world.injections += 1


@scenario(
    "R5",
    "4 publishers, 3 of them die with a transaction open",
    "the last one publishes everything <= 21 s",
    counts=(1, 1, 5),
    publishers=4,
)
def dangling_transactions(world: World, count: int) -> bool:
    names = [f"publisher.{slot}" for slot in range(1, 4)]
    for _ in range(count):
        world.pause(2, 4)
        for name in names:
            # the records are in the log, the transaction is open: it comes by here twenty times a second
            world.members.rearm(name, "before-commit:20")
            world.members.kill(name)
            world.members[name].keep = False
        for name in names:
            until(partial(world.members.gone, name), 60, f"the end of {name}")
            assert world.members.exit_code(name) == EXIT_CODE
        at = time.monotonic()
        held_up = hidden(world)
        world.notes.append(f"{held_up} partitions held up")
        assert held_up, "no transaction was left open"
        world.recovered(at)
        world.injections += 1
        for name in names:
            world.members.begin(name)
    return max(world.recoveries) <= TRANSACTION_TIMEOUT_MS / 1_000 + 11
