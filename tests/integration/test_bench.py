"""`streambg bench` on few events: what its document holds, and that nothing is left when it is interrupted."""

from __future__ import annotations

import re
import signal

import pytest
from checkout import REPOSITORY, Verb
from waiting import until

from streambg.servers.ports import listening

pytestmark = pytest.mark.integration
FEW = ("bench", "--quick", "--events", "60000", "--only", "d", "--output", "json")


def port_in(line: str) -> int:
    found = re.search(r"broker at [\d.]+:(\d+)", line)
    assert found is not None, line
    return int(found[1])


def test_a_row_and_its_raw_loop_on_few_events() -> None:
    verb = Verb(REPOSITORY, *FEW)
    assert verb.end(120) == 0, verb.said
    said = verb.json()
    rows = {row["row"]: row for row in said["rows"]}
    assert set(rows) == {"b", "b0", "d"}
    assert rows["d"]["ratio_to"] == "b"
    assert rows["d"]["plain_ratio_to"] == "b0"
    for row in rows.values():
        (run,) = row["runs"]
        assert set(run) == {"events_per_s", "client_us", "broker_us", "peak_mb"}
        assert all(value > 0 for value in run.values())
    raw, plain, own = (rows[key]["median"]["events_per_s"] for key in ("b", "b0", "d"))
    assert rows["d"]["median"]["ratio"] == pytest.approx(own / raw)
    assert rows["d"]["median"]["plain_ratio"] == pytest.approx(own / plain)
    judged = {(goal["row"], goal["figure"]) for goal in said["goals"]}
    assert judged == {("d", "ratio"), ("d", "plain_ratio"), ("d", "peak_mb")}
    assert said["settings"]["events"] == 60_000
    assert {"processor", "python", "broker", "librdkafka"} <= set(said["machine"])


def test_an_interrupted_run_leaves_no_broker() -> None:
    verb = Verb(REPOSITORY, *FEW)
    port = port_in(verb.says("broker at"))
    verb.says("warming up")
    assert listening(port)
    verb.process.send_signal(signal.SIGINT)
    assert verb.end(60) == 130, "\n".join(verb.said)
    until(lambda: not listening(port), 20, "the broker is gone")
