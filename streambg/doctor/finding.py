"""What a check says: ok, or what breaks, the measured value, the limit, and the command that mends it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from streambg.config.values import show_duration
from streambg.doctor.facts import Facts, Topic, Wanted
from streambg.topicplan.declared import FOREVER

APPLY = "streambg topics apply"
Holds = Callable[[str], bool]


class Verdict(StrEnum):
    """From good to bad; the worst of all findings decides."""

    OK = "ok"
    LOCAL = "local"  # true of a single broker that is meant to be one: the guarantee ends where its disk ends
    WARNING = "warning"  # the guarantee holds; something else is not as it should be
    UNKNOWN = "unknown"  # nobody could say: a right is missing, or the cluster's answers do not tell
    BROKEN = "broken"  # an assumption of the guarantee does not hold


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    subject: a topic, broker, group or person; measured and limit: in words, with units; breaks: what goes wrong, with
    its rule; mend: the command, or what a person must do. limit, breaks and mend are "" where all is well.
    """

    verdict: Verdict
    subject: str
    measured: str
    limit: str = ""
    breaks: str = ""
    mend: str = ""


def ok(subject: str, measured: str) -> Finding:
    return Finding(Verdict.OK, subject, measured)


@dataclass(frozen=True, slots=True)
class Demand:
    """A setting that a topic must have. wanted: what mends it sets; limit: in words."""

    key: str
    holds: Holds
    wanted: str
    limit: str
    breaks: str
    verdict: Verdict = Verdict.BROKEN


def demand(facts: Facts, topic: Topic, demands: Iterable[Demand]) -> list[Finding]:
    """What of this does not hold."""
    found = []
    for each in demands:
        value = topic.config.get(each.key)
        if value is None:
            said = f"the broker does not say {each.key}"
            found.append(Finding(Verdict.UNKNOWN, topic.name, said, each.limit, each.breaks, "look at the broker"))
        elif not each.holds(value):
            mend = mending(facts, topic.name, each.key, each.wanted, each.holds)
            measured = f"{each.key} {shown(each.key, value)}"
            found.append(Finding(each.verdict, topic.name, measured, each.limit, each.breaks, mend))
    return found


def is_(value: str) -> Holds:
    return lambda has: has == value


def kept(needed_ms: int) -> Holds:
    """A retention: at least so long, or for ever."""
    return lambda has: has == FOREVER or int(has) >= needed_ms


def at_least(number: int) -> Holds:
    return lambda has: int(has) >= number


def shown(key: str, value: str) -> str:
    """`60000 (1m)`: times are hard to read in milliseconds."""
    if value == FOREVER and key.startswith("retention."):
        return f"{value} (for ever)"
    return f"{value} ({show_duration(int(value))})" if key.endswith(".ms") and value.isdecimal() else value


def mending(facts: Facts, topic: str, key: str, value: str, holds: Holds) -> str:
    """`topics apply` where that sets what is needed, else Kafka's own tool."""
    planned = facts.planned.get(topic, {}).get(key)
    if planned is not None and holds(planned):
        return APPLY
    return configs(facts, "topics", topic, key, value)


def configs(facts: Facts, kind: str, name: str, key: str, value: str) -> str:
    """The kafka-configs.sh command that sets it."""
    entity = ["--entity-name", name] if name else ["--entity-default"]
    words = [*tool(facts, "kafka-configs.sh"), "--alter", "--entity-type", kind, *entity, "--add-config"]
    return " ".join(map(shlex.quote, [*words, f"{key}={value}"]))


def tool(facts: Facts, name: str) -> list[str]:
    """One of Kafka's own tools, with its address and, where it needs one, its login."""
    login = ["--command-config", "admin.properties"] if facts.secured else []
    return [name, "--bootstrap-server", facts.bootstrap, *login]


def one_broker(wanted: Wanted, measured: str, limit: str) -> Finding:
    """The finding of a cluster that has no second copy of anything."""
    return Finding(
        Verdict.LOCAL if wanted.local else Verdict.BROKEN,
        "a single broker",
        measured,
        limit,
        "no replication: what was acknowledged is lost with this one disk",
        "three brokers or more, then kafka-reassign-partitions.sh; for trying out: --local",
    )
