"""The benchmark's arithmetic: medians, ratios, windows, what must be reached; its page and its pictures."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from streambg.bench import events, evidence
from streambg.bench.drained import between, last_assigned
from streambg.bench.machine import LIBRARIES
from streambg.bench.picture import Bar, bars, short
from streambg.bench.report import BEGIN, END, render, tables, write
from streambg.bench.result import GOALS, GROUPS, ROWS, Goal, Result, chosen, quantile
from streambg.errors import ConfigError, StreambgError

SETTINGS = {
    "rounds": 3,
    "events": 1_000,
    "event_bytes": 144,
    "partitions": 8,
    "pinned": {"measured": [0], "broker": [1]},
    "not_pinned": "i",
}
NAMES = ("processor", "cpus", "memory_gb", "kernel", "python", "broker", "librdkafka", *LIBRARIES)
MACHINE = dict.fromkeys(NAMES, "x")


def result(**runs: list[dict[str, float]]) -> Result:
    return Result("2026-01-02T00:00:00+00:00", SETTINGS, MACHINE, runs)


def rates(*values: float) -> list[dict[str, float]]:
    return [{"events_per_s": value} for value in values]


# -- figures


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """A round in which the machine was slow for both counts as any other."""
    found = result(b=rates(100, 10, 100), d=rates(50, 9, 70))
    assert found.figure("d", "ratio") == pytest.approx(0.7)
    assert found.figure("d", "events_per_s") == 50
    assert found.figure("b", "ratio") is None


def test_a_row_without_its_raw_loop_has_no_ratio() -> None:
    found = result(d=rates(50))
    assert found.figures("d") == {"events_per_s": 50}
    assert [goal.row for goal, _ in found.judged()] == []


def test_goals_are_judged_on_their_side() -> None:
    assert Goal("d", "ratio", "at least", 0.65).met(0.65)
    assert not Goal("d", "ratio", "at least", 0.65).met(0.649)
    assert Goal("j", "p99_ms", "at most", 150).met(150)
    assert not Goal("j", "p99_ms", "at most", 150).met(150.1)


def test_every_goal_is_about_a_row_that_exists_and_every_ratio_has_a_raw_loop() -> None:
    keys = {row.key: row for row in ROWS}
    assert {goal.row for goal in GOALS} <= set(keys)
    assert all(goal.figure in keys[goal.row].ratios for goal in GOALS if "ratio" in goal.figure)
    assert {base for row in ROWS for base in row.ratios.values()} <= set(keys)


def test_json_says_what_was_missed() -> None:
    found = result(c=rates(100), f=[{"events_per_s": 129.0, "peak_mb": 100.0}]).as_json()
    reached = {(goal["row"], goal["figure"]): goal["reached"] for goal in found["goals"]}
    assert reached == {("f", "ratio"): False, ("f", "peak_mb"): True}
    assert json.loads(json.dumps(found)) == found


def test_only_brings_the_raw_loops_along() -> None:
    assert chosen(["d"]) == {"b", "d"}
    assert chosen(["h"]) == {"h"}
    assert chosen([]) == set(GROUPS)
    with pytest.raises(ValueError, match="the rows are a, b, c"):
        chosen(["z"])


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 5), (0.95, 10), (0.99, 10), (0.9, 9)])
def test_quantile_is_the_smallest_value_that_the_share_does_not_exceed(share: float, value: float) -> None:
    assert quantile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == value


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_evidence_of_every_pair_is_counted_and_its_cost_is_more_with_a_gate() -> None:
    gate = evidence.gate()
    named = {name for metric in gate.metrics for name in metric.segments}
    assert (len(gate.metrics), {len(gate.segments[name]) + 1 for name in named}) == (5, {10})
    found = evidence.cost(20_000)
    assert found["with_us"] > found["without_us"] > 0


# -- windows


def test_the_first_fifth_is_not_measured() -> None:
    window = between([1.0, 2.0, 3.0, 4.0, 9.0], [10, 20, 50, 100, 100])
    assert (window.events, window.began, window.ended) == (80, 2.0, 4.0)


def test_nothing_is_measured_before_all_members_have_joined() -> None:
    window = between([1.0, 2.0, 3.0, 4.0], [10, 20, 50, 100], joined=2.5)
    assert (window.events, window.began) == (50, 3.0)


def test_too_few_events_are_said() -> None:
    with pytest.raises(StreambgError, match="before the warm-up was over") as caught:
        between([1.0], [100])
    assert "--events" in caught.value.way_out


def test_the_last_assignment_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [{"event": "assigned", "timestamp": f"2026-01-01T00:00:0{second}Z"} for second in (1, 3)]
    log.write_text("no JSON\n" + "\n".join(map(json.dumps, lines)) + "\n")
    assert last_assigned(log) == 1_767_225_603.0
    log.write_text("nothing\n")
    assert last_assigned(log) == 0.0


def test_events_are_as_long_as_is_said() -> None:
    sizes = {len(events.event(number)) for number in (0, 7, 99_999_999)}
    assert sizes == {events.EVENT_BYTES}
    assert set(events.FEATURES) <= set(json.loads(events.event(123)))


# -- page and pictures


def measured() -> Result:
    return result(
        a=[{"events_per_s": 2_000_000.0, "client_us": 0.5, "broker_us": 0.2, "peak_mb": 90.0}],
        b=[{"events_per_s": 600_000.0, "client_us": 1.5, "broker_us": 1.3, "peak_mb": 130.0}],
        b0=[{"events_per_s": 150_000.0, "client_us": 6.0, "broker_us": 1.4, "peak_mb": 120.0}],
        d=[{"events_per_s": 300_000.0, "client_us": 3.2, "broker_us": 2.3, "peak_mb": 300.0}],
        i2000=[{"p50_ms": 70.0, "p99_ms": 140.0, "p999_ms": 200.0, "client_us": 50.0, "broker_us": 60.0}],
        k2=[{"p50_s": 1.0, "p95_s": 2.0, "count": 20.0}],
        k3=[{"p50_s": 7.0, "p95_s": 8.1, "count": 3.0}],
        o=[{"without_us": 0.76, "with_us": 1.31, "evidence_us": 0.55}],
    )


def test_the_tables_show_figures_ratios_and_what_is_missed() -> None:
    shown: Any = dict(tables(measured()))
    latency = "Latency, input to a read_committed reader"
    assert list(shown) == ["Throughput", latency, "Starts and kills", "Evidence", "What must be reached"]
    scorer = ["d", "scorer, logistic model in numpy", "300,000", "3.2", "2.3", "300", "0.50 x b", "2.00 x b0"]
    assert scorer in shown["Throughput"]
    judged = {(row[0], row[2]): row[-1] for row in shown["What must be reached"][1:]}
    assert judged["d", "ratio to b0"] == "yes"
    missed = {place for place, word in judged.items() if word == "**no**"}
    assert missed == {("d", "ratio to b"), ("d", "peak MB"), ("k3", "p95 s")}
    assert judged["o", "CPU us/pair with it"] == "yes"
    console = Console(width=130, file=io.StringIO())
    console.print(render(measured()))
    assert "0.50 x b" in console.file.getvalue()  # type: ignore[attr-defined] # the StringIO above


def test_the_page_is_renewed_and_what_people_wrote_stays(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(f"# Mine\n\nbefore\n\n{BEGIN}\nold figures\n{END}\n\n## What was tried\n\nafter\n")
    write(file, measured())
    text = file.read_text()
    assert text.startswith("# Mine\n\nbefore\n\n")
    assert text.endswith("## What was tried\n\nafter\n")
    assert "old figures" not in text
    assert "| d | scorer, logistic model in numpy | 300,000 |" in text
    assert "Measured on 2026-01-02" in text
    once = file.read_text()
    write(file, measured())
    assert file.read_text() == once
    for name in ("throughput", "latency"):
        assert f"({file.stem}/{name}.svg)" in text
        ET.parse(tmp_path / file.stem / f"{name}.svg")


def test_a_new_page_is_made_and_a_page_without_a_place_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "new.md", measured())
    assert (tmp_path / "new.md").read_text().startswith("# Performance")
    (tmp_path / "other.md").write_text("# Something else\n")
    with pytest.raises(ConfigError, match="no generated part"):
        write(tmp_path / "other.md", measured())
    assert (tmp_path / "other.md").read_text() == "# Something else\n"


def test_bars_are_to_scale_and_escaped() -> None:
    root = ET.fromstring(bars("<rates>", "/s", [Bar("a & b", 100.0), Bar("c", 50.0, raw=True, mark=75.0)]))
    name = "{http://www.w3.org/2000/svg}"
    widths = [float(rect.attrib["width"]) for rect in root.iter(f"{name}rect")]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)
    (line,) = root.iter(f"{name}line")
    first = next(root.iter(f"{name}rect"))
    assert float(line.attrib["x1"]) - float(first.attrib["x"]) == pytest.approx(0.75 * widths[0], rel=0.01)
    assert "a & b" in [text.text for text in root.iter(f"{name}text")]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.123"), (1.5, "1.5"), (123.4, "123"), (1_234.0, "1,230"), (1_987_654.0, "1,990,000")],
)
def test_three_digits(value: float, text: str) -> None:
    assert short(value) == text
