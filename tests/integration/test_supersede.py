"""P36 on a real broker: after a bad promotion the other color's stored answers go out, for exactly that range."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import raw_topics
from pipelines import Process, Running, pipeline
from raw_topics import Raw
from typer.testing import CliRunner, Result
from waiting import until

from streambg import audit
from streambg.cli.main import build
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.kafka.positions import read_scored
from streambg.looking.collect import Scenery
from streambg.looking.event import as_json
from streambg.process.crash import EXIT_CODE, VARIABLE
from streambg.records.outcome import Outcome
from streambg.records.source import Source

pytestmark = pytest.mark.integration

# Blue raises at each hundred's 70th event: number 70 becomes a dead letter although green, at weight 0, has answered;
# number 170 is published by green, and blue has no answer to put in its place.
RAISES_AT = 70


Spot = tuple[int, int]


@dataclass
class World:
    """Blue was live, green was promoted, a person went back to blue. raw: the topics then."""

    run: Running
    publisher: Process
    promoted: int
    back: int
    raw: Raw

    def cli(self, *words: str) -> Result:
        return CliRunner().invoke(build(("supersede",)), ["supersede", *words, "-p", str(self.run.pipeline.file)])

    def answer(self, *words: str) -> Any:
        done = self.cli(*words, "--output", "json")
        assert done.exit_code == 0, done.exception
        return json.loads(done.stdout)

    def refused(self, code: int, *words: str) -> str:
        done = self.cli(*words)
        assert isinstance(done.exception, StreambgError), (words, done.output, done.exception)
        assert done.exception.exit_code == code
        return str(done.exception)

    def bad(self) -> set[Spot]:
        """What went out while green was live."""
        return {spot for spot, came in self.raw.came.items() if came.epoch == self.promoted}

    def stored(self, color: str) -> dict[Spot, bytes]:
        return {
            (number, offset): value
            for (name, number), batches in self.raw.batches.items()
            for batch in batches
            for offset, (ok, value) in batch.rows.items()
            if name == color and ok
        }

    def known(self) -> dict[Spot, tuple[Outcome, bytes]]:
        """What a reader has who keeps the last record of each event."""
        read = self.run.read()
        return {
            (outcome.source.partition, outcome.source.offset): (outcome, value)
            for outcome, value in zip(read.outcomes, read.values, strict=True)
        }

    def audited(self, superseding: int) -> None:
        report = audit.run(self.run.pipeline)
        assert report.ok, report.to_json()
        assert report.supersedes == superseding


@pytest.fixture(scope="module")
def world(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("supersede")
    name = f"supersede-{os.getpid()}"
    with pipeline(folder, kafka, name, partitions=2, params={"1": {"raises_at": RAISES_AT}}) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.scorers()
        publisher = run.start("publisher")
        run.feed(60)
        run.drained()
        deployed = run.say("deploy", "green", "m:2").epoch
        until(lambda: _seeded(run, deployed), 30, "green is seeded")
        run.feed(60)
        run.drained()
        promoted = run.say("promote").epoch
        run.in_force(publisher, promoted)
        run.feed(80)
        run.drained()
        back = run.say("rollback").epoch
        run.in_force(publisher, back)
        run.feed(40)
        run.drained()
        yield World(run, publisher, promoted, back, raw_topics.read(kafka, name, 2))


def _seeded(run: Running, deployment: int) -> bool:
    """Green answers every event from now on (P11)."""
    config, reader = run.pipeline, profiles.reader(run.pipeline, "test")
    found = read_scored(reader, config.groups.scorer("green"), config.topics.input, range(run.partitions), deployment)
    return len(found) == run.partitions


def test_P36_without_yes_it_says_what_would_change_and_nothing_changes(world: World) -> None:
    said = world.answer("--color", "blue", "--epoch", str(world.promoted))
    assert (said["color"], said["deployment"], said["epoch"], said["done"]) == ("blue", 0, None, False)
    bad, stored = world.bad(), world.stored("blue")
    there = [spot for spot in bad if spot in stored]
    total = {name: sum(each[name] for each in said["ranges"]) for name in ("outcomes", "written", "differ", "errors")}
    assert total == {"outcomes": len(bad), "written": len(there), "differ": len(there), "errors": len(bad) - len(there)}
    assert len(bad) - len(there) == 1, "number 170"
    assert {(each["partition"], each["first"], each["last"]) for each in said["ranges"]} == {
        (number, min(o for n, o in bad if n == number), max(o for n, o in bad if n == number)) for number in (0, 1)
    }
    assert raw_topics.read(world.run.pipeline.kafka.bootstrap, world.run.pipeline.name, 2) == world.raw


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--color", "blue"), 2, "one of --range, --epoch, --since-cutover"),
        (("--color", "red", "--epoch", "2"), 2, "'red' is no color"),
        (("--color", "blue", "--range", "0@1-2"), 2, "is no range of"),
        (("--color", "blue", "--epoch", "99"), 5, "nothing was published under epoch 99"),
        (("--color", "green", "--epoch", "0"), 5, "nothing stood in green"),
        (("--color", "blue", "--epoch", "2", "--yes"), 2, "needs a --reason"),
        (("--color", "blue", "--deployment", "7", "--epoch", "2"), 5, "never had a deployment 7"),
    ],
)
def test_what_cannot_be_meant_is_refused(world: World, words: tuple[str, ...], code: int, told: str) -> None:
    assert told in world.refused(code, *words)


def test_what_is_not_settled_or_too_much_is_refused(world: World) -> None:
    topic, end = world.run.pipeline.topics.input, world.run.ends[1]
    beyond = world.refused(5, "--color", "blue", "--range", f"{topic}/1@3-{end + 4}")
    assert f"settled is {end - 1}" in beyond
    assert f"{topic}/1@{end - 1}" in beyond
    twice = ("--range", f"{topic}/1@3-9", "--range", f"{topic}/1@9")
    assert "overlap" in world.refused(5, "--color", "blue", *twice)


def test_P36_killed_in_the_middle_each_is_superseded_once_and_a_keyed_reader_has_blues_answers(world: World) -> None:
    """Shows 4: the first try dies with its records written and not committed, the second one behind a commit."""
    run = world.run
    before, bad, stored = world.known(), world.bad(), world.stored("blue")
    world.publisher.popen.terminate()
    world.publisher.popen.wait(20)
    words = ["--color", "blue", "--epoch", str(world.promoted), "--reason", "m:2 was wrong", "--yes"]
    asked = subprocess.Popen(
        [sys.executable, "-m", "streambg", "supersede", *words], cwd=run.folder, stdout=subprocess.PIPE, text=True
    )
    for site in ("before-commit:2", "after-commit:2"):
        dying = run.start("publisher", environment={VARIABLE: site})
        until(lambda one=dying: one.popen.poll() is not None, 40, f"it dies {site}")  # type: ignore[misc] # bound now
        assert dying.popen.returncode == EXIT_CODE
    world.publisher = run.start("publisher")
    told, _ = asked.communicate(timeout=60)
    assert asked.returncode == 0, told
    assert "done" in told
    run.feed(20)
    run.drained()

    after = world.known()
    fresh = after.keys() - before.keys()
    assert len(fresh) == 20
    changed = {spot for spot in before if after[spot] != before[spot]}
    assert changed == {spot for spot in bad if spot in stored}
    for spot in changed:
        outcome, value = after[spot]
        assert (outcome.color, outcome.model, outcome.why, value) == ("blue", "m:1", "supersedes", stored[spot])
        assert outcome.epoch > world.back
        assert before[spot][1] != value
    world.audited(len(changed))


def test_P36_the_same_request_again_is_done_already(world: World) -> None:
    words = ("--color", "blue", "--epoch", str(world.promoted), "--reason", "again", "--yes")
    said = world.answer(*words)
    assert (said["already"], said["done"], len(said["commands"])) == (True, True, 1)
    assert said["commands"][0]["records"] == len(world.bad()) - 1
    topic = world.run.pipeline.topics.input
    part = min(offset for number, offset in world.bad() if number == 0)
    said = world.answer("--color", "blue", "--range", f"{topic}/0@{part}-{part + 5}")
    assert (said["already"], said["done"]) == (True, True)
    world.audited(len(world.bad()) - 1)


def test_P36_a_dead_letter_gets_the_answer_that_the_other_color_had(world: World) -> None:
    """Number 70: blue raised, green was under test at weight 0 and had answered."""
    topic, green = world.run.pipeline.topics.input, world.stored("green")
    [(number, offset)] = [spot for spot in world.raw.letters if spot in green]
    words = ("--color", "green", "--range", f"{topic}/{number}@{offset}", "--reason", "it had one")
    said = world.answer(*words, "--yes")
    [what] = said["ranges"]
    assert (what["outcomes"], what["written"], what["revived"], said["records"]) == (1, 1, 1, 1)
    outcome, value = world.known()[number, offset]
    assert (outcome.color, outcome.why, value) == ("green", "supersedes", green[number, offset])
    world.audited(len(world.bad()))


def test_P36_inspect_shows_both(world: World) -> None:
    topic = world.run.pipeline.topics.input
    [(number, offset)] = [spot for spot in world.raw.letters if spot in world.stored("green")]
    bad = max(spot for spot in world.bad() if spot in world.stored("blue"))
    with Scenery(world.run.pipeline) as scenery:
        letter = as_json(scenery.event(Source(topic, number, offset)), full=True)
        assert (letter["status"], letter["outcome"]["kind"]) == ("dead letter", "dead letter")
        assert [(each["color"], each["why"]) for each in letter["superseded"]] == [("green", "supersedes")]
        told = as_json(scenery.event(Source(topic, *bad)), full=True)
        assert (told["outcome"]["color"], told["doubt"]) == ("green", None)
        [again] = told["superseded"]
        assert (again["color"], again["value"].encode()) == ("blue", world.stored("blue")[bad])
        assert "superseded: blue m:1 under epoch" in told["says"]
        assert scenery.superseded(Source(topic, number, offset - 1)) == ()
