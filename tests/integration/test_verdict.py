"""`streambg verdict` on real topics: the words, the exit codes, the same over HTTP, and the numbers recomputed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import log
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from command_line import streambg
from confluent_kafka import Producer
from pairs import Answer, batch
from pipelines import Process, Running, pipeline
from waiting import until

from streambg.comparing.probe import Probe
from streambg.comparing.site import site_of
from streambg.deciding.bets import BETS, WEIGHTS
from streambg.errors import Refused
from streambg.kafka import profiles
from streambg.records.batch import decode
from streambg.records.batch import encode as encode_batch
from streambg.records.source import COLORS, Color

pytestmark = pytest.mark.integration

PARTITIONS = 2
METRICS = """
metrics:
  errors: {kind: error_rate, role: guardrail, margin: 2%}
  flips: {kind: flip_rate, role: guardrail, margin: 4%}
  odd: {kind: "test_metrics:high", role: diagnostic, labels: false, better: lower, range: [0, 1]}
"""
FUNCTION = """
def high(sheet):
    if (sheet.scores[:, 0] > 0.69).any():
        raise ValueError("too high to judge")
    return (sheet.scores[:, 0] > 0.5).astype(float)
"""


def blue_score(partition: int, offset: int) -> float | None:
    rng = random.Random(f"{partition}/{offset}")
    return None if rng.random() < 0.01 else rng.random() * 0.7


def like_blue(partition: int, offset: int) -> float | None:
    """Half a percent flips."""
    score = blue_score(partition, offset)
    return 1 - score if score is not None and random.Random(f"g{partition}/{offset}").random() < 0.005 else score


def failing(partition: int, offset: int) -> float | None:
    """A tenth of the events has no answer."""
    return None if random.Random(f"f{partition}/{offset}").random() < 0.1 else blue_score(partition, offset)


class Scoring:
    """Writes both colors' answers to the same events."""

    def __init__(self, run: Running) -> None:
        self._run = run
        self._producer = Producer(dict(profiles.idempotent_producer(run.pipeline, "test-scorer")))

    def answer(
        self, color: Color, deployment: int, after: int, upto: int, score: Callable[[int, int], float | None]
    ) -> None:
        for partition in range(PARTITIONS):
            for first in range(after, upto, 100):
                last = min(first + 100, upto)
                answers = {offset: Answer(score(partition, offset)) for offset in range(first + 1, last + 1)}
                made = encode_batch(batch(deployment, first, last, answers))
                self._producer.produce(self._run.pipeline.topics.predictions(color), made, None, partition)
        self._producer.flush(20)


@contextmanager
def compared(folder: Path, kafka: str, name: str, more: str = METRICS) -> Iterator[tuple[Running, Scoring, Process]]:
    (folder / "test_metrics.py").write_text(FUNCTION)
    with pipeline(folder, kafka, name, partitions=PARTITIONS, more=more) as run:
        policy = run.pipeline.registry / "registry.yaml"
        policy.write_text(policy.read_text().replace("test_models", "test_models, test_metrics"))
        yield run, Scoring(run), run.with_port(run.start("comparator"))


def verdict(run: Running, *options: str) -> tuple[int, Any]:
    done = streambg(run.folder, "verdict", *options, "--output", "json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def over_http(process: Process) -> tuple[int, Any]:
    try:
        with urlopen(f"http://127.0.0.1:{process.port}/verdict", timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as other:
        with other:
            return other.code, json.load(other)


def test_a_good_candidate_is_promoted_a_bad_one_aborted_and_silence_is_never_a_pass(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    with compared(tmp_path, kafka, unique) as (run, scoring, process):
        blue = run.say("deploy", "blue", "m:1", start="earliest").epoch
        nobody = streambg(run.folder, "verdict")
        assert nobody.returncode == 5
        assert "there is nobody to judge" in nobody.stderr
        green = run.say("deploy", "green", "m:2").epoch
        code, said = verdict(run)
        assert (code, said["word"]) == (11, "continue")
        assert said["reasons"]

        scoring.answer("blue", blue, -1, 1_500, blue_score)
        scoring.answer("green", green, -1, 1_500, like_blue)
        code, said = verdict(run, "--wait", "--timeout", "60s")
        assert (code, said["word"], said["candidate"], said["deployment"]) == (0, "promote", "green", green)
        until(lambda: over_http(process)[1].get("events") == 3_002, 20, "a verdict of everything")
        status, page = over_http(process)
        assert (status, page["word"]) == (200, "promote")
        recomputed(run, page)

        run.say("promote")
        code, said = verdict(run, "--wait", "--timeout", "4s")
        assert (code, said["word"], said["watched"]) == (11, "continue", True)
        scoring.answer("blue", blue, 1_500, 2_500, blue_score)
        scoring.answer("green", green, 1_500, 2_500, failing)
        code, said = verdict(run, "--wait", "--timeout", "60s")
        assert (code, said["word"], said["watched"]) == (10, "abort", True)
        assert said["reasons"][0].startswith("errors: evidence of recent harm ")
        run.say("rollback")

        # the next candidate harms at once; before that its silence holds everything up
        worse = run.say("deploy", "green", "m:1").epoch
        scoring.answer("blue", blue, 2_500, 2_600, blue_score)
        scoring.answer("green", worse, 2_500, 2_520, failing)
        until(lambda: over_http(process)[1].get("deployment") == worse, 30, "a verdict of the next candidate")
        until(lambda: "owes answers" in str(over_http(process)[1].get("reasons")), 30, "what it owes")
        scoring.answer("green", worse, 2_520, 3_500, failing)
        scoring.answer("blue", blue, 2_600, 3_500, blue_score)
        code, said = verdict(run, "--wait", "--timeout", "60s")
        assert (code, said["word"], said["deployment"]) == (10, "abort", worse)
        assert over_http(process)[0] == 503
        text = streambg(run.folder, "verdict")
        assert text.returncode == 10
        assert text.stdout.startswith("abort: green m:1 against blue m:1, ")
        not_by_hand(run)
        aborted_stays_aborted(run, process, worse)


def not_by_hand(run: Running) -> None:
    """What the verdict calls harmful gets no more weight from a person who does not say that it shall."""
    for words in (("shift", "10%"), ("promote",)):
        refused = streambg(run.folder, *words)
        assert refused.returncode == 5
        assert "green m:1 harms: the verdict is abort: errors: harm beyond 1 point, " in refused.stderr
        assert f"streambg {words[0]}{' 10' if words[1:] else ''} --force --reason" in refused.stderr
    status = json.loads(streambg(run.folder, "status", "--output", "json").stdout)
    assert status["verdict"]["word"] == "abort"
    assert status["attention"][0].startswith("the verdict is abort: errors: harm beyond 1 point, ")
    forced = streambg(run.folder, "shift", "10%", "--force", "--reason", "a test of harm")
    assert forced.returncode == 0, forced.stderr
    assert streambg(run.folder, "shift", "0").returncode == 0, "less of it is always allowed"


def aborted_stays_aborted(run: Running, process: Process, candidate: int) -> None:
    assert streambg(run.folder, "abort", "--reason", "too many errors").returncode == 0
    code, said = verdict(run, "--wait")
    assert (code, said["word"], said["deployment"]) == (10, "abort", candidate)
    assert said["reasons"][0].startswith("aborted by ")
    assert said["reasons"][0].endswith(": too many errors")
    until(lambda: over_http(process)[1]["reasons"] == said["reasons"], 10, "the same over HTTP")
    assert over_http(process)[0] == 503


def test_P4_a_candidate_is_held_against_the_noise_of_live_against_itself(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    """Without an A/A phase a candidate is refused; its deploy carries what was measured, the verdict goes by it."""
    with compared(tmp_path, kafka, unique, METRICS + "aa: {events: 3000}\n") as (run, scoring, process):
        blue = run.say("deploy", "blue", "m:1", start="earliest").epoch
        with pytest.raises(Refused, match="m:1 was seen against itself on 0 events, 3,000 are needed"):
            run.say("deploy", "green", "m:2")
        second = run.say("deploy", "green", "m:1").epoch
        scoring.answer("blue", blue, -1, 1_500, blue_score)
        scoring.answer("green", second, -1, 1_500, like_blue)
        _, said = verdict(run, "--wait", "--timeout", "20s")
        until(lambda: verdict(run)[1].get("events") == 3_002, 20, "a verdict of everything")
        noise = verdict(run)[1]["noise"]
        assert said["deployment"] == second
        assert 0.005 < noise["flips"] < 0.02

        green = run.say("deploy", "green", "m:2").epoch
        with run.control() as client:
            state = client.state()
        assert state.noise is not None
        assert (state.noise.events, dict(state.noise.floors)) == (3_002, noise)
        scoring.answer("blue", blue, 1_500, 2_500, blue_score)
        scoring.answer("green", green, 1_500, 2_500, like_blue)
        until(lambda: over_http(process)[1].get("deployment") == green, 30, "a verdict of the candidate")
        until(lambda: over_http(process)[1].get("events") == 2_000, 30, "of everything")
        flips = next(test for test in over_http(process)[1]["tests"] if test["metric"] == "flips")
        differ, margin = round(-flips["mean"] * flips["events"]), 0.04 + noise["flips"]
        gains = [(flips["events"] - differ) * np.log1p(bet * margin / (1 - margin)) for bet in BETS]
        losses = [differ * np.log1p(-bet) for bet in BETS]
        expected = float(np.logaddexp.reduce(np.log(WEIGHTS) + np.array(gains) + np.array(losses)))
        assert flips["log_good"] == pytest.approx(expected, abs=0.02)


def recomputed(run: Running, page: dict[str, Any]) -> None:
    """The page's numbers, from the raw topics by the definitions."""
    scores: dict[Color, dict[tuple[int, int], float | None]] = {color: {} for color in COLORS}
    probe = Probe(site_of(run.pipeline, 9).reader)
    try:
        for color in COLORS:
            topic = run.pipeline.topics.predictions(color)
            for partition in range(PARTITIONS):
                for at in range(*probe.range(topic, partition)):
                    made = decode(probe.record(topic, partition, at))
                    for offset, status, score in zip(made.offsets, made.statuses, made.scores[:, 0], strict=True):
                        scores[color][partition, int(offset)] = None if status else float(score)
    finally:
        probe.close()
    both = sorted(scores["blue"].keys() & scores["green"].keys())
    pairs = [(scores["blue"][at], scores["green"][at]) for at in both]
    errors = [(left is None) - (right is None) for left, right in pairs]
    flips = [
        -int((left is None) != (right is None) or (left or 0) // 0.5 != (right or 0) // 0.5) for left, right in pairs
    ]
    assert page["events"] == len(both)
    tests = {test["metric"]: test for test in page["tests"]}
    assert set(tests) == {"errors", "flips"}
    for name, differences, margin in (("errors", errors, 0.02), ("flips", flips, 0.04)):
        test = tests[name]
        assert test["events"] == len(differences)
        assert test["mean"] == pytest.approx(float(np.mean(differences)))
        wealth = [np.sum(np.log1p(bet * (np.array(differences) + margin) / (1 - margin))) for bet in BETS]
        expected = float(np.logaddexp.reduce(np.log(WEIGHTS) + np.array(wealth)))
        assert test["log_good"] == pytest.approx(expected, abs=0.02)
        assert test["needed_good"] == pytest.approx(log(2 / 0.05))


def test_a_function_that_may_not_be_imported_ends_the_comparator_with_the_way_out(
    kafka: str, unique: str, tmp_path: Path
) -> None:
    (tmp_path / "test_metrics.py").write_text(FUNCTION)
    with pipeline(tmp_path, kafka, unique, partitions=PARTITIONS, more=METRICS) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.say("deploy", "green", "m:2")
        process = run.start("comparator")
        assert process.popen.wait(60) == 15
        assert "the metric's module test_metrics is not on the allow-list" in process.log.read_text()
