"""V1 on real topics: each corruption is planted into the topics of a broker, and `streambg audit` names it (P34).

Topics that a corruption leaves alone are written once for all of them; 20 processes, so some 25 s.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from command_line import streambg
from confluent_kafka.admin import AdminClient
from planted import ONE, Planted
from recorded import TOPIC, Rec, Recording
from recorded_broker import TIMEOUT_S, Written, create, pipeline_file, write, write_recording
from waiting import until

from streambg.audit.sources import Role
from streambg.audit.tally import Kind
from streambg.config import load

pytestmark = pytest.mark.integration

PARTITIONS = 3
NAME = "audit-planted"
# Beside the output, which gets a name of its own each time.
CHANGED: tuple[Role, ...] = ("dead-letters", "cutovers")


@dataclass
class Topics:
    """The honest recording on a broker, and what stands at present in the topics that a corruption changes."""

    written: Written
    there: dict[Role, list[list[Rec]]] = field(default_factory=dict)
    planted: int = 0

    def plant(self, recording: Recording, folder: Path) -> Path:
        """The pipeline file of the recording."""
        self.planted += 1
        base = self.written
        output = f"{NAME}.answers.{self.planted}"
        file = pipeline_file(folder / "pipeline.yaml", base.bootstrap, NAME, TOPIC, output)
        written = replace(base, recording=recording, pipeline=load(file, {}), file=file)
        admin = AdminClient({"bootstrap.servers": base.bootstrap})
        create(admin, written.pipeline, ["output"], PARTITIONS)
        write(written, "output", taken_back=False)
        for role in CHANGED:
            logs = _logs(recording, role)
            if logs != self.there.get(role, _logs(base.recording, role)):
                _delete(admin, written.topic(role))
                create(admin, written.pipeline, [role], PARTITIONS)
                write(written, role, taken_back=False)
                self.there[role] = logs
        return file


def _logs(recording: Recording, role: Role) -> list[list[Rec]]:
    return [list(recording.log(role, partition)) for partition in range(PARTITIONS)]


def _delete(admin: AdminClient, topic: str) -> None:
    admin.delete_topics([topic], operation_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S)
    until(lambda: topic not in admin.list_topics(timeout=TIMEOUT_S).topics, what=f"{topic} is gone")


@pytest.fixture(scope="module")
def topics(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Topics:
    file = pipeline_file(tmp_path_factory.mktemp("planted") / "pipeline.yaml", kafka, NAME, TOPIC)
    return Topics(write_recording(file, kafka, PARTITIONS))


def test_P34_V1_the_unspoiled_topics_pass(topics: Topics) -> None:
    done = streambg(topics.written.file.parent, "audit", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("planted", ONE, ids=[name for name, _, _ in ONE])
def test_P34_V1_the_command_names_what_was_planted(topics: Topics, planted: Planted, tmp_path: Path) -> None:
    _, corrupt, kinds = planted
    recording = copy.deepcopy(topics.written.recording)
    offset = corrupt(recording)
    topics.plant(recording, tmp_path)
    done = streambg(tmp_path, "audit", "--output", "json")
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"] == "failed"
    if kinds is not None:
        assert {Kind(kind): number for kind, number in report["counts"].items() if number} == kinds
    assert offset in {finding["offset"] for finding in report["findings"]}
