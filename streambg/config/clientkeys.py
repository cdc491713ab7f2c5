"""Which librdkafka settings `kafka.client` may carry: the network and its security, never the guarantee. Pure."""

from __future__ import annotations

import difflib

_OURS = "streambg sets it: "
_GROUP = _OURS + "a group's or member's name decides whose positions are resumed and who is fenced (P24)"
_RETRY = _OURS + "a failed delivery ends the session, a retried transactional call must show as a slow one (P10, P21)"
_MEMORY = _OURS + "memory stays bounded whatever one color does (P20)"
_TIMING = _OURS + "leases, sessions and takeovers are timed against each other (P6, P22)"
_LATENCY = _OURS + "few requests and small waits together give the latency that was measured"
_METADATA = _OURS + "added partitions must be found while processes run (P13)"
_CALLBACK = "it names code, not a value; a pipeline file cannot hold it"

# Why a key is refused, for every key that somebody could want and that would weaken or break the guarantee.
REFUSED: dict[str, str] = {
    "bootstrap.servers": "it stands in `kafka.bootstrap`",
    "metadata.broker.list": "it stands in `kafka.bootstrap`",
    "acks": _OURS + "`all`; with less, an answer that was acknowledged can be lost",
    "request.required.acks": _OURS + "`all`; with less, an answer that was acknowledged can be lost",
    "enable.idempotence": _OURS + "`true`; without it a retry doubles or reorders records",
    "enable.gapless.guarantee": _OURS + "a lost delivery ends the session and the fold finds the hole (P8, P10)",
    "message.send.max.retries": _RETRY,
    "retries": _RETRY,
    "retry.backoff.ms": _RETRY,
    "retry.backoff.max.ms": _RETRY,
    "message.timeout.ms": _RETRY,
    "delivery.timeout.ms": _RETRY,
    "request.timeout.ms": _RETRY,
    "socket.timeout.ms": _RETRY,
    "socket.max.fails": _RETRY,
    "max.in.flight": _OURS + "5 at most; with more, retries reorder records",
    "max.in.flight.requests.per.connection": _OURS + "5 at most; with more, retries reorder records",
    "queuing.strategy": _OURS + "`fifo`; anything else reorders records",
    "partitioner": "an answer goes to the partition number of its event (P13); nothing is left to partition",
    "sticky.partitioning.linger.ms": "an answer goes to the partition number of its event (P13)",
    "transactional.id": _OURS + "`streambg.<pipeline>.publisher.<slot>`; the others must know it to fence it (P24)",
    "transaction.timeout.ms": _TIMING,
    "enable.auto.commit": _OURS + "`false`; a commit must never pass an undelivered answer (P10)",
    "auto.commit.enable": _OURS + "`false`; a commit must never pass an undelivered answer (P10)",
    "auto.commit.interval.ms": _OURS + "nothing is committed by a timer (P10)",
    "enable.auto.offset.store": _OURS + "`false`; positions are committed with their metadata (P26)",
    "offset.store.method": _OURS + "positions live in the broker, inside the transaction (P26)",
    "auto.offset.reset": _OURS + "`error`; anything else skips or repeats events in silence (P11, P27)",
    "isolation.level": _OURS + "`read_committed`; the answers of an aborted transaction never existed",
    "enable.partition.eof": _OURS + "readers that look for an end ask for it themselves",
    "group.protocol": _OURS
    + "`classic`. With `consumer` (KIP-848) a killed static member comes back after 44 s instead of 1 s, and a stale "
    "generation may commit positions of a partition it kept",
    "group.protocol.type": _GROUP,
    "group.remote.assignor": "it belongs to `group.protocol=consumer`, which is refused",
    "partition.assignment.strategy": _OURS
    + "`range`; others do not bring blue's and green's partition of one number to one member (P13)",
    "group.id": _GROUP,
    "group.instance.id": _GROUP,
    "client.id": _GROUP,
    "session.timeout.ms": _TIMING,
    "heartbeat.interval.ms": _TIMING,
    "max.poll.interval.ms": _TIMING,
    "coordinator.query.interval.ms": _TIMING,
    "socket.connection.setup.timeout.ms": _TIMING,
    "reconnect.backoff.ms": _TIMING,
    "reconnect.backoff.max.ms": _TIMING,
    "queued.min.messages": _MEMORY,
    "queued.max.messages.kbytes": _MEMORY,
    "queue.buffering.max.messages": _MEMORY,
    "queue.buffering.max.kbytes": _MEMORY,
    "fetch.max.bytes": _MEMORY,
    "fetch.message.max.bytes": _MEMORY,
    "max.partition.fetch.bytes": _MEMORY,
    "message.max.bytes": _OURS + "what the topics accept decides (P13)",
    "receive.message.max.bytes": _OURS + "what the topics accept decides (P13)",
    "fetch.wait.max.ms": _LATENCY,
    "fetch.min.bytes": _LATENCY,
    "fetch.queue.backoff.ms": _LATENCY,
    "fetch.error.backoff.ms": _LATENCY,
    "linger.ms": _LATENCY + "; `publish.transaction` is where to choose",
    "queue.buffering.max.ms": _LATENCY + "; `publish.transaction` is where to choose",
    "batch.size": _LATENCY,
    "batch.num.messages": _LATENCY,
    "allow.auto.create.topics": _OURS + "`false`; a topic made by accident has the wrong partitions (P13)",
    "topic.metadata.refresh.interval.ms": _METADATA,
    "metadata.max.age.ms": _METADATA,
    "topic.blacklist": "a topic that is hidden from the client looks like one without events",
    "delivery.report.only.error": _OURS + "every delivery is counted (P10)",
    "log.connection.close": _OURS + "a lost connection to a coordinator must be seen (P21)",
    "debug": _OURS + "the publisher reads the client's log for signs of trouble (P21)",
    "log_level": _OURS + "the publisher reads the client's log for signs of trouble (P21)",
    "log.queue": _OURS + "the publisher reads the client's log for signs of trouble (P21)",
    "statistics.interval.ms": _OURS + "statistics only alarm (P21)",
    "enable.ssl.certificate.verification": "unverified, any machine can be the broker; point `ssl.ca.location` at the "
    "authority that signed the broker's certificate",
    "enable.sasl.oauthbearer.unsecure.jwt": "an unsigned token lets anybody in; use `sasl.oauthbearer.method: oidc`",
    "plugin.library.paths": "it loads code into the process that the guarantee was not proved with",
    "sasl.jaas.config": "it is the Java client's; here: `sasl.mechanism`, `sasl.username`, `sasl.password`",
}

# What passes, verbatim. By name, not by prefix: a misspelt name is found when the file is read, not when a client
# starts.
_PASSED_ON = """
    security.protocol
    ssl.cipher.suites ssl.curves.list ssl.sigalgs.list ssl.key.location ssl.key.password ssl.key.pem
    ssl.certificate.location ssl.certificate.pem ssl.ca.location ssl.ca.pem ssl.ca.certificate.stores
    ssl.crl.location ssl.keystore.location ssl.keystore.password ssl.providers ssl.engine.location ssl.engine.id
    ssl.endpoint.identification.algorithm https.ca.location https.ca.pem
    sasl.mechanism sasl.mechanisms sasl.username sasl.password
    sasl.kerberos.service.name sasl.kerberos.principal sasl.kerberos.kinit.cmd sasl.kerberos.keytab
    sasl.kerberos.min.time.before.relogin
    sasl.oauthbearer.config sasl.oauthbearer.method sasl.oauthbearer.client.id sasl.oauthbearer.client.secret
    sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.credentials.client.secret
    sasl.oauthbearer.scope sasl.oauthbearer.extensions sasl.oauthbearer.token.endpoint.url
    sasl.oauthbearer.sub.claim.name
    sasl.oauthbearer.grant.type sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.private.key.file
    sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem
    sasl.oauthbearer.assertion.file sasl.oauthbearer.assertion.claim.aud
    sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss
    sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds
    sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.jwt.template.file
    sasl.oauthbearer.metadata.authentication.type
    client.rack client.dns.lookup broker.address.family broker.address.ttl
    socket.keepalive.enable socket.nagle.disable socket.send.buffer.bytes socket.receive.buffer.bytes
    connections.max.idle.ms
    metadata.recovery.strategy
    compression.type compression.codec compression.level
    check.crcs enable.metrics.push
"""
ALLOWED: frozenset[str] = frozenset(_PASSED_ON.split())

# Certificates are public; they may stand in the file.
PUBLIC = frozenset({"ssl.certificate.pem", "ssl.ca.pem", "https.ca.pem"})


def refusal(key: str) -> str | None:
    """Why `kafka.client` must not carry this key; None where it may."""
    if key in ALLOWED:
        return None
    if key in REFUSED:
        return f"refused: {REFUSED[key]}"
    if key.endswith("_cb"):
        return f"refused: {_CALLBACK}"
    close = difflib.get_close_matches(key, ALLOWED, 1)
    hint = f"did you mean `{close[0]}`?" if close else "only security, network and compression settings pass through"
    return f"no client setting that streambg passes on; {hint}"
