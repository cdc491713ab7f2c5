"""Scorers and publisher on a real broker: exactly once through commands, bad input and kills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hooks import Hook, listening
from pipelines import Running, pipeline
from waiting import until

from streambg.errors import Refused
from streambg.publishing.forgotten import ALONE_S

pytestmark = pytest.mark.integration


def notify(hook: Hook) -> str:
    """The section of the pipeline file that tells this one."""
    return f"notify: {{webhook: '{hook.address}', severity: warning}}\n"


def test_main_road_and_bad_input(kafka: str, unique: str, tmp_path: Path) -> None:
    """deploy, shift, promote, rollback with bad events in between: each has one outcome, the bad ones a dead letter."""
    with pipeline(tmp_path, kafka, unique, input_config={"max.message.bytes": "4000000"}) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.scorers()
        publisher = run.start("publisher")
        run.feed(300)
        bad = _bad_events(run)
        run.drained()
        epochs = []
        for said in (("deploy", "green", "m:2"), ("shift", 5_000), ("promote",), ("rollback",)):
            epochs.append(run.say(*said).epoch)
            run.in_force(publisher, epochs[-1])
            run.feed(400)
            run.drained()
        green, shifted, promoted, back = epochs
        read = run.expect_exactly_once()

    reasons = {(letter.source.partition, letter.source.offset): letter.reasons["blue"] for letter in read.letters}
    assert set(reasons) == set(bad)
    for spot, word in bad.items():
        assert word in reasons[spot]
    by_epoch: dict[int, set[str]] = {}
    for outcome in read.outcomes:
        by_epoch.setdefault(outcome.epoch, set()).add(outcome.color)
        assert outcome.why == "route"
    assert by_epoch == {0: {"blue"}, green: {"blue"}, shifted: {"blue", "green"}, promoted: {"green"}, back: {"blue"}}
    # a key is on one side of the weight only: same key, same color while the weight stands
    colors: dict[bytes | None, set[str]] = {}
    for outcome, key in zip(read.outcomes, read.keys, strict=True):
        if outcome.epoch == shifted:
            colors.setdefault(key, set()).add(outcome.color)
    assert all(len(seen) == 1 for seen in colors.values())
    assert None in read.keys, "an event with a null key is published with a null key (P13)"


def _bad_events(run: Running) -> dict[tuple[int, int], str]:
    """Planted events, by source position, with a word of the reason they must get."""
    padding = "x" * 2_000_000
    bad = {
        run.put(b"this is no JSON", b"k1"): "not JSON",
        run.put(b'{"id": 1, "f1": 0.5}', b"k1"): "missing feature f2",
        run.put(b'{"id": 1, "f1": NaN, "f2": 0}', b"k1"): "not JSON",
        run.put(b'{"id": 1, "f1": "0.5", "f2": 0}', b"k1"): "f1",
        run.put(b"[1, 2]", b"k1"): "JSON",
        run.put(None, b"k1"): "no value",
        run.put(b"", b"k1"): "not JSON",
        run.put(b"\xff\xfe", b"k1"): "not JSON",
        run.put(b"not beside such a key either", b"K" * 2_500_000): "not JSON",
        run.put(b'{"id": 1, "f1": 0.5, "f2": 0}', b"K" * 2_500_000): "over the size limit",
    }
    run.put(b'{"id": %d, "f1": 0.5, "f2": 0}' % 10**30, b"an id of more than 64 bits")
    run.put(b'{"id": 1, "f1": 0.5, "f2": 0}', b"K" * 1_000_000)
    run.put(b'{"id": 1, "f1": 0.5, "f2": 0}', None)
    run.put(json.dumps({"id": 1, "f1": 0.5, "f2": 0, "note": padding}).encode(), b"k2")
    run.flush()
    return bad


def test_model_that_raises_costs_one_event(kafka: str, unique: str, tmp_path: Path) -> None:
    """P17: an error row of the candidate is answered by live; live's own is a dead letter."""
    with pipeline(tmp_path, kafka, unique, versions=("1",)) as run:
        run.model("9", bias=0.5, raises_on=7)
        run.say("deploy", "blue", "m:1", start="earliest")
        blue, green = run.scorers()
        publisher = run.start("publisher")
        run.say("deploy", "green", "m:9")
        run.feed(5)
        run.drained()
        run.in_force(publisher, run.say("shift", 10_000).epoch)
        run.feed(60)
        run.drained()
        promoted = run.say("promote").epoch
        run.in_force(publisher, promoted)
        run.sent = 7
        run.put(b'{"id": 7, "f1": 0, "f2": 0}', b"k7")
        run.flush()
        run.drained()
        read = run.expect_exactly_once()
    fallen_back = [outcome for outcome in read.outcomes if outcome.why == "error"]
    assert [outcome.color for outcome in fallen_back] == ["blue", "blue"], "before the promote by P16, after it by P2"
    assert fallen_back[-1].epoch == promoted
    assert read.letters == []
    [said] = [json.loads(line) for line in green.log.read_text().splitlines() if '"model_fails"' in line]
    assert said["reason"] == "model raised ValueError: no answer to this one"
    assert "model_fails" not in blue.log.read_text()


def test_Z3_two_publishers_in_one_slot(kafka: str, unique: str, tmp_path: Path) -> None:
    """P21: the fenced one exits with its own code and says why; the other goes on."""
    with pipeline(tmp_path, kafka, unique) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.scorers()
        first = run.start("publisher")
        run.feed(50)
        run.drained()
        second = run.start("publisher")
        both = (first, second)
        ended = until(lambda: next((p for p in both if p.popen.poll() is not None), None), 30, "one is fenced")
        assert ended.popen.returncode == 7
        assert "--slot" in ended.log.read_text()
        run.feed(50)
        run.drained()
        run.expect_exactly_once()


def test_two_publishers_share_the_partitions(kafka: str, unique: str, tmp_path: Path) -> None:
    """P22-P24: a second member takes partitions over, its death gives them back."""
    with pipeline(tmp_path, kafka, unique, partitions=4) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.scorers()
        first = run.with_port(run.start("publisher"))
        run.feed(100)
        run.drained()
        second = run.with_port(run.start("publisher", "--slot", "1"))
        until(lambda: len(second.health().get("partitions", ())) == 2, 30, "two partitions for the second member")
        run.feed(400)
        run.drained()
        second.kill()
        run.feed(400)
        run.drained()
        assert len(first.health()["partitions"]) == 4
        run.expect_exactly_once()


def test_P24_a_standby_hands_its_partition_back_at_once(kafka: str, unique: str, tmp_path: Path) -> None:
    """One partition, two publishers: what the standby had open is ended although it is assigned nothing any more.

    The broker ends it 10 to 20 s later: so long nothing had come out.
    """
    slow = {"slots": 2, "transaction": "{every: 1s}"}  # there is one open whenever partitions are shared out
    with pipeline(tmp_path, kafka, unique, partitions=1, publish=slow) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.scorers()
        first = run.start("publisher")
        run.feed(50)
        run.drained()
        standby = run.start("publisher", "--slot", "1")
        first.kill()
        run.feed(50)
        run.drained()
        again = run.start("publisher")

        def taken_up() -> list[dict[str, Any]]:
            run.feed(20)
            lines = map(json.loads, again.log.read_text().splitlines())
            return [line for line in lines if line["event"] == "assigned"]

        [assigned] = until(taken_up, 30, "the partition is the first one's again")
        assert "a transaction open (P21)" in standby.log.read_text(), "the fault that this is about"
        assert assigned["seconds"] < ALONE_S, "it had to wait for somebody's open transaction"
        run.drained()
        run.expect_exactly_once()


def test_K3_kill_9_of_a_scorer(kafka: str, unique: str, tmp_path: Path) -> None:
    """P7, P8, P11: its restart answers again from the committed position; the fold drops what is repeated."""
    with pipeline(tmp_path, kafka, unique) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        blue, _ = run.scorers()
        run.start("publisher")
        for _ in range(3):
            for _ in range(5):
                run.feed(100)
            until(lambda: sum(run.settled().values()) > 0, 30, "progress")
            blue.kill()
            blue = run.start("scorer", "--color", "blue")
        run.drained()
        run.expect_exactly_once()


def test_P9_sampled_candidate_and_late_candidate(kafka: str, unique: str, tmp_path: Path) -> None:
    """A sample leaves events unanswered (`absent`); a dead candidate is waited for once, then live answers (`late`)."""
    late = {"late": "{live: wait, candidate: 300ms}"}
    with listening() as hook, pipeline(tmp_path, kafka, unique, publish=late, more=notify(hook)) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        _, green = run.scorers()
        run.start("publisher")
        run.say("deploy", "green", "m:2", sample=2_000)
        run.feed(200)
        run.drained()
        with pytest.raises(Refused, match="sample"):
            run.say("promote", force=True)
        run.say("shift", 5_000)
        run.feed(200)
        run.drained()
        green.kill()
        run.feed(300)
        run.drained()
        read = run.expect_exactly_once()
        until(lambda: hook.told, 20, "the publisher tells its alarm")
    assert len(hook.told) == 1, "once, not for every partition"
    assert hook.told[0]["text"].startswith(f"{unique}: publisher.0: {unique}-events/")
    assert hook.told[0]["text"].endswith(": green's answer is late")
    assert (hook.told[0]["kind"], hook.told[0]["severity"]) == ("alarm", "warning")
    whys = {(outcome.color, outcome.why) for outcome in read.outcomes}
    assert ("green", "route") in whys
    assert ("blue", "late") in whys
    assert all(color == "blue" for color, why in whys if why != "route")


def test_a_swapped_artifact_is_not_loaded(kafka: str, unique: str, tmp_path: Path) -> None:
    """An artifact whose digest differs from the control log's: the scorer says so, the pipeline goes on with live."""
    with listening() as hook, pipeline(tmp_path, kafka, unique, more=notify(hook)) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        _, green = run.scorers()
        run.start("publisher")
        run.feed(50)
        run.drained()
        artifact = run.pipeline.registry / "m" / "2" / "params.json"
        artifact.chmod(0o644)
        artifact.write_bytes(b'{"bias": 99}')
        run.say("deploy", "green", "m:2")
        run.with_port(green)
        until(lambda: "SHA-256" in (green.health()["model_not_loaded"] or ""), 30, "the scorer says what is wrong")
        until(lambda: hook.told, 20, "and tells people")
        assert "scorer.green.0: model not loaded" in hook.told[0]["text"]
        assert hook.told[0]["severity"] == "critical"
        with pytest.raises(Refused, match="has not answered"):
            run.say("shift", 1_000)
        run.feed(50)
        run.drained()
        run.expect_exactly_once()
