"""`streambg replay` on a real pipeline's topics: two cutovers, a publisher that was killed, dead letters, labels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from pipelines import pipeline
from replay_world import PART, World, replayed
from typer.testing import CliRunner

from streambg.cli.main import build
from streambg.config import load
from streambg.errors import ConfigError, Refused, StreambgError
from streambg.replaying.document import Report, decode
from streambg.replaying.html import render
from streambg.replaying.pins import plan
from streambg.replaying.request import Bound, Request
from streambg.replaying.run import Interrupted, Progress, resume, run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def world(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with replayed(kafka, tmp_path_factory.mktemp("replay")) as world:
        yield world


@pytest.fixture(scope="module")
def labelled(world: World) -> Report:
    return world.replay("m:2", labels=True, as_if_weight=2_500)


def test_what_was_published_is_given_again_to_the_byte(world: World) -> None:
    """Both models were live, across two cutovers and a publisher that was killed: every answer is reproduced."""
    read = world.run.read()
    of_model = Counter(outcome.model for outcome in read.outcomes)
    report = world.replay("m:1", "m:2", as_if_weight=10_000)
    counts = report.counts
    assert counts.events == world.run.sent == len(read.outcomes) + len(read.letters)
    assert counts.came == dict(Counter(o.why for o in read.outcomes)) | {"dead-letter": len(read.letters)}
    assert {each.model: each.events for each in counts.answering} == dict(of_model)
    assert counts.holes == ()
    for scored in report.models:
        proof = scored.proof
        letters = len(read.letters) if scored.model.ref == "m:1" else 0  # blue was live when they came
        assert proof.events == of_model[scored.model.ref] + letters > PART
        assert (proof.reproduced, proof.close, proof.different, proof.other_rules) == (proof.events, 0, 0, 0)
        assert proof.word == "reproduced"
        assert scored.agreement.matched == counts.events
        assert scored.agreement.values_equal >= of_model[scored.model.ref]
        assert scored.as_if is not None
        assert scored.as_if.changes[0].changed == counts.events - len(read.letters) - scored.agreement.values_equal
        assert [(reason.split(":")[0], events) for reason, events in scored.reasons] == [("not JSON", 3)]


def test_the_same_replay_has_the_same_id_and_bytes_and_touches_no_group(world: World) -> None:
    before = _groups(world)
    first = world.bytes_of(report := world.replay("m:1"))
    assert decode(first) == report
    again = world.replay("m:1", workers=2)
    assert again.id == report.id
    assert world.bytes_of(again) == first
    assert _groups(world) == before
    ids = {
        plan(world.run.pipeline, asked).identity.id
        for asked in (Request(("m:1",)), Request(("m:2",)), Request(("m:1",), begin=Bound(offset=1)))
    }
    assert report.id in ids
    assert len(ids) == 3
    timing = json.loads((world.folder / report.id / "timing.json").read_bytes())
    assert timing["events"] == world.run.sent
    assert [each["model"] for each in timing["models"]] == ["m:1"]


def test_a_settled_range_has_its_id_whatever_comes_later(world: World) -> None:
    """Events, outcomes, answers and commands behind it change nothing: the same identity, to the last range."""
    for asked, identity in world.early:
        assert plan(world.run.pipeline, asked).identity == identity


def _groups(world: World) -> dict[str, list[tuple[str, int, int]]]:
    """Every group and what it has committed."""
    admin = world.run.admin
    found: dict[str, list[tuple[str, int, int]]] = {}
    for group in admin.list_consumer_groups().result(20).valid:
        asked = [ConsumerGroupTopicPartitions(group.group_id)]
        [answer] = admin.list_consumer_group_offsets(asked).values()
        offsets = answer.result(20).topic_partitions
        found[group.group_id] = sorted((each.topic, each.partition, each.offset) for each in offsets)
    return found


def test_the_verdict_is_the_exit_code(world: World) -> None:
    """Another model than was live: harm; the same one with labels: good enough; without labels nobody says promote."""
    for words, code, word in (
        (["--model", "m:1"], 11, "continue"),
        (["--model", "m:1", "--labels"], 0, "promote"),
    ):
        done = world.cli(*words, "--output", "json")
        assert done.exit_code == code, (words, done.exception)
        told = json.loads(done.stdout)
        assert told["models"][-1]["verdict"]["word"] == word
        assert told["exit_code"] == code
    text = world.cli("--model", "m:1", "--model", "m:7", "--as-if-weight", "50")
    assert text.exit_code == 10
    for said in ("m:7 against what was published: abort", "flips: harm", "Not judged here: slow", "a weight of 50 %"):
        assert said in text.stdout


def test_a_ci_job_before_its_labels_judges_the_rest_and_says_so(world: World) -> None:
    """It cannot leave out `--labels`, which it does not have: what needs labels stays open."""
    file, empty = world.run.pipeline.file, f"{world.run.pipeline.name}-no-labels"
    world.run.admin.create_topics([NewTopic(empty, 1, 1)])[empty].result(20)
    early = file.with_name("early.yaml")
    early.write_text(file.read_text().replace(f"{world.run.pipeline.name}-labels", empty))
    words = ["ci", "validate", "m:1", "--last", "1h", "--dir", str(world.folder), "-p"]
    for given, codes, label in ((early, (11, 11), "error"), (file, (0, 0), None)):
        text = CliRunner().invoke(build(()), [*words, str(given)])
        done = CliRunner().invoke(build(()), [*words, str(given), "--output", "json"])
        assert (text.exit_code, done.exit_code) == codes, (text.output, text.exception)
        told = json.loads(done.stdout)
        gates = {gate["name"]: gate["result"] for gate in told["gates"]}
        said = f"judged without labels: {empty} holds no label of this range or later" if label else ""
        assert (told["unlabelled"], gates.get("labels")) == (said, label)
        assert (said or "promote: m:1") in text.stdout
    with pytest.raises(ConfigError, match="holds no label of this range"):
        run(load(early, {}), Request(("m:1",), labels=True), world.folder)


def test_labels_are_joined_and_charted(world: World, labelled: Report) -> None:
    [scored] = labelled.models
    assert scored.labels is not None
    good = world.run.sent - 3  # what is no JSON has no key
    assert scored.labels.matched == good
    assert (scored.labels.owed, scored.labels.there) == (good, good)
    assert scored.labels.read == world.run.sent + 1
    correct = next(row for row in scored.metrics if row.metric == "correct")
    assert correct.events == good
    assert sum(each.events for each in scored.charts.calibration if each.side == "model") == good
    assert sum(each.model for each in scored.charts.scores) == good
    assert sum(moment.compared for moment in scored.charts.moments) == scored.agreement.compared
    [flips] = [path for path in scored.charts.paths if path.metric == "flips"]
    test = next(test for test in scored.verdict.tests if test.name == "flips")
    assert flips.events[-1] == test.events == scored.agreement.matched
    assert flips.log_good[-1] == pytest.approx(test.log_good)
    assert len(scored.examples) == 20
    example = scored.examples[0]
    assert set(example.fields) == {"f1", "f2", "id"}
    assert abs(example.difference) == max(abs(each.difference) for each in scored.examples)
    assert json.loads(example.model.value)["p"] == example.model.score


def test_against_a_color_and_another_model(world: World) -> None:
    """blue has scored all of it with m:1; and m:1 says of itself what it says of blue."""
    [stored] = world.replay("m:1", against="blue").models
    assert stored.proof.events == stored.proof.reproduced == world.run.sent
    [other] = world.replay("m:1", against="m:1", partitions=(0,)).models
    assert other.agreement.agree == other.agreement.compared == world.run.ends[0] - 1
    assert set(other.verdict.noise) == {"flips", "shift"}
    green = world.replay("m:1", against="green", partitions=(0,))
    unanswered = sum(hole.offsets for hole in green.counts.holes)
    assert unanswered == world.run.ends[0] - green.models[0].agreement.matched > 0
    assert {hole.what for hole in green.counts.holes} == {"the color has no answer to it"}


def test_a_part_of_the_range(world: World) -> None:
    """By partition and offset, as it is typed; times are asked of the broker."""
    done = world.cli("--model", "m:1", "--partition", "1", "--from", "1@100", "--to", "900", "--output", "json")
    told = json.loads(done.stdout)
    assert told["counts"]["events"] == 800
    assert told["models"][0]["proof"]["reproduced"] == told["models"][0]["proof"]["events"]
    [place] = [each for each in told["identity"]["topics"] if each["role"] == "input"]
    assert (place["partition"], place["start"], place["end"]) == (1, 100, 900)
    done = world.cli("--model", "m:1", "--last", "1h", "--partition", "2", "--output", "json")
    assert json.loads(done.stdout)["counts"]["events"] == world.run.ends[2]


def test_what_was_interrupted_goes_on_to_the_same_bytes(world: World, labelled: Report, tmp_path: Path) -> None:
    """And each event has one row, with one worker or two; rows change nothing in the report.

    The rate lets it take two seconds: a busy machine may not look sooner than after one.
    """
    whole = world.bytes_of(labelled)
    for workers in (1, 2):
        rows, passed = tmp_path / f"{workers}.parquet", list[Progress]()
        with pytest.raises(Interrupted, match="--resume"):
            run(
                world.run.pipeline,
                Request(("m:2",), labels=True, as_if_weight=2_500, rate=3_000.0, workers=workers),
                world.folder,
                rows=rows,
                progress=passed.append,
                stopping=lambda seen=passed: bool(seen and seen[-1].passed),  # type: ignore[misc] # bound now
            )
        assert 0 < passed[-1].passed < passed[-1].total
        assert not rows.exists()
        replay = passed[-1].id
        report = resume(world.run.pipeline, replay[:12], world.folder, workers=workers)
        assert world.bytes_of(report) == whole
        names = sorted(path.name for path in (world.folder / replay).iterdir())
        assert names == ["report.html", "report.json", "timing.json"]
        _expect_rows(world, labelled, pq.read_table(rows).to_pylist())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.parquet", "2.parquet"], "nothing else is left"
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    with pytest.raises(ConfigError, match="2 are named"):
        run(world.run.pipeline, Request(("m:1", "m:2")), world.folder, rows=rows)


def _expect_rows(world: World, report: Report, rows: list[dict[str, Any]]) -> None:
    """Every event once, as production answered it and as the model does."""
    [scored], letters = report.models, report.counts.came["dead-letter"]
    assert len({(row["partition"], row["offset"]) for row in rows}) == len(rows) == report.counts.events
    assert Counter(row["outcome"] for row in rows) == {"answer": len(rows) - letters, "error": letters}
    answered = [row for row in rows if row["against_ok"] and row["model_ok"]]
    decided = [(row["against_decision"], row["model_decision"]) for row in answered]
    assert decided.count((False, True)) == scored.agreement.flips_to_yes
    assert decided.count((True, False)) == scored.agreement.flips_to_no
    by_deployment = Counter(row["against_deployment"] for row in rows if row["against_ok"])
    assert by_deployment == Counter({each.deployment: each.events for each in report.counts.answering})
    assert scored.labels is not None
    assert sum(row["label"] is not None for row in rows) == scored.labels.matched
    seen = {f"{world.run.pipeline.topics.input}/{row['partition']}@{row['offset']}": row for row in rows}
    for example in scored.examples:
        assert seen[example.source]["model_score_p"] == example.model.score
        assert seen[example.source]["carried_id"] == example.fields["id"]


def test_what_was_replayed_is_listed_shown_and_compared(world: World, labelled: Report) -> None:
    other = world.replay("m:1", partitions=(0,), end=Bound(offset=200))

    def said(*words: str) -> Any:
        asked = ["replay", *words, "--dir", str(world.folder), "--output", "json"]
        return json.loads(CliRunner().invoke(build(()), asked, catch_exceptions=False).stdout)

    listed = {each["id"]: each for each in said("list") if "models" in each}
    assert [listed[each.id]["models"][0]["model"] for each in (labelled, other)] == ["m:2", "m:1"]
    assert said("show", other.id[:12])["identity"]["id"] == other.id
    assert (world.folder / other.id / "report.html").read_text() == render(other)
    parts = said("diff", labelled.id[:12], other.id[:12])["parts"]
    differing = {
        part["part"]: {line["what"]: (line["first"], line["second"]) for line in part["lines"]} for part in parts
    }
    assert differing["inputs"]["labels"] == (True, False)
    assert differing["counts"]["events"] == (world.run.sent, 200)
    assert differing["m:2 / m:1"]["model"] == ("m:2", "m:1")


def test_a_topic_that_was_made_again_is_not_gone_on_with(world: World) -> None:
    asked = Request(("m:7",), partitions=(1,))
    with pytest.raises(Interrupted):
        run(world.run.pipeline, asked, world.folder, stopping=lambda: True)
    file = world.folder / plan(world.run.pipeline, asked).identity.id / "partial" / "plan.json"
    told = json.loads(file.read_bytes())
    for topic in told["identity"]["topics"]:
        topic["topic_id"] = "another" if topic["role"] == "input" else topic["topic_id"]
    file.write_text(json.dumps(told))
    done = world.cli("--resume", file.parent.parent.name[:8])
    assert isinstance(done.exception, StreambgError)
    assert done.exception.exit_code == 8
    assert "made again since the replay began" in str(done.exception)
    file.unlink()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "which model"),
        (["--model", "m:404"], 15, "not in the registry"),
        (["--model", "m:1", "--from", "99999"], 2, "no event in the range"),
        (["--model", "m:1", "--partition", "7"], 2, "has no partition 7"),
        (["--model", "m:1", "--from", "soon"], 2, "no place in the input"),
        (["--model", "m:1", "--last", "1h", "--to", "7"], 2, "the whole range"),
        (["--model", "m:1", "--against", "m:404"], 15, "not in the registry"),
        (["--model", "m:1", "--dir", "/dev/null/replays"], 1, "cannot be written"),
        (["--resume", "abc"], 2, "was interrupted"),
    ],
)
def test_what_cannot_be_replayed_is_said(world: World, words: list[str], code: int, says: str) -> None:
    done = CliRunner().invoke(
        build(()), ["replay", "--dir", str(world.folder), *words, "-p", str(world.run.pipeline.file)]
    )
    assert isinstance(done.exception, StreambgError), done.output
    assert done.exception.exit_code == code
    assert says in str(done.exception)
    assert done.exception.way_out


def test_what_retention_took_is_named_and_not_guessed(world: World) -> None:
    """Last: it takes the beginning of the topics away."""
    topics, cut = world.run.pipeline.topics, 600
    _expire(world, topics.input, 0, cut)
    report = world.replay("m:1", begin=Bound(offset=0))
    assert [(hole.partition, hole.first, hole.end, hole.what) for hole in report.counts.holes] == [
        (0, 0, cut, "expired from the input")
    ]
    assert report.counts.events == world.run.sent - cut
    with pytest.raises(StreambgError, match="no event in the range"):
        world.replay("m:1", partitions=(0,), end=Bound(offset=cut))
    for color in ("blue", "green"):
        for partition in range(world.run.partitions):
            _expire(world, topics.predictions(color), partition, -1)
    [scored] = world.replay("m:1").models
    assert scored.proof.reproduced == scored.proof.events > 0, "the bytes are still there, and the scores in them"
    assert scored.agreement.compared == world.run.sent - cut - 2  # dead letters of the other two partitions
    _expire(world, topics.output, 1, 500)
    report = world.replay("m:1")
    [hole] = report.counts.holes
    assert (hole.partition, hole.what) == (1, "its outcome has expired")
    assert report.models[0].agreement.matched == report.counts.events - hole.offsets


def _expire(world: World, topic: str, partition: int, below: int) -> None:
    """-1: all of it."""
    wanted = [TopicPartition(topic, partition, below)]
    [future] = world.run.admin.delete_records(wanted).values()
    future.result(20)


def test_aborted_and_open_transactions_of_the_input_do_not_exist(kafka: str, unique: str, tmp_path: Path) -> None:
    """A pipeline that never ran: two models against each other, up to the last stable offset."""
    with pipeline(tmp_path, kafka, unique, partitions=1) as running:
        with pytest.raises(Refused, match="nothing was ever deployed"):
            run(running.pipeline, Request(("m:1",)), tmp_path)
        with pytest.raises(ConfigError, match="holds no events: nothing was sent, or all of it has expired") as empty:
            run(running.pipeline, Request(("m:1",), against="m:2"), tmp_path)
        assert "send it some" in empty.value.way_out, "no range is at fault where there is none"
        topic = running.pipeline.topics.input
        producer = Producer({"bootstrap.servers": kafka, "transactional.id": unique})
        producer.init_transactions(20)
        for end in (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction, None):
            producer.begin_transaction()
            for number in range(50):
                producer.produce(topic, json.dumps({"id": number, "f1": 0.1, "f2": number}).encode(), b"k", 0)
            producer.flush(20)
            if end is not None:
                end(20)
        with pytest.raises(ConfigError, match="declares no labels"):
            run(running.pipeline, Request(("m:1",), against="m:2", labels=True), tmp_path)
        report = run(running.pipeline, Request(("m:1",), against="m:2"), tmp_path)
        assert report.counts.events == 100
        [hole] = report.counts.holes
        assert (hole.offsets, hole.what) == (53, "no record: a transaction's marker or aborted")
        [scored] = report.models
        assert (scored.agreement.compared, scored.agreement.values_equal) == (100, 0)
        assert scored.verdict.reasons == ("the pipeline file declares no metrics: nothing decides",)
        assert report.exit_code == 11
        producer.abort_transaction(20)
