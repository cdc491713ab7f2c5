"""Every rule of the protocol is named by a test, and docs/protocol.md says by which."""

from __future__ import annotations

import re

import pytest
import rule_coverage
from rule_coverage import PROTOCOL, ROOT, RULES, all_named, cited, named_by


def test_the_protocol_states_every_rule_once_in_order() -> None:
    stated = [int(number) for number in re.findall(r"^- \*\*P(\d+)\*\* ", PROTOCOL.read_text(), re.MULTILINE)]
    assert stated == list(RULES)


def test_every_rule_ends_with_its_reason() -> None:
    rules = re.split(r"^- \*\*P\d+\*\* ", PROTOCOL.read_text().partition("## Where each rule")[0], flags=re.MULTILINE)
    without = [rule[:60] for rule in rules[1:] if "]" not in rule.partition("[")[2]]
    assert without == []


def test_every_rule_is_named_by_a_test() -> None:
    named = {n.rule for n in all_named()}
    assert [f"P{rule}" for rule in RULES if rule not in named] == []


def test_the_table_has_every_rule_and_names_only_tests_that_exist() -> None:
    rows = rule_coverage.rows(PROTOCOL.read_text())
    known = {(n.rule, n.path, n.name) for n in all_named()}
    again = "python tests/rule_coverage.py --write"
    assert {row.rule for row in rows} == set(RULES), f"run: {again}"
    gone = [f"P{r.rule} {r.path}::{r.name}" for r in rows if (r.rule, r.path, r.name) not in known]
    assert gone == [], f"no such test, or it names the rule no more; run: {again}"


def test_nothing_cites_a_rule_that_does_not_exist() -> None:
    """A citation like P37 is a slip of the pen; it would never be found again."""
    files = [*(ROOT / "streambg").rglob("*.py"), *(ROOT / "consumers").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    beyond = re.compile(r"\bP(?:3[7-9]|[4-9][0-9])\b")
    wrong = [f"{file.relative_to(ROOT)}: {found}" for file in files for found in beyond.findall(file.read_text())]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("test_P7_a_batch", {7}),
        ("P8 and P12: how far", {8, 12}),
        ("(P35)", {35}),
        ("P70, TP7, p7, P0, P37, P7b", set()),
    ],
)
def test_what_counts_as_a_citation(text: str, rules: set[int]) -> None:
    assert cited(text) == rules


def test_only_test_functions_name_rules() -> None:
    source = '''"""P1 in the module's words."""
def helper(): "P2"
def test_P3_x():
    """P4: shown."""
class TestOf:
    def test_P5_y(self): assert True, "P6"
'''
    named = {(n.rule, n.name, n.in_name) for n in named_by(source, "f.py")}
    assert named == {
        (3, "test_P3_x", True),
        (4, "test_P3_x", False),
        (5, "TestOf::test_P5_y", True),
        (6, "TestOf::test_P5_y", False),
    }
