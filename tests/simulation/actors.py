"""The processes: what `process.py` and `Frame` do around a session, one turn at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from math import inf
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from confluent_kafka import KafkaException

from simulation.broker import Broker
from simulation.clients import SimClients
from simulation.consumer import SimConsumer
from simulation.follower import SimFollower
from simulation.link import Crashed, Link, World
from streambg.config import Pipeline, load
from streambg.errors import Fenced, Gap, SessionEnded, Unreachable, UpgradeFirst
from streambg.models.answering import Answered
from streambg.process import sites
from streambg.process.pauses import Pauses
from streambg.publishing import session as publishing
from streambg.records.batch import ERROR, OK
from streambg.records.source import Color
from streambg.scoring import session as scoring
from streambg.scoring.batching import Polled, Scored, sampled
from streambg.scoring.site import ended, in_force

# Whoever keeps the processes up starts one again after so long.
RESTARTS_S = (0.5, 1.0, 1.0, 4.0)
# Looks at the control log until a new model is loaded.
LOADING_TURNS = 2
FOLD_TIMEOUT_S = 30.0


@cache
def pipeline() -> Pipeline:
    """The reference pipeline: the sites, and so every client's configuration, are the product's own."""
    return load(Path(__file__).parents[2] / "pipeline.yaml", {})


class Session(Protocol):
    def step(self) -> None: ...
    def _end(self) -> None: ...


class Process:
    """One slot: incarnation after incarnation, session after session."""

    def __init__(self, world: World, broker: Broker, name: str, counts: Counter[str]) -> None:
        self.world, self.broker, self.name, self.counts = world, broker, name, counts
        self.busy = False
        self.old = False  # it runs the code before the newest format, until that stops it
        self.blind = False  # it cannot read the control log, for ever
        self.succeeded = False  # another process has its slot by now: it is not started again
        self.due = 0.0
        self.session: Any = None
        self._pauses = Pauses()
        self._since = 0.0
        self._start()

    def _start(self) -> None:
        """A new incarnation: it knows nothing."""
        self.link = Link(self.world, self.name)
        self.clients = SimClients(self.link, self.broker)
        self.session = None
        config = sites.profiles.reader(pipeline(), f"{self.name}.control", follow=True)
        self.follower = SimFollower(self.link, self.clients, config, pipeline().topics.control, self.old)
        self.follower.blind = self.blind

    def follow(self) -> None:
        """The follower's thread has a turn."""
        if not self.busy and self.world.now >= self.due:
            self._guarded(self.follower.turn)

    def step(self) -> None:
        if not self.busy and self.world.now >= self.due:
            self._guarded(self._turn)

    @property
    def gone(self) -> bool:
        """Nothing is to be expected of it any more."""
        return self.blind or self.due == inf

    def go_blind(self) -> None:
        self.blind = self.follower.blind = True

    def crash(self) -> bool:
        """kill -9 between two steps; False where it stands still within one."""
        if not self.busy:
            self._gone("crash")
        return not self.busy

    def stop(self) -> None:
        """SIGTERM, and a new start."""
        if not self.busy and self.session is not None and self.world.now >= self.due:
            self._guarded(self._leave)
            self._gone("stop")

    def _gone(self, why: str) -> None:
        self.counts[why] += 1
        self.link.dead = True
        if self.succeeded:
            self.due = inf
            return
        self.due = self.world.now + RESTARTS_S[self.counts[why] % len(RESTARTS_S)]
        self._start()

    def _guarded(self, do: Any) -> None:
        self.busy = True
        try:
            do()
        except Crashed:
            self._gone("crash in a call")
        except Fenced:
            self._gone("fenced")
        except UpgradeFirst:
            self.old = False
            self._gone("upgraded")
        except Gap:
            self._gone("gap")  # whoever starts it again, starts it again
        except (SessionEnded, Unreachable):
            self.counts["session ended"] += 1
            if self.succeeded:  # before it joins again it looks, and finds the other one (P21)
                self._gone("fenced")
                return
            self.due = self.world.now + self._pauses.after(self.world.now - self._since)
        finally:
            self.busy = False

    def _turn(self) -> None:
        if self.session is None:
            self._since = self.world.now
            self.session = self._new_session()
        if self.session is not None:
            self._in_session(self.session.step)

    def _in_session(self, do: Any) -> None:
        """As the session's own `run`: whatever goes wrong ends it."""
        try:
            try:
                do()
            except KafkaException as error:
                raise self._translated(error) from error
        except BaseException:
            session, self.session = self.session, None
            session._end()
            raise

    def _leave(self) -> None:
        session = self.session
        self._in_session(self._finish)
        self.session = None
        session._end()

    def _new_session(self) -> Any:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _translated(self, error: KafkaException) -> Exception:
        raise NotImplementedError


class Reports:
    """A meter that counts alarms."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def outcomes(self, records: Any) -> None:
        for (color, why), count in records.counts.items():
            self._counts["dead letter" if color == "dead-letter" else why] += count

    def committed(self, count: int, seconds: float) -> None:
        self._counts["transactions"] += 1

    def scored(self, batch: Any) -> None:
        self._counts["batches"] += 1

    def alarm(self, text: str) -> None:
        self._counts["alarms"] += 1


def _same_log() -> None:
    """No topic is made again here: that its id is asked for is tests/unit/test_publishing_session.py's (P6)."""


class PublisherProcess(Process):
    def __init__(self, world: World, broker: Broker, slot: int, counts: Counter[str]) -> None:
        self._site = sites.publisher(pipeline(), slot)
        super().__init__(world, broker, f"publisher-{slot}", counts)

    def _new_session(self) -> publishing.Session:
        self.follower.wait_caught_up(FOLD_TIMEOUT_S)
        site = replace(self._site, clients=self.clients)
        return publishing.Session(site, self.follower, Reports(self.counts), _same_log)

    @property
    def reader(self) -> SimConsumer | None:
        """Of both colors' answers; None between two sessions and while it stands still within a turn."""
        return None if self.busy or self.session is None else self.session._reader.consumer

    def _finish(self) -> None:
        if self.session._transaction.open:
            self.session._commit()

    def _translated(self, error: KafkaException) -> Exception:
        return self.session._translated(error)


class ScorerProcess(Process):
    def __init__(self, world: World, broker: Broker, color: Color, slot: int, counts: Counter[str]) -> None:
        self._site = sites.scorer(pipeline(), color, slot)
        self._loading = LOADING_TURNS
        super().__init__(world, broker, f"scorer-{color}-{slot}", counts)

    def _start(self) -> None:
        super()._start()
        self.counts["scorers started"] += 1
        self._nonce = f"{self.name}.{self.counts['scorers started']}"

    def _new_session(self) -> scoring.Session | None:
        self.follower.wait_caught_up(FOLD_TIMEOUT_S)
        deployment = in_force(self.follower.snapshot().state, self._site.color)
        if deployment is None:
            return None
        self._loading = LOADING_TURNS
        site = replace(self._site, clients=self.clients)
        return scoring.Session(site, self.follower, Answers(deployment.id, self._nonce), Reports(self.counts))

    def _turn(self) -> None:
        if self.session is not None and self._swap_due():
            self._leave()
            return
        super()._turn()

    def _swap_due(self) -> bool:
        deployment = in_force(self.follower.snapshot().state, self._site.color)
        if deployment is None:
            return True
        if deployment.id != self.session._scoring.deployment:
            self._loading -= 1
        return self._loading < 0

    def _finish(self) -> None:
        self.session._settle_accounts()

    def _translated(self, error: KafkaException) -> Exception:
        return ended(error.args[0])


def fails(deployment: int, offset: int) -> bool:
    """A seventh of the events is an error row, another seventh for every deployment."""
    return (deployment * 3 + offset) % 7 == 0


def answer(deployment: int, offset: int, nonce: str) -> bytes:
    """No two incarnations answer alike: who was first in the log must win (P8)."""
    return b"%d answers %d as %b" % (deployment, offset, nonce.encode())


class Answers:
    """A model that is not as pure as it should be."""

    def __init__(self, deployment: int, nonce: str) -> None:
        self.deployment = deployment
        self._nonce = nonce

    def score(self, polled: Polled, partition: int, sample: int | None) -> Scored:
        offsets, kept = polled.offsets, None
        if sample is not None:
            topic = pipeline().topics.input
            kept = sampled([""] * len(offsets), polled, sample, self.deployment, None, topic, partition)
            offsets = [polled.offsets[index] for index in kept]
        failing = [fails(self.deployment, offset) for offset in offsets]
        answered = Answered(
            np.array(
                [[np.nan if bad else offset % 13 / 13] for offset, bad in zip(offsets, failing, strict=True)]
            ).reshape(len(offsets), 1),
            np.array([ERROR if bad else OK for bad in failing], np.uint8),
            [
                b"no answer from %d" % self.deployment if bad else answer(self.deployment, offset, self._nonce)
                for offset, bad in zip(offsets, failing, strict=True)
            ],
        )
        return Scored(polled, answered, {}, kept, 0, 0)
