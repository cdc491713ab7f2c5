"""A model broker alone, without a walk: for scenarios that say themselves what happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from simulation.actors import pipeline
from simulation.broker import Broker
from simulation.clients import SimClients
from simulation.link import Link

LOOK_S = 0.05


class Quiet:
    """The world of a scenario, and its bench: time passes when somebody looks, and nothing goes wrong."""

    def __init__(self, name: str) -> None:
        self.now = 1_000.0
        self.counts: Counter[str] = Counter()
        self.name = name
        self.broker = Broker(lambda: self.now, lambda: int(self.now * 1_000))
        self.pipeline = pipeline()
        self._links: list[Link] = []
        self.clients = _EachItsOwn(self)

    def link(self) -> Link:
        link = Link(self, f"process {len(self._links)}")
        self._links.append(link)
        return link

    def create(self, topic: str, partitions: int) -> str:
        self.broker.create(self.name + topic, partitions)
        return self.name + topic

    def look(self) -> None:
        self.wait(LOOK_S)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for link in self._links:
            link.send()
            link.beat()
        self.broker.tick()

    def wait(self, seconds: float) -> None:
        self.tick(seconds)
        while self.broker.transactions.write_mark(0):
            pass

    def play(self, count: int) -> None: ...

    def later(self, what: str, do: Callable[[], object]) -> None: ...

    def deliver(self) -> None: ...

    def succeed(self, link: Link) -> None: ...


class _EachItsOwn(SimClients):
    """Every client of a scenario is a process of its own."""

    def __init__(self, quiet: Quiet) -> None:
        super().__init__(quiet.link(), quiet.broker)
        self._quiet = quiet

    def consumer(self, config: object) -> object:
        return SimClients(self._quiet.link(), self._broker).consumer(config)  # type: ignore[arg-type] # as it came

    def producer(self, config: object) -> object:
        return SimClients(self._quiet.link(), self._broker).producer(config)  # type: ignore[arg-type] # as it came
