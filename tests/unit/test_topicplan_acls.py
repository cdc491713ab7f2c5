"""The rights each role needs: from the topics' files and one table."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from pipeline_files import loaded, small, write
from typer.testing import CliRunner

from streambg.cli.topics import app
from streambg.errors import ConfigError
from streambg.topicplan import load_topics
from streambg.topicplan.acls import ROLES, Acl, acls, commands, principals


@pytest.fixture
def found(tmp_path: Path) -> list[Acl]:
    pipeline = loaded(tmp_path, small())
    return acls(pipeline, load_topics(pipeline))


def of(found: list[Acl], role: str) -> set[tuple[str, str, str]]:
    return {(acl.kind, acl.operation, acl.name) for acl in found if acl.role == role}


def test_what_a_scorer_and_a_publisher_need(found: list[Acl]) -> None:
    assert of(found, "scorer.green") == {
        ("topic", "Read", "fraud-events"),
        ("topic", "Read", "fraud.control"),
        ("topic", "Read", "fraud.predictions.green"),
        ("topic", "Write", "fraud.predictions.green"),
        ("topic", "Describe", "fraud.predictions.blue"),
        ("group", "Read", "streambg.fraud.scorer.green"),
        ("group", "Describe", "streambg.fraud.publisher"),
        ("group", "Describe", "streambg.fraud.reader"),
    }
    publisher = of(found, "publisher")
    assert {name for kind, operation, name in publisher if (kind, operation) == ("topic", "Write")} == {
        "fraud-alerts",
        "fraud.cutovers",
        "fraud.dead-letters",
    }
    assert ("transactional-id", "Write", "streambg.fraud.publisher.") in publisher
    assert [acl.pattern for acl in found if acl.kind == "transactional-id"] == ["prefixed"]


def test_only_the_publisher_writes_the_output_and_nobody_alters_but_who_applies_topics(found: list[Acl]) -> None:
    assert {acl.role for acl in found if acl.name == "fraud-alerts" and acl.operation == "Write"} == {"publisher"}
    writes = {acl.role for acl in found if acl.name == "fraud.control" and acl.operation == "Write"}
    assert writes == {"operator", "controller"}
    assert {acl.role for acl in found if acl.operation in ("Create", "Alter", "AlterConfigs")} == {"topics"}
    assert not [acl for acl in found if acl.role == "audit" and acl.operation in ("Write", "Create", "Alter")]


def test_no_right_twice_and_none_that_another_includes(found: list[Acl]) -> None:
    assert len({(acl.role, acl.kind, acl.name, acl.operation) for acl in found}) == len(found)
    includes = {(acl.role, acl.kind, acl.name) for acl in found if acl.operation in ("Read", "Write")}
    assert not [acl for acl in found if acl.operation == "Describe" and (acl.role, acl.kind, acl.name) in includes]


def test_the_commands_grant_exactly_these(tmp_path: Path, found: list[Acl]) -> None:
    who = principals(loaded(tmp_path, small()), None, {"publisher": "svc-out"})
    granted = set()
    for line in commands(found, who, "host:9092"):
        words = shlex.split(line)
        assert words[:6] == [
            "kafka-acls.sh",
            "--bootstrap-server",
            "host:9092",
            "--command-config",
            "admin.properties",
            "--add",
        ]
        if words[-1] == "--cluster":
            words.append("kafka-cluster")
        pairs = list(zip(words[6::2], words[7::2], strict=True))
        values = {flag: [value for name, value in pairs if name == flag] for flag, _ in pairs}
        [principal] = values.pop("--allow-principal")
        [pattern] = values.pop("--resource-pattern-type", ["literal"])
        operations = values.pop("--operation")
        [(kind, names)] = values.items()
        granted |= {(principal, kind.removeprefix("--"), name, pattern, each) for name in names for each in operations}
    assert granted == {(who[acl.role], acl.kind, acl.name, acl.pattern, acl.operation) for acl in found}


def test_principals(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, small())
    assert principals(pipeline, None, {})["scorer.blue"] == "User:fraud-scorer-blue"
    assert principals(pipeline, "Group:x-", {"audit": "eve"})["publisher"] == "Group:x-publisher"
    assert principals(pipeline, None, {"audit": "eve"})["audit"] == "User:eve"
    assert principals(pipeline, "team-", {})["topics"] == "User:team-topics"


def test_the_verb(tmp_path: Path) -> None:
    path = str(write(tmp_path, small()))
    text = CliRunner().invoke(app, ["acls", "-p", path, "--role", "audit"])
    assert text.exit_code == 0
    assert "# audit: User:fraud-audit" in text.stdout
    assert "publisher:" not in text.stdout
    assert "# your own programs: Write on fraud-events" in text.stdout
    rows = json.loads(CliRunner().invoke(app, ["acls", "-p", path, "--output", "json"]).stdout)
    assert {row["role"] for row in rows} == set(ROLES)
    assert all(row["why"] for row in rows)
    for words in (["--role", "auditor"], ["--principal", "audit"], ["--principal", "x=y"]):
        assert isinstance(CliRunner().invoke(app, ["acls", "-p", path, *words]).exception, ConfigError)
