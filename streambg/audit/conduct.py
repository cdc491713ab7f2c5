"""The whole audit over any keeper of the topics: at once, or round after round beside a living pipeline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from streambg.audit.history import CutoverLog, History, Line, Seen, new_history
from streambg.audit.partition import PartitionAudit
from streambg.audit.report import Report, conclude
from streambg.audit.since import NOT_YET, Asked, locate, origin_of
from streambg.audit.sources import LiveRecords, Records
from streambg.audit.tally import Finding, Kind, Tally

# Source offsets of one partition that one round judges at the most: while it catches up a report comes about once a
# second (300,000 events a second were measured), and one partition does not keep the others waiting.
ROUND = 100_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the audit is: source offsets passed, of about how many."""

    partition: int
    passed: int
    total: int


Told = Callable[[Progress], None]


def audit_records(
    records: Records,
    *,
    progress: Told | None = None,
    ignore_records: Collection[int] = (),
    asked: Asked | None = None,
) -> Report:
    """Judge every partition, or what is asked about. Raises Gap, UpgradeFirst, Unreachable, Denied where the topics
    cannot be read, ConfigError where it is asked to begin nowhere.
    """
    settled = records.settled()
    history = new_history(records, ignore_records)
    history.take(records.read("control", 0))
    cutovers = CutoverLog(records.input_topic_id)
    seen = cutovers.take(records.read("cutovers", 0), records.partitions)
    if asked is not None:
        asked.check(history, records.partitions)
        asked.check_reached(records, settled, follow=False)
    known = _Known(records, history, cutovers, asked)
    advance = _meter(records, settled, progress)
    reports = []
    for partition in range(records.partitions):
        # one after the other: what one partition holds in memory is gone before the next begins
        audit = known.begin(partition, seen.get(partition, []), settled.get(partition))
        assert audit is not None
        audit.advance(lambda offsets, number=partition: advance(number, offsets))  # type: ignore[misc] # bound now
        audit.close()
        reports.append(audit.report())
    return conclude(records.input_topic, reports, _strays(cutovers), made_again=cutovers.earlier_topics)


@dataclass(frozen=True, slots=True)
class _Known:
    """What all partitions share."""

    records: Records
    history: History
    cutovers: CutoverLog
    asked: Asked | None
    follow: bool = False

    def begin(self, partition: int, seen: Iterable[Seen], settled: int | None) -> PartitionAudit | None:
        """The audit of one partition; None where it is not asked about yet, and will be."""
        tally = Tally(self.records.input_topic, partition)
        line = Line(self.history, tally)
        line.take(seen)
        source = self.asked.source(partition, line) if self.asked is not None else None
        if self.follow and source == NOT_YET:
            return None
        since = None
        if source is not None and source > origin_of(line, self.history, partition):
            since = locate(self.records, partition, source, line, self.history)
        return PartitionAudit(
            self.records,
            partition,
            self.history,
            line,
            settled,
            tally=tally,
            earlier_topics=self.cutovers.earlier_topics,
            since=since,
            follow=self.follow,
            superseded=self.cutovers.superseded.setdefault(partition, {}),
        )


class Following:
    """Judges round after round what has been settled since; a living pipeline is not disturbed.

    What it keeps between rounds does not grow with the events: a window, the last findings, and the outcomes that are
    not settled yet.
    """

    def __init__(
        self, records: LiveRecords, *, ignore_records: Collection[int] = (), asked: Asked | None = None
    ) -> None:
        self._records = records
        self._asked = asked
        self._history = new_history(records, ignore_records)
        self._control = records.read("control", 0)
        self._cutovers = CutoverLog(records.input_topic_id)
        self._cuts = records.read("cutovers", 0)
        self._cuts_seen: dict[int, list[Seen]] = {}  # of partitions in which nothing is judged yet
        self._audits: dict[int, PartitionAudit] = {}
        self.caught_up = False

    def round(self, progress: Told | None = None) -> Report:
        """Judge what is settled now, or a part of it (`caught_up`); the report is about everything so far.

        Raises as `audit_records`; after Unreachable from pinning the ends the next round goes on.
        """
        records = self._records
        records.refresh()
        settled = records.settled()
        self._history.take(self._control)
        self._take_cutovers()
        if self._asked is not None and not self._audits:
            self._asked.check(self._history, records.partitions)
            self._asked.check_reached(records, settled, follow=True)
        advance = _meter(records, settled, progress)
        self.caught_up = True
        for partition, reached in sorted(settled.items()):
            audit = self._audit(partition, reached)
            if audit is None:
                continue
            done = audit.advance(lambda offsets, number=partition: advance(number, offsets), ROUND)  # type: ignore[misc] # bound now
            self.caught_up = self.caught_up and done
            audit.pause(records)
        reports = [self._audits[partition].report() for partition in sorted(self._audits)]
        return conclude(records.input_topic, reports, _strays(self._cutovers), made_again=self._cutovers.earlier_topics)

    def _take_cutovers(self) -> None:
        for partition, seen in self._cutovers.take(self._cuts, self._records.partitions).items():
            if partition in self._audits:
                self._audits[partition].cut(seen)
            else:
                self._cuts_seen.setdefault(partition, []).extend(seen)

    def _audit(self, partition: int, settled: int) -> PartitionAudit | None:
        """The partition's audit, told what is settled; None while nothing can be judged there."""
        if partition in self._audits:
            self._audits[partition].settle(settled)
            return self._audits[partition]
        seen = self._cuts_seen.get(partition, [])
        # what was settled was of an earlier topic, or a publisher has claimed the partition and settled nothing yet
        if not seen and (self._cutovers.earlier_topics or settled < self._history.state.start_of(partition)):
            return None
        known = _Known(self._records, self._history, self._cutovers, self._asked, follow=True)
        audit = known.begin(partition, seen, settled)
        if audit is not None:
            self._audits[partition] = audit
            self._cuts_seen.pop(partition, None)
        return audit


def _strays(cutovers: CutoverLog) -> list[Finding]:
    return [
        Finding(Kind.CUTOVER, 0, 0, "", f"cutovers/0@{offset}", "the cutover of a partition", found)
        for offset, found in cutovers.strays
    ]


def _meter(records: Records, settled: Mapping[int, int], progress: Told | None) -> Callable[[int, int], None]:
    """Call it with (partition, source offsets passed)."""
    total, passed = _events(records, settled), 0

    def advance(partition: int, offsets: int) -> None:
        nonlocal passed
        passed += offsets
        if progress is not None:
            progress(Progress(partition, min(passed, total), total))

    return advance


def _events(records: Records, settled: Mapping[int, int]) -> int:
    """About how many source offsets there are to pass."""
    total = 0
    for partition in range(records.partitions):
        span = records.span("input", partition)
        total += max(0, settled.get(partition, span.end - 1) + 1 - span.start)
    return total
