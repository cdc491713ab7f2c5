"""The breaks that `make mutants` tries: every rule has one, each can be made, and what nothing notices is said."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from breaks import BREAKS
from breaks.one import Break
from rule_coverage import ROOT, RULES, functions
from rules_broken import Verdict, judged, replaced
from simulation.mutants import MUTANTS

BROKEN = [broken for broken in BREAKS if broken.mutant is None]


def named(broken: Break) -> str:
    return f"P{broken.rule} {broken.how}"


def test_every_rule_is_broken() -> None:
    assert [f"P{rule}" for rule in RULES if rule not in {broken.rule for broken in BREAKS}] == []


def test_no_break_stands_there_twice() -> None:
    assert len({(broken.file, broken.text, broken.instead, broken.test) for broken in BREAKS}) == len(BREAKS)


@pytest.mark.parametrize("broken", BROKEN, ids=named)
def test_each_break_can_be_made_and_its_test_exists(broken: Break) -> None:
    right = (ROOT / broken.file).read_text()
    assert replaced(right, broken) != right
    path, _, name = broken.test.partition("::")
    assert name.partition("[")[0] in {found for found, _ in functions(ast.parse((ROOT / path).read_text()))}


def test_mutants_are_the_simulators() -> None:
    known = {(f"P{broken.rule}", broken.mutant) for broken in BREAKS if broken.mutant is not None}
    assert known <= {(mutant.rule, mutant.name) for mutant in MUTANTS}


def test_a_text_that_stands_there_twice_or_not_at_all_is_refused() -> None:
    twice = Break(7, "how", "test", "a.py", "x", "y")
    for text in ("x = x", "z"):
        with pytest.raises(ValueError, match=r"P7: in a\.py stands [02] times"):
            replaced(text, twice)


CASE = '<testsuites><testsuite><testcase name="t">{}</testcase></testsuite></testsuites>'


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ("", Verdict.PASSED),
        ('<failure message="assert 1 == 2"/>', Verdict.FAILED),
        ('<failure message="Failed: DID NOT RAISE Gap"/>', Verdict.FAILED),
        ('<failure message="streambg.errors.Gap: gone"/>', Verdict.FAILED),
        ('<failure message="NameError: name m"/>', Verdict.NO_CODE),
        ('<failure message="TypeError: no argument"/>', Verdict.NO_CODE),
        ('<error message="collection failure"/>', Verdict.NO_CODE),
        ('<skipped message="no"/>', Verdict.NOTHING),
    ],
)
def test_only_a_failed_assertion_is_noticing(told: str, verdict: Verdict) -> None:
    assert judged(ET.fromstring(CASE.format(told))).verdict is verdict


# Its own package of the name `streambg`: where the installed one were imported, there would be no `streambg.rule`.
PLANTED = {
    "pyproject.toml": "",
    "streambg/__init__.py": "",
    "streambg/rule.py": "LIMIT = 5\n\n\ndef allowed(n):\n    return n <= LIMIT\n",
    "tests/test_rule.py": "from streambg.rule import allowed\n\n\ndef test_P1():\n    assert allowed(5) > allowed(6)\n",
}
PLANT = """
import sys
from pathlib import Path
import rules_broken
from breaks.one import Break

rules_broken.FORKS.set_forkserver_preload(["pytest"])
test, file = "tests/test_rule.py::test_P1", "streambg/rule.py"
breaks = [
    Break(1, "one more is allowed", test, file, "<= LIMIT", "<= LIMIT + 1"),
    Break(2, "only the words differ", test, file, "LIMIT = 5", "LIMIT = 4 + 1"),
    Break(2, "no code any more", test, file, "return n ", "return m "),
]
for rule in ("P1", "P2"):
    print("exit code", rules_broken.main(["--only", rule], breaks, Path(sys.argv[1])))
"""


def test_what_nothing_notices_is_said_with_exit_code_1(tmp_path: Path) -> None:
    for name, text in PLANTED.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    ran = subprocess.run(
        [sys.executable, "-c", PLANT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert [line for line in ran.stdout.splitlines() if "exit" in line] == ["exit code 0", "exit code 1"]
    assert "P1 one more is allowed: caught" in ran.stderr
    assert "P2 only the words differ: NOT CAUGHT" in ran.stderr
    assert "P2 no code any more: NOT CAUGHT" in ran.stderr
    assert "the code does not run at all NameError" in ran.stderr
    assert (tmp_path / "streambg" / "rule.py").read_text() == PLANTED["streambg/rule.py"], "only the copy is broken"
