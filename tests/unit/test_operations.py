"""docs/operations.md says of every exit code, metric, alarm and warning what the code has, and of nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from streambg import errors
from streambg.doctor.examine import NAMES
from streambg.errors import StreambgError
from streambg.running.restarts import LEFT

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()
SOURCES = {path: path.read_text() for path in sorted((ROOT / "streambg").rglob("*.py"))}


def table(name: str) -> list[list[str]]:
    """The rows of the table behind `<!-- NAME -->`, without the two lines of its head."""
    text = PAGE.partition(f"<!-- {name} -->\n\n")[2].partition("\n\n")[0]
    assert text, f"docs/operations.md has no table of {name}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def tree() -> list[tuple[str, str, str]]:
    """(code, error, meaning) of each line of the tree in errors.py."""
    lines = re.findall(r"^ *(?:[├└]── )?(\w+) +(\d+|-) +(\S.*)$", errors.__doc__ or "", re.MULTILINE)
    return [(code, name, meaning) for name, code, meaning in lines]


def classes(of: type[StreambgError] = StreambgError) -> Iterator[type[StreambgError]]:
    """The errors of errors.py itself; a test that ran before may have made others."""
    yield of
    for each in of.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from classes(each)


def test_the_tree_of_errors_has_every_class_with_its_code() -> None:
    internal = {errors.SessionEnded}
    expected = {each.__name__: "-" if each in internal else str(each.exit_code) for each in classes()}
    assert {name: code for code, name, _ in tree()} == expected


def test_the_table_of_exit_codes_is_the_tree() -> None:
    rows = table("exit codes")
    told = [(code, name, meaning) for code, name, meaning, _ in rows if name != "-"]
    assert told == [each for each in tree() if each[0] != "-"]
    assert [code for code, name, _, _ in rows if name == "-"] == ["0", "130"]


def test_what_up_does_not_start_again_is_marked() -> None:
    assert {int(code) for code, _, _, todo in table("exit codes") if todo.startswith("*person*")} == set(LEFT)


def test_every_check_of_the_doctor_is_explained_in_its_order() -> None:
    assert [name.strip("`") for name, _, _ in table("doctor")] == list(NAMES)


def metrics() -> dict[str, str]:
    """Every prometheus metric in the code and its labels, as the page writes them."""
    found = {}
    for source in SOURCES.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Counter", "Gauge", "Histogram"):
                name, labels = _text(node.args[0]) if node.args else "", ""
                for argument in node.args[2:]:
                    labels = ", ".join(ast.literal_eval(argument))
                if name.startswith("streambg_"):
                    found[name] = labels or "-"
    return found


def _text(node: ast.AST) -> str:
    """The constant parts of a text."""
    if isinstance(node, ast.JoinedStr):
        return " ".join(_text(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_metric_is_explained_with_its_labels() -> None:
    assert {name.strip("`"): labels for name, labels, _, _ in table("metrics")} == metrics()


def alarms() -> list[str]:
    """The constant parts of each text that is given to `alarm(...)` or put among `alarms`."""
    found = []
    for source in SOURCES.values():
        for node in ast.walk(ast.parse(source)):
            texts: list[ast.AST] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                on_alarms = getattr(node.func.value, "id", "") == "alarms" and node.func.attr == "append"
                if node.func.attr == "alarm" or on_alarms:
                    texts = list(node.args)
            elif isinstance(node, ast.AugAssign) and getattr(node.target, "id", "") == "alarms":
                texts = [part for part in ast.walk(node.value) if isinstance(part, ast.JoinedStr)]
            found += [_text(text) for text in texts if isinstance(text, ast.JoinedStr)]
    return found


def test_every_alarm_is_explained_and_no_other() -> None:
    phrases = [phrase.strip("`") for phrase, _, _ in table("alarms")]
    assert len(alarms()) >= 7
    assert [alarm for alarm in alarms() if not any(phrase in alarm for phrase in phrases)] == []
    texts = [
        _text(node)
        for source in SOURCES.values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.JoinedStr)
    ]
    assert [phrase for phrase in phrases if not any(phrase in text for text in texts)] == []


def test_every_warning_of_a_process_is_explained_and_no_other() -> None:
    said = {name for source in SOURCES.values() for name in re.findall(r'log\.(?:warning|error)\(\s*"(\w+)"', source)}
    assert {line.strip("`") for line, _, _ in table("log lines")} == said - {"alarm"}
