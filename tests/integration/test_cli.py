"""The verbs as a person types them: what they print, and their exit codes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import answer, streambg
from confluent_kafka import Producer
from onnx_graphs import logistic
from pipelines import pipeline

from streambg.servers.ports import free_port

pytestmark = pytest.mark.integration


def test_the_verbs_from_deploy_to_audit(kafka: str, redis_url: str, unique: str, tmp_path: Path) -> None:
    with pipeline(tmp_path, kafka, unique, redis=redis_url) as run:
        assert streambg(tmp_path, "status", "--check").returncode == 1, "nothing is deployed"
        first = answer(run, "deploy", "blue", "m:1", "--start", "earliest", "--reason", "first")
        assert first["accepted"]
        assert first["notes"] == [], "a scorer that waits for its first model is no member yet: nothing is known"
        run.scorers()
        publisher = run.start("publisher")
        run.feed(100)
        run.drained()
        (tmp_path / "graph.onnx").write_bytes(logistic([0.5, -0.3], output="p"))
        answer(run, "models", "add", "graph:1", "--format", "onnx", "--artifact", "graph.onnx")
        candidate = answer(run, "deploy", "green", "graph:1")["epoch"]
        run.feed(50)
        run.drained()
        assert answer(run, "shift", "12.5%")["epoch"] == candidate + 1
        refused = streambg(tmp_path, "promote", "--expected-epoch", str(candidate))
        assert refused.returncode == 5
        assert f"expected epoch {candidate}, in force is {candidate + 1}" in refused.stderr
        assert "way out" in refused.stderr
        run.in_force(publisher, answer(run, "promote")["epoch"])
        run.feed(50)
        run.drained()
        assert answer(run, "rollback", "--reason", "a drill")["accepted"]
        run.feed(50)
        run.drained()

        status = answer(run, "status")
        assert status["live"] == "blue"
        assert status["colors"]["green"]["role"] == "candidate"
        assert [lane["behind"] for lane in status["partitions"]] == [0, 0, 0]
        assert {lane["settled"] + 1 for lane in status["partitions"]} == set(run.ends.values())
        assert "comparator has no member" in " ".join(status["attention"])
        assert "OK" not in streambg(tmp_path, "status").stdout.split()

        rows = answer(run, "history")
        assert [row["command"].split()[0] for row in rows] == [
            "deploy",
            "deploy",
            "shift",
            "promote",
            "promote",
            "rollback",
        ]
        assert [row["accepted"] for row in rows] == [True, True, True, False, True, True]
        assert rows[-1]["reason"] == "a drill"

        assert any(outcome.color == "green" for outcome in run.read().outcomes), "a graph's answers were published"
        found = answer(run, "models", "diff", "m:1", "graph:1", "--last", "60")["answers"]
        assert (found["rows"], found["compared"], found["threshold"]) == (60, 60, 0.5)
        topic, _, spot = found["worst"][0]["event"].partition("/")
        number, _, offset = spot.partition("@")
        assert topic == run.pipeline.input.topic
        assert run.ends[int(number)] - 20 <= int(offset) < run.ends[int(number)], "an equal share of the newest"
        assert answer(run, "models", "diff", "m:1", "graph:1", "--last", "1000")["answers"]["rows"] == 250

        report = answer(run, "audit")
        assert report["events"] == 250
        assert not any(report["counts"].values())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["deploy", "red", "m:1"], 2, "'red' is no color"),
        (["deploy", "blue", "m:77"], 15, "m:77"),
        (["shift", "150%"], 2, "no weight"),
        (["shift", "1.234"], 2, "two decimals"),
        (["promote"], 5, "nothing is deployed"),
        (["rollback"], 5, "nothing is deployed"),
        (["deploy", "blue", "m:1", "--start", "yesterday"], 2, "earliest, latest"),
        (["status", "-p", "nowhere.yaml"], 2, "nowhere.yaml"),
    ],
)
def test_what_goes_wrong_says_so(
    kafka: str, unique: str, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    with pipeline(tmp_path, kafka, unique):
        done = streambg(tmp_path, *words)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_P5_a_forged_control_record_is_passed_by_every_verb(kafka: str, unique: str, tmp_path: Path) -> None:
    """Whoever has to roll back must not be halted by it."""
    with pipeline(tmp_path, kafka, unique) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.say("deploy", "green", "m:2")
        producer = Producer({"bootstrap.servers": kafka})
        producer.produce(run.pipeline.topics.control, b'{"format": 99, "verb": "leap"}', partition=0)
        producer.flush(20)
        verbs = (
            ["history"],
            ["status"],
            ["rollout", "history"],
            ["shift", "10"],
            ["promote", "--force", "--reason", "a test"],
        )
        for words in verbs:
            halted = streambg(tmp_path, *words)
            assert halted.returncode == 9, halted.stderr
            assert "STREAMBG_IGNORE_RECORDS=2" in halted.stderr
        for words in verbs:
            done = streambg(tmp_path, *words, STREAMBG_IGNORE_RECORDS="2")
            assert done.returncode == 0, (words, done.stderr)


def test_a_broker_that_does_not_answer(kafka: str, unique: str, tmp_path: Path) -> None:
    with pipeline(tmp_path, kafka, unique) as run:
        text = run.pipeline.file.read_text().replace(kafka, f"127.0.0.1:{free_port()}")
        run.pipeline.file.write_text(text)
        verbs = ("status", "promote", "audit")
        with ThreadPoolExecutor() as pool:  # each asks for some seconds before it gives up
            ends = list(pool.map(lambda verb: streambg(tmp_path, verb), verbs))
        for verb, done in zip(verbs, ends, strict=True):
            assert done.returncode == 3, (verb, done.stderr)
            assert "streambg broker start" in done.stderr
            assert "%3|" not in done.stderr, "the client's own lines are not for people"


def test_topics_missing(kafka: str, unique: str, tmp_path: Path) -> None:
    with pipeline(tmp_path, kafka, unique) as run:
        run.pipeline.file.write_text(run.pipeline.file.read_text().replace(f"pipeline: {unique}", "pipeline: other"))
        done = streambg(tmp_path, "status")
        assert done.returncode == 2
        assert "streambg topics apply" in done.stderr


def test_redis_down_is_no_reason_to_say_nothing(kafka: str, unique: str, tmp_path: Path) -> None:
    with pipeline(tmp_path, kafka, unique, redis=f"redis://127.0.0.1:{free_port()}/0") as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        status = answer(run, "status")
        assert status["live_view"] is None
        assert "127.0.0.1" in status["redis"]
        assert status["partitions"]
