"""Runs scenarios on brokers of their own, and says what came of each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException

from chaos import brokers, commands, data, kills, mutations, network, places, rebalances, recreated, repeats  # noqa: F401 - their rows
from chaos.proxy import Proxy
from chaos.scenario import ALL, Scenario, Trial, sized
from chaos.table import Result
from chaos.world import World, world
from streambg.errors import StreambgError
from streambg.servers import Launch, LocalKafka
from streambg.servers.ports import HOST, free_port


def play(row: str, size: int, seed: int, logs: Path | None = None) -> Result:
    """One scenario from an empty broker to the audit's word. logs: where to keep its folder."""
    chosen = ALL[row]
    with tempfile.TemporaryDirectory(prefix="streambg-chaos-") as made:
        folder = Path(made) if logs is None else logs / f"{row}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        with proxied_broker(seed) as (broker, launch, proxy):
            if isinstance(chosen, Trial):
                return chosen.run(broker.bootstrap, chosen.counts[size], folder)
            return _under_load(row, *sized(chosen, size), seed, folder, (broker, launch, proxy))


def _under_load(
    row: str, chosen: Scenario, count: int, seed: int, folder: Path, servers: tuple[LocalKafka, Launch, Proxy]
) -> Result:
    broker, launch, proxy = servers
    through = {role: {"CHAOS_BOOTSTRAP": f"{HOST}:{proxy.port}"} for role in chosen.proxied}
    name = f"chaos-{row.lower()}"
    with world(
        broker.bootstrap, name, chosen.load, folder, seed=seed, environments=through, params=chosen.params
    ) as there:
        there.broker, there.launch, there.proxy = broker, launch, proxy
        there.start()
        return there.finish(row, chosen.fault, chosen.figure, _injected(there, chosen, count))


def _injected(there: World, chosen: Scenario, count: int) -> bool:
    """A scenario that does not come to its end is a row that failed, not the end of the other rows."""
    try:
        return chosen.inject(there, count)
    except (AssertionError, StreambgError, KafkaException) as error:
        there.notes.append(str(error).splitlines()[0][:200])
        there.proxy.calm()
        return False


@contextmanager
def proxied_broker(seed: int) -> Iterator[tuple[LocalKafka, Launch, Proxy]]:
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
            yield broker, launch, proxy
        finally:
            broker.close()
