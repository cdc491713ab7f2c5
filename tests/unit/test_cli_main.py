"""The console script imports what a verb needs, and offers every verb."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import typer
import typer.testing

from streambg.cli import main as cli
from streambg.cli.listing import LINES, _listed

EVERYTHING = {
    *("deploy", "shift", "promote", "rollback", "abort", "pause", "resume", "retire", "history"),
    *cli.VERBS,
    *cli.GROUPS,
}


def offered(*words: str) -> set[str]:
    app = cli.build(words)
    return cli.verbs_of(app) | {group.name for group in app.registered_groups if group.name}


@pytest.mark.parametrize("words", [(), ("--help",), ("no-such-verb",)], ids=str)
def test_without_a_known_verb_everything_is_offered(words: tuple[str, ...]) -> None:
    assert offered(*words) >= EVERYTHING


@pytest.mark.parametrize("verb", sorted(EVERYTHING))
def test_each_verb_is_there_when_it_is_asked_for(verb: str) -> None:
    assert verb in offered(verb, "--output", "json")
    assert offered(verb) < EVERYTHING


def test_each_verb_is_in_the_module_that_is_named_for_it() -> None:
    for verb, name in cli.VERBS.items():
        part: typer.Typer = cli.import_module(f"streambg.cli.{name}").app
        assert cli.verbs_of(part) == {verb}


def test_what_is_listed_is_what_each_verb_says_of_itself() -> None:
    """In the same order; where this fails, streambg/cli/listing.py is to be mended."""
    real: Any = typer.main.get_command(cli.build(()))
    said = {name: command.help.split("\n\n")[0].replace("\n", " ") for name, command in real.commands.items()}
    assert dict(LINES) == said
    listed: Any = typer.main.get_command(cli.app_for(()))
    assert {name: command.help for name, command in listed.commands.items()} == said
    assert set(EVERYTHING) == LINES.keys()


@pytest.mark.parametrize("words", [["shift", "10%"], ["--", "shift"], ["models", "list"]], ids=str)
def test_a_verb_that_is_named_is_the_real_one(words: list[str]) -> None:
    verb = next(word for word in words if word != "--")
    real: Any = typer.main.get_command(cli.app_for(words))
    assert real.commands[verb].callback is not _listed


@pytest.mark.parametrize("words", ["--version", "--help", "", "no-such-verb"])
def test_what_is_only_listed_imports_no_client(words: str) -> None:
    said = f"import sys; sys.argv = ['streambg', *{words.split()}]"
    assert imported(f"{said}; from streambg.cli.main import main; main()") == []


def test_the_first_tab_imports_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COMPLETE": "complete_bash", "WORDS": "streambg\nmod", "AT": "1"}.items():
        monkeypatch.setenv({"COMPLETE": "_STREAMBG_COMPLETE", "WORDS": "COMP_WORDS", "AT": "COMP_CWORD"}[name], value)
    assert imported("from streambg.cli.main import main; main()") == []


def imported(program: str) -> list[str]:
    """Which of the slow ones this program has imported when it ends."""
    slow = {"redis", "confluent_kafka", "numpy", "structlog"}
    told = f"import atexit, sys; atexit.register(lambda: print(*sorted({slow} & sys.modules.keys()), file=sys.stderr))"
    run = subprocess.run(
        [sys.executable, "-c", f"{told}\n{program}"], capture_output=True, text=True, check=False, timeout=60
    )
    return run.stderr.splitlines()[-1].split()


def test_a_verb_does_not_pay_for_the_others() -> None:
    """What is slow to import and needed by servers, demo and audit only."""
    program = (
        "import sys; from streambg.cli.main import build; build(['shift', '10%']);"
        "print(*sorted({'redis', 'streambg.audit', 'streambg.servers', 'streambg.demo'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == []


@pytest.mark.parametrize("port", ["-4", "99999"])
def test_what_is_no_port_is_refused_before_anything_is_read(port: str) -> None:
    run = typer.testing.CliRunner().invoke(cli.build(["audit"]), ["audit", "--metrics-port", port])
    assert run.exit_code == 2
    assert "Invalid value for '--metrics-port'" in run.output


def test_the_module_calls_itself_what_its_users_call_it() -> None:
    """Shells could not complete `python -m streambg`."""
    words, asked = [sys.executable, "-m", "streambg"], {**os.environ, "_STREAMBG_COMPLETE": "source_bash"}
    run = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60, env=asked)
    assert run.stdout.rstrip().endswith("complete -o default -F _streambg_completion streambg")
    help_text = subprocess.run([*words, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Usage: streambg [OPTIONS]" in help_text
