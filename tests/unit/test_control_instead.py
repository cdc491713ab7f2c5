"""What to type instead of a command that the control log refuses."""

from __future__ import annotations

import pytest
from control_log import Log, two_colors
from plans import plan
from typer.main import get_command

from streambg.cli.main import build
from streambg.control.instead import instead
from streambg.control.machine import TABLE
from streambg.control.state import Phase


def in_phase(phase: Phase) -> Log:
    log = Log() if phase is Phase.EMPTY else two_colors()
    match phase:
        case Phase.ALONE:
            log.say("retire", color="green")
        case Phase.ABORTED:
            log.say("abort")
        case Phase.WARM:
            log.say("promote", candidate=1)
    assert log.fold.state.phase is phase
    return log


def test_whatever_is_refused_the_way_out_begins_with_a_verb_that_exists() -> None:
    verbs = set(get_command(build(())).commands)  # type: ignore[attr-defined] # a group has them
    refused = [(phase, verb, cell) for (phase, verb), cell in TABLE.items() if isinstance(cell, str)]
    assert refused
    for phase, verb, reason in refused:
        words = instead(verb, reason, in_phase(phase).fold.state).split()
        assert words[0] == "streambg", (phase, verb)
        assert words[1].rstrip(";") in verbs, (phase, verb, words)


@pytest.mark.parametrize(
    ("phase", "verb", "args", "way_out"),
    [
        (Phase.CANDIDATE, "deploy", {"color": "blue"}, "streambg deploy green NAME:VERSION"),
        (Phase.CANDIDATE, "rollback", {}, "streambg abort"),
        (Phase.ABORTED, "promote", {"candidate": 1}, "streambg deploy green NAME:VERSION"),
        (Phase.WARM, "abort", {}, "streambg rollback"),
        (Phase.WARM, "deploy", {"color": "blue"}, "streambg retire blue; then the same again"),
        (Phase.WARM, "deploy", {"color": "green"}, "streambg retire blue, then streambg deploy blue NAME:VERSION"),
        (Phase.WARM, "retire", {"color": "green"}, "streambg retire blue, if that was meant; "),
        (Phase.CANDIDATE, "retire", {"color": "blue"}, "streambg retire green, if that was meant; "),
        (Phase.WARM, "shift", {"candidate": 1, "weight": 1}, "streambg rollback; or streambg retire blue, then"),
    ],
)
def test_the_way_out_is_a_command(phase: Phase, verb: str, args: dict[str, object], way_out: str) -> None:
    log = in_phase(phase)
    said = log.deploy(str(args["color"]), "m:3") if verb == "deploy" else log.say(verb, **args)
    assert said.refusal is not None
    assert instead(verb, said.refusal, log.fold.state).startswith(way_out)


def test_what_is_paused_under_weight_or_sampled_has_its_own_way_out() -> None:
    log = two_colors()
    log.say("shift", candidate=1, weight=500)
    weighed = log.say("retire", color="green")
    assert weighed.refusal is not None
    assert instead("retire", weighed.refusal, log.fold.state) == "streambg shift 0; then streambg retire green"
    late = log.say("shift", epoch=0, candidate=1, weight=600)
    assert late.refusal is not None
    assert instead("shift", late.refusal, log.fold.state).startswith("streambg status; ")
    log.say("pause")
    paused = log.say("promote", candidate=1)
    assert paused.refusal is not None
    assert instead("promote", paused.refusal, log.fold.state) == "streambg resume"
    alone = in_phase(Phase.ALONE)
    alone.say("pause")
    without = alone.say("shift", candidate=-1, weight=1_000)
    assert without.refusal is not None
    assert "there is no candidate" in without.refusal
    assert instead("shift", without.refusal, alone.fold.state) == "streambg deploy green NAME:VERSION"
    sampled = Log()
    sampled.deploy("blue", "m:1")
    sampled.deploy("green", "m:2", sample=100)
    refused = sampled.say("promote", candidate=1)
    assert refused.refusal is not None
    assert instead("promote", refused.refusal, sampled.fold.state).startswith("streambg shift 1; ")


def test_a_rollout_over_more_weight_than_its_first_step_begins_behind_a_shift() -> None:
    log = two_colors()
    log.say("shift", candidate=1, weight=1_000)
    said = log.say("rollout-start", candidate=1, plan=plan().text(), events=500)
    assert said.refusal is not None
    first = f"{plan().steps[0].weight / 100:g}"
    assert instead("rollout-start", said.refusal, log.fold.state) == (
        f"streambg shift {first}%, then streambg rollout start"
    )
