"""Checks of the topics: copies, what is kept and for how long, by whose clock, how many, how large. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streambg.config.values import show_duration
from streambg.doctor.facts import OFFSETS, TRANSACTIONS, Facts, Topic, Wanted
from streambg.doctor.finding import (
    APPLY,
    Demand,
    Finding,
    Verdict,
    at_least,
    configs,
    demand,
    is_,
    kept,
    ok,
    one_broker,
    shown,
    tool,
)
from streambg.kafka.profiles import ENVELOPE_BYTES
from streambg.topicplan.declared import FOREVER, Part
from streambg.topicplan.plan import REPLICAS, REPLICAS_IN_SYNC, faults

LOG_APPEND = "LogAppendTime"
# Whose partition n belongs to the input's partition n (P13).
_TOGETHER: tuple[Part, ...] = ("dead-letters", "output", "predictions.blue", "predictions.green", "input")
# Whose records may be as large as an event, with an envelope around it (P13).
_AS_LARGE: tuple[Part, ...] = ("dead-letters", "output", "predictions.blue", "predictions.green", "control")


def _all(facts: Facts) -> list[Topic]:
    """The pipeline's topics and Kafka's own that it lives by."""
    return [*facts.ours(), *(facts.topics[name] for name in (OFFSETS, TRANSACTIONS) if name in facts.topics)]


def _unless(found: list[Finding], subject: str, measured: str) -> list[Finding]:
    return found or [ok(subject, measured)]


def replication(facts: Facts, wanted: Wanted) -> list[Finding]:
    """Every topic has three copies, and all of them are in sync."""
    if facts.single:
        return [one_broker(wanted, "replication 1 of every topic", f"replication {REPLICAS} or more")]
    found = []
    for topic in _all(facts):
        if topic.replication < REPLICAS:
            words = [*tool(facts, "kafka-reassign-partitions.sh"), "--execute", "--reassignment-json-file"]
            found.append(
                Finding(
                    Verdict.BROKEN,
                    topic.name,
                    f"replication {topic.replication}",
                    f"{REPLICAS} or more",
                    "an acknowledged record is lost with the brokers that hold it",
                    " ".join([*words, f"FILE, which names {REPLICAS} replicas for each partition of {topic.name}"]),
                )
            )
        elif topic.in_sync < topic.replication:
            found.append(
                Finding(
                    Verdict.WARNING,
                    topic.name,
                    f"{topic.in_sync} of {topic.replication} replicas in sync",
                    "all of them",
                    "fewer brokers can be lost than the replication says; below min.insync.replicas nothing is written",
                    "bring the missing broker back",
                )
            )
    return _unless(found, f"{len(_all(facts))} topics", f"replication {REPLICAS} or more, all in sync")


def in_sync(facts: Facts, wanted: Wanted) -> list[Finding]:
    """A write counts only when two brokers have it."""
    limit = f"{REPLICAS_IN_SYNC} or more"
    if facts.single:
        return [one_broker(wanted, "min.insync.replicas 1: a write counts when this broker has it", limit)]
    needed = Demand(
        "min.insync.replicas",
        at_least(REPLICAS_IN_SYNC),
        str(REPLICAS_IN_SYNC),
        limit,
        "a write is acknowledged that one broker alone has; it is lost with that broker",
    )
    found = [finding for topic in _all(facts) for finding in demand(facts, topic, [needed])]
    return _unless(found, f"{len(_all(facts))} topics", f"min.insync.replicas {limit}")


def unclean_election(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """A broker that lacks acknowledged records never becomes a leader."""
    needed = Demand(
        "unclean.leader.election.enable",
        is_("false"),
        "false",
        "false",
        "a broker that lacks acknowledged records may become the leader: they are lost, and offsets are given twice",
    )
    found = [finding for topic in _all(facts) for finding in demand(facts, topic, [needed])]
    return _unless(found, f"{len(_all(facts))} topics", "unclean.leader.election.enable false")


def control_log(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Every command ever accepted is still there."""
    topic = facts.topic("control")
    if topic is None:
        return []
    breaks = "every process folds this log from its beginning; once a record is gone all of them halt (P5, exit code 8)"
    needed = [
        Demand("cleanup.policy", is_("delete"), "delete", "delete", breaks),
        Demand("retention.ms", is_(FOREVER), FOREVER, f"{FOREVER} (for ever)", breaks),
        Demand("retention.bytes", is_(FOREVER), FOREVER, f"{FOREVER} (for ever)", breaks),
    ]
    found = demand(facts, topic, needed)
    if facts.control_begin > 0:
        mend = "restore the broker's log as it was (docs/operations.md, backing up), or begin a new pipeline"
        measured = f"begins at offset {facts.control_begin}"
        found.append(Finding(Verdict.BROKEN, topic.name, measured, "at offset 0", breaks, mend))
    return _unless(found, topic.name, "kept for ever, not compacted, begins at offset 0")


_LOST: dict[Part, str] = {
    "input": "an event that expires before it is answered is lost: a gap that a person must accept (P29)",
    "predictions.blue": "answers that expire before a publisher has read them must be scored again (P29)",
    "predictions.green": "answers that expire before a publisher has read them must be scored again (P29)",
    "output": "without its last outcome nobody knows where to go on once committed positions are gone (P25, P27)",
    "labels": "where Redis lost what waits, labels of a horizon are read again; what has expired is no evidence (P33)",
    "dead-letters": "the outcome of an event expires before anybody has looked at it, and with it the tail (P25)",
}


def retention(facts: Facts, wanted: Wanted) -> list[Finding]:
    """What somebody may still have to read outlives the longest outage."""
    found = []
    for part, breaks in _LOST.items():
        topic = facts.topic(part)
        if topic is not None:
            joined = part == "labels" or part.startswith("predictions.")
            needed = max(wanted.outage_ms, wanted.horizon_ms if joined else 0)
            why = "the label horizon" if needed > wanted.outage_ms else "the longest outage"
            found += _outlives(facts, topic, needed, f"{show_duration(needed)} or more, {why}", breaks)
    least = f"kept for {show_duration(wanted.outage_ms)} or longer"
    labels = f", what labels need for {show_duration(wanted.horizon_ms)}" if wanted.horizon_ms else ""
    return _unless(found, "input, predictions, output, dead letters", least + labels)


def _outlives(facts: Facts, topic: Topic, needed_ms: int, limit: str, breaks: str) -> list[Finding]:
    policy = topic.config.get("cleanup.policy", "delete")
    found = []
    if "delete" in policy:
        found += demand(facts, topic, [Demand("retention.ms", kept(needed_ms), str(needed_ms), limit, breaks)])
        size = topic.config.get("retention.bytes", FOREVER)
        if size != FOREVER:
            mend = configs(facts, "topics", topic.name, "retention.bytes", FOREVER)
            measured = f"retention.bytes {size} a partition: how long that lasts depends on the traffic"
            found.append(Finding(Verdict.UNKNOWN, topic.name, measured, limit, breaks, mend))
    if "compact" in policy:
        lag = Demand("min.compaction.lag.ms", at_least(needed_ms), str(needed_ms), limit, breaks)
        found += demand(facts, topic, [lag])
    return found


def compaction(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """What is looked up by key keeps the newest record of each key."""
    found = []
    kinds: list[tuple[Part, Verdict, str]] = [
        ("cutovers", Verdict.BROKEN, "the origin expires: a partition that is taken over halts, or doubles (P25, P27)"),
        ("evidence", Verdict.WARNING, "evidence is lost and compared again from what is left (P30)"),
    ]
    for part, verdict, breaks in kinds:
        topic = facts.topic(part)
        if topic is not None:
            found += demand(
                facts, topic, [Demand("cleanup.policy", is_("compact"), "compact", "compact", breaks, verdict)]
            )
    return _unless(found, "cutovers, evidence", "compacted, nothing expires")


def timestamps(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Records are dated by the broker where rules judge by their time."""
    answers = "a copied old time expires a fresh answer, and the audit cannot judge `late` (P34)"
    by_broker: list[tuple[Part, str]] = [
        ("control", "a command's expiry is judged by the sender's clock, not the broker's (P5)"),
        ("predictions.blue", answers),
        ("predictions.green", answers),
    ]
    found = []
    for part, breaks in by_broker:
        topic = facts.topic(part)
        if topic is not None:
            needed = Demand("message.timestamp.type", is_(LOG_APPEND), LOG_APPEND, LOG_APPEND, breaks)
            found += demand(facts, topic, [needed])
    found += _output_times(facts)
    output = facts.topic("output")
    whose = "nobody yet" if output is None else output.config.get("message.timestamp.type", "")
    by = {LOG_APPEND: "the broker", "CreateTime": "the publisher's clock"}.get(whose, whose)
    said = "carries the events' times" if facts.copies_times else f"is dated by {by}"
    return _unless(found, "control, predictions", f"dated by the broker; the output {said}")


def _output_times(facts: Facts) -> list[Finding]:
    """With `output.timestamp: input` the broker must take whatever time an event has."""
    output, given = facts.topic("output"), facts.topic("input")
    if not facts.copies_times or output is None or given is None:
        return []
    if output.config.get("message.timestamp.type") == LOG_APPEND:
        breaks = "`output.timestamp: input` asks for the events' times, and the broker writes its own"
        needed = Demand(
            "message.timestamp.type", is_("CreateTime"), "CreateTime", "CreateTime", breaks, Verdict.WARNING
        )
        return demand(facts, output, [needed])
    if given.config.get("message.timestamp.type") == LOG_APPEND:
        return []  # no event is far from the broker's time
    found = []
    for key in ("message.timestamp.after.max.ms", "message.timestamp.before.max.ms"):
        theirs = given.config.get(key)
        if theirs is not None:
            breaks = "the broker refuses the answer of an event that it took, and the partition stands (P14)"
            limit = f"{shown(key, theirs)} or more, as the input"
            found += demand(facts, output, [Demand(key, at_least(int(theirs)), theirs, limit, breaks)])
    return found


def partitions(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Every topic is there, and every partition of the input has its partition everywhere."""
    counts = {each.part: facts.topics[each.name].partitions for each in facts.declared if each.name in facts.topics}
    found = []
    if missing := [each.name for each in facts.declared if each.part not in counts]:
        mend = f"{APPLY} --partitions N" if "input" not in counts else APPLY
        subject, breaks = ", ".join(missing), "processes do not start"
        found.append(Finding(Verdict.BROKEN, subject, "no such topic", "it exists", breaks, mend))
    breaks = "an event has no place for its answer, or two topics mean different events by one number (P13)"
    wrong = faults(facts.declared, counts)
    most = max((counts[part] for part in _TOGETHER if part in counts), default=1)
    for says in wrong:
        subject, _, measured = says.partition(" has ")
        mend = f"streambg topics plan --partitions {most}, then `apply`; no topic ever shrinks"
        if "must have 1" in says:
            mend = "make it again with one partition: it is not this pipeline's topic, or somebody grew it"
        found.append(Finding(Verdict.BROKEN, subject.strip("`"), f"has {measured}", "equal", breaks, mend))
    return found or _growing(facts, counts)


def _growing(facts: Facts, counts: Mapping[Part, int]) -> list[Finding]:
    """Unequal counts that P13 allows while partitions are added."""
    most, least = max(counts[part] for part in _TOGETHER), min(counts[part] for part in _TOGETHER)
    if most == least:
        return [ok(f"{len(counts)} topics", f"{most} partitions as the input, or one")]
    measured = ", ".join(f"{facts.name(part)} {counts[part]}" for part in _TOGETHER)
    breaks = "nothing yet: what is not in all of them is not read; whoever began to add partitions did not end (P13)"
    return [Finding(Verdict.WARNING, "partitions", measured, "equal", breaks, f"{APPLY} --partitions {most}")]


def sizes(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Whatever the input takes has room in every topic behind it."""
    given = facts.topic("input")
    if given is None or "max.message.bytes" not in given.config:
        return []
    largest = int(given.config["max.message.bytes"])
    needed = largest + ENVELOPE_BYTES
    found = []
    for part in _AS_LARGE:
        topic = facts.topic(part)
        if topic is not None:
            limit = f"{needed} or more: the input's {largest} and {ENVELOPE_BYTES // 1024} KiB"
            breaks = "the answer to a large event is refused, and ends as a dead letter or stops its partition (P13)"
            each = Demand("max.message.bytes", at_least(needed), str(needed), limit, breaks)
            found += demand(facts, topic, [each])
    return _unless(found, "topics behind the input", f"take {needed} bytes or more, the input {largest}")
