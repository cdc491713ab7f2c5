"""The whole command line, verb by verb: help, an example that parses, options and arguments that say what they are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from model_versions import new, river_pickle
from typer.testing import CliRunner

from streambg.cli.main import build
from streambg.models.policy import Policy
from streambg.models.registry import Registry
from streambg.records.source import COLORS

# What prints no data, so has no --output: it runs until Ctrl-C.
PRINTS_NO_DATA = {"up"}
APP = build(())
ROOT: Any = typer.main.get_command(APP)


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


TREE = dict(walk(ROOT))
GROUPS = {path: command for path, command in TREE.items() if hasattr(command, "commands")}
VERBS = {path: command for path, command in TREE.items() if path not in GROUPS}


def examples_of(command: Any) -> list[list[str]]:
    """The words of each of its examples, without `streambg`."""
    head, examples = (command.epilog or "").split("  ", 1)
    assert head in ("Example:", "Start with:")
    found = [shlex.split(example) for example in examples.split(";  ")]
    assert {program for program, *_ in found} == {"streambg"}
    return [words for _, *words in found]


def parse(words: list[str]) -> str:
    """The verb that these words call, having parsed them all. Raises Typer's UsageError."""
    command, path = ROOT, []
    while words and hasattr(command, "commands") and not words[0].startswith("-"):  # `replay` does something itself
        name, command, words = command.resolve_command(typer.Context(command), words)
        path.append(name)
    command.make_context(" ".join(path), list(words))
    return " ".join(path)


def test_there_is_a_tree() -> None:
    assert {"deploy", "status", "models diff", "broker start", "topics plan"} <= set(VERBS)
    assert {"", "broker", "topics", "models"} <= set(GROUPS)


@pytest.mark.parametrize("path", TREE)
def test_it_says_what_it_does_and_gives_an_example_that_parses(path: str) -> None:
    command = TREE[path]
    assert command.help
    assert command.help.strip()[-1] in ".:", "a sentence"
    for words in examples_of(command):
        called = parse(words)
        assert called == path if path in VERBS else called.startswith(path), "an example of another verb"


@pytest.mark.parametrize("path", TREE)
def test_its_help_can_be_asked_for(path: str) -> None:
    done = CliRunner().invoke(APP, [*path.split(), "--help"], terminal_width=200)
    assert done.exit_code == 0
    assert "Usage:" in done.stdout
    assert f"  streambg {' '.join(examples_of(TREE[path])[0][:1])}" in done.stdout


@pytest.mark.parametrize("path", VERBS)
def test_every_parameter_says_what_it_is_for(path: str) -> None:
    silent = [param.name for param in VERBS[path].params if not getattr(param, "help", None)]
    assert silent == []


@pytest.mark.parametrize("path", VERBS)
def test_data_is_printed_as_json_too(path: str) -> None:
    offered = {option for param in VERBS[path].params for option in param.opts}
    assert ("--output" in offered) == (path not in PRINTS_NO_DATA)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["promot"], "Did you mean 'promote'"),
        (["modles", "list"], "Did you mean 'models'?"),
        (["models", "verfy"], "Did you mean 'verify'?"),
        (["status", "--pipelin", "x"], "--pipeline"),
    ],
)
def test_a_wrong_word_is_told_the_nearest(words: list[str], says: str) -> None:
    done = CliRunner().invoke(APP, words, terminal_width=200)
    assert done.exit_code == 2
    assert says in done.stderr


PAGES = ("docs/continuous-deployment.md",)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_parse(page: str) -> None:
    text = (Path(__file__).parent.parent.parent / page).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("streambg ")]
    assert lines
    for line in lines:
        assert parse(shlex.split(line)[1:]) in VERBS


# --- completion


def offered(path: str, name: str, incomplete: str = "", **given: Any) -> list[str]:
    command = VERBS[path]
    context = typer.Context(command)
    context.params.update(given)
    (param,) = [param for param in command.params if param.name == name]
    return [item.value for item in param.shell_complete(context, incomplete)]


def test_every_color_is_completed() -> None:
    found = [(path, param.name) for path, verb in VERBS.items() for param in verb.params if param.name == "color"]
    assert ("deploy", "color") in found
    for path, name in found:
        assert offered(path, name) == list(COLORS), path
        assert offered(path, name, "g") == ["green"], path


def test_every_version_is_completed_from_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refs = [
        (path, param.name) for path, verb in VERBS.items() for param in verb.params if param.metavar == "NAME:VERSION"
    ]
    assert {("deploy", "model"), ("models diff", "second"), ("models show", "ref")} <= set(refs)
    named = {"model", "ref"}
    assert not {
        (path, param.name) for path, verb in VERBS.items() for param in verb.params if param.name in named
    } - set(refs)
    for path, name in refs:
        assert offered(path, name) == [], "no pipeline, no registry, no traceback"


def test_it_completes_what_is_whole_and_takes_the_registry_from_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = Registry.create(tmp_path / "elsewhere", Policy(allow_pickle=True))
    for ref in ("fraud:7", "fraud:8", "other:1"):
        registry.add(new(ref, artifact=river_pickle(), artifact_name="m.pkl"))
    (tmp_path / "elsewhere" / "fraud" / "9").mkdir()
    assert offered("models show", "ref", "fraud", registry="elsewhere") == ["fraud:7", "fraud:8"]
    assert offered("models diff", "second", "fraud:8", registry=Path("elsewhere")) == ["fraud:8"]
    assert offered("models show", "ref", registry="nowhere") == []
