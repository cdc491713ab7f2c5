"""An audit beside a living pipeline: look, judge what has been settled since, say what is wrong, until told to end."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from streambg.audit.conduct import Following
from streambg.audit.kafka_source import KafkaRecords, Stopped
from streambg.audit.metrics import Meter
from streambg.audit.report import Report
from streambg.audit.since import Asked
from streambg.audit.tally import Finding
from streambg.config import Pipeline
from streambg.errors import Unreachable
from streambg.process.frame import GC_THRESHOLDS
from streambg.web.health import ANY_PORT, Endpoint, HealthServer


class Listener(Protocol):
    """Who hears what is found."""

    def began(self, address: str) -> None:
        """`/metrics` and `/healthz` are there."""

    def found(self, finding: Finding) -> None:
        """Something is wrong; each is told once, of a flood only the first of each kind and partition."""

    def looked(self, report: Report, caught_up: bool) -> None:
        """A round is over."""

    def away(self, error: Unreachable) -> None:
        """The broker does not answer; it is asked again."""


@dataclass(slots=True)
class _Health:
    """What `/healthz` shows: whether the audit works, not whether the pipeline does; `verdict` says that."""

    report: Report | None = None
    caught_up: bool = False
    problem: str = ""

    def __call__(self) -> Mapping[str, Any]:
        report = self.report
        return {
            "ok": not self.problem,
            "problem": self.problem,
            "caught_up": self.caught_up,
            "verdict": report.verdict if report else "nothing judged yet",
            "reason": report.reason if report else "",
            "events": report.events if report else 0,
        }


def follow(
    pipeline: Pipeline,
    listener: Listener,
    stopping: threading.Event,
    *,
    every_s: float,
    metrics: Endpoint = ANY_PORT,
    fail_fast: bool = False,
    asked: Asked | None = None,
    stable: bool = True,
) -> Report | None:
    """Until `stopping` is set, or something is wrong with `fail_fast`; the last report, None before the first.

    every_s: seconds between two looks once it has caught up. Raises Unreachable where no broker answers at the start,
    Denied, Misconfigured, UpgradeFirst, ConfigError, and Gap where records expired before they were judged.
    """
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    health = _Health()
    try:
        with KafkaRecords(pipeline, stable=stable, follow=True, stopping=stopping.is_set) as records:
            following = Following(records, ignore_records=pipeline.ignore_records, asked=asked)
            server = HealthServer(metrics, health)
            try:
                listener.began(server.address)
                _rounds(following, listener, stopping, health, every_s, fail_fast)
            finally:
                server.stop()
    finally:
        gc.set_threshold(*before)
    return health.report


def _rounds(
    following: Following,
    listener: Listener,
    stopping: threading.Event,
    health: _Health,
    every_s: float,
    fail_fast: bool,
) -> None:
    meter, told = Meter(), set[Finding]()
    while not stopping.is_set():
        began = time.monotonic()
        try:
            report = following.round()
        except Stopped:
            return
        except Unreachable as error:  # while the ends were asked for: nothing was judged, nothing is lost
            meter.failed()
            health.problem = error.what
            listener.away(error)
            stopping.wait(every_s)
            continue
        meter.round(report, time.monotonic() - began, following.caught_up)
        health.report, health.caught_up, health.problem = report, following.caught_up, ""
        for finding in [*report.findings, *(each for one in report.partitions for each in one.findings)]:
            if finding not in told:
                told.add(finding)
                listener.found(finding)
        listener.looked(report, following.caught_up)
        if fail_fast and report.verdict == "failed":
            return
        if following.caught_up:
            stopping.wait(every_s)
