"""Runs scenarios on brokers of their own, and says what came of each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from chaos import (  # noqa: F401 - their rows enter the list
    brokers,
    clocks,
    commands,
    data,
    kills,
    memory,
    mutations,
    network,
    nodes,
    places,
    planting,
    rebalances,
    recreated,
    refusals,
    repeats,
    stories,
)
from chaos.cluster import Cluster
from chaos.disk import small_disk
from chaos.proxy import Proxy
from chaos.scenario import ALL, Home, Scenario, Trial, sized
from chaos.table import Result
from chaos.world import World, world
from streambg.errors import ConfigError, StreambgError
from streambg.servers import Launch, LocalKafka
from streambg.servers.ports import HOST, free_port

# The address of what runs a scenario, and the parts of it that the world can reach: broker, launch, proxy, ...
Place = tuple[str, dict[str, Any]]
PLACE_TRIES = 3


def play(row: str, size: int, seed: int, logs: Path | None = None) -> Result:
    """One scenario from an empty broker to the audit's word. logs: where to keep its folder.

    Raises AssertionError, StreambgError where it cannot even begin.
    """
    chosen = ALL[row]
    with tempfile.TemporaryDirectory(prefix="streambg-chaos-") as made:
        folder = Path(made) if logs is None else logs / f"{row}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            place = _entered(stack, PLACES[chosen.home], seed)
            if isinstance(chosen, Trial):
                return chosen.run(place[0], chosen.counts[size], folder)
            return _under_load(row, *sized(chosen, size), seed, folder, place)


def _entered(stack: ExitStack, make: Callable[[int], AbstractContextManager[Place]], seed: int) -> Place:
    """A port that was free when it was chosen may be somebody else's by now: then another place."""
    for tries_left in reversed(range(PLACE_TRIES)):
        try:
            return stack.enter_context(make(seed))
        except ConfigError:
            if not tries_left:
                raise
    raise AssertionError("no tries")


def _under_load(row: str, chosen: Scenario, count: int, seed: int, folder: Path, place: Place) -> Result:
    bootstrap, parts = place
    through = {role: {"CHAOS_BOOTSTRAP": f"{HOST}:{parts['proxy'].port}"} for role in chosen.proxied}
    name = f"chaos-{row.lower()}"
    with world(bootstrap, name, chosen.load, folder, seed=seed, environments=through, params=chosen.params) as there:
        vars(there).update(parts)
        there.start()
        return there.finish(row, chosen.fault, chosen.figure, _injected(there, chosen, count))


def _injected(there: World, chosen: Scenario, count: int) -> bool:
    """A scenario that does not come to its end is a row that failed, not the end of the other rows."""
    try:
        return chosen.inject(there, count)
    except (AssertionError, StreambgError, KafkaException) as error:
        there.notes.append(str(error).splitlines()[0][:200])
        if chosen.proxied:
            there.proxy.calm()
        return False


@contextmanager
def proxied_broker(seed: int) -> Iterator[Place]:
    """A broker with a second listener, whose clients are told the proxy's address and so stay behind it."""
    broker, behind = LocalKafka(port=free_port()), free_port()
    with Proxy(free_port(), (HOST, behind), seed) as proxy:
        direct = f"PLAINTEXT://{HOST}:{broker.port}"
        launch = Launch(
            overrides={
                "listeners": f"{direct},PROXIED://{HOST}:{behind},CONTROLLER://{HOST}:{broker._controller_port}",
                "advertised.listeners": f"{direct},PROXIED://{HOST}:{proxy.port}",
                "inter.broker.listener.name": "PLAINTEXT",
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
                # what topics forget, they forget at once (D1, D5)
                "log.retention.check.interval.ms": "500",
                "log.cleaner.backoff.ms": "500",
            }
        )
        try:
            broker.start(launch)
            yield broker.bootstrap, {"broker": broker, "launch": launch, "proxy": proxy}
        finally:
            broker.close()


@contextmanager
def three_nodes(_seed: int) -> Iterator[Place]:
    with Cluster() as cluster:
        yield cluster.bootstrap, {"cluster": cluster}


@contextmanager
def broker_on_a_small_disk(_seed: int) -> Iterator[Place]:
    with small_disk() as disk, LocalKafka(disk.path, port=free_port()) as broker:
        yield broker.bootstrap, {"broker": broker, "launch": Launch(), "disk": disk}


@contextmanager
def nothing(_seed: int) -> Iterator[Place]:
    yield "", {}


PLACES: dict[Home, Callable[[int], AbstractContextManager[Place]]] = {
    "broker": proxied_broker,
    "cluster": three_nodes,
    "small disk": broker_on_a_small_disk,
    "its own": nothing,
}
