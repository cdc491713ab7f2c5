"""`streambg audit`: exit codes, forms of output, and what it is built from (P34)."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from corruptions import wrong_value
from recorded import Recording, standard
from rich.console import Console
from typer.testing import CliRunner, Result

import streambg.audit
from streambg import audit
from streambg.cli import audit as cli


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command on a recording instead of a broker."""

    def run(recording: Recording, *arguments: str) -> Result:
        asked: dict[str, Any] = {}

        def on_records(ignored: list[int], **options: Any) -> audit.Report:
            asked.update(options, ignore_records=ignored)
            return audit.audit_records(recording, progress=options["progress"], ignore_records=ignored)

        monkeypatch.setattr(cli, "load_pipeline", lambda _path, ignored: ignored)
        monkeypatch.setattr(audit, "run", on_records)
        monkeypatch.setattr(cli, "stdout", Console(width=160))
        result = CliRunner().invoke(cli.app, list(arguments))
        result.asked = asked  # type: ignore[attr-defined] # for the test only
        return result

    return run


def test_ok_ends_with_0(call: Any) -> None:
    result = call(standard())
    assert result.exit_code == 0, result.output
    assert "audit of payments: ok" in result.stdout
    assert result.stderr == "", "no bar where nobody sees it, nor its end"


def test_something_wrong_ends_with_1_and_names_it(call: Any) -> None:
    recording = standard()
    offset = wrong_value(recording)
    result = call(recording)
    assert result.exit_code == 1
    assert "failed (1 wrong value)" in result.output
    assert f"payments/0@{offset}" in result.output


def test_P35_nothing_to_audit_ends_with_1_unless_allowed(call: Any) -> None:
    recording = standard()
    recording.positions = dict.fromkeys(range(3), -1)
    result = call(recording)
    assert result.exit_code == 1
    assert "nothing to audit (no event is settled yet)" in result.output
    assert call(recording, "--allow-empty").exit_code == 0


def test_allow_empty_excuses_nothing_else(call: Any) -> None:
    recording = standard()
    wrong_value(recording)
    assert call(recording, "--allow-empty").exit_code == 1


def test_json_is_one_document_with_exit_code(call: Any) -> None:
    recording = standard()
    wrong_value(recording)
    result = call(recording, "--output", "json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["verdict"], data["counts"]["wrong_value"], data["events"]) == ("failed", 1, 450)


def test_P5_ignored_records_and_uncommitted_are_passed_on(call: Any) -> None:
    result = call(standard(), "--ignore-record", "9", "--ignore-record", "10", "--uncommitted")
    assert result.asked["ignore_records"] == [9, 10]
    assert result.asked["stable"] is False
    assert result.exit_code == 1  # without these commands the outcomes are by nobody's order


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(cli.app, ["--help"])
    assert "Example:" in result.output
    assert "streambg audit --output json" in result.output


def test_P34_the_audit_shares_no_fold_bucket_or_decision_with_the_publisher() -> None:
    forbidden = ("streambg.records.coverage", "streambg.records.bucket", "streambg.publishing", "streambg.comparing")
    imported: set[str] = set()
    files = sorted(Path(next(iter(streambg.audit.__path__))).glob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    assert not [name for name in imported if name.startswith(forbidden)]
