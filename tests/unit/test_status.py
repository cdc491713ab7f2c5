"""What `status` makes of what it read: whom a partition waits for, what deserves attention, which rates."""

from __future__ import annotations

import io
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from control_log import Log
from partition_bench import HOME
from predictions import answers, fetched
from rich.console import Console

from streambg.cli import status as cli
from streambg.cli.common import Output
from streambg.comparing.told import Told
from streambg.records.batch import Batch
from streambg.records.coverage import Coverage
from streambg.records.outcome import DeadLetter
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color, Source
from streambg.status import figures, show
from streambg.status.figures import Outcomes, Rates, Recent, Seen
from streambg.status.report import Command, Lane, Member, Servers, Status, as_json, attention
from streambg.status.show import page
from streambg.status.waiting import Wait, waiting

MAX_LAG_MS = 5_000


def control(*, weight: int = 0) -> Log:
    """Blue is deployment 0 and live, green deployment 1 and the candidate."""
    log = Log()
    log.deploy("blue", "m:1")
    log.deploy("green", "m:2")
    if weight:
        log.say("shift", weight=weight, candidate=1)
    return log


# -- whom a partition waits for ---------------------------------------------------------------------------------------


def wait(log: Log, settled: int, blue: list[Batch], green: list[Batch]) -> Wait:
    """Both colors' positions were committed at log offset 10 with `settled` covered; appended at 100 s + i."""
    state = log.fold.state
    starts = {color: (10, Coverage(deployment.id, settled)) for color in COLORS if (deployment := state.slots[color])}
    logs: dict[Color, list[Batch]] = {"blue": blue, "green": green}
    batches = {
        color: [fetched(10 + index, batch, 100.0 + index) for index, batch in enumerate(logs[color])]
        for color in COLORS
    }
    return waiting(HOME, state, log.fold.folded, settled, state.epoch, starts, batches)


def test_P15_the_chosen_color_without_an_answer_is_the_one_waited_for() -> None:
    log = control(weight=10_000)
    found = wait(log, 9, [answers(0, 9, 10), answers(0, 10, 20)], [])
    assert found == Wait(10, ("green",), 100_000), "since blue's answer for it was appended"


def test_P15_at_weight_0_nobody_waits_for_the_candidate() -> None:
    assert wait(control(), 9, [answers(0, 9, 20)], []) == Wait(10, (), None), "the publisher has all it needs"
    assert wait(control(), 9, [], [answers(1, 9, 20)]).colors == ("blue",)


def test_P17_an_error_row_waits_for_the_color_that_may_stand_in() -> None:
    log = control(weight=10_000)
    found = wait(log, 9, [], [answers(1, 9, 20, errors=[10])])
    assert found == Wait(10, ("blue",), 100_000)


def test_where_nobody_has_answered_all_who_owe_an_answer_are_named() -> None:
    assert wait(control(), 9, [], []) == Wait(10, ("blue",), None)
    assert wait(control(weight=5_000), 9, [], []) == Wait(10, COLORS, None)


def test_P8_a_hole_is_no_answer() -> None:
    assert wait(control(), 9, [answers(0, 14, 20)], []).colors == ("blue",)


def test_P12_batches_of_a_replaced_deployment_are_no_answer() -> None:
    log = control()
    log.deploy("blue", "m:1", rescore=True)
    state = log.fold.state
    starts: dict[Color, tuple[int, Coverage | None]] = {"blue": (0, Coverage(0, 9)), "green": (0, Coverage(1, 9))}
    batches = {"blue": [fetched(0, answers(0, 9, 20))], "green": [fetched(0, answers(1, 9, 20))]}
    assert waiting(HOME, state, log.fold.folded, 9, 1, starts, batches).colors == ("blue",)  # type: ignore[arg-type] # literal keys


# -- what deserves attention ------------------------------------------------------------------------------------------


def lane(partition: int = 0, **more: Any) -> Lane:
    """Settled up to 9 of 10."""
    facts: dict[str, Any] = {
        "input_begin": 0,
        "input_end": 10,
        "covered": {"blue": 9, "green": 9},
        "settled": 9,
        "unsettled": 10,
        "epoch": 2,
        "cutover": (5, 2),
        "publisher": "p.publisher.0",
    }
    return Lane(partition, **(facts | more))


def status(*lanes: Lane, log: Log | None = None, **more: Any) -> Status:
    """All is well unless said otherwise."""
    state = (log or control(weight=5_000)).fold.state
    short = Rules.short(state.rules_digest)
    groups = ("scorer blue", "scorer green", "publisher", "comparator")
    facts: dict[str, Any] = {
        "members": {group: (Member(group, f"p.{group}.0", (0,), short),) for group in groups},
        "file_rules": state.rules_digest,
    }
    return Status(
        **(
            {
                "pipeline": "p",
                "at_ms": 1_000,
                "state": state,
                "folded": state.epoch,
                "lanes": lanes or (lane(),),
                "rates": Rates(1.0, 0.0, dict.fromkeys(COLORS, 0.0), 0.0),
                "recent": dict.fromkeys(COLORS, Recent()),
                "evidence": None,
                "live_view": None,
                "outcomes": Outcomes({}, True, 0, True, None, 0),
                "commands": (Command(0, 1_000, "deploy", "mara", "first", None),),
                "servers": Servers("127.0.0.1:9092", "c", 1, "redis://127.0.0.1:6379/0", ""),
            }
            | facts
            | more
        )
    )


def notes(found: Status) -> list[str]:
    return attention(found, MAX_LAG_MS)


def test_a_verdict_that_says_abort_deserves_attention_no_other_word_does() -> None:
    for word in ("promote", "continue", "inconclusive"):
        assert notes(status(verdict=Told(word, ("so far",), None))) == []
    harm = Told("abort", ("errors: harm", "flips: harm"), None)
    assert notes(status(verdict=harm)) == ["the verdict is abort: errors: harm; flips: harm: `streambg abort`"]
    promoted = control(weight=5_000)
    promoted.say("promote", candidate=1)
    lanes = lane(epoch=3)
    assert notes(status(lanes, log=promoted, verdict=harm))[0].endswith("`streambg rollback`")
    assert "verdict: abort, errors: harm (and 1 more: streambg verdict)" in show._verdict(harm).plain


def test_all_is_well() -> None:
    assert notes(status()) == []
    assert notes(status(lane(waits_ms=900, waits_for=("green",), stands=True))) == []
    assert notes(status(lane(waits_ms=MAX_LAG_MS, waits_for=("green",)))) == []


def test_P14_a_partition_that_waits_names_the_color_and_for_how_long() -> None:
    stands = lane(3, input_end=25, unsettled=10, waits_ms=1_440, waits_for=("green",), stands=True)
    assert notes(status(stands)) == ["partition 3 waits 1.4 s for green (15 events behind)"]
    both = lane(3, input_end=25, waits_ms=7_000, waits_for=("blue", "green"))
    assert notes(status(both)) == ["partition 3 waits 7.0 s for blue and green (15 events behind)"]
    busy = lane(3, input_end=25, waits_ms=7_000, waits_for=("publisher",))
    assert notes(status(busy)) == ["partition 3 waits 7.0 s for the publisher (15 events behind)"]


def test_P29_events_that_retention_took_from_live_are_a_gap_that_a_person_accepts() -> None:
    assert notes(status(lane(3, input_begin=15, input_end=20))) == [
        (
            "partition 3: blue answers 10 next, the input begins at 15: what lies between is gone; "
            "`streambg accept-gap 3` goes on (P29)"
        )
    ]
    assert notes(status(lane(3, input_begin=10, input_end=20))) == []
    answered = lane(3, input_begin=15, input_end=20, covered={"blue": 14, "green": 9})
    assert notes(status(answered)) == [], "live's answers are there; the publisher needs no more"
    log = control()
    log.say("accept-gap", partition=3, first=10, end=15)
    assert not any("is gone" in note for note in notes(status(lane(3, input_begin=15, input_end=20), log=log)))


def test_P19_an_epoch_is_pending_where_events_wait_and_none_is_published_under_it() -> None:
    assert notes(status(lane(epoch=1))) == [], "a partition without events has its cutover with the next one"
    assert notes(status(lane(epoch=1, input_end=12))) == ["partition 0: epoch 2 is pending, it publishes by 1"]
    found = as_json(status(lane(epoch=1)), [])
    assert found["partitions"][0]["pending_epoch"] == 2


def with_member(**more: Any) -> Status:
    fine = status()
    other = Member("publisher", "p.publisher.1", (1,), **more)
    return replace(fine, members={**fine.members, "publisher": (*fine.members["publisher"], other)})


def test_P4_a_living_process_with_another_file_is_named_with_its_slot() -> None:
    in_force = Rules.short(status().state.rules_digest)
    assert notes(with_member(rules="ab12cd34")) == [
        (
            f"publisher slot 1 runs another pipeline file (ab12cd34, in force {in_force}): "
            "restart it with the present file (P4)"
        )
    ]
    assert notes(with_member(rules=in_force)) == []
    assert notes(with_member(rules=None)) == [], "an older version does not say it"


def test_P4_a_process_with_the_askers_file_counts_from_the_next_deploy_like_it() -> None:
    own = "sha256:" + "ab12cd34" * 8
    found = replace(with_member(rules="ab12cd34"), file_rules=own)
    in_force = Rules.short(found.state.rules_digest)
    assert notes(found) == [
        (
            f"the pipeline file has other deciding rules than the last deploy (ab12cd34, in force {in_force}): "
            "they count from the next deploy (P4)"
        )
    ]


def test_a_group_without_members_is_named_where_it_is_needed() -> None:
    nobody: dict[str, Any] = dict.fromkeys(("scorer blue", "scorer green", "publisher", "comparator"), ())
    log = control()
    assert notes(status(log=log, members=nobody)) == [
        *(
            f"scorer {color} has no member: start it, or read its log (model_not_loaded) where it runs"
            for color in COLORS
        ),
        *(f"{group} has no member: start it" for group in ("publisher", "comparator")),
    ]
    log.say("retire", color="green")
    assert "scorer green has no member" not in " ".join(notes(status(log=log, members=nobody)))
    assert notes(status(log=Log(), members=nobody)) == ["nothing is deployed: `streambg deploy blue NAME:VERSION`"]


# -- figures ----------------------------------------------------------------------------------------------------------


def seen(at: float, ends: dict[int, int], blue: dict[int, int | None], settled: dict[int, int | None]) -> Seen:
    return Seen(at, at, at, ends, {"blue": blue, "green": {}}, settled)


def test_rates_are_what_moved_between_two_looks() -> None:
    before = seen(10.0, {0: 100, 1: 50}, {0: 90, 1: None}, {0: 80, 1: 40})
    after = seen(12.0, {0: 300, 1: 50, 2: 7}, {0: 290, 1: 40}, {0: 20, 1: 50})
    assert figures.rates(before, after) == Rates(2.0, 100.0, {"blue": 100.0, "green": 0.0}, 5.0)


def test_a_colors_last_answers() -> None:
    first, second = answers(0, 9, 12, errors=[11]), answers(0, 12, 12)
    slow = replace(first, scored_at=50_110, times=first.times)
    assert figures.recent([slow, second]) == Recent(3, 1, 99.0, pytest.approx(99.98))
    assert figures.recent([second]) == Recent()


def test_outcomes_are_counted_by_color_and_why_and_foreign_records_apart() -> None:
    letter = DeadLetter(Source("in", 0, 7), 2, "blue", {"blue": "late", "green": "none"})
    found = figures.tally([("blue", "route"), None, ("green", "late"), ("blue", "route")], False, [letter, None], True)
    assert found == Outcomes({("blue", "route"): 2, ("green", "late"): 1}, False, 1, True, letter, 2)
    assert found.looked_at == 3


def printed(found: Status) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(page(found, notes(found)))
    return console.export_text()


def test_the_page_says_the_conclusion_first_and_brackets_are_no_markup() -> None:
    letter = DeadLetter(Source("in", 0, 7), 2, "blue", {"blue": "no [bold]f3", "green": "none"})
    said = Command(3, 1_000, "shift", "mara", "", "prepared for [another]")
    found = status(outcomes=Outcomes({("blue", "route"): 5}, False, 1, True, letter, 1), commands=(said,))
    text = printed(found)
    assert text.startswith("OK: epoch 2, live blue m:1, candidate green m:2 (deployment 1), weight 50 %")
    assert "outcomes (the last 5 in the output topic): blue route 5; dead letters 1" in text
    assert "no [bold]f3" in text
    assert "refused: prepared for [another]" in text
    waits = status(lane(3, waits_ms=1_440, waits_for=("green",), stands=True))
    assert printed(waits).startswith("ATTENTION: partition 3 waits 1.4 s for green")


# -- --watch ----------------------------------------------------------------------------------------------------------


def looks(*each: tuple[str, bool]) -> Generator[cli.Look]:
    """Then Ctrl-C."""
    for words, fine in each:
        yield {"said": words}, words, fine
    raise KeyboardInterrupt


def test_watch_ends_with_ctrl_c_and_the_last_looks_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli._watch(looks(("one", True), ("two", False)), Output.JSON) is False
    assert cli._watch(looks(("one", False), ("two", True)), Output.JSON) is True
    assert capsys.readouterr().out == '{"said": "one"}\n{"said": "two"}\n' * 2
    monkeypatch.setattr(cli, "stdout", Console(file=io.StringIO()))
    cli._watch(looks(("one", True), ("two", True)), Output.TEXT)
    assert cli.stdout.file.getvalue() == "one\ntwo\n", "not on a terminal: one block a look"  # type: ignore[attr-defined] # a StringIO


def test_watch_refreshes_in_place_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(cli, "stdout", Console(file=written, force_terminal=True, width=80, height=20))
    cli._watch(looks(("one", True), ("two", True)), Output.TEXT)
    text = written.getvalue()
    assert text.index("one") < text.index("\x1b[2K") < text.index("two"), "the line of the first look is erased"
    assert text.endswith("\x1b[?25h"), "the cursor is back"
