"""JUnit XML, as CI servers read it: one suite, a test case a gate. Pure.

The form that Jenkins, GitLab and GitHub's actions take: `testsuites` > `testsuite` > `testcase`, in it at most one of
`failure`, `error`, `skipped`. Characters that XML does not have are replaced.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Result = Literal["passed", "failed", "error", "skipped"]
# XML 1.0 has no other control characters, no halves of surrogate pairs, and not these two.
_NONE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENT: Mapping[Result, str] = {"failed": "failure", "error": "error", "skipped": "skipped"}
# A CI server shows the attribute in a list; the text has it whole.
_SHORT = 200


@dataclass(frozen=True, slots=True)
class Case:
    """failed: judged and found bad. error: nobody could judge. skipped: never reached. why: for people."""

    name: str
    result: Result
    why: str = ""
    seconds: float = 0.0


def junit(suite: str, cases: Sequence[Case], properties: Mapping[str, str], at: str) -> bytes:
    """The file. at: when it was begun, ISO 8601 without zone; properties: what was tested, shown with the suite."""
    totals = {
        "tests": str(len(cases)),
        "failures": str(sum(case.result == "failed" for case in cases)),
        "errors": str(sum(case.result == "error" for case in cases)),
    }
    seconds = f"{sum(case.seconds for case in cases):.3f}"
    root = ET.Element("testsuites", {"name": "streambg", **totals, "time": seconds})
    skipped = str(sum(case.result == "skipped" for case in cases))
    holder = ET.SubElement(
        root,
        "testsuite",
        {"name": _text(suite), **totals, "skipped": skipped, "time": seconds, "timestamp": at},
    )
    if properties:
        listed = ET.SubElement(holder, "properties")
        for name, value in properties.items():
            ET.SubElement(listed, "property", {"name": _text(name), "value": _text(value)})
    for case in cases:
        _case(holder, suite, case)
    ET.indent(root)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _case(holder: ET.Element, suite: str, case: Case) -> None:
    element = ET.SubElement(
        holder,
        "testcase",
        {"name": _text(case.name), "classname": _text(suite), "time": f"{case.seconds:.3f}"},
    )
    if case.result == "passed":
        if case.why:
            ET.SubElement(element, "system-out").text = _text(case.why)
        return
    why = _text(case.why or case.result)
    told = ET.SubElement(element, _ELEMENT[case.result], {"message": why[:_SHORT]})
    if case.result != "skipped":
        told.set("type", case.result)
        told.text = why


def _text(text: str) -> str:
    return _NONE.sub("\N{REPLACEMENT CHARACTER}", text)
