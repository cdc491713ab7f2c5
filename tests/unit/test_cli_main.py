"""The console script imports what a verb needs, and offers every verb."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from streambg.cli import main as cli

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


def test_a_verb_does_not_pay_for_the_others() -> None:
    """What is slow to import and needed by servers, demo and audit only."""
    program = (
        "import sys; from streambg.cli.main import build; build(['shift', '10%']);"
        "print(*sorted({'redis', 'streambg.audit', 'streambg.servers', 'streambg.demo'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == []
