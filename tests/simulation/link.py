"""The way from one process to the broker: every request passes here, and here the walk decides what becomes of it.

A request may be lost, its answer may be, it may arrive later; the process may die or stand still around it. While a
process waits or stands still, the walk goes on: the next operations run inside the call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from confluent_kafka import KafkaError, KafkaException

from simulation.log import BrokerError

if TYPE_CHECKING:
    from simulation.consumer import SimConsumer
    from simulation.producer import SimProducer

T = TypeVar("T")

# One request on a healthy network.
LATENCY_S = 0.001
# What librdkafka waits before it tries a transactional request again: retry.backoff.ms of profiles.py, less its jitter.
RETRY_S = 2.1
# Errors that a client answers by asking again.
AGAIN = ("CONCURRENT_TRANSACTIONS", "UNSTABLE_OFFSET_COMMIT")
FENCED = ("PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH")

# How long a process stands still: a moment, less than a session (6 s), more than that, more than a transaction (10 s),
# more than the group's patience with who does not poll (15 s).
FROZEN_S = (0.2, 3.0, 8.0, 13.0, 20.0)
LONG = 2  # from this one on: longer than a session, and who wakes up may find somebody else in its place
LONGEST = 48  # operations meanwhile, at the most; whoever takes over needs about ten turns

FATES = ("crash", "freeze", "request lost", "answer lost", "late", "unreachable", "overtaken")


class Crashed(BaseException):
    """The process is gone; nothing of it runs any more."""


class World(Protocol):
    """What a link needs of the world."""

    now: float
    counts: Counter[str]

    def tick(self, seconds: float) -> None: ...
    def play(self, count: int) -> None:
        """Run the next operations of the walk inside a call."""

    def wait(self, seconds: float) -> None:
        """Let time pass and something happen elsewhere."""

    def later(self, what: str, do: Callable[[], object]) -> None:
        """A request that arrives some time."""

    def deliver(self) -> None:
        """It arrives now."""

    def succeed(self, link: Link) -> None:
        """Whoever keeps the processes up takes this one for gone, and starts another one in its slot."""


@dataclass(slots=True)
class Armed:
    """What will befall the `skip`-th next request of this kind; `then` is armed when it has.

    `number` picks among a fate's variants.
    """

    kind: str
    skip: int
    fate: str
    number: int = 0
    then: Armed | None = None


def kafka_error(error: BrokerError) -> KafkaError:
    """As librdkafka tells it: fencing is fatal."""
    if error.name in FENCED:
        return KafkaError(KafkaError._FENCED, error.name, fatal=True)
    return KafkaError(getattr(KafkaError, error.name), error.name)


def timed_out(what: str) -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, what))


class Link:
    """One incarnation of a process, as the network knows it."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self.frozen = False
        self.armed: list[Armed] = []
        self.limit = 1_000  # records that one poll may bring
        self.skips = 0  # records that the consumer will leave out without a word (P23)
        self.stale = False  # the next `consume` learns of a rebalance behind the records it hands out (P23)
        self.cut_until = 0.0  # nothing reaches the coordinator of its group
        self.lost_joins = 0  # of its next joins the group will know, and nobody else
        self.held = 0  # polls until an idempotent producer's records are delivered
        self.consumers: list[SimConsumer] = []
        self.producers: list[SimProducer] = []

    def heal(self) -> None:
        """Nothing befalls it any more."""
        self.armed.clear()
        self.skips, self.stale, self.held, self.cut_until, self.lost_joins = 0, False, 0, 0.0, 0

    @property
    def cut(self) -> bool:
        return self.world.now < self.cut_until

    # -- requests ------------------------------------------------------------------------------------------------

    def call(
        self,
        kind: str,
        do: Callable[[], T],
        timeout: float,
        *,
        again_s: float = 0.02,
        retries: bool = True,
        trouble: Callable[[str], None] = lambda _text: None,
    ) -> T:
        """One request. Raises KafkaException as the client would, Crashed where the process dies of it."""
        self.alive()
        self.world.tick(LATENCY_S)
        armed = self._take(kind)
        try:
            if armed is not None:
                self._befall(armed, kind, do, timeout, retries, trouble)
            return self._until(do, timeout, again_s)
        except BrokerError as error:
            raise KafkaException(kafka_error(error)) from error

    def point(self, kind: str) -> None:
        """A place where the process may die or stand still, without a request."""
        self.alive()
        armed = self._take(kind, ("crash", "freeze"))
        if armed is not None and armed.fate == "crash":
            self._die()
        if armed is not None:
            self._freeze(armed.number // 3)  # as behind a request

    def alive(self) -> None:
        if self.dead:
            raise Crashed(self.name)

    def _take(self, kind: str, fates: Collection[str] = FATES) -> Armed | None:
        """The first that is due is spent."""
        for index, armed in enumerate(self.armed):
            if armed.kind not in ("any", kind) or armed.fate not in fates:
                continue
            if armed.skip == 0:
                del self.armed[index]
                self.armed += [armed.then] if armed.then is not None else []
                return armed
            armed.skip -= 1
        return None

    def _until(self, do: Callable[[], T], timeout: float, again_s: float) -> T:
        deadline = self.world.now + timeout
        while True:
            try:
                return do()
            except BrokerError as error:
                if error.name not in AGAIN:
                    raise
            if self.world.now >= deadline:
                raise timed_out("it is still under way")
            self.world.wait(again_s)
            self.alive()

    # -- what may happen -----------------------------------------------------------------------------------------

    def _befall(
        self,
        armed: Armed,
        kind: str,
        do: Callable[[], object],
        timeout: float,
        retries: bool,
        trouble: Callable[[str], None],
    ) -> None:
        """Returns where the client goes on (or tries again) with its request."""
        number, variant = divmod(armed.number, 3)
        match armed.fate:
            case "crash":
                if variant == 1:
                    do()
                elif variant == 2:
                    self._later(kind, do)
                self._die()
            case "freeze":
                self._freeze(number)
                return
            case "overtaken":
                self.world.deliver()
                return
            case "answer lost":
                do()
            case "late":
                self._later(kind, do)
            case "unreachable":
                self._pass(timeout, number)
                raise timed_out(f"{kind}: no answer")
        if not retries:
            raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT, kind))
        if variant:
            trouble(f"REQTMOUT: {kind}: timed out")
        self._pass(RETRY_S, number)

    def _later(self, kind: str, do: Callable[[], object]) -> None:
        self.world.later(f"{self.name}: {kind}", do)

    def until_uncut(self, timeout: float) -> None:
        """A request to the group's coordinator waits until there is one."""
        if self.cut:
            self._pass(min(timeout, self.cut_until - self.world.now), 3)
        if self.cut:
            raise timed_out("no coordinator")

    def _pass(self, seconds: float, number: int) -> None:
        """Wait, while up to five operations run."""
        self.world.tick(seconds)
        self.world.play(number % 6)
        self.alive()

    def _freeze(self, number: int) -> None:
        """SIGSTOP: no heartbeat either, while operations run; often for longer than a session lasts."""
        number, which = divmod(number, len(FROZEN_S))
        number, length = divmod(number, LONGEST)
        seconds, count, done = FROZEN_S[which], 1 + length, self.world.counts["transactions"]
        self.frozen = True
        for turn in range(count):
            if turn == count // 4 and which >= LONG and number % 3 == 0:
                self.world.succeed(self)
            self.world.tick(seconds / count)
            self.world.play(1)
        self.frozen = False
        if which >= LONG:
            self._count_zombies(self.world.counts["transactions"] - done)
        self.alive()

    def _count_zombies(self, published: int) -> None:
        """Who stood still for long, who of them finds somebody else in its place, and what was published meanwhile."""
        counts, role = self.world.counts, self.name.partition("-")[0]
        counts[f"{role} frozen for long"] += 1
        if any(consumer.replaced for consumer in self.consumers):
            counts[f"{role} replaced while frozen"] += 1
            counts["publisher overtaken while frozen"] += role == "publisher" and published > 0

    def _die(self) -> None:
        self.dead = True
        raise Crashed(self.name)

    # -- heartbeats ----------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """What librdkafka's own thread does while the process lives."""
        if not self.dead and not self.frozen:
            for consumer in self.consumers:
                consumer.beat()

    def send(self) -> None:
        """The same, for records that wait in a transactional producer."""
        if not self.dead and not self.frozen:
            for producer in self.producers:
                producer.send_some()
