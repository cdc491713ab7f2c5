"""The peers' benchmark: its checker finds what it must, its figures come out of samples, its versions fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import ahead, environments, event, report, results, table
from benchmarks.peers.counting import tally
from benchmarks.peers.driver import chosen, names
from benchmarks.peers.environments import pinned, streams_version
from benchmarks.peers.results import Cell, Found
from benchmarks.peers.roster import PEERS
from benchmarks.peers.topics import numbers
from benchmarks.peers.windows import Sample, percentile, rate
from streambg.errors import ConfigError
from streambg.servers.kafka_config import KAFKA_VERSION

SPEED = {"rate": {"per_second": 25_300.0, "cpu_us": 41.26, "broker_us": 9.0}, "peak_mb": 84.6}
KILLED = {
    "kills": 10,
    "back_s": 2.5,
    "ended": 0,
    "note": "",
    "tally": {"owed": 1_000, "lost": 3, "doubled": 2, "foreign": 0},
}


# -- what was lost and doubled ----------------------------------------------------------------------------------------


def test_the_counting_finds_planted_losses_and_doubles() -> None:
    owed = range(1_000)
    answers = [event.answer(number, 17, "blue") for number in owed]
    assert tally(owed, numbers(answers)).exact
    del answers[500:503]  # lost
    answers.insert(0, answers[700])  # doubled, far apart
    answers += [answers[-1], answers[-1]]  # and twice more than once
    found = tally(owed, numbers(answers))
    assert (found.owed, found.lost, found.doubled, found.foreign) == (1_000, 3, 3, 0)
    assert not found.exact


def test_an_answer_to_no_event_is_foreign_and_hides_nothing() -> None:
    found = tally(range(10), [*range(9), 77, 77])
    assert (found.lost, found.doubled, found.foreign) == (1, 0, 2)


def test_an_input_that_holds_an_event_twice_says_nothing() -> None:
    with pytest.raises(ValueError, match="event 3 2 times"):
        tally([1, 2, 3, 3], [1, 2, 3])


# -- the work ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 9, 12_345, 99_999_999])
def test_every_event_has_144_bytes_and_ten_fields(number: int) -> None:
    value = event.event(number, 1_700_000_000_000_000)
    read = json.loads(value)
    assert len(value) == event.BYTES
    assert len(read) == 10
    expected = event.score(read["amount"], read["n24"], read["device"])
    assert event.decode_answer(event.answer(number, 1, "blue")).p == pytest.approx(expected, abs=1e-6)


def test_a_users_events_stand_in_one_partition() -> None:
    assert event.USERS % event.PARTITIONS == 0


# -- figures ----------------------------------------------------------------------------------------------------------


def samples(*done: int) -> list[Sample]:
    return [Sample(float(at), count, at * 0.5, at * 0.25) for at, count in enumerate(done)]


def test_rates_are_medians_of_three_windows() -> None:
    # the second window was disturbed
    found = rate(samples(-100, 0, 100, 200, 300, 310, 320, 330, 430, 530, 630))
    assert found.per_second == 100
    assert found.cpu_us == pytest.approx(0.5e6 / 100)
    assert found.broker_us == pytest.approx(found.cpu_us / 2)


def test_a_counter_that_moves_in_steps_is_cut_where_it_moved() -> None:
    steps = [count for step in range(13) for count in [step * 1_000] * 10]
    assert rate(samples(*steps)).per_second == pytest.approx(100)


def test_too_few_moments_are_no_figure() -> None:
    with pytest.raises(ValueError, match="moments of progress"):
        rate(samples(0, 0, 0, 5, 5, 5))
    with pytest.raises(ValueError, match="moments of progress"):
        rate([])


def test_percentiles() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (51.0, 100.0)


# -- choosing, keeping, showing ---------------------------------------------------------------------------------------


def test_only_picks_contenders_and_rows() -> None:
    assert list(chosen([])) == names()
    assert chosen(["faust:crash", "faust:hop"]) == {"faust": {"crash", "hop"}}
    with pytest.raises(ConfigError, match="no 'flink'"):
        chosen(["flink"])
    with pytest.raises(ConfigError, match="no row 'speed'"):
        chosen(["faust:speed"])


def test_pieces_measured_at_different_times_add_up(tmp_path: Path) -> None:
    first = results.read(tmp_path, "faust")
    first.cells["at-least-once", "hop"] = Cell("2026-01-01 10:00 UTC", "0.15.3", False, SPEED)
    results.write(tmp_path, first)
    second = results.read(tmp_path, "faust")
    second.cells["exactly-once", "crash"] = Cell("2026-01-02 10:00 UTC", "0.15.3", False, KILLED)
    results.write(tmp_path, second)
    found = {name: results.read(tmp_path, name) for name in names()}
    assert set(found["faust"].cells) == {("at-least-once", "hop"), ("exactly-once", "crash")}
    hop, crash = table.rows(found, report.titles())
    assert hop[1:4] == ["25 k", "41.3 (9.0)", "85"]
    assert crash[8] == "3 / 2 (1,000)"
    page = report.page(found, results.machine(), KAFKA_VERSION)
    assert "2026-01-01 10:00 UTC to 2026-01-02 10:00 UTC" in page
    assert "Faust (exactly-once): 3 lost, 2 doubled" in page


def test_a_row_that_failed_says_so() -> None:
    found = Found("faust", {("at-least-once", "hop"): Cell("2026", "1", False, None, "it ended with code 1\nlong log")})
    everything = {name: found if name == "faust" else Found(name) for name in names()}
    assert table.rows(everything, report.titles())[0][1] == "failed"
    assert "it ended with code 1" in report.page(everything, results.machine(), KAFKA_VERSION)


def test_versions_fit() -> None:
    assert streams_version() == KAFKA_VERSION
    assert all(peer.version() for peer in PEERS)
    assert pinned("faust", "faust-streaming")


def test_every_environment_is_pinned_by_hash_and_names_no_index() -> None:
    pins = [environments.requirements(peer.name) for peer in PEERS]
    files = [file for file in pins if file.is_file()]
    assert len(files) == 4  # the loop by hand uses our own environment, Kafka Streams is Java
    for file in files:
        text = file.read_text()
        blocks = [line for line in text.replace("\\\n", "").splitlines() if line and not line.startswith("#")]
        assert all("--hash=sha256:" in block for block in blocks)
        assert "://" not in text


def test_the_page_says_who_is_ahead_of_streambg() -> None:
    def cells(per_second: float, megabytes: float) -> dict[Any, Cell]:
        figures = {"rate": {**SPEED["rate"], "per_second": per_second}, "peak_mb": megabytes}  # type: ignore[dict-item]
        return {("exactly-once", "hop"): Cell("2026", "1", False, figures)}

    everything = {name: Found(name) for name in names()}
    everything["streambg"].cells.update(cells(100_000, 170))
    everything["faust"].cells.update(cells(99_999, 80))
    everything["quix-streams"].cells.update(cells(100_001, 171))
    assert list(ahead.lines(everything, report.titles(), "streambg")) == [
        "- exactly-once, hop, events/s: streambg 100,000; Quix Streams 100,001.",
        "- exactly-once, largest process, MB: streambg 170; Faust 80.0.",
    ]
