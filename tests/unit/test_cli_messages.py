"""One style of messages: what, and the way out; where a file is wrong, its line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import streambg
from streambg import errors
from streambg.cli.common import confirm
from streambg.cli.control import weight_of
from streambg.cli.main import main
from streambg.cli.replay import _request
from streambg.errors import ConfigError, ModelError, SessionEnded, StreambgError
from streambg.models.policy import Policy, read_policy

# StreambgError itself is what streambg did not foresee; SessionEnded is for no one's eyes.
WITH_A_WAY_OUT = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, StreambgError) and kind not in (StreambgError, SessionEnded)
}


def without_a_way_out(source: str) -> Iterator[tuple[int, str]]:
    """(line, class) of every error that is made without `way_out`; another module's class of that name is none."""
    tree = ast.parse(source)
    ours = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "streambg.errors"
        for alias in node.names
    }
    for node in ast.walk(tree):
        made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ours & WITH_A_WAY_OUT
        if made and not any(keyword.arg == "way_out" for keyword in node.keywords):
            yield node.lineno, node.func.id


def test_every_error_that_a_person_meets_says_what_to_do_next() -> None:
    planted = "from streambg.errors import Gap\nraise Gap('it is gone')"
    assert list(without_a_way_out(planted)) == [(2, "Gap")]
    package = Path(streambg.__file__).parent
    found = [
        f"{path.relative_to(package)}:{line}: {name}"
        for path in sorted(package.rglob("*.py"))
        for line, name in without_a_way_out(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "allow_pickle: false\nallow_pickel: true\n",
            "registry.yaml:2: allow_pickel: no such key; did you mean `allow_pi",
        ),
        ("\npython_allow: os\n", "registry.yaml:2: python_allow: 'os' is no list; write [os]"),
        ("allow_pickle: false\nonnx_threads: 0\n", "registry.yaml:2: onnx_threads: "),
        ("allow_pickle: true\nallow_pickle: true\n", "registry.yaml:2: a key is given twice"),
        ("- x", "registry.yaml:1: the file must be a mapping"),
        ("a: [", "registry.yaml:1: no YAML"),
    ],
)
def test_a_registry_file_with_a_mistake_names_the_line(text: str, says: str) -> None:
    with pytest.raises(ModelError) as caught:
        read_policy(text.encode(), "registry.yaml")
    assert says in caught.value.what
    assert caught.value.way_out


def test_a_registry_file_without_a_mistake() -> None:
    text = b"allow_pickle: true   # we all may\npython_allow: [acme.models, os]\n"
    assert read_policy(text, "registry.yaml") == Policy(allow_pickle=True, python_allow=["acme.models", "os"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["broker", "status", "--dir", "/dev/null/x"], "/dev/null/x/broker.json: Not a directory"),
        (["up", "-p", "nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["models", "list", "-p", "nowhere.yaml"], "nowhere.yaml: No such file"),
        # the first that a person meets in another folder
        (
            ["up"],
            "way out: cd into the pipeline's folder, or name its file with -p FILE; a new one: streambg init NAME",
        ),
        (["status"], "way out: cd into the pipeline's folder, or name its file with -p FILE; a new one: streambg init"),
    ],
)
def test_a_path_that_leads_nowhere_is_no_traceback(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["streambg", *words])
    monkeypatch.setattr("streambg.process.logs.configure", lambda *_args, **_options: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (1, 2)
    said = capsys.readouterr().err
    assert says in said
    assert "way out: " in said


# --- a question


def answering(monkeypatch: pytest.MonkeyPatch, answer: str | type[BaseException]) -> None:
    """What a person at the prompt does."""

    def prompt(_text: str = "") -> str:
        if isinstance(answer, str):
            return answer
        raise answer

    monkeypatch.setattr("typer._click.termui.visible_prompt_func", prompt)


def test_yes_goes_on_and_no_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, "y")
    confirm("Do this?")
    answering(monkeypatch, "n")
    with pytest.raises(typer.Exit) as ended:
        confirm("Do this?")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.endswith("Nothing was changed.\n")


def test_ctrl_c_at_a_question_is_ctrl_c_and_no_input_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        confirm("Do this?")
    answering(monkeypatch, EOFError)
    with pytest.raises(ConfigError, match="got no answer"):
        confirm("Do this?")


@pytest.mark.parametrize(("text", "weight"), [("0.5%", 50), ("10", 1_000), ("1.25", 125), ("0", 0), (" 0.01 % ", 1)])
def test_P3_a_weight_as_it_is_typed(text: str, weight: int) -> None:
    assert weight_of(text) == weight


@pytest.mark.parametrize(("text", "way_out"), [("0.5", "for percent write it: 0.5%"), ("101", "a weight is 0 to 100")])
def test_P3_what_may_be_a_share_is_no_weight(text: str, way_out: str) -> None:
    """Half of the keys, or half a percent of them: a pipeline file refuses it, too."""
    with pytest.raises(ConfigError) as caught:
        weight_of(text)
    assert caught.value.way_out.startswith(way_out)


@pytest.mark.parametrize(
    ("typed", "says"),
    [(["--against", "publised"], "no such side"), (["--last", "24"], "--last 24 has no unit")],
)
def test_what_a_replay_is_not_told_is_not_guessed(typed: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        _request(["m:1"], *_asked(typed))


def _asked(typed: list[str]) -> tuple[Any, ...]:
    said = dict(zip(typed[::2], typed[1::2], strict=True))
    span: Any = ([], [], said.get("--last"))
    return said.get("--against", "published"), span, [], None, 1, True, None
