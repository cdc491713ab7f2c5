"""`streambg up`: servers, topics and every process as children; one signal ends it all."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import Verb, checkout, gone, pid_in
from waiting import until

from streambg.servers.ports import free_port, listening

pytestmark = pytest.mark.integration
NAMES = ("scorer.blue", "scorer.green", "publisher", "comparator", "controller")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Verb]:
    verb = Verb(checkout(tmp_path), "up", "--servers", "local", "--metrics-port", str(free_port()), merged=True)
    yield verb
    verb.close()


def children(up: Verb) -> list[int]:
    return [pid_in(up.says(f"{name:<12} | started as pid")) for name in NAMES]


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return json.load(answer)["name"] != ""
    except (urllib.error.URLError, ConnectionError):
        return False


def test_up_serves_health_restarts_what_dies_and_ends_with_ctrl_c(up: Verb) -> None:
    pids = children(up)
    for name in NAMES:
        found = re.search(r"http://\S+", up.says(f"{name}: http://"))
        assert found is not None
        address = found[0].removesuffix("/metrics") + "/healthz"
        until(lambda address=address: healthy(address), 30, f"{name} at {address}")
    a_second_one_is_refused(up)
    a_second_one_is_refused(up)
    os.kill(pids[2], signal.SIGKILL)
    again = pid_in(up.says("publisher    | started again as pid"))
    os.kill(up.process.pid, signal.SIGINT)
    assert up.end(30) == 0
    assert all(gone(pid) for pid in (*pids, again))
    assert [line for line in up.said if "signal SIGKILL" in line] == [
        "publisher    | ended with signal SIGKILL; started again in 0.1 s"
    ]


def a_second_one_is_refused(up: Verb) -> None:
    """It would fence the first one's processes; nothing of it is started."""
    kafka, redis = (up.says(f"{name} at").split()[2] for name in ("Kafka", "Redis"))
    second = Verb(up.folder, "up", merged=True, STREAMBG_BOOTSTRAP=kafka, STREAMBG_REDIS=redis)
    assert second.end(60) == 5
    said = " ".join(second.said)
    assert "this pipeline runs already: publisher slot 0, comparator slot 0 (at 127.0.0.1)" in said
    assert "streambg up --take-over" in said
    assert "started as pid" not in said
    assert not [line for line in up.said if "exit code 7" in line]


def test_nothing_outlives_an_up_that_is_killed(up: Verb) -> None:
    pids = children(up)
    kafka = up.says("Kafka at").split()[2]
    up.process.kill()
    for pid in pids:
        until(lambda pid=pid: gone(pid), 10, f"the end of {pid}")
    until(lambda: not _listens(kafka), 10, f"the end of the broker at {kafka}")


def test_a_broker_that_was_asked_for_is_not_replaced(tmp_path: Path) -> None:
    verb = Verb(checkout(tmp_path), "up", merged=True, STREAMBG_BOOTSTRAP="127.0.0.1:1")
    assert verb.end(60) == 3
    assert "no Kafka broker answered at 127.0.0.1:1" in " ".join(verb.said)


def test_a_pipeline_without_consumers_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (checkout(tmp_path) / "consumers" / "publisher.py").unlink()
    verb = Verb(tmp_path, "up", merged=True)
    assert verb.end(30) == 2
    assert "has no publisher.py" in " ".join(verb.said)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return listening(int(port), host)
