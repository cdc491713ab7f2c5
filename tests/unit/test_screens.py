"""What verbs print at 80 columns: nothing is cut, and what must be copied stands in one piece."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from control_log import Log
from control_log import digest as log_digest
from narrow_terminal import WIDTH, shown, whole
from pipeline_files import loaded, small
from plans import plan
from rich.console import Console

from streambg.cli import control, dead_letters, inspect, preview, rollout, topics
from streambg.cli.common import Output
from streambg.cli.main import build
from streambg.cli.records import command_of, record_lines
from streambg.control.sender import Sent
from streambg.errors import Denied, Misconfigured
from streambg.looking.answers import Held, Reach, Search, Verdict
from streambg.looking.event import Answered, Event, Given, Letter, Published, Reached, Row, Span
from streambg.looking.why import Reply, Why
from streambg.previewing.collect import Looked
from streambg.previewing.preview import Counts, Preview, gain_words
from streambg.records.batch import Head
from streambg.records.outcome import DeadLetter, Outcome, short_digest
from streambg.records.source import Source
from streambg.rollout.decide import Wait
from streambg.rollout.standing import Standing
from streambg.topicplan import Action
from streambg.topicplan.broker import refuse_impossible

# Longer than what is usual, so that nothing fits by chance.
TOPIC = "sensors-of-the-north-plant-since-2026"
AT = Source(TOPIC, 11, 1_234_567_890)
MODEL = "shuttle-anomaly-with-a-long-name:2026-11-27"
REASON = "ValueError: cannot handle f1 above 90, as the scaler was fitted on readings of machines that are calibrated"
ANSWER = '{"anomaly":0.9876543210123,"machine":"m-0042","reason":"pressure_and_temperature"}'
NOON = 1_795_780_800_123


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], io.StringIO]:
    """The module prints to a terminal of 80 columns, and that is what stands on it."""

    def on(module: ModuleType) -> io.StringIO:
        out = io.StringIO()
        monkeypatch.setattr(module, "stdout", Console(width=WIDTH, file=out))
        return out

    return on


def log_of_a_rollout() -> Log:
    log = Log()
    log.deploy("blue", MODEL)
    log.deploy("green", f"{MODEL}-b")
    log.say("rollout-start", candidate=1, plan=plan().text(), events=500)
    return log


def test_history_says_when_what_by_whom_and_why() -> None:
    log = Log()
    entries = [
        log.deploy("blue", MODEL),
        log.deploy("green", f"{MODEL}-b"),
        log.say("shift", weight=1_000, candidate=99),
        log.raw(b"no command"),
    ]
    text = shown(*(record_lines(entry, command_of(entry)) for entry in entries))
    whole(text, f"model={MODEL}", "1970-01-01 00:00:01 UTC", "by test", "accepted", "refused: ", "shift weight=10%")
    assert text.count("1970-01-01") == 4
    assert "refused   shift weight=10% candidate=99\n        refused: " in text


def test_history_says_weights_in_percent_and_a_plan_in_a_word() -> None:
    log = log_of_a_rollout()
    digest = f"sha256:{'ab' * 32}"
    entries = [
        log.say("shift", weight=0, candidate=1),
        log.say("shift", weight=1_234, candidate=1),
        log.deploy("green", "m:3", sample=550),
        log.say("rollout-start", candidate=1, plan=plan().text(), events=0),
        log.say("rollout-start", candidate=1, plan=plan(promotes=False).text()),
        log.say("rollout-advance", rollout=2, step=1, evidence=digest),
        log.say("rollout-start", candidate=1, plan="[" * 90_000),
        log.say("shift", weight=10**400, candidate=True),
        log.say("supersede", color="blue", ranges=[{"partition": 0}, 1]),
    ]
    assert [command_of(entry) for entry in entries] == [
        "shift weight=0% candidate=1",
        "shift weight=12.34% candidate=1",
        f"deploy color=green model=m:3 digest={short_digest(log_digest('m:3'))} sample=5.5%",
        "rollout-start candidate=1 plan=0%,10%,50%,live events=0",
        "rollout-start candidate=1 plan=0%,10%,50%",
        f"rollout-advance rollout=2 step=2 evidence={short_digest(digest)}",
        "rollout-start candidate=1 plan=unreadable",
        f"shift weight={10**400} candidate=True",
        "supersede color=blue ranges=unreadable",
    ]
    assert control._row(entries[3])["args"]["plan"] == plan().text(), "JSON has all of it"


def test_rollout_history_and_status(screen: Callable[[ModuleType], io.StringIO]) -> None:
    log = log_of_a_rollout()
    out = screen(rollout)
    rollout._print(Standing(log.fold.state, Wait((f"errors: {REASON}", "1,200 of 3,000 events at this weight"))))
    text = whole(out.getvalue(), "stands", "now", "1,200 of 3,000 events at this weight", "live", f"{MODEL}-b")
    assert text.count("now") == 1
    ended = log.say("rollout-abort", rollout=2, step=0)
    out = screen(rollout)
    rollout._print(Standing(log.fold.state, None))
    assert out.getvalue().count("ended") == 1, "the step that it ended with"
    out = screen(rollout)
    rollout._print_news(Standing(log.fold.state, None))
    news = whole(out.getvalue(), "rollout 2: aborted", " UTC  ")
    assert "weight" not in news, "the plan is not printed again"
    told = shown(record_lines(ended, "abort", "rollout 2: aborted by abort"))
    assert "accepted  abort\n        rollout 2: aborted by abort\n        by test\n" in told


def test_rollout_history_shows_who_took_it_over(
    screen: Callable[[ModuleType], io.StringIO], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of_a_rollout()
    started = log.say("rollout-approve", rollout=2, step=0)
    entries = [
        started,
        log.say("shift", epoch=0, candidate=1, weight=100),
        log.say("shift", candidate=1, weight=100),
        log.say("shift", candidate=1, weight=200),
    ]
    monkeypatch.setattr(rollout, "connected_pipeline", lambda _file: None)
    monkeypatch.setattr(rollout.verbs, "entries", lambda _config: entries)
    out = screen(rollout)
    rollout.history(last=50)
    lines = [line.split("accepted", 1)[-1].strip() for line in whole(out.getvalue()).splitlines()]
    assert [line for line in lines if line != "by test"] == [
        "approve",
        "rollout 2: step 1 of 3 at 0 %, running",
        "shift",
        "rollout 2: taken over by shift",
    ]
    rollout.history(last=50, output=Output.JSON)
    assert [(row["verb"], row["in_force"]) for row in json.loads(capsys.readouterr().out)][1:] == [
        ("shift", "rollout 2: taken over by shift")
    ]


def test_what_was_accepted_is_said_with_what_to_know_beside_it(
    screen: Callable[[ModuleType], io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of_a_rollout()
    entry = log.say("shift", candidate=1, weight=100)
    sent = Sent("shift", entry.offset, 0, entry.refusal, entry.state, (f"nothing was compared yet of {MODEL}-b",))
    out = screen(control)
    control.say(sent, Output.TEXT)
    text = whole(
        out.getvalue(), f"\n  nothing was compared yet of {MODEL}-b\n  rollout 2 is over, taken over by shift; "
    )
    assert text.startswith("shift accepted: epoch 3, ")
    control.say(sent, Output.JSON, gap=1)
    said = json.loads(capsys.readouterr().out)
    assert (said["ended_rollout"], said["notes"], said["gap"]) == (2, list(sent.notes), 1)


def test_a_deploy_says_where_no_scorer_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked = loaded(tmp_path, small()), list[str]()
    answers: dict[str, Any] = {"streambg.fraud.scorer.blue": ["a member"], "streambg.fraud.scorer.green": []}

    def members(_client: Any, group: str) -> Any:
        asked.append(group)
        return answers[group]

    def denied(*_: Any) -> Any:
        raise Denied("no", way_out="none")

    monkeypatch.setattr(control, "members", members)
    assert control._without_scorer(config, "blue") == ()
    [said] = control._without_scorer(config, "green")
    assert said.startswith("no scorer of green is in its group (`streambg status`): where none runs, streambg up, ")
    assert asked == list(answers)
    monkeypatch.setattr(control, "members", denied)
    assert control._without_scorer(config, "green") == (), "a deploy never fails because of it"


@pytest.mark.parametrize(("steps", "row"), [(0, "0 %"), (1, "live")])
def test_a_rollout_stands_at_its_step_or_is_live(
    steps: int, row: str, screen: Callable[[ModuleType], io.StringIO]
) -> None:
    log = log_of_a_rollout()
    for step in range(len(plan().steps) * steps):
        log.say("rollout-skip", rollout=2, step=step)
    out = screen(rollout)
    rollout._print(Standing(log.fold.state, None))
    [line] = [line for line in out.getvalue().splitlines() if " now" in line]
    assert row in line


def test_dead_letters_can_be_copied_into_show() -> None:
    letter = Letter(5, NOON, b"machine-0042", DeadLetter(AT, 17, "blue", {"blue": REASON, "green": "late"}))
    text = shown(dead_letters._lines(letter))
    whole(text, str(AT), "2026-11-27 12:00:00 UTC", "epoch 17", "key machine-0042", "ValueError:", "green  late")
    assert text.startswith(f"{AT}")


def event() -> Event:
    log = Log()
    log.deploy("blue", MODEL)
    log.deploy("green", f"{MODEL}-b")
    slots = log.fold.state.slots
    held = Held(459, Head(0, 1_234_567_800, 1_234_567_899), Verdict.ACCEPTED)
    row = Row(True, b"m", ANSWER.encode(), (0.987654,), {}, NOON, 10, 99)
    failed = Row(False, b"m", REASON.encode(), (), {}, NOON, 10, 99)
    answers = {
        "blue": Answered(slots["blue"], Reply("ok"), Search(Reach.HELD, (held,), 0, 0), (), row),
        "green": Answered(slots["green"], Reply("error", REASON), Search(Reach.HELD, (held,), 0, 0), (), failed),
    }
    outcome = Published(
        99, NOON, b"m", ANSWER.encode(), f"{AT} blue {MODEL}", Outcome(AT, "blue", MODEL, "sha256:ab", 5, "route")
    )
    return Event(
        AT,
        "published",
        Why("blue was chosen: bucket 7012 >= weight 1000 (10 %) at epoch 5"),
        Reached((0, 2_000_000_000), 0, 1_999_999_999, {"blue": 1_999_999_999, "green": 1_999_999_999}),
        Given(b"machine-0042", b'{"f1": 1.25, "f2": -0.5, "event_id": "e-123456789"}', NOON),
        Span(5, 1_000, None),
        answers=answers,  # type: ignore[arg-type] # the two colors
        outcome=outcome,
    )


@pytest.mark.parametrize("full", [False, True])
def test_inspect_says_all_of_both_colors(full: bool, screen: Callable[[ModuleType], io.StringIO]) -> None:
    out = screen(inspect)
    inspect._show(event(), full)
    text = out.getvalue()
    words = (
        str(AT),
        ANSWER,
        MODEL,
        f"{MODEL}-b",
        "(deployment 1): error",
        "2026-11-27 12:00:00.123 UTC",
        "e-123456789",
    )
    for word in (*words, "(1234567800, 1234567899]@459 accepted"):
        assert word in " ".join(text.split()), word
    if not full:
        whole(text)


def looked(whole_counts: Counts, **segments: Counts) -> Looked:
    found = Preview(whole_counts, {("machine", name): counts for name, counts in segments.items()})
    found.gained["cost"] = -0.5 * whole_counts.events
    found.failed["kpi"] = REASON
    return Looked(found, None, 1, {})  # type: ignore[arg-type] # the pair is for JSON only


def test_preview_leads_with_decisions(screen: Callable[[ModuleType], io.StringIO]) -> None:
    log = log_of_a_rollout()
    out = screen(preview)
    counts = Counts(400_000, 161_234, 1_200, 34, 0, 200_000, 3, 2)
    long = "press-0042-of-hall-7"
    preview._print(looked(counts, **{long: counts}), log.fold.state, 5_000)
    text = whole(out.getvalue(), f"machine={long}", "cost: worse by 50.000% of its range")
    first = text.splitlines()[0]
    assert first == "Of the last 400,000 events, 1,234 decisions would turn at 50 % (0.31%): 1,200 to"
    flat = " ".join(text.split())
    assert "161,234 published answers would be others at 50 %" in flat
    assert "dead letters 2, now 3." in flat


def test_preview_says_that_there_is_no_candidate(screen: Callable[[ModuleType], io.StringIO]) -> None:
    log = Log()
    log.deploy("blue", "m:1")
    log.deploy("green", "m:2", rules='{"outputs": ["anomaly"]}')
    log.say("promote", candidate=1)
    out = screen(preview)
    preview._print(looked(Counts(10, 4)), log.fold.state, 10_000)
    text = " ".join(whole(out.getvalue()).split())
    assert text.startswith("There is no candidate: this is about blue m:1, which was live before and goes on scoring.")
    assert "No decision can turn: the pipeline declares none." in text
    out = screen(preview)
    preview._print(looked(Counts()), log.fold.state, 10_000)
    assert "No event has been answered by both colors yet." in out.getvalue()


def test_a_gain_is_in_words() -> None:
    assert gain_words("cost", 0.0012) == "cost: better by 0.120% of its range on the average event"
    assert gain_words("cost", 0.0) == "cost: the same on the average event"


def test_topics_say_what_is_impossible_once_and_the_cause_first(screen: Callable[[ModuleType], io.StringIO]) -> None:
    waits = f"as many partitions are needed as the input `{TOPIC}` has, which does not exist"
    cause = f"`{TOPIC}` does not exist, and nobody said how many partitions it shall have: `--partitions N`"
    parts = ("dead-letters", "output", "predictions.blue")
    actions = [Action("impossible", part, part, (waits,)) for part in parts]  # type: ignore[arg-type] # parts of PARTS
    actions += [
        Action("create", "control", f"{TOPIC}.control", ("1 partition, replication 1",), ("a note",)),
        Action("impossible", "input", TOPIC, (cause,)),
    ]
    out = screen(topics)
    topics._print([action for action in actions if action.kind != "impossible"])
    whole(out.getvalue(), f"{TOPIC}.control", "1 partition, replication 1", "a note")
    with pytest.raises(Misconfigured) as caught:
        refuse_impossible(actions)
    assert caught.value.what.splitlines() == [cause, waits]


# -- help -------------------------------------------------------------------------------------------------------------


def test_help_has_no_line_ends_of_the_source() -> None:
    def texts(command: Any) -> list[str]:
        return [
            command.help or "",
            *(text for each in getattr(command, "commands", {}).values() for text in texts(each)),
        ]

    found = texts(typer.main.get_command(build(())))
    assert len(found) > 40
    assert not [text for text in found for paragraph in text.split("\n\n") if "\n" in paragraph]
