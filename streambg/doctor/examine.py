"""All checks in the order in which they are told, and what they say together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from streambg.doctor import access, cluster, members, topics, waiting
from streambg.doctor.facts import Facts, Question, Wanted
from streambg.doctor.finding import Finding, Verdict
from streambg.printing import many

Judge = Callable[[Facts, Wanted], list[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """asks: what it cannot do without."""

    name: str
    judge: Judge
    asks: tuple[Question, ...]

    @property
    def about(self) -> str:
        """What it makes sure of, in one line."""
        return (self.judge.__doc__ or "").strip()


CHECKS: tuple[Check, ...] = (
    Check("partitions", topics.partitions, ("topics",)),
    Check("replication", topics.replication, ("topics", "internal", "brokers")),
    Check("min-insync", topics.in_sync, ("topics", "internal", "brokers")),
    Check("unclean-election", topics.unclean_election, ("topics", "internal")),
    Check("control-log", topics.control_log, ("topics", "control")),
    Check("retention", topics.retention, ("topics",)),
    Check("compaction", topics.compaction, ("topics",)),
    Check("timestamps", topics.timestamps, ("topics",)),
    Check("sizes", topics.sizes, ("topics",)),
    Check("features", cluster.features, ("brokers",)),
    Check("transactions", cluster.transactions, ("brokers",)),
    Check("positions", cluster.positions, ("brokers",)),
    Check("sessions", cluster.sessions, ("brokers",)),
    Check("writers", access.writers, ("acls",)),
    Check("rights", access.rights, ("acls",)),
    Check("groups", members.groups, ("groups",)),
    Check("files", members.files, ("files",)),
    Check("clocks", members.clocks, ("commands", "answers")),
    Check("redis", waiting.redis, ("redis", "rate")),
)
NAMES = tuple(check.name for check in CHECKS)


def questions(names: Collection[str]) -> frozenset[Question]:
    """What must be asked for these checks; the brokers' settings say whether there is an authorizer at all."""
    asked = {question for check in CHECKS if check.name in names for question in check.asks}
    return frozenset(asked | ({"brokers"} if "acls" in asked else set()))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What every check found, in order; at least one finding each."""

    findings: Mapping[str, Sequence[Finding]]

    def count(self, verdict: Verdict) -> int:
        return sum(finding.verdict is verdict for each in self.findings.values() for finding in each)

    def holds(self, allow_unknown: bool = False) -> bool:
        """Do the assumptions of the guarantee hold? What nobody could say counts as no, unless that is allowed."""
        return not self.count(Verdict.BROKEN) and (allow_unknown or not self.count(Verdict.UNKNOWN))

    @property
    def conclusion(self) -> str:
        """One line: what the findings say together."""
        broken, unknown, warnings = (self.count(each) for each in (Verdict.BROKEN, Verdict.UNKNOWN, Verdict.WARNING))
        more = [f"{unknown} could not be checked"] * (unknown > 0) + [many(warnings, "warning")] * (warnings > 0)
        if broken:
            return ", ".join([f"the guarantee does not hold: {broken} broken", *more])
        if unknown:
            return ", ".join(["nobody can say whether the guarantee holds: nothing is broken", *more])
        if self.count(Verdict.LOCAL):
            return ", ".join(["the guarantee holds as long as the disk of this single broker does", *more])
        return ", ".join(["the guarantee holds", *more])


def examine(facts: Facts, wanted: Wanted, names: Collection[str] = NAMES) -> Diagnosis:
    """Every check that is named. One whose question was not answered says why, as unknown."""
    return Diagnosis({check.name: _one(check, facts, wanted) for check in CHECKS if check.name in names})


def _one(check: Check, facts: Facts, wanted: Wanted) -> list[Finding]:
    silent = [facts.unasked[question] for question in check.asks if question in facts.unasked]
    if silent:
        mend = "what it names; then ask again"
        return [Finding(Verdict.UNKNOWN, check.name, said, check.about, "nobody can say", mend) for said in silent]
    return check.judge(facts, wanted)
