"""`inspect` and `dead-letters` on a real pipeline's topics agree with what the test decodes from them by itself."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import raw_topics
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from pipelines import Running, pipeline
from raw_topics import Raw, bucket
from typer.testing import CliRunner, Result
from waiting import until

from streambg.cli.main import build
from streambg.errors import StreambgError
from streambg.looking.collect import Scenery
from streambg.looking.event import as_json
from streambg.records.source import Source

pytestmark = pytest.mark.integration

BAD = {b"this is no JSON": "not JSON", b"\xff\xfe": "not JSON", b'{"id": 1, "f1": 0.5}': "missing feature f2"}


@dataclass
class Seen:
    """A pipeline at rest, its last events not settled, and its topics as the test reads them."""

    run: Running
    raw: Raw
    letters: list[tuple[int, int]]
    green: int
    shifted: int

    def cli(self, *words: str) -> Result:
        return CliRunner().invoke(build(()), [*words, "-p", str(self.run.pipeline.file)])

    def answer(self, *words: str) -> Any:
        done = self.cli(*words, "--output", "json")
        assert done.exit_code == 0, done.exception
        return json.loads(done.stdout)

    def refused(self, *words: str) -> StreambgError:
        done = self.cli(*words)
        assert isinstance(done.exception, StreambgError), (words, done.output, done.exception)
        return done.exception

    def source(self, partition: int, offset: int) -> str:
        return f"{self.run.pipeline.topics.input}/{partition}@{offset}"


@pytest.fixture(scope="module")
def seen(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """blue live; green at half the keys, with an answer that raises, then dead (`late`); bad events; a repeated batch;
    and at the end events that nobody publishes.
    """
    folder = tmp_path_factory.mktemp("looking")
    name = f"looking-{os.getpid()}"
    with pipeline(folder, kafka, name, publish={"late": "{live: wait, candidate: 2s}"}) as run:
        run.model("9", bias=0.5, raises_on=90)
        run.say("deploy", "blue", "m:1", start="earliest")
        _, green = run.scorers()
        publisher = run.start("publisher")
        run.feed(30)
        letters = [run.put(value, b"k1") for value in BAD]
        run.flush()
        run.drained()
        deployed = run.say("deploy", "green", "m:9").epoch
        run.feed(30)
        run.drained()
        shifted = run.say("shift", 5_000).epoch
        run.in_force(publisher, shifted)
        run.feed(60)
        run.drained()
        _repeat_a_batch(run, "blue")
        green.kill()
        run.feed(30)
        run.drained()
        publisher.popen.terminate()
        publisher.popen.wait(20)
        run.feed(12)
        blue = run.pipeline.topics.predictions("blue")
        until(lambda: _covered(kafka, blue, run), 30, "blue has answered all")
        yield Seen(run, raw_topics.read(kafka, name, run.partitions), letters, deployed, shifted)


def _repeat_a_batch(run: Running, color: str) -> None:
    """As a crashed scorer does: the last batch of each partition stands there twice."""
    raw = raw_topics.read(run.pipeline.kafka.bootstrap, run.pipeline.name, run.partitions)
    topic = f"{run.pipeline.name}.predictions.{color}"
    producer = Producer({"bootstrap.servers": run.pipeline.kafka.bootstrap})
    for number in range(run.partitions):
        last = raw.batches[color, number][-1]
        producer.produce(topic, last.wire, None, number)
    producer.flush(10)


def _covered(kafka: str, topic: str, run: Running) -> bool:
    raw = raw_topics.read(kafka, run.pipeline.name, run.partitions)
    return all(raw.batches["blue", number][-1].upto == end - 1 for number, end in run.ends.items())


def _interesting(seen: Seen) -> list[tuple[int, int]]:
    """One event of each kind of outcome and epoch, the borders of each partition, and all letters."""
    kinds: dict[tuple[Any, ...], tuple[int, int]] = {}
    for spot, came in sorted(seen.raw.came.items()):
        kinds.setdefault((came.kind, came.color, came.epoch, came.why), spot)
    borders = [(number, at) for number, end in seen.run.ends.items() for at in (0, end - 1)]
    return sorted({*kinds.values(), *borders, *seen.letters})


def test_inspect_agrees_with_the_raw_topics(seen: Seen) -> None:
    """Outcome, epoch, cutover, both answers and their batches, bucket and choice: computed here from raw bytes."""
    raw, spots = seen.raw, _interesting(seen)
    whys = {raw.came[spot].why for spot in spots if spot in raw.came}
    assert {"route", "error", "late"} <= whys, "the pipeline has shown all of them"
    with Scenery(seen.run.pipeline) as scenery:
        for number, offset in spots:
            source = Source(seen.run.pipeline.topics.input, number, offset)
            told = as_json(scenery.event(source), full=True)
            key, value = raw.given[number, offset]
            assert told["input"].get("key") == (None if key is None else key.decode())
            given = told["input"]
            assert (
                base64.b64decode(given["value_base64"]) == value
                if "value_base64" in given
                else (given["value"] == (value or b"").decode())
            )
            assert not told["doubt"]
            _agrees_outcome(told, raw, number, offset)
            _agrees_answers(told, seen, number, offset)


def _agrees_outcome(told: dict[str, Any], raw: Raw, number: int, offset: int) -> None:
    came = raw.came.get((number, offset))
    if came is None:
        assert told["status"] == "waiting"
        assert told["epoch"] is None
        assert f"@{max(at for n, at in raw.came if n == number) + 1}" in told["why"], "it names the first that waits"
        return
    assert told["status"] == ("published" if came.kind == "output" else "dead letter")
    assert told["epoch"] == came.epoch == raw.epoch_of(number, offset)
    outcome = told["outcome"]
    assert (outcome["offset"], outcome["epoch"]) == (came.log_offset, came.epoch)
    if came.kind == "output":
        assert (outcome["color"], outcome["why"], outcome["value"]) == (came.color, came.why, came.value.decode())
    else:
        assert (outcome["chosen"], outcome["reasons"]) == (came.color, came.reasons)


def _agrees_answers(told: dict[str, Any], seen: Seen, number: int, offset: int) -> None:
    """The deployments are those of the deciding epoch: blue's 0 always, green's from its deploy on."""
    raw = seen.raw
    epoch = told["epoch"] if told["epoch"] is not None else seen.shifted
    for color, deployment in (("blue", 0), ("green", seen.green)):
        answer = told["answers"][color]
        if color == "green" and epoch < seen.green:
            assert answer["deployment"] is None
            continue
        assert answer["deployment"] == deployment
        counted = raw.counted(color, number, offset, deployment)
        accepted = [held["log_offset"] for held in answer["batches"] if held["verdict"] == "accepted"]
        holding = [each for each in raw.batches[color, number] if each.after < offset <= each.upto]
        assert [held["log_offset"] for held in answer["batches"]] == [each.log_offset for each in holding]
        if counted is None:
            assert accepted == []
            assert answer["said"] in ("later", "not yet")
            continue
        assert accepted == [counted.log_offset]
        ok, value = counted.rows[offset]
        assert answer["said"] == ("ok" if ok else "error")
        assert (answer["value"] if ok else answer["reason"]) == value.decode()
    if epoch >= seen.shifted:
        key, _ = raw.given[number, offset]
        expected = bucket(seen.green, key or b"")
        assert told["route"] == {
            "epoch": seen.shifted,
            "live": "blue",
            "weight": 5_000,
            "bucket": expected,
            "chosen": "green" if expected < 5_000 else "blue",
        }
        assert f"bucket {expected} " in told["why"] or told["status"] == "waiting"


def test_P8_a_repeated_batch_is_called_a_repeat(seen: Seen) -> None:
    with Scenery(seen.run.pipeline) as scenery:
        twice = seen.raw.batches["blue", 0]
        again = next(
            each for at, each in enumerate(twice) if each.upto <= max(b.upto for b in twice[:at] or [each]) and at
        )
        event = as_json(scenery.event(Source(seen.run.pipeline.topics.input, 0, again.upto)), full=True)
    verdicts = {held["log_offset"]: held["verdict"] for held in event["answers"]["blue"]["batches"]}
    assert verdicts[again.log_offset] == "repeat"
    assert sorted(verdicts.values()) == ["accepted", "repeat"]


def test_the_verb_by_position_key_and_field(seen: Seen) -> None:
    number, offset = 1, 4
    key, value = seen.raw.given[number, offset]
    assert key is not None
    one = seen.answer("inspect", seen.source(number, offset))
    assert one["source"] == seen.source(number, offset)
    text = " ".join(seen.cli("inspect", seen.source(number, offset)).stdout.split())
    assert one["why"] in text
    assert one["outcome"]["header"] in text
    by_field = seen.answer("inspect", "--field", f"id={json.loads(value or b'')['id']}")
    assert [event["source"] for event in by_field] == [one["source"]]
    done = seen.cli("inspect", "--key", key.decode(), "--last", "3", "--output", "json")
    same = sorted(spot for spot, (k, _) in seen.raw.given.items() if k == key)
    found = [event["source"] for event in json.loads(done.stdout)]
    assert len(found) == 3
    assert set(found) <= {seen.source(*spot) for spot in same}
    assert f"the newest 3 of {len(same)} matches" in done.stderr
    assert f"looked at {len(seen.raw.given)} records" in done.stderr


def test_not_yet_and_no_more(seen: Seen) -> None:
    end = seen.run.ends[0]
    assert seen.answer("inspect", seen.source(0, end + 3))["status"] == "beyond the end"
    for words, code, says in (
        (["inspect", "elsewhere/0@1"], 2, "is not the input"),
        (["inspect", seen.source(7, 0)], 2, "3 partitions"),
        (["inspect", "sensors"], 2, "topic/partition@offset"),
        (["inspect", "--key", "nobody", "--since", "1h"], 1, "no such event among"),
        (["inspect", "--field", "nowhere=1", "--since", "1h"], 1, "has a field 'nowhere'"),
        (["inspect"], 2, "--key or --field"),
        (["inspect", "--key", "a", "--since", "soon"], 2, "neither a duration"),
        (["dead-letters", "show", seen.source(0, 0)], 1, "its answer was published"),
    ):
        error = seen.refused(*words)
        assert (error.exit_code, says in str(error)) == (code, True), (words, error)


def test_dead_letters_agree_with_the_raw_topics(seen: Seen) -> None:
    raw = seen.raw
    assert set(raw.letters) == set(seen.letters)
    listed = seen.answer("dead-letters", "list", "--last", "2")
    assert listed["total"] == len(raw.letters)
    counted = {(each["chosen"], each["reason"]): each["count"] for each in listed["counts"]}
    expected: dict[tuple[str, str], int] = {}
    for spot in raw.letters:
        came = raw.came[spot]
        expected[came.color, came.reasons[came.color]] = expected.get((came.color, came.reasons[came.color]), 0) + 1
    assert counted == expected
    assert len(listed["letters"]) == 2
    assert seen.answer("dead-letters", "list", "--since", "2999-01-01")["total"] == 0
    assert "dead letters of" in seen.cli("dead-letters", "list").stdout

    exported = seen.run.folder / "letters.jsonl"
    said = seen.answer("dead-letters", "export", str(exported))
    assert (said["letters"], said["gone"]) == (len(raw.letters), 0)
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    assert {line["source"] for line in lines} == {seen.source(*spot) for spot in raw.letters}
    for line in lines:
        _, number, offset = _parts(line["source"])
        key, value = raw.given[number, offset]
        held = base64.b64decode(line["value_base64"]) if "value_base64" in line else line["value"].encode()
        assert held == value
        assert line["key"].encode() == key
        assert line["reasons"] == raw.came[number, offset].reasons
        assert line["epoch"] == raw.came[number, offset].epoch
    shown = seen.answer("dead-letters", "show", lines[0]["source"])
    assert shown == lines[0]
    before = exported.read_bytes()
    assert "exists" in seen.refused("dead-letters", "export", str(exported)).what
    assert exported.read_bytes() == before
    assert seen.cli("dead-letters", "export", str(exported), "--replace").exit_code == 0
    assert seen.refused("dead-letters", "export", str(seen.run.folder / "nowhere" / "x")).exit_code == 2
    assert [path for path in seen.run.folder.iterdir() if path.name.endswith(".part")] == []


def test_preview_agrees_with_the_raw_topics(seen: Seen) -> None:
    """What would be published at each weight, from both colors' raw batches, and how it differs from now (50 %)."""
    told = {weight: seen.answer("preview", "--weight", weight, "--last", "100000") for weight in ("0", "10", "100")}
    assert all(each["ranges"] == told["0"]["ranges"] for each in told.values())
    for weight, each in told.items():
        expected: Counter[str] = Counter()
        for number, (after, upto) in each["ranges"].items():
            for offset in range(after + 1, upto + 1):
                expected.update(_previewed(seen, int(number), offset, int(weight) * 100))
        assert {name: each[name] for name in expected} == dict(expected), weight
        assert each["events"] > 50
    assert told["0"]["changed"] > 0
    assert "published answers would be others at 100 %" in seen.cli("preview", "--weight", "100").stdout.replace(
        "\n", " "
    )


def _previewed(seen: Seen, number: int, offset: int, weight: int) -> Counter[str]:
    rows = {}
    for color, deployment in (("blue", 0), ("green", seen.green)):
        batch = seen.raw.counted(color, number, offset, deployment)
        if batch is None or offset not in batch.rows:
            return Counter()
        rows[color] = batch.rows[offset]
    key, _ = seen.raw.given[number, offset]
    drawn = bucket(seen.green, key or b"")
    now, then = (_who(rows, drawn < share) for share in (5_000, weight))
    values = [b"" if who is None else rows[who][1] for who in (now, then)]
    yes = [
        None if who is None else json.loads(value)["p"] >= 0.5 for who, value in zip((now, then), values, strict=True)
    ]
    return Counter(
        events=1,
        changed=values[0] != values[1],
        to_yes=yes == [False, True],
        to_no=yes == [True, False],
        candidate_now=now == "green",
        candidate_then=then == "green",
        letters_now=now is None,
        letters_then=then is None,
    )


def _who(rows: dict[str, tuple[bool, bytes]], wants: bool) -> str | None:
    """The candidate falls back to live always, live to nobody (`live_failed: dead-letter`, P16)."""
    if wants and rows["green"][0]:
        return "green"
    return "blue" if rows["blue"][0] else None


def _parts(source: str) -> tuple[str, int, int]:
    topic, _, rest = source.partition("/")
    number, _, offset = rest.partition("@")
    return topic, int(number), int(offset)


def test_history_reads_by_verb_and_outcome(seen: Seen) -> None:
    assert seen.refused("rollback", "--expected-epoch", "0").exit_code == 5
    rows = seen.answer("history", "--refused")
    assert [row["verb"] for row in rows] == ["rollback"]
    assert "expected epoch 0" in rows[0]["refusal"]
    assert [row["verb"] for row in seen.answer("history", "--accepted", "--verb", "deploy", "--last", "9")] == [
        "deploy"
    ] * 2
    assert "refused" in seen.cli("history").stdout
    assert "deploi" in seen.refused("history", "--verb", "deploi").what


def test_follow_prints_outcomes_until_ctrl_c_and_expired_events_say_so(seen: Seen) -> None:
    """Last in the module: the events that waited are published, and the input's beginning expires."""
    run = seen.run
    command = [sys.executable, "-m", "streambg", "inspect", "--follow", "--output", "json"]
    with subprocess.Popen(command, cwd=run.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follow:
        assert follow.stdout is not None
        assert follow.stderr is not None
        try:
            assert "Ctrl-C" in follow.stderr.readline()
            letter = run.put(b"no event", b"k2")
            run.flush()
            before = {(n, at) for n, end in run.ends.items() for at in range(end) if (n, at) not in seen.raw.came}
            run.start("publisher")
            lines = [json.loads(follow.stdout.readline()) for _ in before]
            follow.send_signal(signal.SIGINT)
            assert follow.wait(20) == 130
            assert "Traceback" not in follow.stderr.read()
        finally:
            follow.kill()
    assert {_parts(line["source"])[1:] for line in lines} == before
    assert [_parts(line["source"])[1:] for line in lines if line["kind"] == "dead letter"] == [letter]

    number, offset = seen.letters[0]
    admin = AdminClient({"bootstrap.servers": run.pipeline.kafka.bootstrap})
    topic = run.pipeline.topics.input
    for future in admin.delete_records([TopicPartition(topic, number, offset + 1)]).values():
        future.result(20)
    expired = seen.answer("inspect", seen.source(number, offset))
    assert expired["status"] == "dead letter"
    assert expired["input"] == {"gone": f"expired by retention: the input's partition begins at {offset + 1}"}
    assert seen.answer("dead-letters", "export", str(run.folder / "gone.jsonl"))["gone"] == 1
    [gone] = [line for line in map(json.loads, (run.folder / "gone.jsonl").read_text().splitlines()) if "gone" in line]
    assert (gone["source"], gone["value"]) == (seen.source(number, offset), None)
    output = run.pipeline.topics.output
    for future in admin.delete_records([TopicPartition(output, number, 5)]).values():
        future.result(20)
    assert seen.answer("inspect", seen.source(number, 0))["status"] == "expired"
