"""Which test names which rule of docs/protocol.md, and the table there that says so.

`python tests/rule_coverage.py --write` writes the table again from the tests as they are.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = ROOT / "docs" / "protocol.md"
BEGIN, END = "<!-- generated: rule coverage -->", "<!-- end of generated -->"
RULES = tuple(range(1, 37))
# `P7`, `test_P7_...`, `(P7)`; not `P70`, `TP7` or `p7`
CITED = re.compile(r"(?<![A-Za-z0-9])P([1-9][0-9]?)(?![0-9A-Za-z])")
# How many tests the table shows for a rule; the rest is found by searching for the rule's number.
SHOWN = 3


@dataclass(frozen=True, slots=True, order=True)
class Named:
    """A test that names a rule; `in_name` where the rule stands in the test's name."""

    rule: int
    in_name: bool
    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    rule: int
    path: str
    name: str


def files_of_tests(root: Path) -> list[Path]:
    return sorted((root / "tests").rglob("test_*.py"))


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every test function: (name as pytest writes it behind the path, node)."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        for found in inside:
            if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) and found.name.startswith("test"):
                yield prefix + found.name, found


def cited(text: str) -> set[int]:
    return {int(number) for number in CITED.findall(text.replace("_", " "))} & set(RULES)


def named_by(source: str, path: str) -> Iterator[Named]:
    """The rules that a test file's functions name, in their names, docstrings or bodies."""
    for name, node in functions(ast.parse(source)):
        in_name = cited(name)
        for rule in sorted(in_name | cited(ast.get_source_segment(source, node) or "")):
            yield Named(rule, rule in in_name, path, name)


def all_named(root: Path = ROOT) -> list[Named]:
    return [
        named
        for file in files_of_tests(root)
        if file.name != "test_protocol_coverage.py"  # it speaks of all rules and shows none
        for named in named_by(file.read_text(), file.relative_to(root).as_posix())
    ]


def table(named: list[Named]) -> list[str]:
    lines = ["| rule | where | test |", "| --- | --- | --- |"]
    for rule in RULES:
        tests = sorted((n for n in named if n.rule == rule), key=lambda n: (not n.in_name, n.path, n.name))
        lines += [f"| P{rule} | {test.path} | {test.name} |" for test in tests[:SHOWN]]
    return lines


def section(text: str) -> str:
    """What stands between the markers. Raises ValueError where they are not there."""
    if text.count(BEGIN) != 1 or END not in text.partition(BEGIN)[2]:
        raise ValueError(f"{PROTOCOL.name} needs the line {BEGIN!r} once, and {END!r} behind it")
    return text.partition(BEGIN)[2].partition(END)[0]


def rows(text: str) -> list[Row]:
    """The table's lines as values."""
    found = []
    for line in section(text).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and re.fullmatch(r"P\d+", cells[0]):
            found.append(Row(int(cells[0][1:]), cells[1], cells[2]))
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="the table of docs/protocol.md that says where each rule is tested")
    parser.add_argument("--write", action="store_true", help="write it into docs/protocol.md instead of printing it")
    lines = table(all_named())
    if not parser.parse_args(arguments).write:
        sys.stdout.write("\n".join(lines) + "\n")
        return 0
    text = PROTOCOL.read_text()
    old = section(text)
    PROTOCOL.write_text(text.replace(BEGIN + old, BEGIN + "\n\n" + "\n".join(lines) + "\n\n"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
