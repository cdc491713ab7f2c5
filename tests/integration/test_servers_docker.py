"""The same servers in containers, where there is a Docker engine; else these tests say what they lack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from waiting import until

from streambg import servers
from streambg.errors import StreambgError
from streambg.servers import containers, detached
from streambg.servers.engine import look
from streambg.servers.launching import docker_lacks
from streambg.servers.local_redis import answering_pid

# needs a Docker engine, which `make test` does not ask for: `make test-docker`
pytestmark = [pytest.mark.integration, pytest.mark.docker]


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    reason = docker_lacks()
    if reason:
        pytest.fail(reason)


def test_both_servers_run_in_containers_and_end_with_their_handle(unique: str) -> None:
    with servers.start("docker") as found:
        assert found.kafka is not None
        assert found.redis is not None
        assert found.bootstrap is not None
        names = (found.kafka.container, found.redis.container)
        assert [look(str(name))[0] for name in names] == ["running", "running"]
        admin = AdminClient({"bootstrap.servers": found.bootstrap})
        admin.create_topics([NewTopic(unique, num_partitions=1, replication_factor=1)])[unique].result(30)
        fates: list[bool] = []
        producer = Producer({"bootstrap.servers": found.bootstrap, "message.timeout.ms": 20_000})
        producer.produce(unique, b"value", on_delivery=lambda error, _: fates.append(error is None))
        producer.flush(25)
        assert fates == [True]
        assert answering_pid(str(found.redis_url)) is not None
        del admin, producer
    assert [look(str(name))[0] for name in names] == ["gone", "gone"]


def test_containers_end_with_a_killed_parent() -> None:
    program = (
        "import time; from streambg.servers import start; s = start('docker', kafka=False);"
        "print(s.redis.container, flush=True); time.sleep(300)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    container = parent.stdout.readline().strip()
    assert look(container)[0] == "running"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: look(container)[0] == "gone", 30, "the container's end")


def test_detached_containers_stay_until_they_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMBG_CACHE", str(tmp_path))
    program = "from streambg.servers import start; start('docker', owned=False)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=180)
    try:
        assert [(one.running, one.answers) for one in detached.status()] == [(True, True)] * 2
        state, already = detached.start(choice="docker")
        assert already
    finally:
        stopped = detached.stop()
    assert {server.name for server in stopped} == {"kafka", "redis"}
    assert [look(str(server.container))[0] for server in state.servers] == ["gone", "gone"]


def test_an_image_that_cannot_be_had_is_named_and_auto_goes_on_without_docker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(containers, "REDIS_IMAGE", "localhost/streambg-no-such-image:0")
    with pytest.raises(StreambgError, match="Docker could not start localhost/streambg-no-such-image:0") as caught:
        servers.start("docker", kafka=False)
    assert "--servers local" in caught.value.way_out
    said: list[str] = []
    with servers.start("auto", kafka=False, progress=said.append) as found:
        assert found.redis is not None
        assert found.redis.how.startswith("local")
    assert any("going on with local" in line for line in said)
