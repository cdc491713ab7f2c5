"""`streambg doctor` on three nodes: copies, in-sync replicas and each broker's own settings can be right or wrong.

Over 15 s: three nodes start. What is one call to a single broker is three to them, which one broker cannot show.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chaos.cluster import Cluster
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from pipelines import Running, pipeline
from typer.testing import CliRunner
from waiting import until

from streambg.cli.main import build
from streambg.topicplan import Action, apply
from streambg.topicplan.broker import read

pytestmark = pytest.mark.integration


def bad(run: Running) -> tuple[int, dict[str, Any]]:
    """(exit code, what is not ok by its check)."""
    done = CliRunner().invoke(build(()), ["doctor", "-p", str(run.pipeline.file), "--output", "json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    findings = json.loads(done.stdout)["findings"]
    return done.exit_code, {each["check"]: each for each in findings if each["verdict"] != "ok"}


def test_on_three_nodes_all_is_well_then_each_thing_that_is_made_wrong_is_named(tmp_path: Path) -> None:
    with Cluster() as cluster, pipeline(tmp_path, cluster.bootstrap, "trio", partitions=2) as run:
        run.say("deploy", "blue", "m:1", start="earliest")  # and so there is a clock to look at
        code, found = bad(run)
        assert (code, set(found)) == (0, {"writers"}), found
        assert found["writers"]["verdict"] == "warning"
        spoil(run, AdminClient({"bootstrap.servers": cluster.bootstrap}))
        code, found = bad(run)
        assert code == 1
        assert set(found) == {"writers", "control-log", "min-insync", "partitions"}
        assert found["min-insync"]["subject"] == "trio.control"
        assert found["min-insync"]["mend"] == "streambg topics apply"
        cluster.nodes[3].stop()
        until(lambda: "replication" in bad(run)[1], 60, "a replica that is away is noticed")
        assert "of 3 replicas in sync" in bad(run)[1]["replication"]["measured"]


def spoil(run: Running, admin: AdminClient) -> None:
    """A short control retention, a low min ISR, a wrong partition count."""
    control, output = run.pipeline.topics.control, run.pipeline.topics.output
    apply(admin, [Action("change", "control", control, config={"retention.ms": "600000", "min.insync.replicas": "1"})])
    admin.create_partitions([NewPartitions(output, 3)], operation_timeout=20)[output].result(20)
    until(lambda: read(admin, [output])[output].partitions == 3, what="the output has grown")
