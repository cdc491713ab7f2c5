"""From the registry to live on the reference pipeline, by the scripts of examples/cicd (issue: validate, Shows 2)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from checkout import REPOSITORY, Verb, environment
from endings import tied
from ruamel.yaml import YAML
from shuttle_live import Shuttle, published, shuttle
from waiting import until

from streambg.control import verbs
from streambg.control.rollouts import Stage
from streambg.control.sender import Sent
from streambg.control.state import ControlState, Phase
from streambg.control.verbs import Said
from streambg.demo.data import load_rows
from streambg.demo.stories import Learner
from streambg.demo.train import learn, register

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

EXAMPLES = REPOSITORY / "examples" / "cicd"
LIVE, WORSE, HARMFUL = range(3)
BASH = shutil.which("bash") or "bash"
# All that runs here shares the machine with other tests, and a stream costs its processor for as long as it lasts.
RATE = 400
# Of history: 3,200 events, and what comes until the replay has started. At 4,200 the worse model's harm has an e-value
# over a million, where 200 are needed.
LAST = "8s"
PUBLISHED = 2_500
# A tree that learnt so many of the newest events is as good as live; one that learnt 3,000 is 6 points worse.
LEARNT = 10_000


@pytest.fixture(scope="module")
def shop(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shuttle]:
    folder = tmp_path_factory.mktemp("cicd")
    learners: tuple[Learner, ...] = ("tree of both", "noisy tree", "tree swapped after the shift")
    with shuttle(folder, kafka, redis_url, f"cicd-{os.getpid()}", learners, rate=RATE) as running:
        published(running, PUBLISHED)
        try:
            yield running
        finally:
            for job in Job.started:
                job.kill()


def state(shop: Shuttle) -> ControlState:
    with verbs.client(shop.pipeline) as control:
        return control.state()


class Job:
    """A script as a CI server runs it, in the pipeline's folder; its reports are in a folder of their own."""

    started: ClassVar[list[Job]] = []

    def __init__(self, shop: Shuttle, *words: str, **more: str) -> None:
        self.reports = shop.folder / f"reports-{datetime.now(UTC):%H%M%S%f}"
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        given = {"PATH": path, "REPORTS": str(self.reports), "LAST": LAST, "TIMEOUT": "3m", "COLUMNS": "200"}
        self._log = shop.folder / f"{self.reports.name}.log"
        with self._log.open("wb") as stream:
            self.popen = subprocess.Popen(
                tied(*words),
                cwd=shop.folder,
                env=environment(**{**given, **shop.environment, **more}),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.started.append(self)

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def ends(self, code: int, timeout: float = 180) -> None:
        try:
            found = self.popen.wait(timeout)
        finally:
            self.kill()
        assert found == code, self.said

    def kill(self) -> None:
        """The script and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(20)

    def gates(self, file: str) -> dict[str, str]:
        """Test case -> `passed`, or the element that says otherwise."""
        root = ET.parse(self.reports / file).getroot()
        return {
            case.attrib["name"]: next((child.tag for child in case if child.tag != "system-out"), "passed")
            for case in root.iter("testcase")
        }


def promote(shop: Shuttle, ref: str) -> Job:
    return Job(shop, BASH, str(EXAMPLES / "promote.sh"), ref)


def ended(verb: Verb, code: int) -> Verb:
    assert verb.end(180) == code, "\n".join(verb.said)
    return verb


def test_a_bad_model_is_stopped_by_the_replay(shop: Shuttle) -> None:
    before = state(shop).epoch
    job = promote(shop, shop.models[WORSE])
    job.ends(10)
    assert state(shop).epoch == before, "it never came near the pipeline"
    found = job.gates("validate.xml")
    assert found["metric correct"] == "failure"
    assert found["verdict"] == "failure"
    assert (job.reports / "summary.md").read_text().startswith(f"### {shop.models[WORSE]}: abort")
    assert not (job.reports / "deploy.xml").exists()
    [report] = (job.reports / "replays").glob("*/report.json")
    assert json.loads(report.read_text())["models"][0]["verdict"]["word"] == "abort"


def test_one_whose_harm_shows_only_live_is_stopped_by_the_rollout(shop: Shuttle) -> None:
    job = promote(shop, shop.models[HARMFUL])
    try:
        until(lambda: state(shop).phase is Phase.CANDIDATE or job.popen.poll() is not None, 120, "a candidate")
        shop.stream.turned = True
        job.ends(10)
    finally:
        shop.stream.turned = False
    assert set(job.gates("validate.xml").values()) <= {"passed", "skipped"}
    found = job.gates("deploy.xml")
    assert "failure" in (found["step 1 at 0 %"], found["step 2 at 20 %"])
    now = state(shop)
    assert (now.phase, now.live) == (Phase.ABORTED, "blue")
    assert "what was begun" not in job.said


def test_a_good_model_retrained_on_what_was_recorded_ends_live(shop: Shuttle) -> None:
    """And meanwhile who calls for the same model joins; afterwards the way back is kept (P2)."""
    # of the stream as it is: a tree that learns from a turned one, too, is 3 points worse
    published(shop, max(0, shop.stream.last_turned + 1 + LEARNT - shop.sender.sent), 120)
    job = Job(shop, sys.executable, str(EXAMPLES / "retrain.py"), "--events", str(LEARNT))

    def rolling() -> bool:
        now = state(shop)
        return job.popen.poll() is not None or (now.rollout is not None and now.rollout.stage is Stage.RUNNING)

    until(rolling, 120, "a rollout")
    assert job.popen.poll() is None, job.said
    begun = paused(shop)
    assert begun.other_deployment is not None, job.said
    ref = begun.other_deployment.model
    joins, leaves = (shop.verb("ci", "deploy", ref, "--wait", "--output", "json") for _ in range(2))
    leaves.says("joined:")
    leaves.process.send_signal(signal.SIGINT)
    ended(leaves, 130)
    assert any("what was begun goes on. Join it:" in line for line in leaves.said)
    joins.says("joined:")
    say(shop, "resume")
    told = ended(joins, 0).json()
    assert (told["outcome"], told["how"], told["rollout"]) == ("live", "joined", begun.rollout and begun.rollout.id)
    assert [step["how"] for step in told["steps"]] == ["passed"] * 3
    job.ends(0)
    assert set(job.gates("deploy.xml").values()) == {"passed"}
    now = state(shop)
    assert now.live_deployment is not None
    assert now.live_deployment.model == ref
    kept = ended(shop.verb("ci", "deploy", shop.models[LIVE], "--wait", "--timeout", "3s", "--output", "json"), 5)
    assert "kept for a rollback" in kept.json()["reasons"][0]
    assert any("waits: blue is kept for a rollback" in line for line in kept.said)


def paused(shop: Shuttle) -> ControlState:
    """In the middle of a rollout, whatever the controller does at the same moment."""
    until(lambda: say(shop, "pause").accepted, 30, "pause")
    found = state(shop)
    assert found.rollout is not None
    assert found.rollout.stage is Stage.RUNNING
    return found


def say(shop: Shuttle, verb: Literal["pause", "resume", "abort"]) -> Sent:
    with verbs.client(shop.pipeline) as control:
        return verbs.plain(control, verb, Said("test"))


def test_the_watcher_waits_for_the_slot_tries_the_newest_once_and_says_so_in_the_log(shop: Shuttle) -> None:
    """And a watcher that starts after it knows what was tried."""
    rows = load_rows()[:1_000]
    learnt = [learn("tree", rows), learn("logistic", rows)]
    older, newest = (each.ref for each in register(shop.pipeline.registry, learnt, datetime.now(UTC)))
    watcher = Verb(shop.folder, "watch-registry", "--interval", "1s", merged=True, **shop.environment)
    try:
        assert "blue is kept for a rollback" in watcher.says(f" waits {newest}: ")
        with verbs.client(shop.pipeline) as control:
            verbs.retire(control, "blue", Said("test")).or_raise()
        watcher.says(f" deployed {newest}: ")
        watcher.says(" nothing: ")
    finally:
        watcher.process.send_signal(signal.SIGINT)
        watcher.end()
    said = [entry.envelope for entry in verbs.entries(shop.pipeline) if entry.envelope is not None]
    ours = [(each.verb, each.reason) for each in said if each.actor == "watch-registry"]
    why = f"{newest} is new in the registry; older ones are skipped: {older}"
    assert ours == [("deploy", why), ("rollout-start", why)]
    until(lambda: say(shop, "abort").accepted, 30, "abort")
    again = ended(shop.verb("watch-registry", "--once", "--output", "json"), 0).json()
    assert again["did"] == "nothing"
    assert "not again" in again["why"]


# -- the workflow -----------------------------------------------------------------------------------------------------


def steps(shop: Shuttle, ref: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(name, script) of each `run` step, and the job's environment, as a runner would have them."""
    document = YAML(typ="safe").load((EXAMPLES / "github-actions.yml").read_text())
    known = {
        "inputs.model": ref,
        "github.actor": "ada",
        **{f"secrets.{name}": text for name, text in shop.environment.items()},
    }
    [job] = document["jobs"].values()
    return [(step["name"], step["run"]) for step in job["steps"] if "run" in step], expanded(job["env"], known)


def expanded(variables: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    return {name: re.sub(r"\$\{\{ (\S+) \}\}", lambda found: known[found[1]], text) for name, text in variables.items()}


def test_the_workflows_steps_do_what_they_say(shop: Shuttle) -> None:
    """For the model that is live: history reproduces what it published, and nothing is left to deploy."""
    live = state(shop).live_deployment
    assert live is not None
    (shop.folder / "requirements.txt").write_text("")
    # the runner's python: one that has pip, whoever made ours; streambg itself is installed already
    venv.create(shop.folder / "runner", with_pip=True)
    path = os.pathsep.join([str(shop.folder / "runner" / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    summary = shop.folder / "step-summary.md"
    scripts, given = steps(shop, live.model)
    assert [name for name, _ in scripts] == ["install", "validate on history", "deploy and wait"]
    assert all("${{" not in script for _, script in scripts), "what somebody types is no part of a script"
    assert given["STREAMBG_ACTOR"] == "github ada"
    more = {**given, "LAST": LAST, "GITHUB_STEP_SUMMARY": str(summary), "PATH": path, "PIP_NO_INDEX": "1"}
    for _, script in scripts:
        Job(shop, BASH, "-e", "-c", script, **more).ends(0)
    assert summary.read_text().startswith(f"### {live.model}: promote")
    found = ET.parse(shop.folder / "reports" / "validate.xml").getroot()
    [proof] = [case for case in found.iter("testcase") if case.attrib["name"] == "replay reproduces production"]
    assert [child.tag for child in proof] == ["system-out"], "passed"
    assert ", 0 different" in (proof[0].text or "")
    assert ET.parse(shop.folder / "reports" / "deploy.xml").getroot().attrib["failures"] == "0"
