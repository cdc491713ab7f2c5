"""The scorer's process: loads what the control log names, swaps at a batch boundary (`python -m consumers.scorer`)."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

from streambg.control.follower import LEASE_S, ControlFollower
from streambg.control.state import Deployment
from streambg.errors import ModelError, StreambgError
from streambg.kafka.identity import Identity
from streambg.kafka.membership import Place
from streambg.models.reasons import RAISES
from streambg.models.registry import Registry
from streambg.process.frame import Frame
from streambg.records.batch import ERROR, Batch
from streambg.scoring.answerer import Answerer, load_answerer
from streambg.scoring.failing import Failing
from streambg.scoring.session import Session
from streambg.scoring.site import Site, in_force
from streambg.web.health import Endpoint

# Looking for a first deployment, or at a slot whose model cannot be loaded: often enough for a person to see it act.
IDLE_S = 0.1
LOAD_AGAIN_S = 5.0

log = structlog.get_logger("streambg.scorer")

EVENTS = Counter("streambg_scored_events_total", "Events answered", ["color"])
ERRORS = Counter("streambg_scored_errors_total", "Error predictions among them", ["color"])
BATCHES = Counter("streambg_prediction_batches_total", "Prediction batches written", ["color"])
ALARMS = Counter("streambg_scorer_alarms_total", "Things a person should look at; the log has their texts", ["color"])
DEPLOYMENT = Gauge("streambg_scorer_deployment", "Deployment that scores", ["color"])
SPENT = Histogram(
    "streambg_scored_batch_seconds",
    "Time the model took for a batch",
    ["color"],
    buckets=(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)


class Meter:
    """The session's reports as metrics and log lines."""

    def __init__(self, color: str, failing: Failing) -> None:
        self._events = EVENTS.labels(color)
        self._errors = ERRORS.labels(color)
        self._batches = BATCHES.labels(color)
        self._spent = SPENT.labels(color)
        self._color = color
        self._failing = failing

    def scored(self, batch: Batch) -> None:
        self._events.inc(len(batch))
        self._batches.inc()
        self._spent.observe(batch.spent_us / 1e6)
        errors = int((batch.statuses == ERROR).sum())
        if errors:
            self._errors.inc(errors)
        found = self._failing.scored(batch, time.monotonic())
        if found is not None:
            log.warning("model_fails", color=self._color, **asdict(found))

    def alarm(self, text: str) -> None:
        ALARMS.labels(self._color).inc()
        log.warning("alarm", what=text)


class Scorer:
    """One member of a color's group."""

    def __init__(
        self, site: Site, follower: ControlFollower, registry: Path, carry: tuple[str, ...], metrics: Endpoint
    ) -> None:
        self._site = site
        self._follower = follower
        self._registry = Registry(registry)
        self._carry = carry
        self._place = Place(site.consumer, site.admin)
        self._topics = Identity(site.admin, site.ways_out)
        self._loaded: Answerer | None = None
        self._next: _Loading | None = None
        self._failing = Failing()
        self._broken: tuple[int, str] | None = None  # a deployment whose model cannot be loaded, and why
        self._frame = Frame(f"scorer {site.color}", metrics, self._health)

    def run(self) -> int:
        """Until SIGTERM or an error that a new session cannot mend; the exit code."""
        self._follower.start()
        try:
            return self._frame.run(self._one_session)
        finally:
            self._follower.stop()

    def _one_session(self) -> None:
        self._topics.require()
        answerer = self._wait_for_model()
        if answerer is None:
            return
        DEPLOYMENT.labels(self._site.color).set(answerer.deployment)
        log.info("scoring", color=self._site.color, deployment=answerer.deployment)
        self._place.look()
        session = Session(self._site, self._follower, answerer, Meter(self._site.color, self._failing))
        with self._place.kept(session):
            session.run(partial(self._turn, session))

    def _turn(self, session: Session) -> bool:
        self._frame.turned()
        self._topics.look()
        self._place.share_out(self._topics.partitions(self._site.input, self._site.predictions), session)
        return self._swap_due()

    def _deployment(self) -> Deployment | None:
        return in_force(self._follower.snapshot().state, self._site.color)

    def _wait_for_model(self) -> Answerer | None:
        """The model of the deployment in force; None when told to stop before there is one."""
        self._follower.wait_caught_up(30)
        while not self._frame.stopping:
            if self._follower.snapshot().age(time.monotonic()) <= LEASE_S:  # what a session asks for itself (P6)
                self._frame.turned()
            deployment = self._deployment()
            if deployment is not None and self._loaded is not None and self._loaded.deployment == deployment.id:
                return self._loaded
            self._look_beside(deployment)
            time.sleep(IDLE_S)
        return None

    def _swap_due(self) -> bool:
        """Called between two polls: stop for good, retired, or the next deployment's model is ready (P10)."""
        deployment = self._deployment()
        if self._frame.stopping or deployment is None or self._loaded is None:
            return True
        if deployment.id == self._loaded.deployment:
            return False
        self._look_beside(deployment)
        return self._loaded.deployment == deployment.id

    def _look_beside(self, deployment: Deployment | None) -> None:
        """Load the model beside the old one, which goes on scoring meanwhile."""
        if deployment is None:
            return
        if self._next is None or self._next.deployment.id != deployment.id or self._next.stale:
            self._next = _Loading(deployment, self._registry, self._carry, self._site.input)
        if self._next.answerer is not None:
            self._loaded, self._broken, self._next = self._next.answerer, None, None
        elif self._next.failure is not None and self._broken != (deployment.id, str(self._next.failure)):
            self._broken = (deployment.id, str(self._next.failure))
            ALARMS.labels(self._site.color).inc()
            log.error("model_not_loaded", model=deployment.model, deployment=deployment.id, why=str(self._next.failure))

    def _health(self) -> dict[str, Any]:
        return {
            "ok": self._broken is None,
            "color": self._site.color,
            "deployment": self._loaded.deployment if self._loaded else None,
            "model_not_loaded": self._broken[1] if self._broken else None,
            "epoch": self._follower.fold.state.epoch,
        }


class _Loading:
    """Loads one deployment's model in a thread."""

    def __init__(self, deployment: Deployment, registry: Registry, carry: tuple[str, ...], topic: str) -> None:
        self.deployment = deployment
        self.answerer: Answerer | None = None
        self.failure: StreambgError | None = None
        self._registry = registry
        self._carry = carry
        self._topic = topic
        self._failed_at = 0.0
        threading.Thread(target=self._load, name="load-model", daemon=True).start()

    @property
    def stale(self) -> bool:
        """It failed a while ago: the registry may have been mended since."""
        return self.failure is not None and time.monotonic() - self._failed_at > LOAD_AGAIN_S

    def _load(self) -> None:
        try:
            self.answerer = load_answerer(self._registry, self.deployment, self._carry, self._topic)
        except StreambgError as error:
            self._failed_at, self.failure = time.monotonic(), error
        except RAISES as error:  # a team's own code may raise anything while it loads
            self._failed_at, self.failure = (
                time.monotonic(),
                ModelError(
                    f"{type(error).__name__}: {error}",
                    way_out="mend the model's code, add it as a new version, deploy that",
                ),
            )
