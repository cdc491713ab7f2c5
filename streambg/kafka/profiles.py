"""librdkafka configurations, one a role; every process takes its own from here, so that none is weaker.

A configuration holds the real secrets of `kafka.client`: show it through `streambg.config.redact` only. What
streambg sets wins over the file (which may not name these keys anyway: streambg/config/clientkeys.py).
"""

from __future__ import annotations

from streambg.config.sections import Pipeline

ClientConfig = dict[str, str | int | float | bool]

# -- connections -------------------------------------------------------------------------------------------------
# A restarted broker answers after 1.6-3.3 s (measured); the client's default of up to 10 s between two attempts
# would be the longest part of every recovery.
RECONNECT_BACKOFF_MS = 50
RECONNECT_BACKOFF_MAX_MS = 1_000
# A connection that died without a word must be given up soon enough to go on within 15 s after the network healed;
# not sooner than the transaction timeout, so that the broker's answer decides where it can.
SOCKET_TIMEOUT_MS = 10_000
CONNECTION_SETUP_TIMEOUT_MS = 10_000
# Added partitions are found within this time (P13; the default is five minutes). One small request.
METADATA_REFRESH_MS = 10_000

# -- consumers ---------------------------------------------------------------------------------------------------
# The smallest session that brokers accept by default (group.min.session.timeout.ms); a dead member costs this long.
SESSION_TIMEOUT_MS = 6_000
# A rebalance is learnt of with a heartbeat: a second member was ready in 1.0-1.3 s, at the default 3 s in 3 s.
HEARTBEAT_MS = 500
# P22. Above the slowest turn of a publisher's loop, send_offsets (up to 10 s) and a commit in one.
MAX_POLL_INTERVAL_MS = 15_000
# Requests cost more than Python: let the broker gather for 10 ms, or until there is enough for one good poll.
FETCH_WAIT_MS = 10
FETCH_MIN_BYTES = 100_000
# At 5 Mbit/s, the slowest link of the fault tests, 4 MiB take 7 s: a full answer arrives before SOCKET_TIMEOUT_MS.
FETCH_MAX_BYTES = 4 * 1024 * 1024
# One answer to a reader of both colors holds a part of each partition of eight, not whole MiB of a few: a color that
# runs ahead on one partition is paused (P20), and a pause throws away what was prefetched.
CO_FETCH_BYTES = FETCH_MAX_BYTES // 16
# Two whole answers in the client; what a batch of answers weighs is ten times what an event does, so less may wait.
CO_QUEUED_KBYTES = 2 * FETCH_MAX_BYTES // 1024
# Prefetched records of one client, 50,000 small events; with one answer on its way the bound is 12 MiB whatever a color
# does (P20).
QUEUED_KBYTES = 8_192
# How soon fetching goes on once the queue has room (default 1 s: gaps in a busy stream), or after a failed fetch.
FETCH_QUEUE_BACKOFF_MS = 10
FETCH_ERROR_BACKOFF_MS = 100
# Followers of a quiet topic: the broker answers at the first byte, else after this: two requests a second when idle.
# Whoever asks for the log's end does so on another connection, for there it would wait behind this fetch.
FOLLOW_WAIT_MS = 500

# -- producers ---------------------------------------------------------------------------------------------------
LINGER_MS = 5
# Kafka's default for a topic's max.message.bytes, plus the envelope of P13: what our topics accept at least.
KAFKA_MESSAGE_BYTES = 1_048_588
ENVELOPE_BYTES = 65_536
MAX_MESSAGE_BYTES = KAFKA_MESSAGE_BYTES + ENVELOPE_BYTES
# Of what travels behind an event: its key and headers, as large as an input of this size takes them, four times the
# largest tested. What the topics take (P13: 64 KiB more than the input) is the broker's to say.
MAX_OUTCOME_BYTES = 16 * 1024 * 1024
# librdkafka counts key, value and headers; the broker also the batch around them (61 bytes, and some 40 of lengths).
# What is too large must fail in the client, as that one record, not in the broker, as a whole transaction.
BATCH_OVERHEAD_BYTES = 1_024
# What may wait in a producer; above it `produce` raises BufferError: poll, then go on. Room for 12 largest records
# of 5 MiB, or for 100 ms at 250,000 answers a second.
QUEUE_KBYTES = 65_536
# Idempotence allows 5 requests on their way to one broker without reordering.
MAX_IN_FLIGHT = 5
# Twice a broker's restart (30 s in the fault tests): an ordinary one passes inside the session, a longer one ends it.
DELIVERY_TIMEOUT_MS = 60_000
# What a dead publisher can hold up: readers wait at its open transaction for at most this. Above the longest commit
# seen (6 s, while one of three brokers died), below MAX_POLL_INTERVAL_MS.
TRANSACTION_TIMEOUT_MS = 10_000
# P21: how long a transactional call is trusted. A commit takes 4-9 ms on one broker (p50), on three nodes up to 6 s
# while one dies. Where the link is known to be slow the transaction timeout: the broker has ended it by then.
TRUSTED_MS = 2_000
# A call that librdkafka retried by itself must show as one that took longer. The wait before the first retry is that
# time and this share more, less up to 20 % of jitter; the maximum must not cut it.
RETRY_BEYOND = 1.3


def common(pipeline: Pipeline, client_id: str, *, connection_log: bool = False) -> ClientConfig:
    """What every client has; alone it is an admin client's.

    connection_log: report every lost connection as a FAIL line and to `error_cb`. Publishers need it (P21: with
    `log.connection.close=false` the client says nothing of a connection that closed under a commit); for the
    others a broker that closes an idle connection is not worth a line.
    """
    return {
        **pipeline.kafka.client,
        "bootstrap.servers": pipeline.kafka.bootstrap,
        "client.id": client_id,
        "reconnect.backoff.ms": RECONNECT_BACKOFF_MS,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MAX_MS,
        "socket.timeout.ms": SOCKET_TIMEOUT_MS,
        "socket.connection.setup.timeout.ms": CONNECTION_SETUP_TIMEOUT_MS,
        "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
        "allow.auto.create.topics": False,  # a topic made by accident has the wrong partitions
        "log.connection.close": connection_log,
        # syslog's levels: notices and worse. At info the client tells of its own tidying when it is closed (BGQUEUE).
        "log_level": 6 if connection_log else 5,
    }


def admin(pipeline: Pipeline, client_id: str = "streambg.admin") -> ClientConfig:
    """For an AdminClient."""
    return common(pipeline, client_id)


def consumer(
    pipeline: Pipeline, group: str, client_id: str, instance_id: str, *, connection_log: bool = False
) -> ClientConfig:
    """A member of a group. A publisher's client and instance id are its transactional id, so that others see who lives.

    Static membership (`instance_id`): a killed process is back after 0.9 s, a dynamic member after 6.4 s.
    """
    return {
        **common(pipeline, client_id, connection_log=connection_log),
        "group.id": group,
        "group.instance.id": instance_id,
        "group.protocol": "classic",  # KIP-848: 44 s after a kill with a static id, and stale generations may commit
        "partition.assignment.strategy": "range",  # the only one that co-assigns the colors' partitions (P13)
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": HEARTBEAT_MS,
        "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
        **_reading(FETCH_WAIT_MS, FETCH_MIN_BYTES),
    }


def co_reader(
    pipeline: Pipeline, group: str, client_id: str, instance_id: str, *, connection_log: bool = False
) -> ClientConfig:
    """A member of a group that reads both colors' predictions: a publisher, a comparator."""
    return {
        **consumer(pipeline, group, client_id, instance_id, connection_log=connection_log),
        "max.partition.fetch.bytes": CO_FETCH_BYTES,
        "queued.max.messages.kbytes": CO_QUEUED_KBYTES,
    }


def reader(
    pipeline: Pipeline, client_id: str, *, group: str | None = None, follow: bool = False, stable: bool = True
) -> ClientConfig:
    """Reads partitions that it assigns itself; no member of a group, commits nothing.

    follow: for a topic that is watched for ever (the control log) instead of read to its end, which it is told of by
    `_PARTITION_EOF`. stable=False: sees open transactions and offsets; only for asking who wrote a position (P24).
    group: whose committed positions it asks for; the client wants one in any case.
    """
    reading = _reading(FOLLOW_WAIT_MS, 1) if follow else _reading(FETCH_WAIT_MS, FETCH_MIN_BYTES)
    return {
        **common(pipeline, client_id),
        "group.id": group or pipeline.groups.reader,
        **reading,
        "enable.partition.eof": not follow,
        "isolation.level": "read_committed" if stable else "read_uncommitted",
    }


def idempotent_producer(
    pipeline: Pipeline, client_id: str, *, linger_ms: float = LINGER_MS, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> ClientConfig:
    """A scorer's, a comparator's, a sender's. max_message_bytes: what the topics written to accept."""
    return {
        **common(pipeline, client_id),
        **_writing(linger_ms, max_message_bytes),
        "message.timeout.ms": DELIVERY_TIMEOUT_MS,
    }


def transactional_producer(
    pipeline: Pipeline,
    transactional_id: str,
    *,
    linger_ms: float = LINGER_MS,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> ClientConfig:
    """A publisher's, one session's worth: after any doubt a new one takes its place (P21).

    Give it a `logger`: its log is read for signs of trouble with a coordinator.
    """
    retry_ms = round(RETRY_BEYOND * trusted_ms(pipeline))
    return {
        **common(pipeline, transactional_id, connection_log=True),
        **_writing(linger_ms, max_message_bytes),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "message.timeout.ms": TRANSACTION_TIMEOUT_MS,  # later it would be another transaction's record
        "retry.backoff.ms": retry_ms,
        "retry.backoff.max.ms": retry_ms,
    }


def trusted_ms(pipeline: Pipeline) -> int:
    """What a transactional call may take; behind one that took longer the session is over (P21)."""
    return TRANSACTION_TIMEOUT_MS if pipeline.publish.slow_link else TRUSTED_MS


def _reading(wait_ms: int, min_bytes: int) -> ClientConfig:
    return {
        "isolation.level": "read_committed",  # what an aborted transaction wrote never existed
        "auto.offset.reset": "error",  # a missing position is said, never guessed (P11, P27)
        "enable.auto.commit": False,  # a commit never passes an undelivered answer (P10)
        "enable.auto.offset.store": False,
        "fetch.wait.max.ms": wait_ms,
        "fetch.min.bytes": min_bytes,
        "fetch.max.bytes": FETCH_MAX_BYTES,
        "fetch.queue.backoff.ms": FETCH_QUEUE_BACKOFF_MS,
        "fetch.error.backoff.ms": FETCH_ERROR_BACKOFF_MS,
        "queued.max.messages.kbytes": QUEUED_KBYTES,
    }


def _writing(linger_ms: float, max_message_bytes: int) -> ClientConfig:
    return {
        "acks": "all",
        "enable.idempotence": True,
        "max.in.flight.requests.per.connection": MAX_IN_FLIGHT,
        "linger.ms": linger_ms,
        "message.max.bytes": max_message_bytes - BATCH_OVERHEAD_BYTES,
        "queue.buffering.max.kbytes": QUEUE_KBYTES,
    }
