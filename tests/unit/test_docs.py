"""The documents say what the code does: formats, field orders, names, links, the state machine's picture."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streambg.config import load
from streambg.control.commands import VERBS, Envelope, ShiftArgs
from streambg.control.machine import diagram
from streambg.records import batch as batches
from streambg.records import cutover as cutovers
from streambg.records.outcome import decode_dead_letter, encode_dead_letter, parse_header
from streambg.records.rules import Rules

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
CODE_STORES = ("streambg", "consumers", "tests")
# Tables and addresses cannot be broken; prose can.
MAX_LINE = 120


def page(name: str) -> str:
    return (DOCS / name).read_text()


def example(name: str) -> str:
    """The fenced block of design.md behind `<!-- example: NAME -->`, as it is."""
    found = re.search(rf"<!-- example: {name} -->\n```\w*\n(.*?)\n```", page("design.md"), re.DOTALL)
    assert found is not None, f"docs/design.md has no example of the {name}"
    return found[1]


def prose(text: str) -> str:
    """Without fenced blocks and comments."""
    return re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)


# -- the state machine ------------------------------------------------------------------------------------------------


def test_the_picture_of_the_control_machine_is_the_table() -> None:
    between = page("architecture.md").partition("<!-- generated: control machine -->")[2]
    between = between.partition("<!-- end of generated -->")[0]
    assert between.strip() == f"```mermaid\n{diagram()}\n```", "copy what streambg.control.machine.diagram() returns"


def test_every_folder_of_the_library_stands_in_the_house() -> None:
    table = page("design.md").partition("## 3. The house")[2].partition("## 4.")[0]
    named = set(re.findall(r"^\| `(\w+)/` \|", table, re.MULTILINE))
    assert named == {folder.parent.name for folder in (ROOT / "streambg").glob("*/__init__.py")}


# -- wire formats -----------------------------------------------------------------------------------------------------


def test_the_prediction_batch_has_the_documented_fields_in_order() -> None:
    table = page("design.md").partition("<!-- fields: prediction batch -->")[2].partition("\n\nWhat a missing")[0]
    documented = re.findall(r"^\| (\d+) \| `(\w+)` \|", table, re.MULTILINE)
    fields = batches._Wire.__struct_fields__
    assert documented == [(str(number), name) for number, name in enumerate(fields)]
    assert fields[: len(batches._Head.__struct_fields__)] == batches._Head.__struct_fields__


def test_the_documented_limits_of_a_batch_are_the_codes() -> None:
    text = " ".join(page("design.md").split())
    assert f"at most {batches.MAX_ROWS:,} rows and {batches.MAX_BYTES // 1024} KiB" in text
    assert f"{batches.MAX_CARRY_FIELDS} fields at most" in text


def test_the_batch_header_is_written_like_the_example() -> None:
    source, after, upto, rest = re.fullmatch(r"(.+)\((-?\d+),(\d+)\] (.*)", example("batch header")).groups()  # type: ignore[union-attr] # it matches, or the test fails
    topic, partition = source.split("/")
    found = re.fullmatch(r"deployment=(\d+) rows=(\d+)", rest)
    assert found is not None
    rows = int(found[2])
    batch = batches.Batch(
        int(found[1]),
        int(after),
        int(upto),
        False,
        0,
        0,
        np.arange(rows),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.uint8),
        np.zeros((rows, 1)),
        [None] * rows,
        [b""] * rows,
    )
    assert batches.describe(batch, topic, int(partition)).decode() == example("batch header")


def test_P15_the_output_header_is_written_like_the_example() -> None:
    outcome = parse_header(example("output header").encode())
    assert (outcome.color, outcome.epoch, outcome.why) == ("green", 42, "route")


def test_P17_the_dead_letter_is_written_like_the_example() -> None:
    assert encode_dead_letter(decode_dead_letter(example("dead letter").encode())).decode() == example("dead letter")


def test_P19_the_cutover_is_written_like_the_example() -> None:
    cutover = cutovers.decode_cutover(example("cutover").encode())
    assert isinstance(cutover, cutovers.Cutover)
    assert cutovers.encode_cutover(cutover).decode() == example("cutover")
    assert f"Key: `{cutover.key.decode()}`" in page("design.md")


def test_P36_how_far_superseding_has_come_is_written_like_the_example() -> None:
    note = cutovers.decode_cutover(example("superseded").encode())
    assert isinstance(note, cutovers.Superseded)
    assert cutovers.encode_cutover(note).decode() == example("superseded")
    assert note.key == b"3/57/superseded"


def test_P26_positions_are_written_like_the_examples() -> None:
    for name, decode in (
        ("publisher position", cutovers.decode_publisher_position),
        ("scorer position", cutovers.decode_scorer_position),
    ):
        position = decode(example(name))
        assert position is not None, name
        assert cutovers.encode_position(position) == example(name)


def test_the_example_of_a_command_is_one_and_names_every_field() -> None:
    said = json.loads(example("command"))
    envelope = Envelope.model_validate(said)
    assert isinstance(envelope.parsed(), ShiftArgs)
    assert list(said) == list(Envelope.model_fields)


def test_every_verb_stands_in_the_table_of_arguments() -> None:
    table = page("design.md").partition("| verb | args |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([\w-]+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert named == set(VERBS)


def test_P4_the_example_of_rules_names_every_rule_that_is_read() -> None:
    text = example("rules")
    assert Rules.from_text(text).decision is not None
    said = msgspec.json.decode(text)
    assert set(Rules.__struct_fields__) <= set(said)
    left_out = {"drift"}  # where nothing is watched
    assert set(said) - left_out == set(msgspec.json.decode(load(ROOT / "pipeline.yaml", {}).deciding_text()))


def test_symptoms_are_told_in_words_that_streambg_says() -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "streambg").rglob("*.py"))
    symptoms = re.findall(r"^\| (.*?) \|", page("troubleshooting.md"), re.MULTILINE)
    quoted = [words for symptom in symptoms for words in re.findall(r"`([^`]+)`", symptom)]
    assert len(quoted) > 10
    assert [words for words in quoted if words not in source] == []


# -- names, links, form -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (heading and heading not in headings(there)):
            broken.append(target)
    assert broken == []


def headings(path: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_that_a_page_names_exist(path: Path) -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|yaml|svg|lock|xml))(?:::\w+)?`", path.read_text())
    missing = [name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "streambg", DOCS))]
    assert missing == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_that_a_page_names_exist(path: Path) -> None:
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"\b(test_P\d+\w+)`", path.read_text()))
    assert {name for name in named if f"def {name}(" not in tests} == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_fits_the_line(path: Path) -> None:
    lines = prose(path.read_text()).splitlines()
    long = [line for line in lines if len(line) > MAX_LINE and not line.startswith("|")]
    assert long == []


def test_every_decision_record_is_listed_and_has_its_parts() -> None:
    index = page("decisions/README.md")
    for record in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        text = record.read_text()
        assert f"]({record.name})" in index
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Evidence"]


def test_the_picture_is_sound_xml_with_a_title() -> None:
    root = ET.parse(DOCS / "architecture.svg").getroot()
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
