"""B1-B3, B7: the broker dies, restarts, stops in its tracks, or has no room left."""

from __future__ import annotations

import os
import signal
import time

from waiting import until

from chaos.scenario import scenario
from chaos.world import World, wait_s


@scenario("B1", "broker kill -9", "recovery <= 30 s after start", counts=(1, 4, 10))
def kill_broker(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(2, 5)
        world.broker.kill()
        world.restart_broker()
        world.recovered(time.monotonic())
        world.injections += 1
    return max(world.recoveries) <= 30


@scenario("B2", "broker restarted cleanly", "recovery <= 15 s", counts=(1, 3, 10))
def restart_broker(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(2, 5)
        world.broker.stop()
        world.restart_broker()
        world.recovered(time.monotonic())
        world.injections += 1
    return max(world.recoveries) <= 15


@scenario("B3", "broker stopped for 20 s or 90 s, then woken", "0/0", counts=(1, 2, 8))
def freeze_broker(world: World, count: int) -> bool:
    for number in range(count):
        world.pause(2, 4)
        assert world.broker.pid is not None
        os.kill(world.broker.pid, signal.SIGSTOP)
        wait_s(time.monotonic(), (20, 90)[number % 2])
        os.kill(world.broker.pid, signal.SIGCONT)
        world.recovered(time.monotonic(), 90)
        world.injections += 1
    return True


@scenario("B7", "broker's disk full", "fails closed, 0/0 after space returns", counts=(1, 1, 5), home="small disk")
def disk_full(world: World, count: int) -> bool:
    """Kafka halts where it cannot write; the pipeline's processes wait for it."""
    ended = {name: len(world.members[name].ended) for name in world.members.names()}
    for _ in range(count):
        world.pause(2, 4)
        world.disk.fill()
        until(lambda: not world.broker.running, 60, "the broker halts")
        world.disk.empty()
        world.restart_broker()
        world.recovered(time.monotonic())
        world.injections += 1
    return ended == {name: len(world.members[name].ended) for name in world.members.names()}
