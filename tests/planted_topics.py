"""Corruptions on real topics: the honest recording on a broker, and one corruption after the other beside it (V1)."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from command_line import streambg
from confluent_kafka.admin import AdminClient
from planted import Planted
from recorded import TOPIC, Rec, Recording
from recorded_broker import TIMEOUT_S, Written, create, pipeline_file, write, write_recording
from waiting import until

from streambg.audit.sources import Role
from streambg.audit.tally import Kind
from streambg.config import load

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


def begin(bootstrap: str, folder: Path) -> Topics:
    """Topics that a corruption leaves alone are written once for all of them."""
    return Topics(
        write_recording(pipeline_file(folder / "pipeline.yaml", bootstrap, NAME, TOPIC), bootstrap, PARTITIONS)
    )


def audited(topics: Topics, planted: Planted, folder: Path) -> tuple[Any, list[str]]:
    """What `streambg audit` reports of one corruption, and what is wrong with that report: nothing, if it was found."""
    _, corrupt, kinds = planted
    recording = copy.deepcopy(topics.written.recording)
    offset = corrupt(recording)
    topics.plant(recording, folder)
    done = streambg(folder, "audit", "--output", "json")
    if done.returncode not in (0, 1):
        return {"counts": {}, "events": 0}, [f"exit code {done.returncode}: {done.stderr.strip()}"]
    report = json.loads(done.stdout)
    counts = {Kind(kind): number for kind, number in report["counts"].items() if number}
    wrong = []
    if (done.returncode, report["verdict"]) != (1, "failed"):
        wrong.append(f"exit code {done.returncode}, verdict {report['verdict']}")
    if kinds is not None and counts != kinds:
        wrong.append(f"{counts} instead of {kinds}")
    if offset not in {finding["offset"] for finding in report["findings"]}:
        wrong.append(f"offset {offset} is not named")
    return report, wrong
