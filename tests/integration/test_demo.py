"""`streambg demo` from nothing to the audit's word, its own servers included (issue: the main job, Shows 1 and 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import raw_topics
from checkout import Verb, checkout, gone, pid_in
from confluent_kafka import Consumer, TopicPartition
from endings import servers_end

from streambg.servers import detached
from streambg.status.tails import LAST_OUTCOMES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = checkout(tmp_path_factory.mktemp("demo"))
    with servers_end(place / ".streambg" / "demo", place / "stop.log"):
        yield place


@pytest.fixture(scope="module")
def played(folder: Path) -> tuple[dict[str, Any], list[str]]:
    verb = Verb(folder, "demo", "--events", "12000", "--rate", "3000", "--keep", "--output", "json")
    code = verb.end(200)
    assert code == 0, "\n".join(verb.said)
    return verb.json(), verb.said


def addresses(folder: Path) -> dict[str, str]:
    words = (folder / ".streambg" / "demo" / "env").read_text().removeprefix("export ").split()
    return dict(word.split("=", 1) for word in words)


def audit(folder: Path) -> Any:
    return asked(folder, "audit")


def asked(folder: Path, *words: str) -> Any:
    verb = Verb(folder, *words, "--output", "json", **addresses(folder))
    code = verb.end()
    assert code == 0, verb.said
    return verb.json()


def test_the_demo_passes_and_says_why(played: tuple[dict[str, Any], list[str]]) -> None:
    result, _ = played
    assert result["ok"]
    assert result["problems"] == []
    assert result["audit"]["verdict"] == "ok"
    assert set(result["audit"]["counts"].values()) == {0}
    assert result["audit"]["events"] == result["events"] == 12_000
    assert sum(result["published"].values()) + len(result["dead_letters"]) == 12_000
    assert min(result["published"].values()) > 0


def test_the_dead_letters_are_the_planted_events(played: tuple[dict[str, Any], list[str]]) -> None:
    """P17: bad input becomes a dead letter with the reasons, odd input an answer."""
    result, _ = played
    bad = {source for source, kind in result["planted"].items() if kind not in ("null key", "900 kB")}
    assert set(result["dead_letters"]) == bad
    assert len(bad) == result["planted_dead_letters"] == 6
    assert all(all(reasons.values()) for reasons in result["dead_letters"].values())


def test_every_step_had_an_effect(played: tuple[dict[str, Any], list[str]]) -> None:
    result, _ = played
    steps = {step["step"]: step for step in result["steps"]}
    assert [step["step"] for step in result["steps"]] == [
        "deploy blue",
        "deploy green",
        "shift 10 %",
        "shift 50 %",
        "kill -9 publisher",
        "promote",
        "rollback",
        "promote",
    ]
    assert all(step["effect_seconds"] is not None for step in result["steps"])
    epochs = [step["epoch"] for step in result["steps"] if step["epoch"] is not None]
    assert epochs == sorted(set(epochs))
    assert set(steps["promote"]["cutovers"]) <= {str(partition) for partition in range(6)}
    assert steps["kill -9 publisher"]["restart_seconds"] is not None
    assert result["restarts"] == {"scorer.blue": 0, "scorer.green": 0, "publisher": 1, "comparator": 0, "controller": 0}


def test_what_it_cost_is_measured(played: tuple[dict[str, Any], list[str]]) -> None:
    result, _ = played
    assert {"scorer.blue", "scorer.green", "publisher", "comparator", "controller"} == set(result["cpu_seconds"])
    assert all(seconds > 0 for seconds in result["cpu_seconds"].values())
    assert all(volume["bytes"] > volume["records"] > 0 for volume in result["topics"].values())
    assert result["compared"] > 0
    assert 0.9 < result["agreement"] <= 1.0


def test_status_inspect_and_dead_letters_agree_with_the_raw_topics(
    played: tuple[dict[str, Any], list[str]], folder: Path
) -> None:
    """The topics of the kept servers, read and counted here with nothing of streambg."""
    bootstrap = addresses(folder)["STREAMBG_BOOTSTRAP"]
    raw = raw_topics.read(bootstrap, "shuttle", 6, "sensors", "sensor-alerts")
    status = asked(folder, "status")
    assert len(status["partitions"]) == 6
    for lane in status["partitions"]:
        number = lane["partition"]
        last = max(offset for partition, offset in raw.given if partition == number)
        assert (lane["input_end"], lane["settled"], lane["behind"]) == (last + 1, last, 0)
        assert lane["covered"] == {color: raw.batches[color, number][-1].upto for color in ("blue", "green")}
        assert lane["epoch"] == raw.came[number, last].epoch == raw.epoch_of(number, last)
        assert (lane["cutover"], lane["cutover_epoch"]) == raw.cutovers[number][-1]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "raw"})
    ends = [consumer.get_watermark_offsets(TopicPartition("sensor-alerts", number), 20)[1] for number in range(6)]
    consumer.close()
    published = Counter(
        (came.color, came.why)
        for (number, _), came in raw.came.items()
        if came.kind == "output" and came.log_offset >= ends[number] - LAST_OUTCOMES
    )
    assert {(each["color"], each["why"]): each["count"] for each in status["outcomes"]["by"]} == published
    assert status["outcomes"]["dead_letters"]["count"] == len(raw.letters) == 6
    listed = asked(folder, "dead-letters", "list")["letters"]
    assert sorted(each["source"] for each in listed) == sorted(f"sensors/{at}@{offset}" for at, offset in raw.letters)
    kinds = {(came.kind, came.color, came.epoch, came.why): spot for spot, came in sorted(raw.came.items())}
    for number, offset in kinds.values():
        told, came = asked(folder, "inspect", f"sensors/{number}@{offset}"), raw.came[number, offset]
        assert (told["status"] == "published") == (came.kind == "output")
        assert (told["outcome"]["offset"], told["outcome"]["epoch"]) == (came.log_offset, came.epoch)
        if came.kind == "output":
            assert (told["outcome"]["color"], told["outcome"]["why"]) == (came.color, came.why)
        else:
            assert told["outcome"]["reasons"] == came.reasons


def test_nothing_but_the_kept_servers_is_left(played: tuple[dict[str, Any], list[str]], folder: Path) -> None:
    _, said = played
    pids = [pid_in(line) for line in said if "started" in line and "pid " in line]
    assert len(pids) == 6  # five processes, one of them twice
    assert all(gone(pid) for pid in pids)
    assert [health.answers for health in detached.status(folder / ".streambg" / "demo")] == [True, True]


def test_the_audit_of_kept_servers_says_the_same_and_a_new_demo_takes_their_place(
    played: tuple[dict[str, Any], list[str]], folder: Path
) -> None:
    result, _ = played
    report = audit(folder)
    assert (report["verdict"], report["events"]) == ("ok", 12_000)
    assert report["by_color"] == result["published"]
    first = addresses(folder)
    again = Verb(folder, "demo", "--events", "2000", "--rate", "2000", "--keep", "--output", "json")
    code = again.end(200)
    assert code == 0, "\n".join(again.said)
    assert again.json()["models"] == result["models"]  # the same training gives the same versions
    assert audit(folder)["events"] == 2_000
    assert any("threw their data away" in line for line in again.said), first
