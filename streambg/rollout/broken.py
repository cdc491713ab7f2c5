"""Looks whether a candidate is broken: the registry's bytes, and how often its scorers were started."""

from __future__ import annotations

import time

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streambg.config import Pipeline
from streambg.control import readiness, verbs
from streambg.control.state import Deployment
from streambg.errors import ModelError, StreambgError
from streambg.kafka import profiles
from streambg.kafka.membership import lives
from streambg.models.registry import Registry
from streambg.rollout.lives import Lane, Lives

# A life of a scorer that ends at once takes two seconds; a dead one's member id stands in its group for 6 s.
LIVES_EVERY_S = 2.0
# An artifact is read and hashed: some hundred MB are a second.
BYTES_EVERY_S = 10.0

NAME = "streambg.controller.lives"

log = structlog.get_logger("streambg.controller")


class Broken:
    """Asked every turn, it looks as often as it should. What nobody can say is no reason."""

    def __init__(self, pipeline: Pipeline, reader: dict[str, str | int | float | bool]) -> None:
        self._pipeline, self._reader = pipeline, reader
        self._registry = Registry(pipeline.registry)
        self._candidate: Deployment | None = None
        self._lives = Lives()
        self._why: str | None = None
        self._lives_due = self._bytes_due = 0.0

    def of(self, candidate: Deployment | None) -> str | None:
        """Why it is broken; None: nothing is known of it."""
        if candidate is None or self._candidate is None or candidate.id != self._candidate.id:
            self._candidate, self._lives, self._why = candidate, Lives(), None
            self._lives_due = self._bytes_due = 0.0
        if candidate is None or self._why is not None:
            return self._why
        now = time.monotonic()
        if now >= self._bytes_due:
            self._bytes_due = now + BYTES_EVERY_S
            self._why = self._mismatch(candidate)
        if self._why is None and now >= self._lives_due:
            self._lives_due = now + LIVES_EVERY_S
            self._why = self._loop(candidate)
        return self._why

    def _mismatch(self, candidate: Deployment) -> str | None:
        try:
            found = self._registry.mismatch(candidate.model, candidate.digest)
        except ModelError as error:
            log.debug("registry_not_read", why=error.what)  # the controller may stand where no registry is
            return None
        return found and f"digest mismatch: {found}"

    def _loop(self, candidate: Deployment) -> str | None:
        group = self._pipeline.groups.scorer(candidate.color)
        try:
            # a client of its own each time, as in membership.py: one that lost its broker may time out for ever
            begun = self._lives.count(lives(AdminClient(profiles.admin(self._pipeline, NAME)), group))
            if not begun:
                return None
            count = verbs.partitions_of_input(self._pipeline)
            lanes = readiness.measure(self._pipeline, self._reader, candidate, count)
            return self._lives.judge(begun, {lane.partition: Lane(lane.covered, lane.settled) for lane in lanes})
        except (KafkaException, StreambgError) as error:
            log.debug("lives_unknown", why=str(error))
            return None
