"""The rights each role needs on a cluster with an authorizer, from `writers` and `readers` of topics/*.yaml. Pure.

What a role needs beside reading and writing topics stands in the tables below. Reading and writing include DESCRIBE,
as Kafka has it; idempotent producers need nothing more since Kafka 3.0.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from streambg.config import Pipeline
from streambg.config.names import Groups
from streambg.records.source import COLORS
from streambg.topicplan.declared import PARTS, Declared, Part

# `topics` is who runs `streambg topics plan` and `apply`.
AclRole = Literal["scorer.blue", "scorer.green", "publisher", "comparator", "operator", "audit", "topics", "doctor"]
ROLES: tuple[AclRole, ...] = get_args(AclRole)
Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "Create", "Alter", "AlterConfigs"]
Kind = Literal["topic", "group", "transactional-id", "cluster"]
Pattern = Literal["literal", "prefixed"]


@dataclass(frozen=True, slots=True)
class Acl:
    """One right. why: what it is needed for."""

    role: AclRole
    kind: Kind
    name: str
    pattern: Pattern
    operation: Operation
    why: str


# The one name that a right on the cluster has.
CLUSTER = "kafka-cluster"
# Kafka's own topics that transactions and positions live in.
INTERNAL = ("__consumer_offsets", "__transaction_state")

# Topics that a role asks about without reading them, and what it does to their settings.
_ABOUT: tuple[tuple[AclRole, tuple[Part, ...], Operation, str], ...] = (
    ("scorer.blue", ("predictions.green",), "Describe", "the publisher's positions say where a candidate begins (P11)"),
    ("scorer.green", ("predictions.blue",), "Describe", "the publisher's positions say where a candidate begins (P11)"),
    ("audit", ("input", "output", "dead-letters"), "DescribeConfigs", "is one compacted? (P35)"),
    ("topics", PARTS, "Describe", "topics plan"),
    ("topics", PARTS, "DescribeConfigs", "topics plan"),
    ("topics", PARTS, "Create", "topics apply"),
    ("topics", PARTS, "Alter", "topics apply --partitions"),
    ("topics", PARTS, "AlterConfigs", "topics apply"),
    ("doctor", PARTS, "Describe", "counts and copies"),
    ("doctor", PARTS, "DescribeConfigs", "what is kept, and by whose clock"),
)
# Where labels are declared.
_ABOUT_LABELS: tuple[AclRole, tuple[Part, ...], Operation, str] = (
    "comparator",
    ("input",),
    "Describe",
    "is an event under way that a label may belong to? (P33)",
)


def _about_groups(groups: Groups) -> list[tuple[AclRole, str, Operation, str]]:
    scorers: tuple[AclRole, AclRole] = ("scorer.blue", "scorer.green")
    members: list[tuple[AclRole, str]] = [
        *zip(scorers, (groups.scorer(color) for color in COLORS), strict=True),
        ("publisher", groups.publisher),
        ("comparator", groups.comparator),
    ]
    settled: list[AclRole] = [*scorers, "audit"]
    return [
        *((role, group, "Read", "a member; its positions") for role, group in members),
        *((role, groups.publisher, "Describe", "how far is settled?") for role in settled),
        *(("operator", group, "Describe", "members and positions, for status and shift") for _, group in members),
        *(("doctor", group, "Describe", "members and positions") for _, group in members),
        # clients that assign themselves still look for the coordinator of the group they are named after
        *((role, groups.reader, "Describe", "the name of readers") for role in ROLES if role != "topics"),
    ]


def acls(pipeline: Pipeline, declared: Sequence[Declared]) -> list[Acl]:
    """Every right of every role, by role; each needed, none more."""
    found: list[Acl] = []
    names = {each.part: each.name for each in declared}
    about = _ABOUT if pipeline.labels is None else (*_ABOUT, _ABOUT_LABELS)
    for role in ROLES:
        for each in declared:
            # the doctor looks at what `status` looks at
            if role in each.readers or (role == "doctor" and "operator" in each.readers):
                found.append(Acl(role, "topic", each.name, "literal", "Read", each.what))
            if role in each.writers:
                found.append(Acl(role, "topic", each.name, "literal", "Write", each.what))
        described = {acl.name for acl in found if acl.role == role}
        found += [
            Acl(role, "topic", names[part], "literal", operation, why)
            for who, parts, operation, why in about
            for part in parts
            if who == role and part in names and not (operation == "Describe" and names[part] in described)
        ]
        for who, group, operation, why in _about_groups(pipeline.groups):
            if who == role:
                found.append(Acl(role, "group", group, "literal", operation, why))
        if role == "publisher":
            # every slot's, also of slots that are no longer: a member fences the dead among them (P24)
            ids = pipeline.transactional_id(0).removesuffix("0")
            found.append(Acl(role, "transactional-id", ids, "prefixed", "Write", "its own, and to fence the dead"))
        if role == "doctor":
            found += [
                Acl(role, "topic", name, "literal", operation, "copies of positions and transactions")
                for name in INTERNAL
                for operation in ("Describe", "DescribeConfigs")
            ]
            found.append(Acl(role, "cluster", CLUSTER, "literal", "Describe", "to see the ACLs"))
            found.append(Acl(role, "cluster", CLUSTER, "literal", "DescribeConfigs", "the brokers' settings"))
    return found


def principals(pipeline: Pipeline, prefix: str | None, named: Mapping[AclRole, str]) -> dict[AclRole, str]:
    """Each role's principal: as named, else the prefix and the role; default `User:<pipeline>-scorer-blue`."""
    front = f"User:{pipeline.name}-" if prefix is None else prefix
    return {role: _principal(named.get(role, front + role.replace(".", "-"))) for role in ROLES}


def _principal(text: str) -> str:
    return text if ":" in text else f"User:{text}"


def commands(found: Sequence[Acl], who: Mapping[AclRole, str], bootstrap: str) -> list[str]:
    """The kafka-acls commands that grant them: one for what shares role, kind, pattern and operations."""
    by_name: dict[tuple[AclRole, Kind, Pattern, str], list[Operation]] = {}
    for acl in found:
        by_name.setdefault((acl.role, acl.kind, acl.pattern, acl.name), []).append(acl.operation)
    grouped: dict[tuple[AclRole, Kind, Pattern, tuple[Operation, ...]], list[str]] = {}
    for (role, kind, pattern, name), granted in by_name.items():
        grouped.setdefault((role, kind, pattern, tuple(granted)), []).append(name)
    lines = []
    for (role, kind, pattern, operations), names in grouped.items():
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config", "admin.properties", "--add"]
        words += ["--allow-principal", who[role]]
        words += [word for operation in operations for word in ("--operation", operation)]
        words += ["--cluster"] if kind == "cluster" else [word for name in names for word in (f"--{kind}", name)]
        if pattern == "prefixed":
            words += ["--resource-pattern-type", "prefixed"]
        lines.append(" ".join(shlex.quote(word) for word in words))
    return lines
