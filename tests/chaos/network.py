"""C and X5: requests that come late, are not answered, or never arrive; the proxy aims at one kind of them."""

from __future__ import annotations

import time
from functools import partial

from waiting import until

from chaos.proxy import COORDINATORS, END_TXN, FETCH, LIST_OFFSETS, PRODUCE, TXN_OFFSET_COMMIT, Fault
from chaos.scenario import scenario
from chaos.world import World, wait_s

# Longer than the publisher trusts a transactional call (2 s), so that it must have given up by then.
LATE_S = 2.5
# The same where the link is not known to be slow, and well below the 10 s where it is.
SLOW_S = 3.0
# What was on its way, and a transaction that ends by its timeout, is out long before.
CUT_S = 60.0
PUBLISHER = ("publisher",)
EVERYBODY = ("publisher", "scorer")


@scenario(
    "C1",
    "EndTxn delayed, let go in a later transaction",
    "0/0; a new producer",
    counts=(2, 6, 200),
    proxied=PUBLISHER,
)
def delayed_end(world: World, count: int) -> bool:
    before = world.members["publisher.0"].troubles
    _held(world, count, END_TXN)
    return world.members["publisher.0"].troubles - before >= count


@scenario("C3", "TxnOffsetCommit delayed, or its response lost", "0/0", counts=(2, 4, 50), proxied=PUBLISHER)
def delayed_offsets(world: World, count: int) -> bool:
    return _held(world, count // 2, TXN_OFFSET_COMMIT) and _lost(world, count - count // 2, TXN_OFFSET_COMMIT)


@scenario("C4", "Produce delayed past the end of its session", "0 leaked", counts=(1, 4, 50), proxied=PUBLISHER)
def delayed_produce(world: World, count: int) -> bool:
    return _held(world, count, PRODUCE)


@scenario("C2", "response of EndTxn lost", "0/0", counts=(2, 6, 200), proxied=PUBLISHER)
def lost_response(world: World, count: int) -> bool:
    return _lost(world, count, END_TXN)


def _lost(world: World, count: int, key: int) -> bool:
    for _ in range(count):
        world.pause(1, 2)
        at = time.monotonic()
        fault = world.proxy.set(Fault(frozenset({key}), drop_response=True, limit=1))
        until(partial(getattr, fault, "hits"), 20, f"a request with key {key}")
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


@scenario(
    "C5",
    "60 s: nothing reaches the coordinators; every second time nothing at all",
    "resumes <= 15 s after",
    counts=(1, 2, 6),
    proxied=PUBLISHER,
)
def cut_off(world: World, count: int) -> bool:
    """Once it is over, what was on its way arrives: joins and heartbeats of clients that are gone, too."""
    for number in range(count):
        world.pause(1, 3)
        fault = Fault(stop=True) if number % 2 else Fault(COORDINATORS, hold=True)
        at = time.monotonic()
        world.proxy.set(fault)
        wait_s(at, CUT_S)
        last = max(arrived for arrived, _ in world.reader.seen.arrivals)
        assert last < at + CUT_S / 2, f"outcomes came {last - at:.0f} s after the cut"
        world.proxy.lift(fault)
        world.recovered(time.monotonic())
        world.injections += 1
    return max(world.recoveries) <= 15


@scenario("C6", "connections stop one by one, go on in random order", "0/0", counts=(2, 4, 60), proxied=EVERYBODY)
def swizzle(world: World, count: int) -> bool:
    for _ in range(count):
        stopped = world.proxy.connections()
        assert stopped, "no connection to stop"
        world.random.shuffle(stopped)
        for connection in stopped:
            connection.paused.set()
            world.pause(0.05, 0.3)
        world.random.shuffle(stopped)
        for connection in stopped:
            connection.paused.clear()
            world.pause(0.05, 0.3)
        world.recovered(time.monotonic())
        world.injections += 1
    return True


@scenario(
    "C7",
    "1 % of the requests reset their connection",
    ">= 70 % of the throughput without, at the run's rate",
    counts=(10, 10, 30),
    proxied=EVERYBODY,
)
def resets(world: World, count: int) -> bool:
    """At the run's rate, long enough for several sessions of the publisher, each of which any lost connection ends
    (P21); then `count` seconds under full load, which is told, not judged: there nothing is caught up afterwards.
    """
    without, meanwhile = world.throughput(3 * count), _with_resets(world, 3 * count)
    left = world.compared(meanwhile, without)
    full = world.steady(count)
    world.compared(_with_resets(world, count), full)
    world.recovered(time.monotonic())
    return world.injections > 0 and left >= 0.7


def _with_resets(world: World, seconds: float) -> float:
    """Outcomes a second meanwhile."""
    fault = world.proxy.set(Fault(reset=True, share=0.01))
    meanwhile = world.throughput(seconds)
    world.proxy.lift(fault)
    world.injections += fault.hits
    return meanwhile


@scenario(
    "C8",
    "200 +- 150 ms, 5 Mbit/s",
    "< 1 % of the transactions aborted",
    counts=(20, 40, 300),
    proxied=EVERYBODY,
)
def slow_network(world: World, count: int) -> bool:
    """`count` seconds of it. A session that ends not on purpose is a transaction that the broker aborts."""
    publisher = world.members["publisher.0"]
    world.run.with_port(world.members.process("publisher.0"))

    def delay() -> float:
        return world.random.uniform(0.05, 0.35)

    fault = world.proxy.set(Fault(delay_s=delay, bytes_per_s=5e6 / 8))
    before, troubles = publisher.transactions, publisher.troubles
    wait_s(time.monotonic(), count)
    committed, aborted = publisher.transactions - before, publisher.troubles - troubles
    world.recovered(time.monotonic())
    world.proxy.lift(fault)
    world.injections = fault.hits
    world.notes.append(f"{aborted} of {committed + aborted} transactions aborted")
    return fault.hits > 0 and committed > 0 and aborted < 0.01 * (committed + aborted)


@scenario(
    "C8b",
    "every EndTxn takes 3 s, publish.slow_link",
    "no session ends by it",
    counts=(3, 8, 40),
    proxied=PUBLISHER,
    publish={"slow_link": True},
)
def slow_commits(world: World, count: int) -> bool:
    """P21: longer than a call is trusted elsewhere, and known to be so. `count` commits."""
    publisher = world.members["publisher.0"]
    troubles, pid = publisher.troubles, publisher.pid
    fault = world.proxy.set(Fault(frozenset({END_TXN}), delay_s=lambda: SLOW_S))
    until(lambda: fault.hits >= count, 3 * SLOW_S * count, f"{count} slow commits")
    world.recovered(time.monotonic())
    world.proxy.lift(fault)
    world.injections = fault.hits
    return (publisher.troubles, publisher.pid) == (troubles, pid)


@scenario("X5", "control log cut off from the publisher", "session ends <= 12 s", counts=(1, 1, 3), proxied=PUBLISHER)
def stale_control(world: World, count: int) -> bool:
    """P6: a publisher that cannot read the log stops, and goes on once it can."""
    quiet = True
    for _ in range(count):
        fault = world.proxy.set(Fault(frozenset({FETCH, LIST_OFFSETS}), client="control", hold=True))
        at = time.monotonic()
        wait_s(at, 25)
        last = max(arrived for arrived, _ in world.reader.seen.arrivals)
        quiet = quiet and last - at <= 12
        world.notes.append(f"last outcome {last - at:.1f} s after the cut")
        world.proxy.lift(fault)
        world.recovered(time.monotonic())
        world.injections += 1
    return quiet
