"""`aa`: a candidate is held against how much live differs from itself; `deploy` carries the measurement (P4)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from control_log import Log, digest
from pairs import GATE
from pipeline_files import deciding, loaded

from streambg.comparing.judging import case_of
from streambg.comparing.pair import terms_of
from streambg.control.fold import ControlFold
from streambg.control.noise import Asked, noise_for
from streambg.deciding.record import FORMAT, VerdictRecord
from streambg.deciding.verdict import margins
from streambg.errors import ConfigError, Refused
from streambg.records.gate import Gate, Noise

RULES = json.dumps({"outputs": ["p"], "decision": {"output": "p", "threshold": 0.5}, "gate": GATE.data()})
ASKED = Asked(GATE, 3_000)
FLOORS = {"flips": 0.02, "shift": 0.01}
LIVE = digest("m:1")


class Running(Log):
    """Blue m:1 is live."""

    def __init__(self) -> None:
        super().__init__()
        self.put("blue", "m:1")

    def put(self, color: str, model: str, **more: Any) -> int:
        entry = self.deploy(color, model, **{"rules": RULES, **more})
        assert entry.accepted, entry.refusal
        return entry.offset


def verdict(deployment: int, against: int, events: int, noise: dict[str, float] | None = None) -> VerdictRecord:
    told = FLOORS if noise is None else noise
    return VerdictRecord(
        FORMAT, 1, "fraud", "continue", False, False, (), "green", "m:1", deployment, against, 5, "sha256:00", {},
        events, 1.0, (), told,
    )  # fmt: skip


def arg(noise: Noise) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(noise)
    return plain


def test_an_a_a_phase_is_measured_before_a_candidate_is_deployed() -> None:
    log = Running()
    with pytest.raises(Refused, match="m:1 was seen against itself on 0 events, 3,000 are needed") as none:
        noise_for(log.fold.state, digest("m:2"), ASKED, [])
    assert "streambg deploy green m:1" in none.value.way_out
    assert noise_for(log.fold.state, LIVE, ASKED, []) is None, "the A/A deploy itself needs none"
    green = log.put("green", "m:1")
    few, others = verdict(green, 0, 2_999), verdict(green, 77, 9_000)
    with pytest.raises(Refused, match="on 2,999 events"):
        noise_for(log.fold.state, digest("m:2"), ASKED, [others, few])
    found = noise_for(log.fold.state, digest("m:2"), ASKED, [few, verdict(green, 0, 4_000, {**FLOORS, "old": 0.5})])
    assert found == Noise(LIVE, 4_000, FLOORS)


def test_P4_the_noise_stands_in_the_log_and_is_taken_over_while_the_same_model_is_live() -> None:
    log = Running()
    green = log.put("green", "m:1")
    found = noise_for(log.fold.state, digest("m:2"), ASKED, [verdict(green, 0, 4_000)])
    assert found is not None
    log.put("green", "m:2", noise=arg(found))
    assert log.fold.state.noise == found
    again = noise_for(log.fold.state, digest("m:3"), ASKED, [])
    assert again == found, "no verdict of it is needed any more"
    with pytest.raises(Refused, match="on 4,000 events, 5,000 are needed"):
        noise_for(log.fold.state, digest("m:3"), replace(ASKED, events=5_000), [])
    wider = replace(
        GATE, metrics=tuple(replace(each, high=9.0) if each.name == "shift" else each for each in GATE.metrics)
    )
    with pytest.raises(Refused, match="on 0 events"):
        noise_for(log.fold.state, digest("m:3"), Asked(wider, 3_000), [])
    assert log.say("promote", candidate=log.fold.state.epoch).accepted
    with pytest.raises(Refused, match="m:2 was seen against itself on 0 events"):
        noise_for(log.fold.state, digest("m:3"), ASKED, [])
    assert log.say("rollback").accepted
    assert noise_for(log.fold.state, digest("m:3"), ASKED, []) == found, "m:1 is live again"


def test_P4_every_process_judges_above_the_noise_that_the_deploy_carried() -> None:
    log = Running()
    log.put("green", "m:2", noise=arg(Noise(LIVE, 4_000, FLOORS)))
    case, terms = case_of(log.fold.state), terms_of(log.fold.state)
    assert case is not None
    assert terms.gate == case.gate
    flips, errors = case.gate.metric("flips"), case.gate.metric("errors")
    assert margins(flips, segment=False) == (pytest.approx(0.03), pytest.approx(0.025))
    assert margins(errors, segment=False) == (0.01, 0.005), "who errs more is no noise"
    log.put("green", "m:3")
    assert case_of(log.fold.state) == replace(case, candidate=log.fold.state.candidate, gate=GATE, epoch=2)


def test_a_floor_that_is_declared_and_larger_stays() -> None:
    declared = replace(GATE, metrics=tuple(replace(m, floor=0.0 if m.directed else 0.015) for m in GATE.metrics))
    found = declared.above(Noise(LIVE, 4_000, FLOORS))
    assert (found.metric("flips").floor, found.metric("shift").floor) == (0.02, 0.015)
    assert declared.above(None) is declared


def test_noise_that_leaves_nothing_to_show_is_refused() -> None:
    log = Running()
    loud = Noise(LIVE, 3_000, {"flips": 0.985})
    green = log.put("green", "m:1")
    with pytest.raises(Refused, match=r"aa: flips: the margin 2\.00% and the noise 98\.50% are more than all"):
        noise_for(log.fold.state, digest("m:2"), ASKED, [verdict(green, 0, 3_000, {"flips": 0.985, "shift": 0.0})])
    refused = log.deploy("green", "m:2", rules=RULES, noise=arg(loud))
    assert "the noise 98.50%" in (refused.refusal or "")
    assert "noise.floors" in (
        log.deploy("green", "m:2", rules=RULES, noise=arg(replace(loud, floors={"x": 1.0}))).refusal or ""
    )


def test_P5_a_deploy_with_noise_halts_a_process_that_would_judge_without_it() -> None:
    log = Running()
    log.put("green", "m:2", noise=arg(Noise(LIVE, 4_000, FLOORS)))
    assert json.loads(log.records[-1][1])["format"] == 4
    old = json.loads(log.records[-1][1]) | {"format": 3}
    fold = ControlFold()
    fold.step(0, *log.records[0])
    assert fold.step(1, 1_000, json.dumps(old).encode()).refusal == "deploy: noise: format 3 does not have it"


@pytest.mark.parametrize(
    ("more", "says"),
    [("aa: {events: 0}\n", "aa.events: 0 is below the least, 1"), ("aa: {event: 5}\n", "did you mean `events`?")],
)
def test_a_wrong_section_is_named(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, deciding() + more)
    assert says in str(caught.value)


def test_something_must_lie_between_the_colors(tmp_path: Path) -> None:
    text = deciding()
    assert loaded(tmp_path, f"{text}aa: {{}}\n").aa is not None
    gate = loaded(tmp_path, text).gate()
    assert isinstance(gate, Gate)
    without = text.replace("kind: flip_rate, ", "kind: error_rate, ").replace(", floor: 0.5%", "")
    with pytest.raises(ConfigError, match="aa: no metric lies between the colors"):
        loaded(tmp_path, f"{without}aa: {{}}\n")
