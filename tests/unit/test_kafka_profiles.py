"""The safe profile of every client, and what a client's errors become."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from pipeline_files import loaded, small

from streambg.audit import kafka_source
from streambg.config import Pipeline
from streambg.doctor import collect
from streambg.errors import ConfigError, Denied, Fenced, Gap, Misconfigured, StreambgError, Unreachable
from streambg.kafka import profiles
from streambg.kafka.admin import REACHABLE_S, await_reachable
from streambg.kafka.errors import FENCED_CODES, kafka_error, translate
from streambg.process import sites
from streambg.replaying import pins
from streambg.servers import detached, processes
from streambg.servers.launching import RunningServer
from streambg.topicplan import broker as topicplan_broker

TX = "streambg.fraud.publisher.0"
Make = Callable[[Pipeline], profiles.ClientConfig]
CONSUMERS: list[Make] = [
    lambda p: profiles.consumer(p, p.groups.publisher, TX, TX, connection_log=True),
    lambda p: profiles.reader(p, "r"),
    lambda p: profiles.reader(p, "r", follow=True),
    lambda p: profiles.reader(p, "r", group=p.groups.publisher, stable=False),
]
PRODUCERS: list[Make] = [
    lambda p: profiles.idempotent_producer(p, "s"),
    lambda p: profiles.transactional_producer(p, TX),
]


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    # nothing listens there: the clients are made, never connected
    return loaded(tmp_path, small(bootstrap="127.0.0.1:1"))


@pytest.mark.parametrize("make", CONSUMERS)
def test_consumers_take_nothing_for_granted(pipeline: Pipeline, make: Make) -> None:
    config = make(pipeline)
    assert config["auto.offset.reset"] == "error"
    assert config["enable.auto.commit"] is False
    assert int(config["queued.max.messages.kbytes"]) <= 16_384
    Consumer({**config, "log_level": 0}).close()


@pytest.mark.parametrize("make", PRODUCERS)
def test_producers_lose_and_reorder_nothing(pipeline: Pipeline, make: Make) -> None:
    config = make(pipeline)
    assert (config["acks"], config["enable.idempotence"]) == ("all", True)
    Producer({**config, "log_level": 0})


def test_an_admin_client_is_made(pipeline: Pipeline) -> None:
    AdminClient({**profiles.admin(pipeline), "log_level": 0})


def test_only_the_question_who_wrote_a_position_is_unstable(pipeline: Pipeline) -> None:
    levels = [make(pipeline)["isolation.level"] for make in CONSUMERS]
    assert levels == ["read_committed", "read_committed", "read_committed", "read_uncommitted"]


def test_R3_P22_members_are_static_classic_and_range(pipeline: Pipeline) -> None:
    config = profiles.consumer(pipeline, "g", "c", "i")
    assert config["group.protocol"] == "classic"
    assert config["partition.assignment.strategy"] == "range"
    assert config["group.instance.id"] == "i"
    assert config["max.poll.interval.ms"] == 15_000


@pytest.mark.parametrize(("slow_link", "limit_ms"), [("false", 2_000), ("true", 10_000)])
def test_P21_a_retried_transactional_call_is_a_slow_call(slow_link: str, limit_ms: int, tmp_path: Path) -> None:
    """The client waits at least 80 % of retry.backoff.ms, and never longer than retry.backoff.max.ms."""
    pipeline = loaded(tmp_path, small() + f"publish: {{slow_link: {slow_link}}}\n")
    config = profiles.transactional_producer(pipeline, TX)
    assert sites.publisher(pipeline, 0).trusted_s * 1_000 == limit_ms
    assert 0.8 * float(config["retry.backoff.ms"]) > limit_ms
    assert float(config["retry.backoff.max.ms"]) > limit_ms


def test_P21_a_publisher_hears_of_lost_connections_the_others_do_not(pipeline: Pipeline) -> None:
    assert profiles.transactional_producer(pipeline, TX)["log.connection.close"] is True
    assert CONSUMERS[0](pipeline)["log.connection.close"] is True
    assert profiles.consumer(pipeline, "g", "c", "i")["log.connection.close"] is False


def test_P24_a_publishers_client_id_is_its_transactional_id(pipeline: Pipeline) -> None:
    config = profiles.transactional_producer(pipeline, TX)
    assert config["client.id"] == config["transactional.id"] == TX


def test_P13_a_record_may_be_as_large_as_the_topics_take(pipeline: Pipeline) -> None:
    config = profiles.idempotent_producer(pipeline, "s", max_message_bytes=5_000_000)
    assert 5_000_000 - 2_048 < int(config["message.max.bytes"]) < 5_000_000


def test_what_streambg_sets_wins_over_the_file(tmp_path: Path) -> None:
    text = small().replace("redis:", "  client: {compression.type: lz4}\nredis:", 1)
    pipeline = loaded(tmp_path, text)
    config = profiles.idempotent_producer(pipeline, "s")
    assert config["compression.type"] == "lz4"
    assert not set(pipeline.kafka.client) & (set(config) - set(pipeline.kafka.client))


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind", "way_out"),
    [
        (29, Denied, "rights on the topic"),
        (30, Denied, "rights on the consumer group"),
        (31, Denied, "rights on the cluster"),
        (53, Denied, "rights on the transactional id"),
        (KafkaError._AUTHENTICATION, Denied, "kafka.client"),
        (KafkaError._TRANSPORT, Unreachable, "kafka.bootstrap"),
        (KafkaError._ALL_BROKERS_DOWN, Unreachable, "kafka.bootstrap"),
        (KafkaError.FENCED_LEADER_EPOCH, Unreachable, "kafka.bootstrap"),
        (KafkaError.OFFSET_NOT_AVAILABLE, Unreachable, "kafka.bootstrap"),
        (KafkaError.KAFKA_STORAGE_ERROR, Unreachable, "free its disk"),
        (KafkaError.NOT_ENOUGH_REPLICAS, Unreachable, "min.insync.replicas"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, Misconfigured, "streambg topics apply"),
        (KafkaError.POLICY_VIOLATION, Misconfigured, "topics/"),
        (KafkaError._AUTO_OFFSET_RESET, Gap, "nothing is skipped"),
        (KafkaError._INVALID_ARG, ConfigError, "kafka.client"),
        *((code, Fenced, "another process") for code in sorted(FENCED_CODES)),
    ],
)
def test_errors_are_translated(code: int, kind: type[StreambgError], way_out: str) -> None:
    error = translate(KafkaException(KafkaError(code)), "doing this")
    assert type(error) is kind
    assert error.what.startswith("doing this: ")
    assert way_out in error.way_out
    assert type(translate(KafkaError(code))) is kind


def test_an_unknown_error_keeps_its_words() -> None:
    assert type(translate(KafkaError(KafkaError.INVALID_TXN_STATE))) is StreambgError
    assert "_STATE" in str(translate(KafkaError(KafkaError.INVALID_TXN_STATE)))
    assert str(translate(KafkaException("odd"))) == "odd"
    assert kafka_error(KafkaException("odd")) is None


def test_a_broker_that_is_not_there_is_named_with_the_reason_and_the_way_out(pipeline: Pipeline) -> None:
    with pytest.raises(Unreachable) as caught:
        await_reachable(profiles.admin(pipeline), 0.5)
    assert "no Kafka broker answered at 127.0.0.1:1 within 0.5 s" in caught.value.what
    assert "Connection refused" in caught.value.what
    assert "STREAMBG_BOOTSTRAP" in caught.value.way_out


def test_every_verb_waits_as_long_for_a_broker_that_does_not_answer() -> None:
    modules = (topicplan_broker, collect, kafka_source, pins)
    assert {vars(module)["REACHABLE_S"] for module in modules} == {REACHABLE_S}


def test_the_broker_that_was_started_elsewhere_is_named(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMBG_CACHE", str(tmp_path))
    pid = os.getpid()
    started = processes.identity(pid)
    assert detached.elsewhere("127.0.0.1:1") == "", "none was started"
    state = detached.State(
        tuple(
            RunningServer(name, address, "local", 1, pid, started)
            for name, address in (("kafka", "127.0.0.1:19067"), ("redis", "redis://127.0.0.1:7/0"))
        )
    )
    detached.home(None).mkdir()
    detached._write_state(detached.home(None), state)
    line = "export STREAMBG_BOOTSTRAP=127.0.0.1:19067 STREAMBG_REDIS=redis://127.0.0.1:7/0"
    with pytest.raises(Unreachable) as caught:
        await_reachable(profiles.admin(pipeline), 0.1)
    asked, _, other = caught.value.way_out.partition("? ")
    assert asked == "is the address right, and is the broker up", "before anybody leaves the address that was meant"
    assert other == f"the one of `streambg broker start` on this machine has another address: {line}"
    assert detached.elsewhere("127.0.0.1:1,127.0.0.1:19067") == "", "that is the one that was asked"
    gone = detached.State(tuple(replace(server, started="another process") for server in state.servers))
    detached._write_state(detached.home(None), gone)
    assert detached.elsewhere("127.0.0.1:1") == ""


def test_a_client_that_cannot_be_made_is_a_configuration_error(pipeline: Pipeline) -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        await_reachable({**profiles.admin(pipeline), "security.protocol": "nonsense"}, 1)
