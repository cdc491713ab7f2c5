"""Checks of who runs: how the groups share partitions, whose file, whose clock. Pure."""

from __future__ import annotations

from streambg.control.commands import EXPIRES_MS
from streambg.doctor.facts import Facts, Group, Wanted
from streambg.doctor.finding import Finding, Verdict, ok

ASSIGNOR = "range"
# A command counts for 30 s by its sender's clock (P5): a sixth of that leaves the way to the broker its time, and is
# far above what delivery takes and NTP leaves.
CLOCK_MS = EXPIRES_MS // 6


def groups(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Members are static, share by `range`, and publishers have a slot that the others fence."""
    found = [finding for group in facts.groups for finding in _group(facts, group)]
    count = sum(len(group.members) for group in facts.groups)
    return found or [ok(f"{len(facts.groups)} groups", f"{count} members, all static, {ASSIGNOR}")]


def _group(facts: Facts, group: Group) -> list[Finding]:
    found = []
    restart = "end it, and start the member as a streambg process: streambg sets this itself"
    if group.protocol != "classic":
        breaks = "a killed member is back after 44 s, and a stale generation may commit (P22)"
        found.append(Finding(Verdict.BROKEN, group.name, f"protocol {group.protocol}", "classic", breaks, restart))
    elif group.assignor not in ("", ASSIGNOR):
        breaks = "blue's and green's partitions of one number come to different members (P13)"
        found.append(Finding(Verdict.BROKEN, group.name, f"assignor {group.assignor}", ASSIGNOR, breaks, restart))
    for member in group.members:
        subject = f"{group.name}: {member.client} at {member.host}"
        if not member.instance:
            breaks = "a restart waits for its old session, 6 s (P22); it is no process of streambg's"
            limit = "static: its slot"
            found.append(Finding(Verdict.BROKEN, subject, "no group.instance.id", limit, breaks, restart))
        elif group.name == facts.publisher_group and member.client not in facts.transactional_ids:
            limit = f"one of the {len(facts.transactional_ids)} of publish.slots"
            breaks = "whoever takes its partitions over does not fence it (P24)"
            mend = "the same publish.slots in every process's file, then restart the publishers one after the other"
            found.append(Finding(Verdict.BROKEN, subject, "a slot that this file does not have", limit, breaks, mend))
    return found


def files(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Every process runs the pipeline file that is in force."""
    breaks = "what is decided comes from the control log all the same (P4); the next `deploy` may surprise"
    limit = "the rules in force"
    mend = "restart it with the present file, or `deploy` what the file says"
    found = [Finding(Verdict.WARNING, "pipeline file", said, limit, breaks, mend) for said in facts.files]
    return found or [ok("pipeline file", "the same deciding rules in every process that said so")]


def clocks(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Writers' clocks agree with the broker's, as their last records show."""
    found = []
    for clock in facts.clocks:
        if abs(clock.behind_ms) > CLOCK_MS:
            way = "behind" if clock.behind_ms > 0 else "ahead of"
            measured = f"{abs(clock.behind_ms)} ms {way} the broker's append time"
            breaks = f"a command is refused as expired, or counts for longer than {EXPIRES_MS // 1_000} s (P5)"
            mend = "NTP on that machine and on the brokers; behind may also mean that delivery took so long"
            found.append(Finding(Verdict.BROKEN, clock.who, measured, f"{CLOCK_MS} ms", breaks, mend))
    if not facts.clocks:
        measured = "nothing was written yet that shows one"
        return [
            Finding(Verdict.WARNING, "clocks", measured, f"{CLOCK_MS} ms", "P5", "ask again after the first deploy")
        ]
    worst = max(facts.clocks, key=lambda clock: abs(clock.behind_ms))
    said = f"within {abs(worst.behind_ms)} ms of the broker's ({worst.who}), delivery included"
    return found or [ok(f"{len(facts.clocks)} writers", said)]
