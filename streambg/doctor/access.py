"""Checks of the ACLs: who may write what only publishers may, and may each role do its work. Pure.

What an authorizer grants beside its ACLs (`super.users`, `allow.everyone.if.no.acl.found`) a broker tells nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

from streambg.doctor.facts import Binding, Facts, Wanted
from streambg.doctor.finding import Finding, Verdict, ok
from streambg.topicplan.acls import Acl, AclRole, commands

EVERYONE = "User:*"
# What else grants an operation, in the words of Kafka's authorizer.
_IMPLIED_BY = {
    "Describe": frozenset({"Read", "Write", "Delete", "Alter"}),
    "DescribeConfigs": frozenset({"AlterConfigs"}),
}
# Without these nothing is scored or published; people and programs that use the other roles may not exist.
_RUNNING: tuple[AclRole, ...] = ("scorer.blue", "scorer.green", "publisher", "comparator")
_NOT_SEEN = "no ACL is visible: there is none, or this login may not see them"
_SEE = "grant this login Describe on the cluster, then ask again"


def writers(facts: Facts, wanted: Wanted) -> list[Finding]:
    """Only publishers may write output, dead letters and cutovers."""
    names = [each.name for each in facts.declared if each.writers == ("publisher",)]
    breaks = "a foreign record can be taken for the last outcome (P25); the audit calls it foreign, doubled or extra"
    if facts.acls is None:
        measured = "no authorizer: everybody who reaches the brokers may write there"
        limit = "only the publisher may"
        mend = "an authorizer on every broker, then what `streambg topics acls` prints; until then it rests on people"
        return [Finding(Verdict.WARNING, ", ".join(names), measured, limit, breaks, mend)]
    if not facts.acls:
        return [Finding(Verdict.UNKNOWN, ", ".join(names), _NOT_SEEN, "only the publisher may write", breaks, _SEE)]
    publisher = wanted.principals["publisher"]
    found = []
    for name in names:
        may = {
            each.principal
            for each in facts.acls
            if each.allow and each.operation in ("Write", "All") and _covers(each, "topic", name, "literal")
        }
        if others := sorted(may - {publisher}):
            measured = f"{', '.join(others)} may write it"
            mend = (
                f"take Write from {', '.join(others)}; or, if that is the publisher's login: --principal publisher=NAME"
            )
            found.append(
                Finding(Verdict.BROKEN, name, measured, f"only {publisher}, the publisher's login", breaks, mend)
            )
    said = f"only {publisher} may write them, by the ACLs; super.users are told to nobody"
    return found or [ok(", ".join(names), said)]


def rights(facts: Facts, wanted: Wanted) -> list[Finding]:
    """Each role's login may do what the role needs."""
    if facts.acls is None:
        return [ok("every role", "no authorizer: every login may do everything")]
    if not facts.acls:
        return [Finding(Verdict.UNKNOWN, "every role", _NOT_SEEN, "each role's rights", "processes end (exit 4)", _SEE)]
    found, fine = [], []
    for role, who in wanted.principals.items():
        known = any(each.principal == who for each in facts.acls)
        if not known and role not in _RUNNING:
            continue
        missing = [acl for acl in facts.needed if acl.role == role and not _granted(facts.acls, who, acl)]
        if not missing:
            fine.append(role)
            continue
        first = f"{missing[0].operation} on {missing[0].kind} {missing[0].name}"
        measured = f"{who} lacks {first}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        mend = "\n".join(commands(missing, wanted.principals, facts.bootstrap))
        if not known:
            mend += f"\nor, where this role has another login: --principal {role}=NAME"
        breaks = "the role's processes end with exit code 4, or its verbs do"
        found.append(Finding(Verdict.BROKEN, role, measured, "all that `streambg topics acls` prints", breaks, mend))
    return found or [ok(", ".join(fine), "may do what they need, by the ACLs")]


def _granted(bindings: Iterable[Binding], who: str, need: Acl) -> bool:
    """Kafka's way: one that denies is stronger than all that allow. A right for one host alone counts as granted."""
    allowed = False
    for each in bindings:
        if each.principal not in (who, EVERYONE) or not _covers(each, need.kind, need.name, need.pattern):
            continue
        exactly = each.operation in (need.operation, "All")
        if not each.allow and exactly:
            return False
        if each.allow and (exactly or each.operation in _IMPLIED_BY.get(need.operation, ())):
            allowed = True
    return allowed


def _covers(binding: Binding, kind: str, name: str, pattern: str) -> bool:
    if binding.kind != kind:
        return False
    if binding.pattern == "prefixed":
        return name.startswith(binding.name)
    return binding.name == "*" or (pattern == "literal" and binding.name == name)
