"""Runs scenarios on brokers of their own, and says what came of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaos import brokers, commands, data, kills, network, rebalances  # noqa: F401 - their scenarios enter the list
from chaos.proxy import Proxy
from chaos.scenario import ALL, sized
from chaos.table import Result
from chaos.world import world
from streambg.servers import Launch, LocalKafka
from streambg.servers.ports import HOST, free_port


def play(row: str, size: int, seed: int) -> Result:
    """One scenario from an empty broker to the audit's word."""
    chosen, count = sized(ALL[row], size)
    with proxied_broker(seed) as (broker, launch, proxy):
        through = {role: {"CHAOS_BOOTSTRAP": f"{HOST}:{proxy.port}"} for role in chosen.proxied}
        with world(broker.bootstrap, f"chaos-{row.lower()}", chosen.load, seed=seed, environments=through) as there:
            there.broker, there.launch, there.proxy = broker, launch, proxy
            there.start()
            met = chosen.inject(there, count)
            return there.finish(row, chosen.fault, chosen.figure, met)


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
            }
        )
        try:
            broker.start(launch)
            yield broker, launch, proxy
        finally:
            broker.close()
