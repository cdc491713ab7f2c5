"""A diagnosis for a terminal and for programs: the conclusion first, then what is wrong, then what is well. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streambg.doctor.examine import CHECKS, Diagnosis
from streambg.doctor.finding import Finding, Verdict

_COLORS = {
    Verdict.OK: "green",
    Verdict.LOCAL: "cyan",
    Verdict.WARNING: "yellow",
    Verdict.UNKNOWN: "magenta",
    Verdict.BROKEN: "bold red",
}


def as_json(pipeline: str, bootstrap: str, diagnosis: Diagnosis, holds: bool) -> dict[str, Any]:
    """{pipeline, bootstrap, ok, conclusion, counts, findings: [{check, about, verdict, subject, ...}]}."""
    about = {check.name: check.about for check in CHECKS}
    return {
        "pipeline": pipeline,
        "bootstrap": bootstrap,
        "ok": holds,
        "conclusion": diagnosis.conclusion,
        "counts": {verdict.value: diagnosis.count(verdict) for verdict in Verdict},
        "findings": [
            {"check": name, "about": about[name], **asdict(finding)}
            for name, findings in diagnosis.findings.items()
            for finding in findings
        ],
    }


def page(pipeline: str, bootstrap: str, diagnosis: Diagnosis) -> RenderableType:
    """What is wrong with all that is to be said of it; what is well in one line a check."""
    bad = [
        (name, finding)
        for name, findings in diagnosis.findings.items()
        for finding in findings
        if finding.verdict is not Verdict.OK
    ]
    worst = max((finding.verdict for _, finding in bad), key=list(Verdict).index, default=Verdict.OK)
    head = Text.assemble((f"{pipeline} at {bootstrap}: {diagnosis.conclusion}", _COLORS[worst]))
    parts: list[RenderableType] = [head, ""]
    for name, finding in sorted(bad, key=lambda each: list(Verdict).index(each[1].verdict), reverse=True):
        parts += [_told(name, finding), ""]
    return Group(*parts, _well(diagnosis))


def _told(name: str, finding: Finding) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(Text(finding.verdict.value, _COLORS[finding.verdict]), Text(f"{name}: {finding.subject}", "bold"))
    for word, value in (("measured", finding.measured), ("limit", finding.limit), ("breaks", finding.breaks)):
        table.add_row(Text(word, "dim"), Text(value))
    # a command is to be copied: it is never cut, and a terminal may wrap it
    table.add_row(Text("mend", "dim"), Text(finding.mend, overflow="fold"))
    return table


def _well(diagnosis: Diagnosis) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, findings in diagnosis.findings.items():
        for finding in findings:
            if finding.verdict is Verdict.OK:
                table.add_row(Text("ok", "green"), name, Text(finding.subject), Text(finding.measured, "dim"))
    return table
