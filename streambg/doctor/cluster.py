"""Checks of the brokers: what they speak, how long transactions, sessions and positions may last. Pure."""

from __future__ import annotations

from streambg.config.values import show_duration
from streambg.doctor.facts import OFFSETS, TRANSACTIONS, Broker, Facts, Wanted
from streambg.doctor.finding import Finding, Verdict, ok
from streambg.kafka.profiles import SESSION_TIMEOUT_MS, TRANSACTION_TIMEOUT_MS
from streambg.topicplan.plan import REPLICAS, REPLICAS_IN_SYNC

MINUTE_MS = 60_000
RESTART = "in every broker's server.properties: {}={}, then restart them one after the other"
# The least version of a request that processes need, the Kafka that brought it, and what for.
_NEEDED: dict[str, tuple[int, str, str]] = {
    "JoinGroup": (5, "2.3", "static members: a restart takes its own place (P22)"),
    "TxnOffsetCommit": (3, "2.5", "a publisher that lost its partitions cannot commit their positions (P22)"),
    "OffsetFetch": (7, "2.5", "positions are read behind open transactions (P24)"),
    "InitProducerId": (3, "2.5", "a new producer fences the old one (P21)"),
    "Metadata": (10, "2.8", "a topic that was deleted and made again is told by its id (P6, P25)"),
}


def features(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """The brokers know the requests that exactly-once rests on."""
    found = []
    for broker in facts.brokers:
        if not broker.apis:
            said = "did not say which requests it knows"
            needs = "Kafka 2.8 or newer"
            found.append(Finding(Verdict.UNKNOWN, _name(broker), said, needs, "P21-P24", "is it up? then again"))
            continue
        for request, (least, kafka, why) in _NEEDED.items():
            has = broker.apis.get(request, -1)
            if has < least:
                limit = f"version {least} or newer: Kafka {kafka}"
                measured = f"{request} version {has}" if has >= 0 else f"no {request}"
                found.append(Finding(Verdict.BROKEN, _name(broker), measured, limit, why, "upgrade the broker"))
    spoken = ", ".join(f"{request} {min(b.apis.get(request, -1) for b in facts.brokers)}" for request in _NEEDED)
    return found or [ok(_brokers(facts), spoken)]


def transactions(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Transactions may last as long as ours, and what is known of them has copies."""
    key = "transaction.max.timeout.ms"
    found = []
    for broker in facts.brokers:
        longest = broker.config.get(key)
        if longest is not None and int(longest) < TRANSACTION_TIMEOUT_MS:
            limit = f"{TRANSACTION_TIMEOUT_MS} ({show_duration(TRANSACTION_TIMEOUT_MS)}) or more"
            mend = RESTART.format(key, TRANSACTION_TIMEOUT_MS)
            breaks = "no publisher starts: the broker refuses its transactions (P21)"
            found.append(Finding(Verdict.BROKEN, _name(broker), f"{key} {longest}", limit, breaks, mend))
    if TRANSACTIONS not in facts.topics and not facts.single:
        found += _to_come(facts, "transaction.state.log.replication.factor", REPLICAS)
        found += _to_come(facts, "transaction.state.log.min.isr", REPLICAS_IN_SYNC)
    shown = {broker.config.get(key, "not said") for broker in facts.brokers}
    return found or [
        ok(_brokers(facts), f"{key} {', '.join(sorted(shown))}; ours last {TRANSACTION_TIMEOUT_MS} at most")
    ]


def _to_come(facts: Facts, key: str, least: int) -> list[Finding]:
    """Of an internal topic that the first transaction, or the first commit, will make."""
    return [
        Finding(
            Verdict.BROKEN,
            _name(broker),
            f"{key} {value}",
            f"{least} or more",
            "an end of a transaction, or a position, that was acknowledged is lost with one broker",
            RESTART.format(key, least),
        )
        for broker in facts.brokers
        if (value := broker.config.get(key)) is not None and int(value) < least
    ]


def positions(facts: Facts, wanted: Wanted) -> list[Finding]:
    """Committed positions outlive the longest outage."""
    key = "offsets.retention.minutes"
    found = []
    for broker in facts.brokers:
        minutes = broker.config.get(key)
        if minutes is not None and int(minutes) * MINUTE_MS < wanted.outage_ms:
            limit = f"{show_duration(wanted.outage_ms)} or more, the longest outage"
            mend = RESTART.format(key, -(-wanted.outage_ms // MINUTE_MS))
            breaks = "positions are forgotten: publishers go on from the tail of the output, with an alarm (P25, P27)"
            measured = f"{key} {minutes} ({show_duration(int(minutes) * MINUTE_MS)})"
            found.append(Finding(Verdict.BROKEN, _name(broker), measured, limit, breaks, mend))
    if OFFSETS not in facts.topics and not facts.single:
        found += _to_come(facts, "offsets.topic.replication.factor", REPLICAS)
    shown = {show_duration(int(b.config[key]) * MINUTE_MS) for b in facts.brokers if key in b.config}
    return found or [ok(_brokers(facts), f"kept for {', '.join(sorted(shown)) or 'as long as nobody says'}")]


def sessions(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """The brokers accept the sessions of the groups' members."""
    limits = [("group.min.session.timeout.ms", False), ("group.max.session.timeout.ms", True)]
    found = []
    for broker in facts.brokers:
        for key, is_upper in limits:
            value = broker.config.get(key)
            if value is None:
                continue
            if int(value) < SESSION_TIMEOUT_MS if is_upper else int(value) > SESSION_TIMEOUT_MS:
                limit = f"{SESSION_TIMEOUT_MS} or {'more' if is_upper else 'less'}: our members' sessions"
                mend = RESTART.format(key, SESSION_TIMEOUT_MS)
                breaks = "no process can join its group (P22)"
                found.append(Finding(Verdict.BROKEN, _name(broker), f"{key} {value}", limit, breaks, mend))
    return found or [ok(_brokers(facts), f"sessions of {SESSION_TIMEOUT_MS // 1_000} s are accepted")]


def _name(broker: Broker) -> str:
    return f"broker {broker.id}"


def _brokers(facts: Facts) -> str:
    count = len(facts.brokers)
    return f"{count} broker{'s' * (count != 1)}"
