"""A cluster where all is well, and everything that can be wrong with it, one thing at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from streambg.doctor.facts import Binding, Clock, Facts, GroupMember, Redis, Waiting
from streambg.doctor.finding import Verdict
from streambg.topicplan.declared import Part

DAY_MS = 86_400_000
# A horizon of an hour; one output and one segment.
HOUR = Waiting(82, 5_100_000, 1.0, True)
LARGEST = 1_048_588
ROOMY = {"max.message.bytes": str(LARGEST + 65_536)}
COMMON = {
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
    "message.timestamp.type": "LogAppendTime",
}
KEPT = {"cleanup.policy": "delete", "retention.ms": str(3 * DAY_MS), "retention.bytes": "-1", **COMMON, **ROOMY}
SETTINGS: dict[Part, dict[str, str]] = {
    "input": KEPT | {"max.message.bytes": str(LARGEST), "message.timestamp.type": "CreateTime"},
    "output": KEPT | {"message.timestamp.type": "CreateTime"},
    "dead-letters": KEPT,
    "predictions.blue": KEPT,
    "predictions.green": KEPT,
    "control": KEPT | {"retention.ms": "-1"},
    "cutovers": KEPT | {"cleanup.policy": "compact"},
    "evidence": KEPT | {"cleanup.policy": "compact"},
    "verdicts": KEPT,
    "labels": KEPT,
}
BROKER = {
    "transaction.max.timeout.ms": "900000",
    "offsets.retention.minutes": "10080",
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "offsets.topic.replication.factor": "3",
}
APIS = {"JoinGroup": 9, "TxnOffsetCommit": 5, "OffsetFetch": 10, "InitProducerId": 6, "Metadata": 13}
AS_INPUT = ("input", "output", "dead-letters", "predictions.blue", "predictions.green")


def with_topic(facts: Facts, part: Part, config: Mapping[str, str] | None = None, **fields: int) -> Facts:
    """One topic with other settings, or other counts."""
    name = facts.name(part)
    topic = facts.topics[name]
    changed = replace(topic, config={**topic.config, **(config or {})}, **fields)
    return replace(facts, topics={**facts.topics, name: changed})


def with_broker(facts: Facts, **config: str) -> Facts:
    settings = {key.replace("_", "."): value for key, value in config.items()}
    first, *others = facts.brokers
    return replace(facts, brokers=[replace(first, config={**first.config, **settings}), *others])


def without(facts: Facts, part: Part) -> Facts:
    return replace(facts, topics={name: topic for name, topic in facts.topics.items() if name != facts.name(part)})


Change = Callable[[Facts], Facts]
# what is made wrong, the check and the verdict that say it, and what measured, breaks and mend must hold
CASES: dict[str, tuple[Change, str, Verdict, tuple[str, str, str]]] = {
    "a missing topic": (
        lambda f: without(f, "cutovers"),
        "partitions",
        Verdict.BROKEN,
        ("no such topic", "do not start", "streambg topics apply"),
    ),
    "a wrong partition count": (
        lambda f: with_topic(f, "output", partitions=3),
        "partitions",
        Verdict.BROKEN,
        ("has 3 partitions", "P13", "topics plan --partitions 4"),
    ),
    "partitions being added": (
        lambda f: with_topic(f, "dead-letters", partitions=5),
        "partitions",
        Verdict.WARNING,
        ("fraud.dead-letters 5", "P13", "topics apply --partitions 5"),
    ),
    "two copies": (
        lambda f: with_topic(f, "control", replication=2, in_sync=2),
        "replication",
        Verdict.BROKEN,
        ("replication 2", "lost", "kafka-reassign-partitions.sh --bootstrap-server broker:9092"),
    ),
    "a replica that is away": (
        lambda f: with_topic(f, "control", in_sync=2),
        "replication",
        Verdict.WARNING,
        ("2 of 3 replicas in sync", "fewer brokers", "bring the missing broker back"),
    ),
    "a low min ISR": (
        lambda f: with_topic(f, "cutovers", {"min.insync.replicas": "1"}),
        "min-insync",
        Verdict.BROKEN,
        (
            "min.insync.replicas 1",
            "one broker alone",
            "--entity-name fraud.cutovers --add-config min.insync.replicas=2",
        ),
    ),
    "unclean election": (
        lambda f: with_topic(f, "output", {"unclean.leader.election.enable": "true"}),
        "unclean-election",
        Verdict.BROKEN,
        ("unclean.leader.election.enable true", "lost", "unclean.leader.election.enable=false"),
    ),
    "a short control retention": (
        lambda f: with_topic(f, "control", {"retention.ms": "60000"}),
        "control-log",
        Verdict.BROKEN,
        ("retention.ms 60000 (1m)", "P5", "--entity-name fraud.control --add-config retention.ms=-1"),
    ),
    "a compacted control log": (
        lambda f: with_topic(f, "control", {"cleanup.policy": "compact"}),
        "control-log",
        Verdict.BROKEN,
        ("cleanup.policy compact", "P5", "cleanup.policy=delete"),
    ),
    "a control log that was cut": (
        lambda f: replace(f, control_begin=7),
        "control-log",
        Verdict.BROKEN,
        ("begins at offset 7", "P5", "restore"),
    ),
    "an input that expires in an hour": (
        lambda f: with_topic(f, "input", {"retention.ms": "3600000"}),
        "retention",
        Verdict.BROKEN,
        ("retention.ms 3600000 (1h)", "P29", "retention.ms=86400000"),
    ),
    "an input bounded by size": (
        lambda f: with_topic(f, "input", {"retention.bytes": "1000000"}),
        "retention",
        Verdict.UNKNOWN,
        ("depends on the traffic", "P29", "retention.bytes=-1"),
    ),
    "an input compacted at once": (
        lambda f: with_topic(f, "input", {"cleanup.policy": "compact", "min.compaction.lag.ms": "0"}),
        "retention",
        Verdict.BROKEN,
        ("min.compaction.lag.ms 0", "P29", "min.compaction.lag.ms=86400000"),
    ),
    "dead letters that expire in an hour": (
        lambda f: with_topic(f, "dead-letters", {"retention.ms": "3600000"}),
        "retention",
        Verdict.BROKEN,
        ("retention.ms 3600000 (1h)", "P25", "fraud.dead-letters"),
    ),
    "cutovers that expire": (
        lambda f: with_topic(f, "cutovers", {"cleanup.policy": "compact,delete"}),
        "compaction",
        Verdict.BROKEN,
        ("cleanup.policy compact,delete", "P27", "cleanup.policy=compact"),
    ),
    "evidence that expires": (
        lambda f: with_topic(f, "evidence", {"cleanup.policy": "delete"}),
        "compaction",
        Verdict.WARNING,
        ("cleanup.policy delete", "P30", "cleanup.policy=compact"),
    ),
    "predictions dated by the scorer": (
        lambda f: with_topic(f, "predictions.green", {"message.timestamp.type": "CreateTime"}),
        "timestamps",
        Verdict.BROKEN,
        ("message.timestamp.type CreateTime", "P34", "message.timestamp.type=LogAppendTime"),
    ),
    "an output that refuses old times": (
        lambda f: with_topic(
            with_topic(replace(f, copies_times=True), "input", {"message.timestamp.after.max.ms": "7200000"}),
            "output",
            {"message.timestamp.after.max.ms": "3600000"},
        ),
        "timestamps",
        Verdict.BROKEN,
        ("message.timestamp.after.max.ms 3600000 (1h)", "P14", "message.timestamp.after.max.ms=7200000"),
    ),
    "an output that writes its own times": (
        lambda f: with_topic(replace(f, copies_times=True), "output", {"message.timestamp.type": "LogAppendTime"}),
        "timestamps",
        Verdict.WARNING,
        ("LogAppendTime", "output.timestamp", "message.timestamp.type=CreateTime"),
    ),
    "no room for an answer": (
        lambda f: with_topic(f, "output", {"max.message.bytes": str(LARGEST)}),
        "sizes",
        Verdict.BROKEN,
        (f"max.message.bytes {LARGEST}", "P13", f"max.message.bytes={LARGEST + 65_536}"),
    ),
    "an old broker": (
        lambda f: replace(f, brokers=[replace(f.brokers[0], apis={**APIS, "TxnOffsetCommit": 2}), *f.brokers[1:]]),
        "features",
        Verdict.BROKEN,
        ("TxnOffsetCommit version 2", "P22", "upgrade"),
    ),
    "a broker that says nothing of itself": (
        lambda f: replace(f, brokers=[replace(f.brokers[0], apis={}), *f.brokers[1:]]),
        "features",
        Verdict.UNKNOWN,
        ("did not say", "P21", "again"),
    ),
    "short transactions": (
        lambda f: with_broker(f, transaction_max_timeout_ms="5000"),
        "transactions",
        Verdict.BROKEN,
        ("transaction.max.timeout.ms 5000", "P21", "server.properties: transaction.max.timeout.ms=10000"),
    ),
    "positions that are forgotten": (
        lambda f: with_broker(f, offsets_retention_minutes="60"),
        "positions",
        Verdict.BROKEN,
        ("offsets.retention.minutes 60 (1h)", "P27", "offsets.retention.minutes=1440"),
    ),
    "sessions that are too short": (
        lambda f: with_broker(f, group_min_session_timeout_ms="10000"),
        "sessions",
        Verdict.BROKEN,
        ("group.min.session.timeout.ms 10000", "P22", "group.min.session.timeout.ms=6000"),
    ),
    "sessions that are too long": (
        lambda f: with_broker(f, group_max_session_timeout_ms="3000"),
        "sessions",
        Verdict.BROKEN,
        ("group.max.session.timeout.ms 3000", "P22", "group.max.session.timeout.ms=6000"),
    ),
    "somebody else who may write the output": (
        lambda f: replace(
            f, acls=[*(f.acls or ()), Binding("topic", "fraud-", "prefixed", "User:mallory", "Write", True)]
        ),
        "writers",
        Verdict.BROKEN,
        ("User:mallory may write it", "P25", "take Write from User:mallory"),
    ),
    "no authorizer": (
        lambda f: replace(f, acls=None),
        "writers",
        Verdict.WARNING,
        ("no authorizer", "P25", "streambg topics acls"),
    ),
    "a missing right": (
        lambda f: replace(f, acls=[each for each in f.acls or () if (each.kind, each.operation) != ("topic", "Write")]),
        "rights",
        Verdict.BROKEN,
        ("lacks Write on topic", "exit code 4", "--allow-principal User:fraud-publisher"),
    ),
    "a right that is denied": (
        lambda f: replace(
            f, acls=[*(f.acls or ()), Binding("topic", "*", "literal", "User:fraud-comparator", "Read", False)]
        ),
        "rights",
        Verdict.BROKEN,
        ("User:fraud-comparator lacks Read", "exit code 4", "kafka-acls.sh"),
    ),
    "a foreign member": (
        lambda f: replace(f, groups=[replace(f.groups[0], members=(GroupMember("console", "", "h"),))]),
        "groups",
        Verdict.BROKEN,
        ("no group.instance.id", "P22", "end it"),
    ),
    "another assignor": (
        lambda f: replace(f, groups=[replace(f.groups[0], assignor="roundrobin")]),
        "groups",
        Verdict.BROKEN,
        ("assignor roundrobin", "P13", "streambg"),
    ),
    "the other protocol": (
        lambda f: replace(f, groups=[replace(f.groups[0], protocol="consumer")]),
        "groups",
        Verdict.BROKEN,
        ("protocol consumer", "P22", "streambg"),
    ),
    "a slot that this file does not have": (
        lambda f: replace(f, transactional_ids=("streambg.fraud.publisher.1",)),
        "groups",
        Verdict.BROKEN,
        ("a slot that this file does not have", "P24", "publish.slots"),
    ),
    "another pipeline file": (
        lambda f: replace(f, files=["publisher slot 0 runs another pipeline file"]),
        "files",
        Verdict.WARNING,
        ("runs another pipeline file", "P4", "restart"),
    ),
    "a clock that is behind": (
        lambda f: replace(f, clocks=[Clock("commands of mara", 12), Clock("commands of joe", 9_000)]),
        "clocks",
        Verdict.BROKEN,
        ("9000 ms behind", "P5", "NTP"),
    ),
    "a clock that is ahead": (
        lambda f: replace(f, clocks=[Clock("commands of joe", -9_000)]),
        "clocks",
        Verdict.BROKEN,
        ("9000 ms ahead of", "P5", "NTP"),
    ),
    "nothing that shows a clock": (
        lambda f: replace(f, clocks=[]),
        "clocks",
        Verdict.WARNING,
        ("nothing was written", "P5", "again"),
    ),
    "a Redis that evicts": (
        lambda f: replace(f, redis=Redis(256 << 20, "allkeys-lru")),
        "redis",
        Verdict.WARNING,
        ("maxmemory-policy allkeys-lru, maxmemory 256 MB", "P33", "maxmemory-policy noeviction"),
    ),
    "a Redis that is too small for an hour of labels": (
        lambda f: replace(f, redis=Redis(256 << 20, "noeviction"), waiting=HOUR, rate=2_000.0),
        "redis",
        Verdict.WARNING,
        (
            "maxmemory 256 MB; 2,000 events/s (measured) x 85m x 82 bytes are 798 MB",
            "no label is counted until others have expired (P33)",
            "redis-cli CONFIG SET maxmemory 998mb, and the same in redis.conf; or fewer labels: `sample: 25.67%`",
        ),
    ),
    "a machine that is too small for them": (
        lambda f: replace(f, redis=Redis(0, "noeviction", machine=512 << 20), waiting=HOUR, rate=2_000.0),
        "redis",
        Verdict.WARNING,
        ("no maxmemory, 512 MB in the machine", "where Redis is killed", "a machine with 998 MB for Redis"),
    ),
    "a Redis that is away": (
        lambda f: replace(f, redis=Redis(problem="it does not answer: refused")),
        "redis",
        Verdict.WARNING,
        ("does not answer", "P33", "start it"),
    ),
}
