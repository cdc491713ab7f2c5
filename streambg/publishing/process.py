"""The publisher's process: sessions one after the other, metrics, health (`python -m consumers.publisher`)."""

from __future__ import annotations

import time
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

from streambg.control.follower import ControlFollower
from streambg.kafka.identity import Identity
from streambg.kafka.membership import Place
from streambg.process.frame import Frame
from streambg.publishing.outcomes import Records
from streambg.publishing.session import Session
from streambg.publishing.site import Site
from streambg.web.health import Endpoint

# Scrapers come every few seconds.
GAUGES_EVERY_S = 1.0
FOLD_TIMEOUT_S = 30.0

log = structlog.get_logger("streambg.publisher")

OUTCOMES = Counter("streambg_outcomes_total", "Outcomes written, by color (or dead-letter) and why", ["color", "why"])
TRANSACTION = Histogram(
    "streambg_transaction_seconds",
    "Begin to committed",
    buckets=(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10),
)
ALARMS = Counter("streambg_alarms_total", "Things a person should look at; the log has their texts")
SESSIONS = Counter("streambg_sessions_total", "Publisher sessions begun")
SETTLED = Gauge("streambg_settled", "Source offset settled", ["partition"])
EPOCH = Gauge("streambg_epoch", "Epoch of the last outcome", ["partition"])


class Meter:
    """The session's reports as metrics and log lines."""

    def outcomes(self, records: Records) -> None:
        for (color, why), count in records.counts.items():
            OUTCOMES.labels(color, why).inc(count)

    def committed(self, count: int, seconds: float) -> None:
        TRANSACTION.observe(seconds)

    def alarm(self, text: str) -> None:
        ALARMS.inc()
        log.warning("alarm", what=text)


class Publisher:
    """One member of the publisher's group."""

    def __init__(self, site: Site, follower: ControlFollower, metrics: Endpoint) -> None:
        self._site = site
        self._follower = follower
        self._place = Place(site.consumer, site.admin)
        self._topics = Identity(site.admin, site.ways_out)
        self._session: Session | None = None
        self._gauges_due = 0.0
        self._frame = Frame(f"publisher {site.transactional_id}", metrics, self._health)

    def run(self) -> int:
        """Until SIGTERM or an error that a new session cannot mend; the exit code."""
        self._follower.start()
        try:
            return self._frame.run(self._one_session)
        finally:
            self._follower.stop()

    def _one_session(self) -> None:
        SESSIONS.inc()
        self._topics.require()
        if self._session is None:
            self._follower.snapshot()  # raises what ended it: a log that nobody knows is no session's matter
            self._believe()  # the first answer says which log it is
        self._follower.wait_caught_up(FOLD_TIMEOUT_S)
        self._place.look()
        self._session = Session(self._site, self._follower, Meter(), self._believe)
        with self._place.kept(self._session):
            self._session.run(self._stopping)

    def _believe(self) -> None:
        """What is folded is of the log that this process began with (P6)."""
        self._topics.require_still(self._follower.topic)

    def _stopping(self) -> bool:
        """Between two steps, each of which began with a fresh view of the control log (P6)."""
        self._frame.turned()
        self._topics.look()
        if self._session is not None:
            self._place.share_out(self._topics.partitions(*self._site.predictions.values()), self._session)
        now = time.monotonic()
        if self._session is not None and now >= self._gauges_due:
            self._gauges_due = now + GAUGES_EVERY_S
            for number, partition in self._session.partitions.items():
                SETTLED.labels(number).set(partition.settled)
                EPOCH.labels(number).set(partition.epoch)
        return self._frame.stopping

    def _health(self) -> dict[str, Any]:
        session = self._session
        partitions = dict(session.partitions) if session else {}
        return {
            "epoch": self._follower.fold.state.epoch,
            "partitions": {
                number: {
                    "settled": partition.settled,
                    "epoch": partition.epoch,
                    "waiting": str(partition.waiting) if partition.waiting and partition.waiting.holder else None,
                    "dropped": {color: dict(answers.dropped) for color, answers in partition.answers.items()},
                }
                for number, partition in partitions.items()
            },
        }
