"""B: the broker dies, restarts, or stops in its tracks."""

from __future__ import annotations

import os
import signal
import time

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


@scenario("B2", "broker restarted cleanly", "recovery <= 15 s", counts=(1, 4, 10))
def restart_broker(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(2, 5)
        world.broker.stop()
        world.restart_broker()
        world.recovered(time.monotonic())
        world.injections += 1
    return max(world.recoveries) <= 15


@scenario("B3", "broker stopped for 20 s, then woken", "0/0", counts=(1, 2, 4))
def freeze_broker(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(2, 4)
        assert world.broker.pid is not None
        os.kill(world.broker.pid, signal.SIGSTOP)
        wait_s(time.monotonic(), 20)
        os.kill(world.broker.pid, signal.SIGCONT)
        world.recovered(time.monotonic(), 90)
        world.injections += 1
    return True
