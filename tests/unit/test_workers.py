"""How tests are handed to workers."""

from __future__ import annotations

from pathlib import Path

from workers import TOGETHER, unit_of_work

TESTS = Path(__file__).parent.parent


def test_what_shares_a_module_fixture_stays_together() -> None:
    files = [file for file in TESTS.glob("*/test_*.py") if file.parent.name != "unit"]
    sharing = {file.name for file in files if 'scope="module"' in file.read_text()}
    assert sharing == TOGETHER


def test_units_of_work() -> None:
    together = "tests/integration/test_demo.py"
    assert unit_of_work(f"{together}::test_one") == unit_of_work(f"{together}::test_two[a::b]") == together
    alone = "tests/integration/test_up.py::test_one"
    assert unit_of_work(alone) == alone
    assert unit_of_work("tests/unit/test_docs.py::test_one[tests/integration/x]") == "tests/unit/test_docs.py"
