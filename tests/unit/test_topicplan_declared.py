"""topics/*.yaml: the reference files are right, wrong ones are named by file and line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pipeline_files import loaded, small

from streambg.errors import ConfigError
from streambg.topicplan import load_topics
from streambg.topicplan.declared import PARTS, directory

REPOSITORY = Path(__file__).parents[2]


def with_topics(directory: Path) -> Path:
    return Path(
        shutil.copytree(REPOSITORY / "topics", directory / "topics", ignore=shutil.ignore_patterns("*.py*", "_*"))
    )


def refused(directory: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_topics(loaded(directory, small()))
    return str(caught.value)


def test_the_reference_files_name_what_processes_use(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, small())
    topics = load_topics(pipeline)
    assert [topic.part for topic in topics] == [part for part in PARTS if part != "labels"]
    assert {topic.name for topic in topics if not topic.yours} == set(pipeline.topics.ours)
    assert {topic.name for topic in topics if topic.yours} == {"fraud-events", "fraud-alerts"}


def test_who_writes_is_who_the_design_says(tmp_path: Path) -> None:
    writers = {topic.part: topic.writers for topic in load_topics(loaded(tmp_path, small()))}
    assert writers == {
        "input": ("yours",),
        "output": ("publisher",),
        "predictions.blue": ("scorer.blue",),
        "predictions.green": ("scorer.green",),
        "control": ("operator", "controller"),
        "cutovers": ("publisher",),
        "evidence": ("comparator",),
        "verdicts": ("comparator",),
        "dead-letters": ("publisher",),
    }


def test_files_beside_the_pipeline_come_first(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, small())
    assert directory(pipeline) != tmp_path / "topics"
    with_topics(tmp_path)
    assert directory(pipeline) == tmp_path / "topics"


@pytest.mark.parametrize(
    ("file", "was", "becomes", "said"),
    [
        ("control", "partitions: 1", "partition: 1", "partition: no such key; did you mean `partitions`?"),
        ("control", "${pipeline}.control", "${pipelin}.control", "`${pipelin}` is not set and has no default"),
        ("control", "${pipeline}.control", "x.ctl", "`x.ctl`, but the processes of this pipeline use `fraud.control`"),
        ("control", "owner: streambg", "owner: yours", "labels are `yours`, the others are `streambg`"),
        ("control", "writers: [operator, controller]", "writers: [operators]", "writers[0]"),
        ("control", "retention.ms: forever", "retention.ms: 3 moons", "is no duration"),
        ("control", "partitions: 1", "partitions: yours", "`yours` is for the input"),
        ("control", "partitions: 1", "partitions: 1\npart: control", "part: no such key"),
        ("control", "partitions: 1", "partitions: six", "'six' is neither a number from 1 nor as-input nor yours"),
        ("control", "replication: auto", "replication: 0", "0 is neither a number from 1 nor auto"),
        ("control", "cleanup.policy: delete", "cleanup.policy: auto", "`auto` is known for min.insync.replicas"),
        ("input", "retention.ms: 7d", "retention.ms: as-input", "the input itself cannot say `as-input`"),
        ("cutovers", "value:", "valu:", "value: is missing"),
    ],
)
def test_wrong_files(tmp_path: Path, file: str, was: str, becomes: str, said: str) -> None:
    path = with_topics(tmp_path) / f"{file}.yaml"
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, becomes, 1))
    answer = refused(tmp_path)
    assert f"{path}:" in answer
    assert said in answer


def test_a_file_that_is_missing_or_too_much_is_named(tmp_path: Path) -> None:
    folder = with_topics(tmp_path)
    (folder / "cutover.yaml").write_text("name: x\n")
    assert "cutover.yaml: no topic of a pipeline; did you mean cutovers.yaml?" in refused(tmp_path)
    (folder / "cutover.yaml").unlink()
    (folder / "evidence.yaml").unlink()
    said = refused(tmp_path)
    assert "evidence.yaml: No such file" in said
    assert "way out: copy it from the topics/ of a new pipeline: streambg init NAME" in said
