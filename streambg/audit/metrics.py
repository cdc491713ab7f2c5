"""What an audit that follows tells Prometheus. Counters are about everything judged since it began."""

from __future__ import annotations

from collections import Counter as Counts

from prometheus_client import Counter, Gauge, Histogram

from streambg.audit.report import Report
from streambg.audit.tally import Check, Kind

EVENTS = Counter("streambg_audit_events_total", "Owed events judged")
OUTCOMES = Counter("streambg_audit_outcomes_total", "Outcomes judged, by why they came out so", ["why"])
FINDINGS = Counter("streambg_audit_findings_total", "Violations of the guarantee", ["kind"])
NOT_AUDITABLE = Counter("streambg_audit_not_auditable_total", "Events and outcomes that nobody can judge", ["check"])
JUDGED = Gauge("streambg_audit_judged", "Source offset judged up to", ["partition"])
CAUGHT_UP = Gauge("streambg_audit_caught_up", "1 where all that was settled at the last look is judged")
FAILED = Counter("streambg_audit_failed_looks_total", "Looks that the broker did not answer")
ROUND = Histogram(
    "streambg_audit_round_seconds",
    "One look at the topics, and the judgement of what was new",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


class Meter:
    """Turns reports about everything so far into counters that grow."""

    def __init__(self) -> None:
        self._told: Counts[str] = Counts()
        # an alarm on a rate needs the zero before the first one
        for kind in Kind:
            FINDINGS.labels(kind.value)
        for check in Check:
            NOT_AUDITABLE.labels(check.value)

    def round(self, report: Report, seconds: float, caught_up: bool) -> None:
        """One round is over."""
        ROUND.observe(seconds)
        CAUGHT_UP.set(caught_up)
        EVENTS.inc(self._more("events", report.events))
        for why, number in report.by_why.items():
            OUTCOMES.labels(why).inc(self._more(f"why {why}", number))
        for kind, number in report.counts.items():
            FINDINGS.labels(kind.value).inc(self._more(f"kind {kind}", number))
        for check in Check:
            blind = sum(item.not_auditable for one in report.partitions for item in one.ranges if item.check is check)
            NOT_AUDITABLE.labels(check.value).inc(self._more(f"blind {check}", blind))
        for one in report.partitions:
            JUDGED.labels(one.partition).set(one.settled)

    def failed(self) -> None:
        """One look was not answered."""
        FAILED.inc()

    def _more(self, name: str, number: int) -> int:
        """By how much it grew above what was told; a lost event that came late after all takes nothing back."""
        more = max(0, number - self._told[name])
        self._told[name] += more
        return more
