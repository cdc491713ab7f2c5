"""`streambg broker` on real servers: start, status, stop."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from endings import servers_end
from typer.testing import CliRunner
from waiting import until

from streambg.cli import broker as cli
from streambg.errors import ConfigError, StreambgError
from streambg.servers import detached, processes

pytestmark = pytest.mark.integration


def gone(pid: int) -> bool:
    return processes.identity(pid) is None


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(arguments))
    if isinstance(result.exception, StreambgError):
        raise result.exception
    return result.exit_code, result.stdout


def test_broker_start_status_stop(tmp_path: Path, unique: str) -> None:
    there = ("--dir", str(tmp_path))
    assert call("status", *there) == (cli.NOT_RUNNING, "Not running. Start with: streambg broker start\n")
    with servers_end(tmp_path, tmp_path / "stop.log"):
        code, text = call("start", *there, "--servers", "local", "--output", "json")
        first = json.loads(text)
        assert (code, first["already_running"]) == (0, False)
        admin = AdminClient({"bootstrap.servers": first["bootstrap"]})
        admin.create_topics([NewTopic(unique, num_partitions=1, replication_factor=1)])[unique].result(20)
        del admin
        code, text = call("start", *there)
        assert "Already running" in text
        assert f"export STREAMBG_BOOTSTRAP={first['bootstrap']}\nexport STREAMBG_REDIS={first['redis_url']}" in text
        code, text = call("status", *there, "--output", "json")
        assert (code, json.loads(text)["running"]) == (0, True)
        pids = {server["name"]: server["pid"] for server in first["servers"]}

        os.kill(pids["redis"], signal.SIGKILL)
        until(lambda: gone(pids["redis"]), 10, "the end of Redis")
        code, text = call("status", *there)
        assert code == cli.NOT_RUNNING
        assert "ended" in text
        code, text = call("start", *there, "--output", "json")  # what is missing, nothing else
        now = {server["name"]: server["pid"] for server in json.loads(text)["servers"]}
        assert now["kafka"] == pids["kafka"]
        assert now["redis"] != pids["redis"]

        assert call("stop", *there) == (0, "Stopped: redis, kafka\n")
        assert all(gone(pid) for pid in now.values())
        assert call("stop", *there) == (0, "Nothing was running.\n")

        code, text = call("start", *there, "--output", "json")  # the data is still there
        again = json.loads(text)
        topics = AdminClient({"bootstrap.servers": again["bootstrap"]}).list_topics(timeout=10).topics
        assert unique in topics
    assert not (tmp_path / "kafka").exists()


def test_a_taken_port_leaves_nothing_running(tmp_path: Path, kafka: str) -> None:
    port = kafka.rpartition(":")[2]
    with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1, asked for Kafka, is in use") as caught:
        call("start", "--dir", str(tmp_path), "--port", port)
    assert "--port" in caught.value.way_out
    assert detached.read_state(tmp_path).servers == ()
    assert call("status", "--dir", str(tmp_path))[0] == cli.NOT_RUNNING
