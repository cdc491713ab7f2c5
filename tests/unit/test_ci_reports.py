"""What `streambg ci` writes: JUnit XML that CI servers read, and Markdown for a job's summary."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from replay_documents import REPORT

from streambg.continuous.gates import MAX_EXAMPLES, cases, contract_markdown, markdown, word_of
from streambg.continuous.junit import Case, Result, junit
from streambg.continuous.validating import Validated
from streambg.replaying.document import Report
from streambg.replaying.found import Proof

AT = "2026-11-27T07:00:00"
# GitHub's limit for the summary of one step.
STEP_SUMMARY_BYTES = 1024 * 1024


def scored(report: Report, **changed: object) -> Report:
    [first, *rest] = report.models
    return replace(report, models=(replace(first, **changed), *rest))  # type: ignore[arg-type] # fields by name


# -- JUnit ------------------------------------------------------------------------------------------------------------

# The schema that Jenkins' plugin checks with, as far as a writer needs it: attributes that must and may be there, and
# which children in which order.
SCHEMA: dict[str, tuple[set[str], set[str], list[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "disabled", "errors"}, ["testsuite"]),
    "testsuite": (
        {"name", "tests"},
        {"failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "properties": (set(), set(), ["property"]),
    "property": ({"name", "value"}, set(), []),
    "testcase": (
        {"name", "classname"},
        {"assertions", "time", "status"},
        ["skipped", "error", "failure", "system-out", "system-err"],
    ),
    "skipped": (set(), {"type", "message"}, []),
    "error": (set(), {"type", "message"}, []),
    "failure": (set(), {"type", "message"}, []),
    "system-out": (set(), set(), []),
}


def breaches(element: ET.Element) -> list[str]:
    """Where the file leaves the schema."""
    must, may, children = SCHEMA[element.tag]
    given_ = set(element.attrib)
    found = [f"{element.tag} lacks {name}" for name in must - given_]
    found += [f"{element.tag} has {name}" for name in given_ - must - may]
    places = [children.index(child.tag) if child.tag in children else -1 for child in element]
    if -1 in places or places != sorted(places):
        found.append(f"{element.tag} holds {[child.tag for child in element]}")
    for name in ("tests", "failures", "errors", "skipped"):
        if name in element.attrib and not element.attrib[name].isdecimal():
            found.append(f"{element.tag} {name} is {element.attrib[name]}")
    return found + [each for child in element for each in breaches(child)]


def test_the_check_of_the_schema_finds_what_is_wrong() -> None:
    suite = "<testsuite tests='a'><testcase name='n' classname='c'/><properties/></testsuite>"
    assert breaches(ET.fromstring(f"<testsuites x='1'>{suite}</testsuites>")) == [
        "testsuites has x",
        "testsuite lacks name",
        "testsuite holds ['testcase', 'properties']",
        "testsuite tests is a",
    ]


RESULTS: tuple[Result, ...] = ("passed", "failed", "error", "skipped")
texts = st.text(st.characters(codec="utf-16", exclude_categories=[]), max_size=40)


@given(st.lists(st.builds(Case, texts, st.sampled_from(RESULTS), texts, st.floats(0, 1e6)), max_size=6), texts)
def test_every_file_is_valid_and_says_every_case(found: list[Case], note: str) -> None:
    root = ET.fromstring(junit("streambg ci", found, {"model": note}, AT))
    assert breaches(root) == []
    [suite] = root
    told = suite.findall("testcase")
    assert len(told) == len(found) == int(suite.attrib["tests"])
    for element, case in zip(told, found, strict=True):
        kinds = {child.tag for child in element} - {"system-out"}
        assert (
            kinds == {"passed": set(), "failed": {"failure"}, "error": {"error"}, "skipped": {"skipped"}}[case.result]
        )
    counted = {name: sum(case.result == name for case in found) for name in RESULTS}
    assert (int(suite.attrib["failures"]), int(suite.attrib["errors"]), int(suite.attrib["skipped"])) == (
        counted["failed"],
        counted["error"],
        counted["skipped"],
    )


def test_a_failure_says_why_whole_and_characters_that_xml_has_not_are_replaced() -> None:
    why = "correct: harm \x00\x1b[31m <b> & \ud800" + "x" * 500
    root = ET.fromstring(junit("s", [Case("gate", "failed", why)], {}, AT))
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.text is not None
    assert failure.text.startswith("correct: harm �")
    assert failure.text.endswith("x" * 500)
    assert len(failure.attrib["message"]) == 200
    assert root.find(".//properties") is None


# -- a replay as gates ------------------------------------------------------------------------------------------------


def results(report: Report) -> dict[str, str]:
    return {case.name: case.result for case in cases(report)}


def test_each_gate_of_a_replay_is_a_case() -> None:
    found = results(REPORT)
    verdict = REPORT.models[0].verdict
    assert {f"metric {test.name}" for test in verdict.tests} <= set(found)
    assert found["verdict"] == "failed"
    assert found["metric flips in machine=m2"] == "failed"
    assert found["metric flips in machine=m1"] == "passed"
    assert found["metric flips"] == "error", "undecided is no pass"
    assert found["metric slow"] == "skipped"
    assert found["contract"] == "passed"


def test_what_stands_in_the_way_is_an_error() -> None:
    verdict = replace(
        REPORT.models[0].verdict, word="continue", blocked=("coverage 90 %",), blocked_labels=("labels 0 %",)
    )
    found = results(scored(REPORT, verdict=verdict))
    assert (found["coverage"], found["labels"], found["verdict"]) == ("error", "error", "error")


def test_what_was_judged_without_labels_says_so_in_every_form() -> None:
    said = "judged without labels: l holds no label of this range or later"
    verdict = replace(REPORT.models[0].verdict, word="continue", blocked_labels=("correct: no labels were read",))
    found = Validated("fraud:8", (), scored(REPORT, verdict=verdict), Path("replays"), said)
    [gate] = [case for case in found.cases() if case.name == "labels"]
    assert (gate.result, gate.why) == ("error", f"{said}; correct: no labels were read")
    assert found.markdown().count(f"- {said}") == 1
    assert found.as_json()["unlabelled"] == said
    nothing_waits = Validated("fraud:8", (), REPORT, Path("replays"), said)
    assert [case.result for case in nothing_waits.cases() if case.name == "labels"] == ["skipped"]


def proof(reproduced: int, close: int, different: int) -> Proof:
    return Proof(reproduced + close + different, reproduced, close, different, 0, ())


def test_a_replay_that_differs_from_production_has_shown_nothing() -> None:
    """No evidence is a pass, and this is none; harm stays harm."""
    good = replace(REPORT.models[0].verdict, word="promote", exit_code=0)
    assert word_of(scored(REPORT, verdict=good, proof=proof(100, 1, 0))) == "promote"
    assert word_of(scored(REPORT, verdict=good, proof=proof(100, 0, 1))) == "inconclusive"
    assert word_of(scored(REPORT, proof=proof(100, 0, 1))) == "abort"
    differs = scored(REPORT, verdict=good, proof=proof(100, 0, 1))
    assert results(differs)["replay reproduces production"] == "failed"
    assert Validated("fraud:8", (), differs, Path("replays")).exit_code == 12
    none = scored(REPORT, proof=Proof(0, 0, 0, 0, 0, ()))
    assert results(none)["replay reproduces production"] == "skipped"


def test_the_summary_says_the_word_why_and_for_whom() -> None:
    said = markdown(REPORT, (), "reports/replays/abc")
    assert said.startswith("### fraud:8: abort\n")
    assert "machine=m2" in said
    assert REPORT.id in said
    assert len(said.encode()) < STEP_SUMMARY_BYTES
    assert whole_tables(said)


def whole_tables(text: str) -> bool:
    """Has every row of each table as many cells as its head?"""
    found = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert found
    return all(len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1 for table in found)


def test_what_stands_in_an_event_does_not_become_markdown() -> None:
    [first, *_] = REPORT.models[0].examples
    evil = replace(first, model=replace(first.model, value="<img src=x>|`x`\n| # [a](b) " + "y" * 1_000_000))
    report = scored(REPORT, examples=(evil,) * 20)
    said = markdown(report, (), "d")
    assert re.search(r"(?<!\\)<img", said) is None
    assert "\\<img src=x\\>\\|\\`x\\` \\| \\# \\[a\\](b)" in said
    assert len(said.encode()) < STEP_SUMMARY_BYTES
    assert said.count("img src") == MAX_EXAMPLES
    assert whole_tables(said)


def test_a_broken_contract_is_listed_and_nothing_is_replayed() -> None:
    found = Validated("fraud:8", ("range: p is 0 to 100", "labels: new"), None, None)
    assert [case.result for case in found.cases()] == ["failed", "skipped"]
    assert found.markdown() == contract_markdown("fraud:8", found.mismatches)
    assert "- range: p is 0 to 100\n- labels: new\n" in found.markdown()
    assert found.exit_code == 14
