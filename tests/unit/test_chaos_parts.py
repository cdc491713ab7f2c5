"""What the fault runs count with: delays, reach, resuming, rows that break off."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chaos import __main__ as chaos
from chaos import judging, needs
from chaos.disk import small_disk
from chaos.reader import Seen
from chaos.report import BEGIN, END, write
from chaos.scenario import ALL, FULL, SCALED, SHORT, Scenario, sized
from chaos.table import Result, broken_off, rows_of
from chaos.world import World
from control_log import envelope
from recorded import standard

from streambg.audit import audit_records
from streambg.errors import StreambgError

ROW = Result("B4", "a fault", 1, 100, 0, 0, 0, 0, 1.0, 0.5, "0/0", True)


def test_delays_are_those_of_the_events_fed_between_two_moments() -> None:
    """Two partitions; event 0 is 0@0, 1 is 1@0, 2 is 0@1, and so on."""
    world = object.__new__(World)
    fed = [(10.0, 0), (11.0, 2), (12.0, 4), (13.0, 6)]
    world.feeder = SimpleNamespace(fed=fed)  # type: ignore[assignment] # as much as is looked at
    moments = {(0, 0): 10.5, (1, 0): 10.6, (0, 1): 11.1, (1, 1): 11.4, (0, 2): 12.9}
    world.reader = SimpleNamespace(seen=Seen(moments=moments))  # type: ignore[assignment] # the same
    world.run = SimpleNamespace(partitions=2)  # type: ignore[assignment] # the same
    assert world.delays(11.0, 13.0) == pytest.approx([0.1, 0.4, 0.9]), "of 1@2 nothing has come"
    assert world.delays(10.0, 11.0) == pytest.approx([0.5, 0.6])


def test_a_row_that_breaks_off_has_failed() -> None:
    assert ROW.ok
    assert not broken_off("B4", "a fault", "no nodes").ok


def test_what_the_machine_lacks_is_said_before_the_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_compiler() -> None:
        raise StreambgError("there is no C compiler", way_out="apt install gcc")

    monkeypatch.setattr(needs, "NEEDS", {"T1": no_compiler, "B7": no_compiler})
    monkeypatch.setattr(chaos, "play", lambda row, *_: replace(ROW, row=row))
    _main(monkeypatch, "--only", "T1", "--only", "B5", "--results", str(tmp_path / "results.jsonl"))
    said = capsys.readouterr().out
    assert said.count("will fail") == 1
    assert said.index("T1 will fail: there is no C compiler\n  way out: apt install gcc") < said.index("T1 (1 of 2)")


def test_a_broken_row_does_not_stop_the_others_and_a_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[tuple[str, int]] = []

    def play(row: str, size: int, seed: int, logs: Path | None) -> Result:
        played.append((row, size))
        if row == "B4":
            raise AssertionError("not within 60 s: a leader")
        return replace(ROW, row=row)

    monkeypatch.setattr(chaos, "play", play)
    file = tmp_path / "results.jsonl"
    assert _main(monkeypatch, "--only", "B4", "--only", "B5", "--size", "short", "--results", str(file)) == 1
    written = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["row"], row["ok"], row["size"]) for row in written] == [("B4", False, "short"), ("B5", True, "short")]
    assert "a leader" in written[0]["note"]
    monkeypatch.setattr(chaos, "ALL", {row: ALL[row] for row in ("B4", "B5")})
    played.clear()
    assert _main(monkeypatch, "--size", "short", "--results", str(file)) == 1
    assert played == [("B4", SHORT)], "B5 has succeeded"
    assert _main(monkeypatch, "--only", "B5", "--size", "short", "--results", str(file)) == 0, "it is asked for by name"
    assert _main(monkeypatch, "--size", "scaled", "--results", str(file)) == 1
    assert _main(monkeypatch, "--size", "short", "--again", "--results", str(file)) == 1
    assert played[1:] == [("B5", SHORT), ("B4", SCALED), ("B5", SCALED), ("B4", SHORT), ("B5", SHORT)]


def test_a_page_keeps_the_rows_that_were_not_run_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    short, scaled = replace(ROW, size="short", injections=1), replace(ROW, size="scaled", injections=7)
    write(page, [scaled, replace(ROW, row="K1", size="short")])
    write(page, [replace(ROW, row="B1", size="short"), scaled, short])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert list(rows_of(text)) == ["K1", "B1", "B4"], "group by group"
    assert "| 7 |" in rows_of(text)["B4"], "the newest of the largest size"
    assert "3 of " in text
    page.write_text(text.replace("| injections |", "| how often |"))
    write(page, [scaled])
    assert list(rows_of(page.read_text())) == ["B4"], "rows of another table would not fit"


def _main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["chaos", *words])
    return chaos.main()


def test_a_letter_means_all_of_its_rows() -> None:
    assert chaos.rows("Y") == ["Y1", "Y2", "Y3", "Y4"]
    assert chaos.rows("Y3") == ["Y3"]
    assert chaos.rows("Y9") == chaos.rows("") == []
    assert all(row in chaos.rows(row[0]) for row in ALL), "C8b is a row of C"


def test_every_row_has_its_three_sizes() -> None:
    for row, chosen in ALL.items():
        assert list(chosen.counts) == sorted(chosen.counts), row
        assert chosen.counts[0] > 0, row
        if isinstance(chosen, Scenario):
            rates = [sized(chosen, size)[0].load.rate for size in (SHORT, SCALED, FULL)]
            assert rates == sorted(rates), row


def test_B7_without_the_right_to_mount_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "mount"
    refusing.write_text("#!/bin/sh\necho 'mount: permission denied' >&2\nexit 32\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with (
        pytest.raises(StreambgError, match=r"256 MB can be mounted here: mount: permission denied\n.*as root"),
        small_disk(),
    ):
        pass


def test_what_is_accepted_against_the_rules_is_found_without_the_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """P1, P5: an id that was there, a command that had expired, another epoch than the one in force."""
    records = [
        envelope("deploy", -1, "a"),
        envelope("shift", 0, "b", time=1_000),
        b"no envelope",
        envelope("shift", 1, "a"),  # 3: the first one's id
        envelope("shift", 3, "c", time=1_000 - 30_001),  # 4: expired
        envelope("shift", 3, "d"),  # 5: in force was 4
        envelope("shift", 5, "e"),
    ]
    accepted = [SimpleNamespace(offset=offset, accepted=offset != 2) for offset in range(len(records))]
    monkeypatch.setattr(judging.verbs, "entries", lambda _pipeline: accepted)
    messages = [
        SimpleNamespace(offset=partial(int, at), timestamp=lambda: (2, 1_000), value=partial(bytes, value))
        for at, value in enumerate(records)
    ]
    monkeypatch.setattr(judging, "visible", lambda *_: messages)
    topics = SimpleNamespace(control="control")
    run: Any = SimpleNamespace(pipeline=SimpleNamespace(kafka=SimpleNamespace(bootstrap=""), topics=topics))
    found = list(judging.wrongly_accepted(run))
    assert [line.partition(":")[0].rpartition(" ")[2] for line in found] == ["3", "4", "5"]
    assert "expired 30001 ms" in found[1]


def test_what_the_audit_did_not_look_at_is_not_audited() -> None:
    report = audit_records(standard(gaps=0.0))
    ends = {each.partition: each.events for each in report.partitions}
    assert report.ok
    assert list(judging.not_judged(report, ends)) == []
    more = {**ends, 0: ends[0] + 1, 9: 5}
    assert [line.partition(":")[0] for line in judging.not_judged(report, more)] == ["partition 0", "partition 9"]


def test_a_fault_that_never_happened_shows_nothing() -> None:
    assert not replace(ROW, injections=0).ok
