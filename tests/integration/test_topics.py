"""`streambg topics` and what processes check at start, on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic
from pairs import Answer, batch
from pipeline_files import small, write
from typer.testing import CliRunner, Result
from waiting import until

from streambg import topicplan
from streambg.cli.main import app_for
from streambg.cli.topics import app
from streambg.config import Pipeline, load
from streambg.errors import ConfigError, Misconfigured, Unreachable
from streambg.records.batch import describe
from streambg.topicplan import Action, Role
from streambg.topicplan.broker import read
from streambg.topicplan.declared import PARTS as ALL_PARTS

pytestmark = pytest.mark.integration

# of a pipeline without labels
PARTS = tuple(part for part in ALL_PARTS if part != "labels")

Run = Callable[..., Result]


@pytest.fixture
def pipeline(kafka: str, unique: str, tmp_path: Path) -> Pipeline:
    return load(write(tmp_path, small(unique, kafka)), {})


@pytest.fixture
def admin(pipeline: Pipeline) -> AdminClient:
    return topicplan.connect(pipeline)


@pytest.fixture
def run(pipeline: Pipeline) -> Run:
    def invoke(*arguments: str, answer: str = "") -> Result:
        return CliRunner().invoke(app, [*arguments, "-p", str(pipeline.file)], input=answer)

    return invoke


def create(admin: AdminClient, name: str, partitions: int) -> None:
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1)
    admin.create_topics([topic], operation_timeout=20)[name].result(20)
    until(lambda: read(admin, [name]), what=f"{name} is shown")


def counts(pipeline: Pipeline, admin: AdminClient) -> dict[str, int]:
    names = [pipeline.topics.input, pipeline.topics.output, *pipeline.topics.ours]
    return {name.removeprefix(pipeline.name): topic.partitions for name, topic in read(admin, names).items()}


ALL_WITH_3 = {
    "-events": 3,
    "-alerts": 3,
    ".predictions.blue": 3,
    ".predictions.green": 3,
    ".dead-letters": 3,
    ".control": 1,
    ".cutovers": 1,
    ".evidence": 1,
    ".verdicts": 1,
}


def test_an_empty_broker_gets_everything_and_then_nothing(run: Run, pipeline: Pipeline, admin: AdminClient) -> None:
    first = run("apply", "--yes", "--partitions", "3")
    assert first.exit_code == 0, first.output
    assert counts(pipeline, admin) == ALL_WITH_3
    topicplan.check(pipeline, admin)
    plan = json.loads(run("plan", "--output", "json").stdout)
    assert plan["pipeline"] == pipeline.name
    assert [(action["part"], action["kind"]) for action in plan["actions"]] == [(part, "unchanged") for part in PARTS]
    assert "Nothing to do" in run("apply").stdout


def test_P5_P13_P34_the_broker_has_the_declared_settings(run: Run, pipeline: Pipeline, admin: AdminClient) -> None:
    create(admin, pipeline.topics.input, 2)
    assert run("apply", "--yes").exit_code == 0
    control = read(admin, [pipeline.topics.control])[pipeline.topics.control].config
    assert control["message.timestamp.type"] == "LogAppendTime"
    assert (control["cleanup.policy"], control["retention.ms"], control["retention.bytes"]) == ("delete", "-1", "-1")
    given = read(admin, [pipeline.topics.input])[pipeline.topics.input].config
    blue = read(admin, [pipeline.topics.predictions("blue")])[pipeline.topics.predictions("blue")].config
    assert int(blue["max.message.bytes"]) == int(given["max.message.bytes"]) + 65_536
    assert blue["message.timestamp.type"] == "LogAppendTime"
    letters = read(admin, [pipeline.topics.dead_letters])[pipeline.topics.dead_letters].config
    assert letters["retention.ms"] == given["retention.ms"]


def test_P13_topics_are_created_in_order(pipeline: Pipeline, admin: AdminClient) -> None:
    told: list[Action] = []
    topicplan.apply(admin, topicplan.plan(admin, topicplan.load_topics(pipeline), 1), told.append)
    assert [action.part for action in told] == list(PARTS)


def test_plan_changes_nothing(run: Run, pipeline: Pipeline, admin: AdminClient) -> None:
    shown = run("plan", "--partitions", "3")
    assert shown.exit_code == 0
    assert shown.stdout.count("create") == len(PARTS)
    assert counts(pipeline, admin) == {}


def test_nobody_said_how_many_partitions(run: Run, pipeline: Pipeline, admin: AdminClient) -> None:
    for verb in (["plan"], ["apply", "--yes"]):
        refused = run(*verb).exception
        assert isinstance(refused, Misconfigured)
        assert "`--partitions N`" in refused.what
    assert counts(pipeline, admin) == {}


def test_apply_asks(run: Run, pipeline: Pipeline, admin: AdminClient) -> None:
    assert run("apply", "--partitions", "1", answer="n\n").exit_code == 1
    assert counts(pipeline, admin) == {}
    assert run("apply", "--partitions", "1", answer="y\n").exit_code == 0
    assert len(counts(pipeline, admin)) == len(PARTS)


def test_unequal_partitions_are_refused_with_both_numbers_and_nothing_is_done(
    run: Run, pipeline: Pipeline, admin: AdminClient
) -> None:
    create(admin, pipeline.topics.input, 2)
    create(admin, pipeline.topics.predictions("green"), 5)
    refused = run("apply", "--yes").exception
    assert isinstance(refused, Misconfigured)
    assert f"`{pipeline.name}.predictions.green` has 5 partitions, the input `{pipeline.name}-events` 2" in refused.what
    assert counts(pipeline, admin) == {"-events": 2, ".predictions.green": 5}


def test_P13_partitions_are_added_to_the_input_last_and_never_removed(
    run: Run, pipeline: Pipeline, admin: AdminClient
) -> None:
    assert run("apply", "--yes", "--partitions", "2").exit_code == 0
    order: list[str] = []
    seen: list[int] = []

    def told(action: Action) -> None:
        order.append(action.part)
        seen.append(counts(pipeline, admin)["-events"])

    topicplan.apply(admin, topicplan.plan(admin, topicplan.load_topics(pipeline), 3), told)
    assert order == ["dead-letters", "output", "predictions.blue", "predictions.green", "input"]
    assert seen == [2, 2, 2, 2, 3]
    assert counts(pipeline, admin) == ALL_WITH_3
    refused = run("apply", "--yes", "--partitions", "2").exception
    assert isinstance(refused, Misconfigured)
    assert "has 3 partitions, 2 are asked for: no topic ever shrinks" in refused.what
    assert counts(pipeline, admin) == ALL_WITH_3


def test_settings_are_mended_and_longer_retention_stays(run: Run, pipeline: Pipeline, admin: AdminClient) -> None:
    control, verdicts = pipeline.topics.control, pipeline.topics.verdicts
    topicplan.ensure(pipeline, 1)
    spoilt = [
        Action("change", "control", control, config={"message.timestamp.type": "CreateTime", "retention.ms": "60000"}),
        Action("change", "verdicts", verdicts, config={"retention.ms": "-1"}),
    ]
    topicplan.apply(admin, spoilt)
    assert run("apply", "--yes").exit_code == 0
    found = read(admin, [control, verdicts])
    assert found[control].config["message.timestamp.type"] == "LogAppendTime"
    assert found[control].config["retention.ms"] == "-1"
    assert found[verdicts].config["retention.ms"] == "-1"


def test_ensure_creates_what_is_missing_once(pipeline: Pipeline, admin: AdminClient) -> None:
    create(admin, pipeline.topics.input, 3)
    done = topicplan.ensure(pipeline)
    assert len(done) == len(PARTS) - 1
    assert done[0] == f"created {pipeline.topics.dead_letters}: 3 partitions, replication 1"
    assert topicplan.ensure(pipeline) == []
    assert counts(pipeline, admin) == ALL_WITH_3


def test_a_process_does_not_start_without_its_topics(pipeline: Pipeline, admin: AdminClient) -> None:
    with pytest.raises(Misconfigured) as caught:
        topicplan.check(pipeline, admin)
    assert f"`{pipeline.topics.control}`" in caught.value.what
    assert caught.value.way_out == "streambg topics apply --partitions N"
    create(admin, pipeline.topics.input, 2)
    with pytest.raises(Misconfigured) as caught:
        topicplan.check(pipeline, admin, "comparator")
    assert caught.value.way_out == "streambg topics apply"
    assert pipeline.topics.output not in caught.value.what


def test_a_process_does_not_start_on_unequal_partitions(pipeline: Pipeline, admin: AdminClient) -> None:
    topicplan.ensure(pipeline, 2)
    grown = NewPartitions(pipeline.topics.input, 4)
    admin.create_partitions([grown], operation_timeout=20)[pipeline.topics.input].result(20)
    until(lambda: counts(pipeline, admin)["-events"] == 4, what="four partitions are shown")
    with pytest.raises(Misconfigured) as caught:
        topicplan.check(pipeline, admin, "scorer.blue")
    assert f"`{pipeline.name}.predictions.blue` has 2 partitions, `{pipeline.name}-events` has 4" in caught.value.what
    topicplan.check(pipeline, admin, "comparator")


# All of docs/operations.md that count in the input's offsets.
BY_OFFSETS = (
    "deploy green m:1",
    "status",
    "replay --model m:1 --against published --last 1h",
    "supersede --color blue --epoch 1",
    "inspect x/0@1",
    "inspect --follow",
    "dead-letters list",
    "dead-letters show x/0@1",
    "dead-letters export letters.jsonl",
    "adopt m:1 --from-group g",
    "accept-gap 0 --to 5 --yes --reason why",
    "preview --weight 50",
    "ci validate m:1",
    "ci deploy m:1",
    "watch-registry --once",
)


def test_a_mistyped_input_is_refused_and_not_created(pipeline: Pipeline, admin: AdminClient, tmp_path: Path) -> None:
    """What is answered names the input that was read; before the first answer the control log says that it began."""
    topicplan.ensure(pipeline, 1)
    text, right = pipeline.file.read_text(), pipeline.topics.input
    assert text.count(f"topic: {right}") == 1
    wrong = load(write(tmp_path, text.replace(f"topic: {right}", f"topic: {right}z")), {})
    producer = Producer({"bootstrap.servers": pipeline.kafka.bootstrap})
    producer.produce(pipeline.topics.control, b"{}", partition=0)
    producer.flush(20)
    for again in (topicplan.ensure, lambda wrong: topicplan.check(wrong, admin)):
        with pytest.raises(Misconfigured, match="has a history: its control log holds 1 records"):
            again(wrong)
    for verb in (["plan"], ["apply", "--yes"]):
        typed = CliRunner().invoke(app, [*verb, "--partitions", "1", "-p", str(wrong.file)]).exception
        assert isinstance(typed, Misconfigured)
        assert "has a history" in typed.what
    header = describe(batch(0, -1, 0, {0: Answer(0.5)}), right, 0)
    for name, value in (("streambg", b"not one of ours"), ("streambg", header), ("traceparent", b"x/0(")):
        producer.produce(pipeline.topics.predictions("blue"), b"", partition=0, headers=[(name, value)])
        producer.flush(20)
        if value == header:
            processes: tuple[Role, ...] = ("scorer.blue", "publisher", "comparator", "controller")
            verbs: tuple[Role | None, ...] = ("operator", "audit", None)
            for role in (*processes, *verbs):
                with pytest.raises(ConfigError, match=f"reads `{right}`, the file says `{right}z`") as caught:
                    topicplan.check(wrong, admin, role, by_offsets=role in verbs)
            assert f"input: {{topic: {right}}}" in caught.value.way_out
            for line in BY_OFFSETS:
                words = [*line.split(), "-p", str(wrong.file)]
                said = CliRunner().invoke(app_for(words), words).exception
                assert isinstance(said, ConfigError), (line, said)
                assert f"reads `{right}`, the file says `{right}z`" in said.what, line
            with pytest.raises(ConfigError, match=f"reads `{right}`"):
                topicplan.ensure(wrong)
            topicplan.check(pipeline, admin, "publisher")
    assert f"{right}z" not in admin.list_topics(timeout=10).topics


def test_no_broker(tmp_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streambg.topicplan.broker.REACHABLE_S", 0.5)
    path = write(tmp_path, small(unique, "127.0.0.1:1"))
    refused = CliRunner().invoke(app, ["plan", "-p", str(path)]).exception
    assert isinstance(refused, Unreachable)
    assert "127.0.0.1:1" in refused.what
