"""Reaching a cluster, being refused by it, and knowing it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pipeline_files import loaded, small
from waiting import until

from streambg.config import Pipeline
from streambg.errors import Denied
from streambg.kafka import admin, profiles
from streambg.servers import Launch, LocalKafka
from streambg.servers.ports import free_port

pytestmark = pytest.mark.integration

LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_app="right";'


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """The address of a broker's listener that wants a password."""
    port, guarded_port, controller_port = free_port(), free_port(), free_port()
    listeners = f"PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{guarded_port}"
    launch = Launch(
        overrides={
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": listeners,
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller_port}",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": LOGIN,
        }
    )
    with LocalKafka(port=port, launch=launch):
        yield f"127.0.0.1:{guarded_port}"


def with_login(directory: Path, bootstrap: str, password: str) -> Pipeline:
    client = "{security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: app, sasl.password: '${PW}'}"
    text = small(bootstrap=bootstrap).replace("redis:", f"  client: {client}\nredis:", 1)
    return loaded(directory, text, {"PW": password})


def test_a_wrong_password_is_said_at_once_and_not_shown(guarded: str, tmp_path: Path) -> None:
    pipeline = with_login(tmp_path, guarded, "wrong-password")
    with pytest.raises(Denied) as caught:
        admin.await_reachable(profiles.admin(pipeline), 60)  # far above what a refusal takes
    assert guarded in caught.value.what
    assert "Authentication failed" in caught.value.what
    assert "wrong-password" not in str(caught.value)
    assert "sasl" in caught.value.way_out


def test_the_right_password_is_let_in(guarded: str, tmp_path: Path) -> None:
    assert admin.cluster_id(admin.await_reachable(profiles.admin(with_login(tmp_path, guarded, "right")), 20))


def test_P25_a_topic_that_was_made_again_is_another(kafka: str, unique: str) -> None:
    client = admin.await_reachable({"bootstrap.servers": kafka}, 20)
    first = made(client, unique)
    client.delete_topics([unique], operation_timeout=20)[unique].result(20)
    until(lambda: not admin.describe(client, [unique]), what="the topic is gone")
    assert made(client, unique) != first
    assert admin.cluster_id(client) == admin.cluster_id(client)
    assert admin.broker_count(client) == 1


def made(client: AdminClient, name: str) -> str:
    topic = NewTopic(name, num_partitions=2, replication_factor=1)
    client.create_topics([topic], operation_timeout=20)[name].result(20)
    found = until(lambda: admin.describe(client, [name]).get(name), what=f"{name} is shown")
    assert found is not None
    assert (found.partitions, found.replication) == (2, 1)
    return found.topic_id
