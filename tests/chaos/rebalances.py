"""R: members come and go while everything flows."""

from __future__ import annotations

import time

from chaos.scenario import scenario
from chaos.world import World, wait_s

# How often a member comes or goes.
CHANGE_S = 10.0


@scenario("R1", "a second publisher comes and goes, by kill and by clean stop", ">= 50 % of steady", counts=(2, 4, 15))
def publisher_churn(world: World, count: int) -> bool:
    world.publisher(1)
    return _churn(world, "publisher.1", count)


@scenario("R2", "a second scorer of each color comes and goes", "0/0", counts=(2, 4, 15))
def scorer_churn(world: World, count: int) -> bool:
    for color in ("blue", "green"):
        world.members.start(f"{color}.1", "scorer", "--color", color, "--slot", "1")
    _churn(world, "blue.1", count)
    _churn(world, "green.1", count)
    return True


def _churn(world: World, name: str, count: int) -> bool:
    """Leave and come, by turns killed and stopped cleanly; is at least half of the load published meanwhile?"""
    began, before, sent = time.monotonic(), world.reader.total(), world.run.sent
    for number in range(count):
        wait_s(time.monotonic(), CHANGE_S / 2)
        leave = world.members.kill if number % 2 else world.members.terminate
        leave(name, restart=False)
        wait_s(time.monotonic(), CHANGE_S / 2)
        world.members.begin(name)
        world.injections += 1
    published, fed = world.reader.total() - before, world.run.sent - sent
    world.notes.append(f"{published:,} of {fed:,} published in {time.monotonic() - began:.0f} s of churn")
    return published >= fed / 2
