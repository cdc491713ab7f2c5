"""The comparator as a process: real broker and Redis, two synthetic scorers that write straight to the topics."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from endings import tied
from evidence_again import evidence, uninterrupted
from pairs import Answer, batch
from pipelines import ROOT, Process, Running, pipeline
from waiting import until

from streambg.comparing import liveview
from streambg.comparing.evidence_log import FLUSH_TIMEOUT_S, read_evidence
from streambg.comparing.pair import Pair
from streambg.comparing.snapshot import Snapshot, encode
from streambg.deciding.grid import events
from streambg.kafka import profiles
from streambg.records.batch import encode as encode_batch
from streambg.records.source import COLORS, Color
from streambg.servers import LocalKafka

pytestmark = pytest.mark.integration

PARTITIONS = 3
# what is counted for a decision is evidence like the rest: bit-equal
METRICS = """
metrics:
  errors: {kind: error_rate, role: guardrail, margin: 5%}
  shift: {kind: score_shift, role: guardrail, margin: 50%}
"""


class Scorers:
    """Both colors' answers, written as batches of random sizes; what they answer depends on the seed alone."""

    def __init__(self, run: Running, pair: Pair, seed: int = 1, first_green: int = -1) -> None:
        self.run = run
        self.pair = pair
        self._rng = random.Random(seed)
        self._producer = Producer(dict(profiles.idempotent_producer(run.pipeline, "test-scorer")))
        self._answered: dict[tuple[Color, int], int] = {}
        for partition in range(PARTITIONS):
            self._answered["blue", partition] = -1
            self._answered["green", partition] = first_green

    def answer(self, upto: int, colors: tuple[Color, ...] = COLORS) -> None:
        """Every partition up to this source offset; now and then a crash repeats the last batch."""
        for color in colors:
            for partition in range(PARTITIONS):
                while (after := self._answered[color, partition]) < upto:
                    reach = min(upto, after + self._rng.randrange(1, 60))
                    for _ in range(2 if self._rng.random() < 0.05 else 1):
                        self.write(color, partition, after, reach)
                    self._answered[color, partition] = reach
        self._producer.flush(20)

    def write(self, color: Color, partition: int, after: int, upto: int) -> None:
        answers = {offset: Answer(_score(color, partition, offset)) for offset in range(after + 1, upto + 1)}
        made = batch(self.pair.of(color), after, upto, answers, scored_at=upto + 40)
        self.raw(color, partition, encode_batch(made))

    def raw(self, color: Color, partition: int, value: bytes) -> None:
        self._producer.produce(self.run.pipeline.topics.predictions(color), value, None, partition)
        self._producer.poll(0)

    def flush(self) -> None:
        self._producer.flush(20)


def _score(color: Color, partition: int, offset: int) -> float | None:
    """Green differs from blue a little, from offset 1,500 on a lot: ADWIN must say so, at the same place always."""
    rng = random.Random(f"{partition}/{offset}")
    blue, noise, fails = rng.random() * 0.7, rng.random() * 0.05, rng.random() < 0.01
    if color == "blue":
        return blue
    return None if fails else min(1.0, blue + noise + (0.3 if offset > 1_500 else 0.0))


@contextmanager
def pair_of_scorers(
    folder: Path, kafka: str, name: str, redis_url: str = "redis://127.0.0.1:1/0"
) -> Iterator[tuple[Running, Scorers]]:
    with pipeline(folder, kafka, name, partitions=PARTITIONS, redis=redis_url, more=METRICS) as run:
        blue = run.say("deploy", "blue", "m:1", start="earliest").epoch
        green = run.say("deploy", "green", "m:2").epoch
        yield run, Scorers(run, Pair(blue, green))


def compared(run: Running, upto: int, timeout: float = 40) -> dict[int, Snapshot]:
    """The snapshots, once all partitions are compared to this source offset."""

    def done() -> dict[int, Snapshot] | None:
        found = evidence(run)
        reached = [snapshot.evidence.compared for snapshot in found.values()]
        return found if len(found) == PARTITIONS and min(reached) >= upto else None

    found = until(done, timeout, f"evidence to {upto}; the logs are in {run.folder}")
    assert found is not None
    return found


def test_P30_evidence_after_kills_is_bit_equal_to_an_uninterrupted_run(kafka: str, unique: str, tmp_path: Path) -> None:
    """Redis is down all the time: comparing does not need it."""
    with pair_of_scorers(tmp_path, kafka, unique) as (run, scorers):
        for upto in (400, 900, 1_700, 2_400):
            process = run.start("comparator")
            scorers.answer(upto)
            compared(run, 0 if upto == 400 else 300)
            process.kill()
        run.start("comparator")
        scorers.answer(3_000)
        found = compared(run, 3_000)
        expected = uninterrupted(run, scorers.pair)
    for partition, snapshot in found.items():
        assert snapshot.evidence.start == -1
        assert snapshot.evidence.figures.counts["matched"] == 3_001
        assert snapshot.evidence.drift.alarm_count > 0
        assert events(snapshot.evidence.tallies.metrics["shift"].counts) == 3_001
        assert encode(snapshot) == encode(expected[partition]), "positions, fold states, sums and alarms"


def test_live_view_metrics_health_and_stop(kafka: str, redis_url: str, unique: str, tmp_path: Path) -> None:
    """The view appears, survives Redis being emptied, and says what the evidence says; SIGTERM ends it at once."""
    client = redis.Redis.from_url(redis_url)
    key = liveview.key(unique)
    with pair_of_scorers(tmp_path, kafka, unique, redis_url) as (run, scorers):
        process = run.with_port(run.start("comparator"))
        scorers.answer(1_000)
        view = _full_view(redis_url, unique, 1_000)
        assert (view.live, view.pair, view.input) == ("blue", scorers.pair, f"{unique}-events")
        assert view.summary.matched == 3 * 1_001
        assert view.summary.coverage == 1.0
        assert 0 < view.summary.candidate.errors < 100
        assert view.summary.difference_mean == pytest.approx(0.025, abs=0.005)
        assert len(view.summary.worst) == 20
        assert 0 < int(client.ttl(key)) <= liveview.TTL_S

        client.delete(key)
        again = _full_view(redis_url, unique, 1_000)
        assert again.summary == view.summary

        run.say("promote")
        promoted = _full_view(redis_url, unique, 1_000, "green")
        assert promoted.pair == view.pair, "evidence goes on through a promote"
        assert promoted.summary.difference_mean == pytest.approx(-0.025, abs=0.005)

        health = process.health()
        assert health["ok"] is True
        assert health["redis"] == "ok"
        assert [health["partitions"][str(partition)]["compared"] for partition in range(PARTITIONS)] == [1_000] * 3
        with urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        assert 'streambg_evidence_events{partition="2",what="matched"} 1001.0' in metrics
        assert 'streambg_comparator_lag_records{color="blue",partition="0"} 0.0' in metrics
        _stops(process)
        assert min(snapshot.evidence.compared for snapshot in evidence(run).values()) == 1_000
    client.close()


def _full_view(url: str, name: str, upto: int, live: Color = "blue") -> liveview.LiveView:
    """The live view, once it shows every partition compared to this source offset."""

    def seen() -> liveview.LiveView | None:
        view = liveview.read_live_view(url, name)
        return view if view and list(view.compared.values()) == [upto] * PARTITIONS and view.live == live else None

    view = until(seen, 30, f"a live view to {upto} with {live} live")
    assert isinstance(view, liveview.LiveView)
    return view


def _stops(process: Process) -> None:
    """In 1.5 s for the reader and 1 s for the last snapshots; whoever waits for more first meets a flush's 5 s."""
    started = time.monotonic()
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(20) == 0, process.log.read_text()
    assert time.monotonic() - started < FLUSH_TIMEOUT_S


def test_P31_a_candidate_that_comes_later_is_compared_from_its_first_batch(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    """The comparator waits for it, then reads live's log back to the batch that covers the first `after`."""
    with pipeline(tmp_path, kafka, unique, partitions=PARTITIONS) as run:
        blue = run.say("deploy", "blue", "m:1", start="earliest").epoch
        process = run.with_port(run.start("comparator"))
        scorers = Scorers(run, Pair(blue, -1))
        scorers.answer(2_000, ("blue",))
        until(lambda: process.health()["ok"], 20, "the comparator reads")
        assert process.health()["partitions"] == {}
        first = run.say("deploy", "green", "m:2").epoch
        scorers = Scorers(run, Pair(blue, first), first_green=1_499)
        scorers.answer(1_700, ("green",))
        found = compared(run, 1_700)
        assert {snapshot.evidence.start for snapshot in found.values()} == {1_499}
        assert {snapshot.evidence.figures.counts["matched"] for snapshot in found.values()} == {201}

        # the next candidate: another pair, placed while the reader runs on
        second = run.say("deploy", "green", "m:1").epoch
        scorers = Scorers(run, Pair(blue, second), first_green=1_799)
        scorers.answer(1_900, ("green",))

        def of_the_second() -> list[Snapshot]:
            every = read_evidence(profiles.reader(run.pipeline, "test"), run.pipeline.topics.evidence)
            return [snapshot for snapshot in every if snapshot.evidence.pair.green == second]

        until(lambda: len(of_the_second()) == PARTITIONS, 30, "evidence of the second candidate")
        until(lambda: all(snapshot.evidence.compared == 1_900 for snapshot in of_the_second()), 30, "all of it")
        assert {snapshot.evidence.start for snapshot in of_the_second()} == {1_799}
        assert {snapshot.evidence.figures.counts["matched"] for snapshot in of_the_second()} == {101}
        assert process.health()["session_ended"] is None, "no session ended for it"


def test_P30_two_share_the_partitions_and_one_takes_over(kafka: str, unique: str, tmp_path: Path) -> None:
    with pair_of_scorers(tmp_path, kafka, unique) as (run, scorers):
        one = run.with_port(run.start("comparator", "--slot", "0"))
        two = run.with_port(run.start("comparator", "--slot", "1"))
        scorers.answer(500)
        until(lambda: one.health()["partitions"] and two.health()["partitions"], 30, "both have partitions")
        compared(run, 500)
        one.kill()
        scorers.answer(1_000)
        found = compared(run, 1_000)
        expected = uninterrupted(run, scorers.pair)
        assert {partition: encode(snapshot) for partition, snapshot in found.items()} == {
            partition: encode(snapshot) for partition, snapshot in expected.items()
        }


def test_faust_runs_the_app_and_a_second_one_in_its_slot_is_fenced(kafka: str, unique: str, tmp_path: Path) -> None:
    """`faust -A consumers.comparator worker`; the one that was there leaves with the exit code of Fenced."""
    with pair_of_scorers(tmp_path, kafka, unique) as (run, scorers):
        first = run.with_port(run.start("comparator"))
        scorers.answer(100)
        until(lambda: first.health()["partitions"], 30, "the first compares")
        second = _faust(tmp_path, {})
        run.processes.append(second)
        _find_port(second)
        assert first.popen.wait(30) == 7, first.log.read_text()
        scorers.answer(300)
        compared(run, 300)
        until(lambda: second.health()["ok"], 20, "the second compares")
        second.popen.terminate()
        assert second.popen.wait(20) == 0, second.log.read_text()


def test_P5_a_batch_of_a_newer_format_ends_the_process_with_the_way_out(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    with pair_of_scorers(tmp_path, kafka, unique) as (run, scorers):
        process = run.start("comparator")
        scorers.answer(100)
        compared(run, 100)
        scorers.raw("green", 1, b"no batch")
        scorers.raw("green", 1, msgspec.msgpack.encode([2, scorers.pair.green, 100, 110, False]))
        scorers.flush()
        assert process.popen.wait(30) == 9
        assert "upgrade this process first" in process.log.read_text()
        assert "not_a_batch" in process.log.read_text()


def test_without_a_broker_it_lives_says_so_and_still_stops(unique: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text((ROOT / "pipeline.yaml").read_text())
    away = {"STREAMBG_BOOTSTRAP": "127.0.0.1:1", "STREAMBG_REDIS": "redis://127.0.0.1:1/0"}
    process = _faust(tmp_path, away)
    try:
        _find_port(process)
        assert process.health()["ok"] is False
        until(lambda: "redis_down" in process.log.read_text(), 10, "what is said of Redis")
        until(lambda: process.health()["session_ended"], 30, "the end of a session")
        assert "the control log's end was not folded" in process.health()["session_ended"]
        _stops(process)
    finally:
        process.kill()


def _faust(folder: Path, more: Mapping[str, str]) -> Process:
    """`faust -A consumers.comparator worker`, as the README says it."""
    log = folder / "faust.log"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), **more}
    command = tied(str(Path(sys.executable).parent / "faust"), "-A", "consumers.comparator", "worker")
    with log.open("wb") as stream:
        # faust's banner goes to stdout
        popen = subprocess.Popen(command, cwd=folder, env=env, stderr=stream, stdout=subprocess.DEVNULL)
    return Process("faust", popen, log)


def _find_port(process: Process) -> None:
    Running.with_port(None, process)  # type: ignore[arg-type]  # it only reads the process's log


def test_evidence_whose_log_is_gone_starts_over(kafka: str, unique: str, tmp_path: Path) -> None:
    """Retention passed the read positions: new evidence begins where the log still reaches; nothing is guessed."""
    with pair_of_scorers(tmp_path, kafka, unique) as (run, scorers):
        process = run.start("comparator")
        scorers.answer(300)
        compared(run, 300)
        process.kill()
        scorers.answer(600)
        _delete_before_end(run)
        scorers.answer(900)
        run.start("comparator")
        found = compared(run, 900)
        assert "evidence_starts_over" in run.processes[-1].log.read_text()
    for snapshot in found.values():
        assert snapshot.evidence.start == 600
        assert snapshot.evidence.figures.counts["matched"] == 300


def test_P32_a_broker_that_is_killed_changes_no_bit(unique: str, tmp_path: Path) -> None:
    with (
        LocalKafka(tmp_path / "kafka") as broker,
        pair_of_scorers(tmp_path, broker.bootstrap, unique) as (run, scorers),
    ):
        process = run.with_port(run.start("comparator"))
        scorers.answer(400)
        compared(run, 400)
        broker.kill()
        broker.start()
        scorers.answer(2_000)
        found = compared(run, 2_000, 90)
        assert process.popen.poll() is None
        expected = uninterrupted(run, scorers.pair)
    assert {partition: encode(snapshot) for partition, snapshot in found.items()} == {
        partition: encode(snapshot) for partition, snapshot in expected.items()
    }


def _delete_before_end(run: Running) -> None:
    consumer = Consumer(dict(profiles.reader(run.pipeline, "test")))
    spots = []
    for color in COLORS:
        for partition in range(PARTITIONS):
            spot = TopicPartition(run.pipeline.topics.predictions(color), partition)
            spot.offset = consumer.get_watermark_offsets(spot, 10)[1]
            spots.append(spot)
    consumer.close()
    for future in run.admin.delete_records(spots).values():
        future.result(20)
