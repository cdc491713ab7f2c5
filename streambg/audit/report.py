"""What an audit says: counts, the ranges they hold for, and the first things that are wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Literal, TypeVar

from streambg.audit.tally import Check, Finding, Kind, Tally, choose

Name = TypeVar("Name", bound=str)
Verdict = Literal["ok", "failed", "nothing to audit"]


@dataclass(frozen=True, slots=True)
class Range:
    """Source offsets `first`..`last` that a check could verify; first None: none of them.

    not_auditable: events or outcomes of origin..settled that it could not judge, because records are gone or
    timestamps say nothing; never counted as right.
    """

    check: Check
    first: int | None
    last: int | None
    not_auditable: int


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """One partition. unanchored: no committed position, so a truncated tail could not be seen.

    since: the first source offset that was asked about; the origin, unless the audit was told to begin later.
    """

    partition: int
    origin: int
    since: int
    settled: int
    unanchored: bool
    events: int
    outcomes: int
    ranges: list[Range]
    counts: Mapping[Kind, int]
    by_color: Mapping[str, int]
    by_why: Mapping[str, int]
    supersedes: int
    unsettled: int
    gone: int
    earlier: int
    skipped: int
    delays_ms: list[int]
    findings: list[Finding]


def partition_report(
    tally: Tally,
    *,
    origin: int,
    since: int,
    settled: int,
    unanchored: bool,
    readable: int,
    retained: int,
    complete: int,
    delays_ms: list[int],
) -> PartitionReport:
    """From these source offsets on: the input's records are there, outcomes are, all outcomes are."""
    bases = {
        Check.PRESENCE: max(since, readable, complete),
        Check.ORDER: max(since, retained),
        Check.ANSWER: max(since, retained),
        Check.LATE: max(since, retained),
    }
    ranges = [_range(tally, check, base, settled) for check, base in bases.items()]
    return PartitionReport(
        tally.partition,
        origin,
        since,
        settled,
        unanchored,
        tally.events,
        tally.outcomes,
        ranges,
        {kind: tally.counts[kind] for kind in Kind},
        dict(tally.by_color),
        dict(tally.by_why),
        tally.supersedes,
        tally.unsettled,
        tally.gone,
        tally.earlier,
        tally.skipped,
        delays_ms,
        tally.findings(),
    )


def _range(tally: Tally, check: Check, base: int, settled: int) -> Range:
    first = max(base, tally.blind_upto.get(check, -1) + 1)
    within = first <= settled
    return Range(check, first if within else None, settled if within else None, tally.unaudited[check])


@dataclass(frozen=True, slots=True)
class Delay:
    """From a command's append to its cutover record, ms, over all partitions and epochs but the first cutovers."""

    cutovers: int
    p50_ms: int | None
    max_ms: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """The audit of one pipeline. `counts` fail it, all others do not."""

    verdict: Verdict
    reason: str
    input_topic: str
    events: int
    outcomes: int
    counts: Mapping[Kind, int]
    by_color: Mapping[str, int]
    by_why: Mapping[str, int]
    supersedes: int
    unsettled: int
    gone: int
    earlier: int
    skipped: int
    cutover_delay: Delay
    partitions: list[PartitionReport]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Something was verified, and nothing was wrong."""
        return self.verdict == "ok"

    @property
    def empty(self) -> bool:
        return self.verdict == "nothing to audit"

    def to_json(self) -> str:
        """The whole report; counts by name, ranges by partition and check."""
        data = asdict(self)
        for partition in data["partitions"]:
            del partition["findings"], partition["delays_ms"]
        return json.dumps(data, indent=2)


def conclude(
    input_topic: str, partitions: list[PartitionReport], strays: list[Finding], *, made_again: bool = False
) -> Report:
    """One verdict over all partitions.

    strays: findings of no partition; made_again: the input topic was deleted and made again at least once.
    """
    counts = _sum(partition.counts for partition in partitions)
    for finding in strays:
        counts[finding.kind] += 1
    wrong = {kind: counts[kind] for kind in Kind if counts[kind]}
    verified = any(
        item.first is not None and partition.events > 0
        for partition in partitions
        for item in partition.ranges
        if item.check is Check.PRESENCE
    )
    verdict: Verdict = "ok" if verified else "nothing to audit"
    reason = _verified_text(partitions) if verified else _empty_text(partitions, made_again)
    if wrong:
        verdict = "failed"
        reason = ", ".join(f"{number} {kind.words}" for kind, number in wrong.items())
    delays = sorted(delay for partition in partitions for delay in partition.delays_ms)
    return Report(
        verdict,
        reason,
        input_topic,
        sum(partition.events for partition in partitions),
        sum(partition.outcomes for partition in partitions),
        {kind: counts[kind] for kind in Kind},
        dict(_sum(partition.by_color for partition in partitions)),
        dict(_sum(partition.by_why for partition in partitions)),
        sum(partition.supersedes for partition in partitions),
        sum(partition.unsettled for partition in partitions),
        sum(partition.gone for partition in partitions),
        sum(partition.earlier for partition in partitions),
        sum(partition.skipped for partition in partitions),
        Delay(len(delays), round(median(delays)) if delays else None, delays[-1] if delays else None),
        partitions,
        choose([*strays, *(finding for partition in partitions for finding in partition.findings)]),
    )


def _sum(parts: Iterable[Mapping[Name, int]]) -> Counter[Name]:
    total: Counter[Name] = Counter()
    for part in parts:
        total.update(part)
    return total


def _verified_text(partitions: list[PartitionReport]) -> str:
    blind = sum(item.not_auditable for partition in partitions for item in partition.ranges)
    gaps = sum(
        partition.unanchored or any(_cut(partition, item) for item in partition.ranges) for partition in partitions
    )
    later = sum(partition.since > partition.origin for partition in partitions)
    asked = f"; in {later} of {len(partitions)} partitions what lies before was not audited" if later else ""
    if not blind and not gaps:
        return f"every check over every owed event{' from there on' * bool(later)}{asked}"
    return f"what could be verified; in {gaps} of {len(partitions)} partitions a part is not auditable{asked}"


def _empty_text(partitions: list[PartitionReport], made_again: bool) -> str:
    later = [partition for partition in partitions if partition.origin <= partition.settled < partition.since]
    if later and not any(partition.settled >= partition.since for partition in partitions):
        return "nothing is settled behind the place where it was to begin"
    if any(partition.settled >= partition.origin for partition in partitions):
        return "no owed event is left in the topics: their records have expired"
    if made_again:
        return "the input topic was deleted and made again, and nothing of the present one is settled"
    return "no event is settled yet"


def _cut(partition: PartitionReport, item: Range) -> bool:
    return partition.settled >= partition.since and (item.first is None or item.first > partition.since)


def not_auditable(partition: PartitionReport, item: Range) -> str:
    """The part of origin..settled that a check could not verify, as text; "" where it verified all."""
    if not _cut(partition, item):
        return f"{item.not_auditable} within" if item.not_auditable else ""
    last = partition.settled if item.first is None else item.first - 1
    return f"{partition.since}..{last}"
