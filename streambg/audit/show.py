"""What an audit says, on a terminal: the verdict, the counts, and where it could not look. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streambg.audit.report import PartitionReport, Range, Report, not_auditable
from streambg.audit.tally import MEANING, Check, Finding, Kind
from streambg.printing import Paragraph, many, plain_table

# Why an answer was published, or none: the last word of its header.
WHY: Mapping[str, str] = {
    "route": "the color that the route chose",
    "absent": "the other color's answer, as the chosen one had none",
    "error": "the other color's answer, as the chosen one could not score the event",
    "late": "the other color's answer, as the chosen one's came after its deadline",
    "dead-letter": "no color could answer",
}


def render(report: Report) -> RenderableType:
    """The report for a terminal; print it with `crop=False`."""
    color = {"ok": "bold green", "failed": "bold red"}.get(report.verdict, "bold yellow")
    reason = report.reason
    if report.verdict == "failed":
        reason = ", ".join(f"{number:,} {kind.words}" for kind, number in report.counts.items() if number)
    head = Paragraph((f"audit of {report.input_topic}: {report.verdict}", color), f" ({reason})")
    return Group(head, "", *_counts(report), "", *_ranges(report), *_findings(report))


def _counts(report: Report) -> Iterator[Paragraph]:
    yield _count(report.events, "events owed")
    yield _count(report.outcomes, "outcomes")
    for color, number in sorted(report.by_color.items()):
        yield _count(number, f"  by {color}")
    for why, number in sorted(report.by_why.items()):
        yield _count(number, f"  {why}: {WHY[why]}" if why in WHY else f"  {why}")
    for kind, number in report.counts.items():
        if number:
            yield _count(number, f"{kind.words}: {MEANING[kind]}", "red")
    if right := [kind.words for kind, number in report.counts.items() if not number]:
        yield _count(0, f"of what fails an audit{' besides' * (len(right) < len(Kind))}: {', '.join(right)}")
    beside = (
        (report.supersedes, "published again on a command (supersedes), counted apart"),
        (report.unsettled, "not settled yet, not judged"),
        (report.gone, "outcomes of events that expired or were compacted"),
        (report.earlier, "records from before this pipeline"),
        (report.skipped, "outcomes from before the place where it began"),
    )
    for number, what in beside:
        if number:
            yield _count(number, what)
    delay = report.cutover_delay
    if delay.cutovers:
        took = f"from command to cutover {delay.p50_ms:,} ms in the median, {delay.max_ms:,} ms at most"
        yield _count(delay.cutovers, f"cutover{'s' * (delay.cutovers != 1)}: {took}")


def _count(number: int, what: str, style: str = "") -> Paragraph:
    return Paragraph((f"{number:>13,}  {what}", style), indent=17)


def _ranges(report: Report) -> Iterator[RenderableType]:
    """The whole range in one line; then each partition where a check could not see all of it."""
    checks = f"all {len(Check)} checks ({', '.join(Check)})"
    found = {partition.partition: rows for partition in report.partitions if (rows := dict(_less_than_all(partition)))}
    whole = len(report.partitions) - len(found)
    if whole:
        where = (
            f"all {many(whole, 'partition')}" if not found else f"{whole:,} of {len(report.partitions):,} partitions"
        )
        yield Paragraph(f"verified: {checks}, {where}: the whole range")
    if found:
        yield Paragraph("not verified in whole:")
        yield _table(found)


def _less_than_all(partition: PartitionReport) -> Iterator[tuple[Check, tuple[str, str]]]:
    """Check -> what of the partition it verified, and what it could not; of those that did not see all."""
    for item in partition.ranges:
        blind = _blind(partition, item)
        if blind or item.first is None:
            yield item.check, ("nothing" if item.first is None else f"{item.first} to {item.last}", blind)


def _blind(partition: PartitionReport, item: Range) -> str:
    parts = [not_auditable(partition, item)]
    if partition.since > partition.origin:
        parts.insert(0, f"not audited: {partition.origin}..{partition.since - 1}")
    if partition.unanchored and item.check is Check.PRESENCE:
        parts.append("the end: no committed position")
    return "; ".join(filter(None, parts)) or ("" if item.first is not None else "nothing is settled")


def _table(found: Mapping[int, Mapping[Check, tuple[str, str]]]) -> Table:
    """One line for all checks of a partition that saw the same."""
    table = plain_table("partition", "check", "verified", "not auditable")
    for partition, rows in found.items():
        for seen in dict.fromkeys(rows.values()):
            checks = [check.value for check, each in rows.items() if each == seen]
            table.add_row(str(partition), "all" if len(checks) == len(Check) else ", ".join(checks), *map(Text, seen))
    return table


def _findings(report: Report) -> Iterator[RenderableType]:
    if not report.findings:
        return
    yield ""
    yield f"{len(report.findings)} of {many(sum(report.counts.values()), 'finding')}:"
    for finding in report.findings:
        yield finding_line(finding)


def finding_line(finding: Finding) -> Paragraph:
    """`lost sensors/3@12: expected an outcome, found none`."""
    where = f" in {finding.record}" if finding.record else ""
    said = f" {finding.source}: expected {finding.expected}, found {finding.found}{where}"
    return Paragraph((finding.kind.words, "bold red"), said)
