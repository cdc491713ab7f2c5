"""The whole audit over any keeper of the topics: partition after partition, one pass each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from streambg.audit.history import read_cutovers, read_history
from streambg.audit.partition import PartitionAudit
from streambg.audit.report import Report, conclude
from streambg.audit.sources import Records
from streambg.audit.tally import Finding, Kind


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the audit is: source offsets passed, of about how many."""

    partition: int
    passed: int
    total: int


def audit_records(
    records: Records,
    *,
    progress: Callable[[Progress], None] | None = None,
    ignore_records: Collection[int] = (),
) -> Report:
    """Judge every partition. Raises Gap, UpgradeFirst, Unreachable, Denied where the topics cannot be read."""
    settled = records.settled()
    history = read_history(records, ignore_records)
    cutovers = read_cutovers(records)
    strays = [
        Finding(Kind.CUTOVER, 0, 0, "", f"cutovers/0@{offset}", "the cutover of a partition", found)
        for offset, found in cutovers.strays
    ]
    total = _events(records, settled)
    passed = 0
    reports = []
    for partition in range(records.partitions):

        def advance(offsets: int, partition: int = partition) -> None:
            nonlocal passed
            passed += offsets
            if progress is not None:
                progress(Progress(partition, min(passed, total), total))

        # one after the other: what one partition holds in memory is gone before the next begins
        reports.append(PartitionAudit(records, partition, history, cutovers, settled.get(partition)).run(advance))
    return conclude(records.input_topic, reports, strays, made_again=cutovers.earlier_topics)


def _events(records: Records, settled: Mapping[int, int]) -> int:
    """About how many source offsets there are to pass."""
    total = 0
    for partition in range(records.partitions):
        span = records.span("input", partition)
        total += max(0, settled.get(partition, span.end - 1) + 1 - span.start)
    return total
