"""Replays that were made, from their files: the list, one of them, two of them side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from replay_documents import NEW, OLD, REPORT, SCORED, TIMING
from typer.testing import CliRunner

from streambg.cli import replay_reports
from streambg.errors import ConfigError, StreambgError
from streambg.replaying.diff import Line, diff
from streambg.replaying.document import REPORT_FILE, TIMING_FILE, Report, Timing, encode
from streambg.replaying.html import render
from streambg.replaying.shelf import Kept, Unread, find, kept, newest

APP = typer.Typer()
APP.registered_commands.extend(replay_reports.app.registered_commands)
OTHER_ID = "0123" + "f" * 60
OTHER = replace(REPORT, identity=replace(REPORT.identity, id=OTHER_ID, epoch=43))


def put(root: Path, report: Report = REPORT, timing: Timing | None = TIMING) -> Path:
    folder = root / report.id
    folder.mkdir(parents=True)
    (folder / REPORT_FILE).write_bytes(encode(report))
    if timing is not None:
        (folder / TIMING_FILE).write_bytes(encode(timing))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    put(tmp_path)
    put(tmp_path, OTHER, replace(TIMING, started_ms=TIMING.started_ms + 1_000))
    yield tmp_path
    assert not list(tmp_path.rglob("*.part")), "nothing half-written is left"


def said(*words: str | Path, root: Path) -> str:
    done = CliRunner().invoke(
        APP, [*map(str, words), "--dir", str(root)], catch_exceptions=False, env={"COLUMNS": "160"}
    )
    assert done.exit_code == 0, done.output
    return done.output


# -- list -------------------------------------------------------------------------------------------------------------


def test_the_newest_comes_first_and_what_has_no_report_is_named(root: Path) -> None:
    (root / ("ab" * 32)).mkdir()
    (root / "not-a-replay").mkdir()
    found = kept(root)
    assert [each.folder.name[:6] for each in found] == ["0123ff", "012345", "ababab"]
    assert [type(each) for each in found] == [Kept, Kept, Unread]
    text = said("list", root=root)
    assert re.search(r"0123ffffffff +2026-11-18 13:36:41 +fraud:8 +published +4,001 +abort", text)
    assert "abababababab  it has no report.json: the replay was interrupted, or goes on" in text


def test_the_list_as_json(root: Path) -> None:
    listed = json.loads(said("list", "--output", "json", root=root))
    assert [each["id"] for each in listed] == [OTHER_ID, REPORT.id]
    assert listed[1]["models"] == [{"model": "fraud:8", "verdict": "abort", "exit_code": 10}]
    assert listed[1]["started_ms"] == TIMING.started_ms


def test_without_a_directory_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "No replays in replays." in CliRunner().invoke(APP, ["list"]).output
    with pytest.raises(ConfigError, match="no replays in"):
        newest(tmp_path / "nowhere")


@pytest.mark.parametrize("words", [("list",), ("show",), ("show", "01"), ("diff", "01", "02")])
def test_a_directory_that_is_mistyped_is_no_empty_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "replays").write_text("")
    for name, what in (("nowhere", "there is no such folder"), ("replays", "is a file, not a folder")):
        error = CliRunner().invoke(APP, [*words, "--dir", str(tmp_path / name)]).exception
        assert isinstance(error, ConfigError)
        assert what in error.what
        assert "--dir FOLDER" in error.way_out


def test_the_newest_is_shown_without_an_id(root: Path) -> None:
    assert newest(root).folder.name == OTHER_ID
    assert json.loads(said("show", "--output", "json", root=root))["identity"]["id"] == OTHER_ID


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "report.json cannot be read"),
        (b'{"format": 1}', "it is no report of this streambg"),
        (b'{"format": 99}', "a newer format"),
        (encode(OTHER), "is of replay 0123ffffffff: it was moved here"),
    ],
)
def test_a_report_that_cannot_be_read_is_said_not_raised(tmp_path: Path, data: bytes, why: str) -> None:
    folder = put(tmp_path)
    (folder / REPORT_FILE).write_bytes(data)
    (unread,) = kept(tmp_path)
    assert isinstance(unread, Unread)
    assert why in unread.why
    with pytest.raises(StreambgError, match=re.escape(unread.why)):
        find(tmp_path, REPORT.id)


# -- by its id --------------------------------------------------------------------------------------------------------


def test_the_beginning_of_an_id_is_enough_where_it_is_one(root: Path) -> None:
    assert find(root, "01234").report == REPORT
    assert find(root, OTHER_ID).report == OTHER
    assert replay_reports.complete_id(_context(root), "0123f") == ["0123ffffffff"]


def _context(root: Path) -> typer.Context:
    context = typer.Context(typer.main.get_command(APP))
    context.params["folder"] = root
    return context


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("0123", "2 replays begin with 0123: 0123456789ab, 0123ffffffff"),
        ("77", "begins with 77; 2 others are there"),
        ("../0123", "'../0123' is no id of a replay"),
        ("", "'' is no id"),
    ],
)
def test_what_names_no_replay_is_refused(root: Path, wanted: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        find(root, wanted)


# -- show -------------------------------------------------------------------------------------------------------------


def test_a_replay_is_shown_with_verdict_reasons_changes_and_figures(root: Path) -> None:
    text = said("show", "01234", root=root)
    for part in (
        "fraud:8 against what was published: abort",
        "flips in machine=m2: harm beyond 5 points, evidence over a million of the 400 needed",
        "100 decisions turn (2.51 %)",
        "flips in machine=m1  2,000   -0.05         -1.05 to +0.95  3",
        "4,001 events in 12.5 s, 320 a second, by 2 workers, begun 2026-11-18 13:36:40 UTC.",
    ):
        assert part in text, part


def test_as_json_it_is_the_report(root: Path) -> None:
    assert json.loads(said("show", "01234", "--output", "json", root=root)) == json.loads(encode(REPORT))


def test_the_page_is_written_with_the_timing_of_the_run(root: Path, tmp_path: Path) -> None:
    page = Path(said("show", "01234", "--html", root=root).strip())
    assert page.parent == root / REPORT.id
    assert page.read_text() == render(REPORT, TIMING)
    without = tmp_path / "without"
    put(without, timing=None)
    page = Path(json.loads(said("show", "0", "--html", "--output", "json", root=without))["page"])
    assert page.name == "report.html"
    assert page.read_text() == render(REPORT)


# -- diff -------------------------------------------------------------------------------------------------------------


def differing(first: Report, second: Report) -> dict[str, list[Line]]:
    return {part.name: [line for line in part.lines if line.differs] for part in diff(first, second)}


def test_a_report_does_not_differ_from_itself() -> None:
    assert differing(REPORT, REPORT) == {"inputs": [], "counts": [], "fraud:8": []}


def test_what_went_in_and_what_came_out_stand_side_by_side() -> None:
    verdict = replace(SCORED.verdict, word="continue", tests=SCORED.verdict.tests[:1])
    changed = replace(
        REPORT,
        identity=replace(REPORT.identity, topics=(replace(REPORT.identity.topics[0], end=9_100),), models=(OLD,)),
        counts=replace(REPORT.counts, events=9_000),
        models=(replace(SCORED, model=OLD, verdict=verdict, agreement=replace(SCORED.agreement, agree=3_989)),),
    )
    found = differing(REPORT, changed)
    assert found["inputs"] == [
        Line("input payments/0 to", 2_100, 9_100),
        Line("output decisions/0 from", 90, None),
        Line("output decisions/0 to", 2_080, None),
        Line("output decisions/0 id", REPORT.identity.topics[1].topic_id, None),
    ]
    assert found["counts"] == [Line("events", 4_001, 9_000)]
    lines = found["fraud:8 / fraud:7"]
    assert lines[:4] == [
        Line("model", "fraud:8", "fraud:7"),
        Line("digest", NEW.digest, OLD.digest),
        Line("verdict", "abort", "continue"),
        Line("agree", 3_890, 3_989),
    ]
    assert [line.what for line in lines[4:]] == [
        f"flips in machine={machine}, ln e {what}" for machine in ("m1", "m2") for what in ("good enough", "harm")
    ]


def test_models_find_their_like_before_their_place() -> None:
    refs = {"first": ("a:1", "b:1", "c:1"), "second": ("b:1", "a:2", "d:1", "e:1")}
    reports = [
        replace(REPORT, models=tuple(replace(SCORED, model=replace(NEW, ref=ref)) for ref in refs[side]))
        for side in ("first", "second")
    ]
    assert [part.name for part in diff(*reports)][2:] == ["b:1", "a:1 / a:2", "c:1 / d:1", "e:1"]


def test_the_diff_is_printed(root: Path) -> None:
    text = said("diff", "01234", "0123f", root=root)
    assert re.search(r"inputs +0123456789ab +0123ffffffff *\n *control log folded to +42 +43", text)
    assert "counts: the same" in text
    assert "mean score" not in text
    assert "mean score" in said("diff", "01234", "0123f", "--all", root=root)
    assert "Both are the same replay." in said("diff", "01234", "01234", root=root)


def test_the_diff_as_json(root: Path) -> None:
    parts = json.loads(said("diff", "01234", "0123f", "--output", "json", root=root))["parts"]
    assert parts[0] == {"part": "inputs", "lines": [{"what": "control log folded to", "first": 42, "second": 43}]}
    assert parts[1] == {"part": "counts", "lines": []}
    everything = json.loads(said("diff", "01234", "0123f", "--all", "--output", "json", root=root))["parts"]
    assert {"what": "events", "first": 4_001, "second": 4_001} in everything[1]["lines"]
