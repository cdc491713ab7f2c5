"""The page of a replay's report, read as a browser reads it: all there, nothing leaves it, nothing in it is code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from replay_documents import AGREEMENT, REPORT, SCORED, TIMING, UNLIKE, VERDICT, proved

from streambg.replaying import words
from streambg.replaying.document import Report, encode
from streambg.replaying.found import Proof
from streambg.replaying.html import POLICY, render
from streambg.replaying.plotted import Charts
from streambg.replaying.svg import HEIGHT, WIDTH

VOID = {"meta", "link"}
EVIL = "<script>alert(1)</script>\"'><img src=http://127.0.0.1:1/x onerror=alert(2)>&amp;"
# Leaves that are no free text: their types allow certain words only.
WORDS_OF_TYPES = {"word", "side", "role"}


@dataclass
class Page(HTMLParser):
    """What a page consists of. numbers: the exact values that stand beside what people read, by table."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    table: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.table = attributes["id"]
        if tag == "data":
            self.numbers.setdefault(self.table, []).append(float(attributes["value"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> ends something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def ids(self, tag: str) -> list[str]:
        return [attributes["id"] for name, attributes in self.tags if name == tag and "id" in attributes]


def read(report: Report = REPORT, **others: Any) -> Page:
    page = Page()
    page.feed(render(report, **others))
    page.close()
    assert page.open == [], "not everything is closed"
    return page


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        return [leaf for name, each in value.items() for leaf in leaves(each, (*path, name))]
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in leaves(each, path)]
    return [(path, value)]


# -- what is on it ----------------------------------------------------------------------------------------------------


def test_every_section_and_chart_is_there() -> None:
    page = read(timing=TIMING)
    sections = [f"{name}-1" for name in ("verdict", "charts", "metrics", "changes", "figures", "examples", "proof")]
    assert page.ids("section") == ["summary", *sections, "timing", "events", "provenance"]
    drawn = [f"chart-{name}-1" for name in ("scores", "agreement", "means", "path1", "calibration")]
    assert page.ids("figure") == [*drawn, "chart-latency"]
    assert len(set(page.ids("table"))) == len(page.ids("table"))


def test_its_numbers_are_those_of_the_document() -> None:
    """Both ways: no number of the document is missing, and none stands there that is not in it."""
    plain = msgspec.json.decode(encode(REPORT))
    # drawn, or said in words: times, weights; `more` is in the reasons; the differences' figures are the metrics'
    not_shown = {
        "charts",
        "format",
        "exit_code",
        "threshold",
        "time_ms",
        "first_ms",
        "last_ms",
        "as_if_weight",
        "weight",
    }
    not_shown |= {
        "more",
        "difference_mean",
        "difference_deviation",
        "difference_quantiles",
        "noise",
        "gained",
        "settled",
    }
    said = {
        value
        for path, value in leaves(plain)
        if isinstance(value, int | float) and not isinstance(value, bool) and not not_shown & set(path)
    }
    shown = {value for values in read().numbers.values() for value in values}
    assert said == shown


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("table-agreement-1", [4000, 3990, 3890, 88, 12, 1234, 5, 3, 2, 1, 2]),
        (
            "table-flips-1",
            [*(4000, 2000, 88, 12, 4000, 3, 5), *(2000, 1000, 1, 0, 2000, 3, 5), *(2000, 1000, 87, 12, 2000, 3, 5)],
        ),
        ("table-counts", [4001, 2, 2]),
        ("table-labels-1", [3650, 3600, 3700, 3589, 50]),
    ],
)  # fmt: skip # rows of numbers
def test_a_number_stands_where_it_belongs(table: str, expected: list[float]) -> None:
    assert read().numbers[table] == expected


def test_the_summary_says_it_in_sentences() -> None:
    text = read().text
    for said in (
        "fraud:8 must not go live: it does harm: flips in machine=m2 is worse by 5.00 points of its range.",
        "Of 3,990 events that both sides answered, 100 decisions turn (2.51 %): 88 become yes, 12 become no.",
        "Most decisions turn in machine=m2 (4.95 % of 2,000 events), fewest in machine=m1 (0.05 % of 2,000 events).",
        "fraud:8 has no answer to 5 events that were answered without it.",
        "fraud:8 answers 3 events that had no answer.",
        "2 events have no answer on either side.",
        "99.97 % of the owed events were compared.",
        "3,589 of 3,700 events that should have their label have it (97.00 %).",
        "fraud:8 was not live in this range: there is nothing to reproduce.",
        "payments/0@7000",
        "card_token=***",
        "expired: the input begins at 110",
    ):
        assert said in text, said


def test_the_chances_are_the_gates_alphas() -> None:
    """What each test must reach is its share of alpha; together they are alpha again."""
    assert "with a chance of 0.75 % at most" in read().text  # three of the four equal shares of 1 %
    better = replace(VERDICT, word="promote", tests=tuple(replace(t, log_harm=-1.0) for t in VERDICT.tests))
    said = words.certainty(replace(SCORED, verdict=better))
    assert "If fraud:8 were worse than a margin, it would get this far with a chance of 5 % at most." in said


def test_several_models_stand_one_after_the_other() -> None:
    two = replace(REPORT, models=(SCORED, replace(SCORED, model=replace(SCORED.model, ref="fraud:9"))))
    page = read(two)
    assert {"verdict-1", "verdict-2", "examples-1", "examples-2"} <= set(page.ids("section"))
    assert "Verdict of fraud:9" in page.text
    assert page.text.startswith("Replay: fraud:8, fraud:9 against what was published")
    every_id = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(every_id)) == len(every_id)


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        (Proof(9, 9, 0, 0, 0, ()), "all 9 answers that fraud:8 published came out again, byte for byte"),
        (Proof(9, 5, 2, 0, 2, ()), "5 of 7 answers that fraud:8 published came out again byte for byte"),
        (Proof(9, 8, 0, 1, 0, (UNLIKE,)), "1 of 9 answers that this very fraud:8 published come out otherwise: do not"),
        (Proof(4, 0, 0, 0, 4, ()), "nothing to reproduce (4 answers of it went out under other rules)"),
    ],
)  # fmt: skip # one a line
def test_the_proof_is_said(proof: Proof, said: str) -> None:
    page = read(proved(proof))
    assert said in page.text
    assert ("payments/0@1234" in page.text) is bool(proof.first)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"word": "promote"}, "fraud:8 may go live: on 4,000 events it proved good enough"),
        ({"word": "continue"}, "Not decided: fraud:8 is not proved good enough against what was published yet; 1 of 3"),
        ({"word": "continue", "ready": True}, "only a person may promote it"),
        ({"word": "inconclusive"}, "No decision about fraud:8: 1 of 3 required tests passed on 4,000 events"),
        ({"word": "abort", "tests": ()}, "fraud:8 must not go live: it leaves out too many events to be judged."),
    ],
)
def test_every_verdict_has_its_sentence(change: dict[str, Any], said: str) -> None:
    scored = replace(SCORED, verdict=replace(VERDICT, **change))
    assert said in words.verdict_sentence(REPORT, scored)


def test_a_report_without_anything_is_a_page_too() -> None:
    nothing = replace(
        SCORED,
        agreement=replace(
            AGREEMENT, **dict.fromkeys(("compared", "agree", "errors_model", "errors_against", "errors_both"), 0)
        ),
        examples=(),
        flips=(),
        as_if=None,
        metrics=(),
        reasons=(),
        labels=None,
        charts=Charts((), 0, (), ()),
    )
    empty = replace(REPORT.counts, events=0, first_ms=None, last_ms=None, came={}, answering=(), holes=())
    page = read(replace(REPORT, counts=empty, models=(nothing,), threshold=None))
    assert page.ids("figure") == []
    for said in ("no events", "No event was answered by both sides.", "Every source offset of the range was there"):
        assert said in page.text


# -- what is not ------------------------------------------------------------------------------------------------------


def leaving(page: Page) -> list[tuple[str, dict[str, str]]]:
    """Elements that would load something, run something, or lead somewhere."""
    found = []
    for tag, attributes in page.tags:
        loads = {
            name: text for name, text in attributes.items() if name in ("src", "href", "srcset", "action", "style")
        }
        handles = [name for name in attributes if name.startswith("on")]
        active = tag in ("script", "img", "iframe", "object", "embed", "form", "a", "use")
        if active or handles or loads not in ({}, {"href": "data:,"}):
            found.append((tag, attributes))
    return found


def test_nothing_leaves_the_page() -> None:
    text = render(REPORT, TIMING)
    assert leaving(read(timing=TIMING)) == []
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert style
    assert not re.search(r"url\(|@import|@font-face|expression", style)
    assert f'http-equiv="Content-Security-Policy" content="{POLICY}"' in text


def test_what_leaves_a_page_is_found() -> None:
    page = Page()
    page.feed(
        '<p><a href="x"></a><iframe src="y"></iframe><script></script><b onclick="z"></b><link href="data:,"></p>'
    )
    assert [tag for tag, _ in leaving(page)] == ["a", "iframe", "script", "b"]


DIFFERENT = proved(Proof(9, 8, 0, 1, 0, (UNLIKE,)))


def planted(value: Any, name: str = "") -> Any:
    """Every free text of the document, names included, with what must never be read as HTML."""
    if isinstance(value, dict):
        return {key if key in FIELDS else key + EVIL: planted(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [planted(each, name) for each in value]
    return value + EVIL if isinstance(value, str) and value and name not in WORDS_OF_TYPES else value


def _fields() -> set[str]:
    """Names of fields, which are no text; the keys of mappings are."""
    found: set[str] = set()
    todo: list[Any] = [DIFFERENT]
    while todo:
        each = todo.pop()
        if hasattr(each, "__dataclass_fields__"):
            found |= set(each.__dataclass_fields__)
            todo += [getattr(each, name) for name in each.__dataclass_fields__]
        elif isinstance(each, tuple):
            todo += each
    return found


FIELDS = _fields()


def test_text_from_outside_stays_text() -> None:
    evil = msgspec.convert(planted(msgspec.json.decode(encode(DIFFERENT))), Report)
    page = read(evil)
    assert leaving(page) == []
    honest = read(DIFFERENT)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in honest.tags], "the same elements, whatever the texts are"
    told = " ".join(EVIL.split())
    for text in (f"fraud:8{told}", f"m1{told}", f"payments/0@7000{told}", f"machine{told}=m1{told}", f"missing{told}"):
        assert text in page.text, text


def test_what_cannot_be_seen_is_made_visible() -> None:
    hidden = replace(SCORED, reasons=(("a\x00b\x1bc\u202ed", 1),))
    assert "a\ufffdb\ufffdc\ufffdd" in read(replace(REPORT, models=(hidden,))).text


# -- the same bytes ---------------------------------------------------------------------------------------------------


def test_the_same_report_gives_the_same_bytes() -> None:
    again = msgspec.json.decode(encode(REPORT), type=Report)
    assert render(again) == render(REPORT)
    timed, other = render(REPORT, TIMING), render(REPORT, replace(TIMING, seconds=99.5))
    assert render(REPORT) != timed != other
    section = re.compile(r'<section id="timing">.*?</section>', re.DOTALL)
    assert section.sub("", timed) == section.sub("", other) == render(REPORT)


# -- charts -----------------------------------------------------------------------------------------------------------


def test_lines_have_their_points_inside_the_picture() -> None:
    page = read(timing=TIMING)
    lines = [a["d"] for tag, a in page.tags if tag == "path" and a.get("class", "").startswith("line")]
    # scores and means of both sides, agreement, e-values of both kinds
    assert len(lines) == 7
    for line in lines:
        points = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", line)
        assert len(points) >= 22
        assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in points)
    dots = [a for tag, a in page.tags if tag == "circle"]
    assert len(dots) == 20 + 3
