"""The rollout controller on a real broker: a plan alone promotes the good and takes the bad back, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from checkout import Verb
from pipelines import Process, Running, pipeline
from typer.testing import CliRunner, Result
from waiting import until

from streambg.cli.main import build
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.control.rollouts import Rollout, Stage
from streambg.control.state import ControlState, Phase
from streambg.control.verbs import Said
from streambg.rollout import standing
from streambg.rollout import verbs as rollouts

pytestmark = pytest.mark.integration

# Enough for `errors` at a margin of 10 % (some 70 events) and small enough to be fed within a second.
PLAN = """
metrics:
  errors: {kind: error_rate, role: guardrail, margin: 10%}
  flips: {kind: flip_rate, role: guardrail, margin: 60%}
rollout:
  coverage: {rows: 90%}
  steps:
    - {weight: 0, events: 300, within: 10m, gates: [errors]}
    - {weight: 20, events: 300, within: 10m, gates: all}
    - promote
  after_promotion: {watch: 3s, keep_warm: 4s}
"""
# Numbers of events that are fed only on purpose.
TURNS_BAD = 1_000_000_000


@contextmanager
def feeding(run: Running) -> Iterator[None]:
    """Some hundred events a second, in the background."""
    done = threading.Event()

    def feed() -> None:
        while not done.wait(0.05):
            run.feed(30)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def state(run: Running) -> ControlState:
    with run.control() as control:
        return control.state()


def rollout(run: Running) -> Rollout:
    found = state(run).rollout
    assert found is not None
    return found


def begin(run: Running) -> None:
    with run.control() as control:
        rollouts.start(control, run.pipeline, Said("test", "a test")).or_raise()


def entries(run: Running) -> list[Entry]:
    return verbs.entries(run.pipeline)


def by_controller(run: Running) -> list[str]:
    return [
        entry.envelope.verb
        for entry in entries(run)
        if entry.envelope is not None and entry.accepted and entry.envelope.actor == "rollout controller"
    ]


def last_reason(run: Running) -> str:
    """Of the last command that the controller sent."""
    envelopes = [entry.envelope for entry in entries(run) if entry.accepted and entry.envelope is not None]
    return [each.reason for each in envelopes if each.actor == "rollout controller"][-1]


class KeptUp:
    """A process that is started again whenever it ended: asked in the main thread, which its lives are tied to."""

    def __init__(self, run: Running, process: Process) -> None:
        self._run, self._life = run, process

    def until(self, condition: Callable[[Rollout], bool]) -> Callable[[Rollout], bool]:
        def asked(now: Rollout) -> bool:
            if self._life.popen.poll() is not None:
                self._life = self._run.again(self._life)
            return condition(now)

        return asked


def cli(run: Running, *words: str) -> Result:
    return CliRunner().invoke(build(()), [*words, "-p", str(run.pipeline.file)])


def reaches(run: Running, condition: Callable[[Rollout], bool], what: str) -> Rollout:
    with run.control() as control:  # the same client for every look: one that starts reads the log anew

        def found() -> Rollout | None:
            now = control.state().rollout
            assert now is not None
            return now if condition(now) else None

        reached = until(found, 60, what)
    assert reached is not None
    return reached


@contextmanager
def pipeline_with(
    kafka: str, redis_url: str, folder: Path, name: str, more: str = PLAN, **candidate: Any
) -> Iterator[Running]:
    """blue m:1 is live, green m:9 the candidate; every process runs."""
    with pipeline(folder, kafka, f"{name}-{os.getpid()}", redis=redis_url, more=more) as run:
        run.model("9", **{"bias": 0.1, **candidate})
        run.say("deploy", "blue", "m:1", start="earliest")
        run.say("deploy", "green", "m:9")
        run.scorers()
        run.start("publisher")
        run.start("comparator")
        yield run


def test_a_good_candidate_is_promoted_by_the_plan_alone_whoever_is_killed(
    kafka: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two controllers, one of them killed; the comparator killed: the same way to the end, and every event answered."""
    monkeypatch.setattr(standing, "OVERDUE_S", 1.0)
    with pipeline_with(kafka, redis_url, tmp_path, "rolling") as run:
        with feeding(run):
            begin(run)
            nobody = "for 1 s and more: does a controller run?"
            until(lambda: nobody in cli(run, "rollout", "status").stdout, 60, "nobody does what is next")
            a_watch_that_is_left(run)
            controllers = [run.start("controller"), run.start("controller")]
            reaches(run, lambda now: now.step == 1, "the second step")
            controllers[0].kill()
            comparator = next(process for process in run.processes if process.name == "comparator")
            comparator.kill()
            run.start("comparator")
            reaches(run, lambda now: now.stage is Stage.DONE, "the old color is retired")
        assert by_controller(run) == ["rollout-advance", "rollout-advance", "rollout-keep", "rollout-retire"]
        now = state(run)
        assert (now.live, now.phase) == ("green", Phase.ALONE)
        advances = [entry for entry in entries(run) if entry.envelope and entry.envelope.verb == "rollout-advance"]
        for entry in advances:
            assert entry.envelope is not None
            if entry.accepted:
                assert entry.envelope.args["evidence"].startswith("sha256:")
                assert "errors: evidence " in entry.envelope.reason
                before = [each.offset for each in entries(run) if each.accepted and each.offset < entry.offset]
                assert entry.envelope.expected_epoch == before[-1], "decided on what was in force (P1)"
        rows = json.loads(cli(run, "rollout", "history", "--output", "json").stdout)
        assert [row["verb"] for row in rows if row["accepted"]] == ["start", "advance", "advance", "keep", "retire"]
        done = cli(run, "rollout", "status", "--watch", "--output", "json")
        assert done.exit_code == 0
        assert json.loads(done.stdout)["stage"] == "done"
        run.drained()
        run.expect_exactly_once()


def a_watch_that_is_left(run: Running) -> None:
    """Ctrl-C of --watch ends nothing but the watch, and says so."""
    watch = Verb(run.folder, "rollout", "status", "--watch", merged=True)
    watch.says(" now ")
    watch.process.send_signal(signal.SIGINT)
    assert watch.end(30) == 130
    assert "The rollout goes on; `streambg rollout stop` ends it." in watch.said
    assert rollout(run).active


def test_a_bad_candidate_is_aborted_and_one_that_says_nothing_is_held(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    plan = PLAN.replace("within: 10m, gates: [errors]", "within: 8s, gates: [errors]")
    plan = plan.replace("weight: 20, events: 300", "weight: 20, events: 1000000")  # a person comes first
    with pipeline_with(kafka, redis_url, tmp_path, "harmful", plan, fails_from=600) as run:
        run.start("controller")
        with feeding(run):
            begin(run)
            ended = reaches(run, lambda now: not now.active, "harm is found")
            assert ended.stage is Stage.ABORTED
            assert state(run).phase is Phase.ABORTED
            [said] = [entry for entry in entries(run) if entry.envelope and entry.envelope.verb == "rollout-abort"]
            assert said.envelope is not None
            assert "errors: harm" in said.envelope.reason
            watched = cli(run, "rollout", "status", "--watch")
            assert watched.exit_code == 10
            assert "aborted by rollout controller: errors: harm" in watched.stdout
            late = cli(run, "verdict", "--output", "json")
            assert late.exit_code == 10, "asked after the abort it is still the verdict that CI waits for"
            assert json.loads(late.stdout)["reasons"] == [f"aborted by rollout controller: {said.envelope.reason}"]

            # another candidate, whose scorer is stopped: nobody can know
            run.model("8", bias=0.1)
            run.say("deploy", "green", "m:8")
            green = next(process for process in run.processes if "green" in process.name)
            os.kill(green.popen.pid, signal.SIGSTOP)
            try:
                begin(run)
                held = reaches(run, lambda now: now.stage is Stage.HELD, "held")
            finally:
                os.kill(green.popen.pid, signal.SIGCONT)
            assert held.step == 0
            assert cli(run, "rollout", "status", "--watch").exit_code == 12
            assert cli(run, "rollout", "approve", "--reason", "it answers again").exit_code == 0
            reaches(run, lambda now: now.step == 1, "it goes on")
            # a person takes over in the middle
            run.say("abort")
            assert rollout(run).stage is Stage.TAKEN_OVER
            assert "taken over by test (abort): a test" in cli(run, "rollout", "status").stdout

            # one whose code ends the process; what keeps processes up starts it again
            run.model("7", bias=0.1, dies_from=run.sent + 100)
            run.say("deploy", "green", "m:7")
            begin(run)
            scorer = KeptUp(run, green)
            loop = reaches(run, scorer.until(lambda now: not now.active), "the crash loop is noticed")
            assert loop.stage is Stage.ABORTED
            assert "crash loop: 5 starts of the candidate's scorers" in last_reason(run)

            # and one whose bytes are others than those that were deployed
            run.model("6", bias=0.1)
            run.say("deploy", "green", "m:6")
            artifact = run.pipeline.registry / "m" / "6" / "params.json"
            artifact.unlink()
            artifact.write_text('{"bias": 9}')
            begin(run)
            exchanged = reaches(run, scorer.until(lambda now: not now.active), "the mismatch is noticed")
            assert exchanged.stage is Stage.ABORTED
            assert "digest mismatch: m:6" in last_reason(run)
        run.drained()
        run.expect_exactly_once()


def test_harm_after_the_promote_is_rolled_back(kafka: str, redis_url: str, tmp_path: Path) -> None:
    plan = PLAN.replace("watch: 3s, keep_warm: 4s", "watch: 10m, keep_warm: 1h")
    with pipeline_with(kafka, redis_url, tmp_path, "relapse", plan, fails_from=TURNS_BAD) as run:
        run.start("controller")
        with feeding(run):
            begin(run)
            reaches(run, lambda now: now.stage is Stage.WATCHING, "promoted")
            assert state(run).live == "green"
            run.first_id = TURNS_BAD
            ended = reaches(run, lambda now: not now.active, "harm is found")
            assert ended.stage is Stage.ROLLED_BACK
            assert state(run).live == "blue"
        run.drained()
        run.expect_exactly_once()


def test_what_cannot_begin_says_why(kafka: str, tmp_path: Path) -> None:
    with pipeline(tmp_path, kafka, f"nothing-{os.getpid()}") as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        refused = cli(run, "rollout", "start")
        assert "has no rollout plan" in str(refused.exception)
        assert "no rollout is under way" in str(cli(run, "rollout", "skip").exception)
        assert json.loads(cli(run, "rollout", "status", "--output", "json").stdout)["rollout"] is None
        (run.folder / "pipeline.yaml").write_text((run.folder / "pipeline.yaml").read_text() + PLAN)
        assert "there is no candidate" in str(cli(run, "rollout", "start").exception)
        run.say("deploy", "green", "m:2")
        other = cli(run, "rollout", "start")
        assert "are not those that m:2 was deployed with" in str(other.exception)
