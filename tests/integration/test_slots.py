"""Members that are given no slot take one that nobody has; two with one slot are told apart by the group (P21)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import Process, Running, pipeline
from waiting import until

from streambg.kafka.membership import instances

pytestmark = pytest.mark.integration


def fenced(process: Process) -> int:
    """How often."""
    return process.log.read_text().count('"exit_code": 7')


def taken(run: Running) -> set[str]:
    return {instance.rpartition(".")[2] for instance in instances(run.admin, run.pipeline.groups.publisher)}


def test_P21_leased_slots_are_shared_out_by_the_group_itself(kafka: str, unique: str, tmp_path: Path) -> None:
    """Both start at once, so they mostly take the same slot; who is fenced takes another one, under its own pid."""
    with pipeline(tmp_path, kafka, unique, partitions=2) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        run.scorers()
        leased = [run.start("publisher", "--slot", "free") for _ in range(2)]
        run.feed(50)
        until(lambda: taken(run) == {"0", "1"}, 60, "two slots are taken")
        run.drained()

        before = sum(map(fenced, leased))
        given = run.start("publisher", "--slot", "0")
        until(lambda: sum(map(fenced, leased)) > before, 20, "whoever had it is fenced")
        run.feed(50)
        run.drained()
        given.popen.terminate()
        given.popen.wait(20)
        until(lambda: taken(run) == {"1"}, 30, "the slot is free again")
        until(lambda: taken(run) == {"0", "1"}, 30, "whoever waits takes it")
        assert all(each.popen.poll() is None for each in leased)
        run.feed(50)
        run.drained()
        run.expect_exactly_once()
