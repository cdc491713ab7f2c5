"""What a client's error means for a person: one of our own errors, with the way out.

Measured (docs/design.md): denials arrive as delivery error 29, group 30, cluster 31, transactional id 53 (fatal);
`list_topics` says only `_TRANSPORT` where the password is wrong, the reason stands in `error_cb`.
"""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException, Producer

from streambg.errors import ConfigError, Denied, Fenced, Gap, Misconfigured, StreambgError, Unreachable

# Somebody else runs under this transactional id or instance id: the process exits (P21). `_FATAL` may hide one of
# these; the producer names the cause when asked with another transactional call.
FENCED_CODES = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
_LOGIN = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError._SSL,
    }
)
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the consumer group",
    # what an idempotent producer hears that may write no topic at all
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster, or on the topics it writes",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the transactional id",
    KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED: "the delegation token",
}
_NO_TOPIC = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
_NO_POSITION = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._NO_OFFSET, KafkaError.OFFSET_OUT_OF_RANGE})
_AWAY = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        # what a client hears whose view of the leaders is from before they changed, or ahead of this broker's
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
    }
)
_TOO_FEW_REPLICAS = frozenset(
    {KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, KafkaError._ISR_INSUFF}
)
_NOT_ACCEPTED = frozenset(
    {
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.INVALID_SESSION_TIMEOUT,
    }
)


def is_fenced(error: KafkaError) -> bool:
    """Another process runs under this name (P21); a static member learns it from a fatal error's text alone."""
    return error.code() in FENCED_CODES or (error.code() == KafkaError._FATAL and "fenced" in error.str())


def cause_of(error: KafkaError, producer: Producer) -> KafkaError:
    """A producer's fatal state hides its cause behind _FATAL; only another transactional call tells it."""
    if not error.fatal() or is_fenced(error):
        return error
    try:
        producer.abort_transaction(1)
    except KafkaException as second:
        told: KafkaError = second.args[0]
        return told
    return error


def is_denied(error: KafkaError) -> bool:
    """A right is missing: no new session mends that."""
    return error.code() in _RIGHTS


def kafka_error(error: KafkaException | KafkaError) -> KafkaError | None:
    """The KafkaError inside; None where the client raised one without."""
    if isinstance(error, KafkaError):
        return error
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else None


def translate(error: KafkaException | KafkaError, doing: str = "") -> StreambgError:
    """The error as one of ours. `doing`: what was tried, e.g. `creating shuttle.control`."""
    inner = kafka_error(error)
    if inner is None:
        return StreambgError(_say(doing, str(error)))
    code, said = inner.code(), _say(doing, f"{inner.str()} ({inner.name()})")
    if is_fenced(inner):
        return Fenced(said, way_out="another process runs in this slot: give each its own, or stop one")
    return _about_access(code, said) or _about_servers(code, said) or StreambgError(said)


def _about_access(code: int, said: str) -> StreambgError | None:
    if code in _LOGIN:
        return Denied(said, way_out="check kafka.client: security.protocol, sasl.* and ssl.*, and the broker's log")
    if code in _RIGHTS:
        return Denied(
            said, way_out=f"grant this user the rights on {_RIGHTS[code]}: `streambg topics acls` prints them"
        )
    if code == KafkaError._INVALID_ARG:
        return ConfigError(said, way_out="correct kafka.client in the pipeline file")
    return None


def _about_servers(code: int, said: str) -> StreambgError | None:
    if code in _AWAY:
        return Unreachable(said, way_out="is the broker up, and kafka.bootstrap its address? `streambg broker status`")
    if code == KafkaError.KAFKA_STORAGE_ERROR:
        return Unreachable(
            said, way_out="the broker cannot write its log: free its disk, then restart it if it stopped"
        )
    if code in _TOO_FEW_REPLICAS:
        return Unreachable(said, way_out="too few replicas are alive for min.insync.replicas: bring brokers back")
    if code in _NO_TOPIC:
        return Misconfigured(said, way_out="streambg topics apply")
    if code in _NO_POSITION:
        return Gap(said, way_out="`streambg status` names the position; nothing is skipped until a person decides")
    if code in _NOT_ACCEPTED:
        return Misconfigured(
            said, way_out="the broker does not accept this setting: change topics/*.yaml or the broker"
        )
    return None


def _say(doing: str, what: str) -> str:
    return f"{doing}: {what}" if doing else what
