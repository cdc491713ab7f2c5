"""C and X5: requests that come late, are not answered, or never arrive; the proxy aims at one kind of them."""

from __future__ import annotations

import time
from functools import partial

from waiting import until

from chaos.proxy import END_TXN, PRODUCE, TXN_OFFSET_COMMIT, Fault
from chaos.scenario import scenario
from chaos.world import World, wait_s

# Longer than the publisher trusts a transactional call (2 s), so that it must have given up by then.
LATE_S = 2.5
PUBLISHER = ("publisher",)


@scenario(
    "C1",
    "EndTxn delayed, let go in a later transaction",
    "0/0; a new producer",
    counts=(2, 10, 200),
    proxied=PUBLISHER,
)
def delayed_end(world: World, count: int) -> bool:
    return _held(world, count, END_TXN)


@scenario("C3", "TxnOffsetCommit delayed", "0/0", counts=(1, 8, 50), proxied=PUBLISHER)
def delayed_offsets(world: World, count: int) -> bool:
    return _held(world, count, TXN_OFFSET_COMMIT)


@scenario("C4", "Produce delayed past the end of its session", "0 leaked", counts=(1, 8, 50), proxied=PUBLISHER)
def delayed_produce(world: World, count: int) -> bool:
    return _held(world, count, PRODUCE)


@scenario("C2", "response of EndTxn lost", "0/0", counts=(2, 10, 200), proxied=PUBLISHER)
def lost_response(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(1, 2)
        at = time.monotonic()
        fault = world.proxy.set(Fault(frozenset({END_TXN}), drop_response=True, limit=1))
        until(partial(getattr, fault, "hits"), 20, "an EndTxn")
        world.proxy.lift(fault)
        world.recovered(at + LATE_S)
        world.injections += 1
    return True


def _held(world: World, count: int, key: int) -> bool:
    """Hold one request until the publisher works again, or has had the time for it; then let it arrive."""
    for _ in range(count):
        world.pause(1, 2)
        fault = world.proxy.set(Fault(frozenset({key}), hold=True, limit=1))
        until(partial(getattr, fault, "held"), 20, f"a request with key {key}")
        at = time.monotonic()
        wait_s(at, LATE_S)
        world.recovered(at + LATE_S, 30)
        world.proxy.lift(fault)
        world.injections += 1
    return True
