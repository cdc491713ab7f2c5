"""The demo's plan, data and judgement: pure parts, no server."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import plans
import pytest
from rich.console import Console

from streambg.cli import demo as cli
from streambg.demo import data, deciding, places, result, train
from streambg.demo.data import PLANTED, Event, Kind, Row, Stream, load_rows, plant
from streambg.demo.measure import Sampler, Volume
from streambg.demo.producing import Planted
from streambg.demo.reckoning import behind, letters_problems
from streambg.demo.result import Done, Result, render
from streambg.demo.screen import Numbers, Screen
from streambg.demo.timeline import LAST_WORD, STEPS, Do, Step, due, may_send
from streambg.errors import ConfigError, ModelError
from streambg.models.policy import Policy
from streambg.models.registry import Registry
from streambg.process.usage import cpu_seconds
from streambg.records.outcome import DeadLetter
from streambg.records.source import Source
from streambg.servers import detached


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return load_rows()


# -- the timeline


def test_the_timeline_goes_through_every_verb_and_one_fault() -> None:
    assert [step.words for step in STEPS] == [
        "deploy blue",
        "deploy green",
        "shift 10 %",
        "shift 50 %",
        "kill -9 publisher",
        "promote",
        "rollback",
        "promote",
    ]
    assert [step.at for step in STEPS] == sorted({step.at for step in STEPS})
    assert STEPS[-1].at < LAST_WORD < 1.0
    assert all(step.why for step in STEPS)


@pytest.mark.parametrize("events", [2_000, 12_000, 120_000, 10**8])
def test_every_step_is_due_before_the_gate_that_waits_for_it(events: int) -> None:
    gates = [may_send(done, events) for done in range(len(STEPS) + 1)]
    assert gates == sorted(gates)
    assert gates[-1] == events
    for number, step in enumerate(STEPS):
        # reached with the steps before it done, and not the last event that may go then: its effect can be seen
        assert due(step, events) < may_send(number, events) or number == 0
        assert may_send(number + 1, events) > due(step, events)


# -- the data


def test_the_data_are_the_shuttle_rows(rows: list[Row]) -> None:
    assert len(rows) == 49_097
    assert all(set(features) == set(data.FEATURES) for features, _ in rows[:100])
    assert 0.02 < sum(label for _, label in rows) / len(rows) < 0.1


def test_the_same_numbers_give_the_same_bytes(rows: list[Row]) -> None:
    one, two = Stream(rows, 5_000), Stream(rows, 5_000)
    assert [one.event(number) for number in range(5_000)] == [two.event(number) for number in range(5_000)]


def test_ids_are_fresh_while_the_rows_loop(rows: list[Row]) -> None:
    few = rows[: data.TRAINING_ROWS + 10]
    stream = Stream(few, 100_000)
    numbers = [number for number in range(0, 100_000, len(few)) if number not in stream.planted]
    events = [json.loads(stream.event(number).value or b"") for number in numbers]
    assert len({event["event_id"] for event in events}) == len(events)
    assert len({event["f1"] for event in events}) == 1
    first = json.loads(stream.event(0).value or b"")
    assert {name: first[name] for name in data.FEATURES} == few[data.TRAINING_ROWS][0]


def test_keys_are_the_machines(rows: list[Row]) -> None:
    stream = Stream(rows, 2_000)
    keys = {stream.event(number).key for number in range(2_000)} - {None}
    assert keys == {f"m{number}".encode() for number in range(1, data.MACHINES + 1)}
    assert json.loads(stream.event(7).value or b"")["machine"].encode() == stream.event(7).key


@pytest.mark.parametrize("events", [2_000, 12_000, 120_000])
def test_every_kind_is_planted_where_it_is_said(rows: list[Row], events: int) -> None:
    assert set(plant(events).values()) == set(Kind)
    assert len(plant(events)) == len(PLANTED)
    stream = Stream(rows, events)
    found = {number: stream.event(number).planted for number in plant(events)}
    assert found == plant(events)


def odd(rows: list[Row], kind: Kind) -> Event:
    stream = Stream(rows, 12_000)
    return stream.event(next(number for number, planted in stream.planted.items() if planted is kind))


def test_each_planted_event_is_odd_in_its_own_way(rows: list[Row]) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(odd(rows, Kind.NOT_JSON).value or b"")
    assert odd(rows, Kind.EMPTY).value is None
    assert set(data.FEATURES) - set(json.loads(odd(rows, Kind.MISSING).value or b"")) == {"f4"}
    assert b'"f7":NaN,' in (odd(rows, Kind.NAN).value or b"")
    assert json.loads(odd(rows, Kind.TEXT).value or b"")["f2"] == "hot"
    assert odd(rows, Kind.NULL_KEY).key is None
    big = odd(rows, Kind.BIG).value or b""
    assert data.BIG_BYTES <= len(big) < data.BIG_BYTES + 100
    assert set(data.FEATURES) < set(json.loads(big))


# -- the models


def versions(folder: Path, rows: list[Row]) -> tuple[train.Models, list[str]]:
    said: list[str] = []
    live = train.learn("logistic", rows)
    return train.Models(
        folder, rows, train.LEARNERS, live, lambda color, _model, ref: said.append(f"{color} {ref}")
    ), said


def test_the_same_training_gives_the_same_versions(rows: list[Row], tmp_path: Path) -> None:
    few, registry = rows[:600], Registry(tmp_path)
    first = versions(tmp_path, few)[0]
    assert [first["blue"], first["green"]] == ["shuttle:1", "shuttle:2"]
    standing = {listed.ref: listed.manifest for listed in registry.list()}
    again = versions(tmp_path, few)[0]
    assert [again["blue"], again["green"]] == ["shuttle:1", "shuttle:2"]
    assert {listed.ref: listed.manifest for listed in registry.list()} == standing
    others = versions(tmp_path, rows[:500])[0]
    assert [others["blue"], others["green"]] == ["shuttle:3", "shuttle:4"]
    assert all(
        manifest and registry.load(ref, manifest.digest).manifest == manifest for ref, manifest in standing.items()
    )


def test_the_candidate_is_learnt_when_it_is_asked_for(rows: list[Row], tmp_path: Path) -> None:
    models, said = versions(tmp_path, rows[:600])
    assert (models["blue"], dict(models)) == ("shuttle:1", {"blue": "shuttle:1"})
    assert [listed.ref for listed in Registry(tmp_path).list()] == ["shuttle:1"]
    assert models["green"] == models["green"] == "shuttle:2"
    assert said == ["blue shuttle:1", "green shuttle:2"]


# -- the judgement

SOURCE = Source("sensors", 1, 20)


def letter(source: Source) -> DeadLetter:
    return DeadLetter(source, 0, "blue", {"blue": "not JSON", "green": "none"})


def test_dead_letters_must_be_the_planted_events_exactly() -> None:
    planted = [Planted(Kind.NAN, SOURCE), Planted(Kind.BIG, SOURCE._replace(offset=21))]
    assert letters_problems(planted, [letter(SOURCE)]) == []
    assert letters_problems(planted, []) == ["sensors/1@20 (f7 is NaN) has no dead letter"]
    other = letter(SOURCE._replace(offset=21))
    assert letters_problems(planted, [letter(SOURCE), other]) == ["sensors/1@21 has a dead letter and was not planted"]
    assert letters_problems(planted, [letter(SOURCE)] * 2) == ["2 dead letters for 1 events"]


def test_a_partition_is_behind_until_its_last_event_has_an_outcome() -> None:
    assert behind({0: 10, 1: 5}, {0: 9, 1: 4}) == []
    assert behind({0: 10, 1: 5, 2: 1}, {0: 8}) == [(0, 8, 10), (1, -1, 5), (2, -1, 1)]


def a_result() -> Result:
    kill = Step(0.5, Do.KILL, "why")
    return Result(
        events=100,
        rate=10,
        partitions=2,
        seconds_to_first_published=5.5,
        seconds=20.0,
        stream_seconds=10.0,
        stream_held_s=0.0,
        published={("blue", "route"): 60, ("green", "route"): 38, ("blue", "late"): 1},
        letters=(letter(SOURCE),),
        planted={str(SOURCE): "NaN"},
        owed_letters=1,
        agreement=0.99,
        compared=90,
        flips=1,
        steps=[
            Done(STEPS[0], 0, 0.1, 1, epoch=0, summary="live blue", effect_s=0.2, cutovers={0: 0, 1: 0}),
            Done(kill, 50, 0.0, 1, effect_s=None, restart_s=0.2),
        ],
        cpu_s={"scorer.blue": 1.0, "scorer.blue.1": 0.5, "scorer.green": 2.0, "publisher": 3.0},
        volumes={"blue": Volume(10, 1_000_000), "green": Volume(9, 900_000)},
        restarts={"publisher": 1},
        models={"blue": "shuttle:1", "green": "shuttle:2"},
        audit={"verdict": "ok", "reason": "every check", "events": 100},
        problems=(),
    )


def test_the_result_counts_by_color_and_by_reason() -> None:
    whole = a_result()
    found = json.loads(json.dumps(whole.as_json()))
    assert found["ok"] is True
    assert found["published"] == {"blue": 61, "green": 38}
    assert found["why"] == {"route": 98, "absent": 0, "error": 0, "late": 1, "supersedes": 0}
    assert found["steps"][0]["cutovers"] == {"0": 0, "1": 0}
    assert found["steps"][1]["effect_seconds"] is None
    assert whole.cpu_of("blue") == 1.5
    assert replace(whole, problems=("lost",)).as_json()["ok"] is False


def test_the_table_says_what_failed() -> None:
    console = Console(file=io.StringIO(), width=result.MOST_COLUMNS * 20)
    console.print(render(replace(a_result(), problems=("partition 3: settled up to 4, its last event is 9",))))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "partition 3: settled up to 4" in text
    assert "none seen" in text
    assert "the audit says: ok" in text


def test_without_a_terminal_the_screen_writes_lines() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=200)) as screen:
        screen.note("[not] markup")
        screen.show(lambda: Numbers(1, 2, 1, 1, 0, 0, 0, None, 0, "nothing"))
    assert "s  [not] markup" in out.getvalue()
    line = Numbers(2_000, 12_000, 1_500, 1_400, 99, 0, 1, 0.5, 10, "").line()
    assert line == (
        "sent 2,000 of 12,000; published blue 1,400, green 99, dead letters 1, on their way 500; "
        "agreement 50.000% of 10"
    )


def test_on_a_terminal_it_shows_a_panel() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=120, force_terminal=True)) as screen:
        screen.show(lambda: Numbers(1, 2, 1, 1, 0, 0, 0, None, 0, "epoch 7, live green"))
    assert "in force: epoch 7, live green" in out.getvalue()


# -- servers and measures


def test_docker_cannot_keep_data_in_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--keep keeps the data in a directory"):
        places.bring(tmp_path, "docker", True, lambda _: None)


def test_kept_servers_come_with_the_words_to_use_and_end_them(tmp_path: Path) -> None:
    (tmp_path / places.FOLDER).mkdir(parents=True)
    servers = detached.as_servers(detached.State(), None)
    kept = places.write_down(tmp_path, replace(servers, bootstrap="h:1", redis_url="redis://h:2"), usual=False)
    assert (kept.folder / "env").read_text() == "export STREAMBG_BOOTSTRAP=h:1 STREAMBG_REDIS=redis://h:2\n"
    words = kept.words(".venv/bin/streambg")
    assert words[0].startswith(". ")
    assert words[-1].startswith(".venv/bin/streambg broker stop --dir")
    assert replace(kept, usual=True).words("streambg")[0] == "streambg audit"


def test_the_words_call_streambg_as_this_shell_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / ".venv" / "bin").mkdir(parents=True)
    (folder / "streambg").write_text("#!/bin/sh\n")
    (folder / "streambg").chmod(0o755)
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.chdir(tmp_path)
    assert places.program({"PATH": "/usr/bin"}) == ".venv/bin/streambg"
    assert places.program({"PATH": str(folder)}) == "streambg"
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    assert places.program({}) == str(folder / "streambg")


def test_an_interrupted_demo_says_what_became_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", run)
    with pytest.raises(KeyboardInterrupt):
        cli.demo()
    assert "interrupted; the processes and servers have ended" in capsys.readouterr().out


def test_cpu_time_outlives_a_process() -> None:
    pids = {"scorer": 1}
    sampler = Sampler(lambda: pids, lambda: None)
    sampler.sample()
    first = cpu_seconds(1)
    assert first is not None
    pids["scorer"] = 2**22 + 1  # above the largest pid: gone
    sampler.sample()
    assert 0 <= sampler.cpu()["scorer"] <= first
    assert cpu_seconds(2**22 + 1) is None


def test_a_storys_stream_keeps_events_for_the_steps_to_come() -> None:
    """However late a machine decides: what a step waits for has not been sent before it was entered."""
    steps = [plans.Step(weight, 3_000) for weight in (0, 1_000, 5_000)]
    assert [deciding._may_send(plans.plan(*steps), step, 36_000) for step in range(3)] == [28_500, 32_250, 36_000]


def test_a_registry_without_pickles_is_said_before_servers_start(tmp_path: Path) -> None:
    train.require_pickles(tmp_path / "models")
    Registry.create(tmp_path / "models", Policy(python_allow=["mymodel"]))
    with pytest.raises(ModelError, match=r"registry\.yaml does not allow pickles") as caught:
        train.require_pickles(tmp_path / "models")
    assert caught.value.way_out.startswith("add `allow_pickle: true` to it")
