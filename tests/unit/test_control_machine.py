"""P1-P5: the control log's state machine and fold."""

from __future__ import annotations

import json

import pytest
from control_log import RULES, Log, digest, envelope, two_colors
from hypothesis import given
from hypothesis import strategies as st

from streambg.control.commands import NEWEST_FORMAT, VERBS, format_of
from streambg.control.fold import ControlFold, why_aborted
from streambg.control.machine import TABLE
from streambg.control.state import AcceptedGap, Phase
from streambg.errors import UpgradeFirst


def test_the_table_is_complete() -> None:
    assert set(TABLE) == {(phase, verb) for phase in Phase for verb in VERBS}


def test_P1_first_deploy_goes_live_and_epochs_are_offsets_of_accepted_commands() -> None:
    log = two_colors()
    assert log.fold.state.epoch == 1
    assert not log.say("promote", candidate=99).accepted
    assert log.fold.state.epoch == 1
    assert log.say("shift", candidate=1, weight=1_000).accepted
    assert log.fold.state.epoch == 3
    assert log.fold.state.origin == {0: 5}
    assert log.fold.state.start_of(7) == 0
    assert log.fold.state.output_begin(0) is None, "that deploy did not say where the output ended"


def test_P1_a_promote_prepared_before_a_deploy_is_refused() -> None:
    log = two_colors()
    stale = log.fold.state.epoch
    assert log.deploy("green", "m:3").accepted
    by_epoch = log.say("promote", epoch=stale, candidate=1)
    assert by_epoch.refusal is not None
    assert f"expected epoch {stale}" in by_epoch.refusal
    by_candidate = log.say("promote", candidate=1)
    assert by_candidate.refusal is not None
    assert "prepared for candidate 1, the candidate is 2" in by_candidate.refusal


def test_P1_every_deploy_sets_the_weight_to_0() -> None:
    log = two_colors()
    log.say("shift", candidate=1, weight=5_000)
    log.deploy("green", "m:3")
    assert log.fold.state.weight == 0


def test_P1_one_of_fifty_promotes_is_accepted_and_every_fold_alike() -> None:
    log = two_colors()
    entries = [log.say("promote", epoch=1, id=f"p{i}", candidate=1) for i in range(50)]
    assert sum(entry.accepted for entry in entries) == 1
    again = ControlFold()
    for offset, (appended, value) in enumerate(log.records):
        again.step(offset, appended, value)
    assert again.state == log.fold.state


def test_P2_rollback_needs_the_deployment_that_was_live() -> None:
    log = two_colors()
    assert not log.say("rollback").accepted
    log.say("promote", candidate=1)
    assert log.fold.state.live == "green"
    refused = log.deploy("blue", "m:3")
    assert refused.refusal is not None
    assert "kept for a rollback to deployment 0" in refused.refusal
    assert log.say("rollback").accepted
    assert log.fold.state.live == "blue"
    assert log.say("promote", candidate=1).accepted, "after a rollback the model may be promoted again"
    assert log.deploy("blue", "m:3", gives_up_rollback=True).accepted
    assert not log.say("rollback").accepted


def test_P2_no_rollback_to_a_retired_deployment() -> None:
    log = two_colors()
    log.say("promote", candidate=1)
    assert log.say("retire", color="blue").accepted
    assert not log.say("rollback").accepted
    assert log.deploy("blue", "m:3").accepted


def test_P3_abort_pause_and_retire() -> None:
    log = two_colors()
    log.say("shift", candidate=1, weight=1_000)
    assert not log.say("retire", color="green").accepted, "weight is above 0"
    assert not log.say("retire", color="blue").accepted, "live"
    log.say("pause")
    assert not log.say("shift", candidate=1, weight=2_000).accepted
    assert not log.say("promote", candidate=1).accepted
    assert log.say("abort").accepted, "abort is always allowed"
    assert log.fold.state.weight == 0
    assert log.fold.state.paused
    assert not log.say("shift", candidate=1, weight=100).accepted, "aborted"
    assert log.say("resume").accepted
    assert not log.say("promote", candidate=1).accepted
    assert log.say("retire", color="green").accepted


def test_P3_behind_a_promotion_it_is_rollback_and_before_it_abort() -> None:
    log = two_colors()
    assert not log.say("rollback").accepted
    log.say("promote", candidate=1)
    assert not log.say("abort").accepted
    assert log.say("rollback").accepted


def test_P3_rollback_is_allowed_while_paused() -> None:
    log = two_colors()
    log.say("promote", candidate=1)
    log.say("pause")
    assert log.say("rollback").accepted


@pytest.mark.parametrize("weight", [10.5, -1, 10_001, "10"])
def test_P3_weights_are_integers_of_hundredths_of_a_percent(weight: object) -> None:
    log = two_colors()
    assert not log.say("shift", candidate=1, weight=weight).accepted


def test_P4_the_rules_in_force_are_those_the_deploy_carried() -> None:
    log = two_colors()
    rules = json.dumps({"outputs": ["a"], "live_failed": "candidate"})
    log.deploy("green", "m:3", rules=rules)
    assert log.fold.state.rules is not None
    assert log.fold.state.rules.live_failed == "candidate"
    refused = log.deploy("green", "m:4", rules="{}")
    assert refused.refusal is not None
    assert "rules" in refused.refusal


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        pytest.param(b"[" * 100_000, id="deep"),
        b"[]",
        b"{}",
        b'{"format":"1"}',
        b'{"format":true}',
        b'{"format":1}',
        b'{"format":1,"id":3}',
    ],
)
def test_P5_bytes_that_are_no_envelope_are_rejected_and_counted(value: bytes) -> None:
    log = two_colors()
    before = log.fold.state
    entry = log.raw(value)
    assert not entry.accepted
    assert log.fold.state == before
    assert log.fold.refusals["no envelope"] == 1


def test_P5_what_is_nested_too_deeply_is_so_for_every_process() -> None:
    """Python gives up at a depth that depends on what stands on its stack: two processes would fold two states."""
    for depth, read in ((90, True), (101, False), (5_000, False)):
        log = two_colors()
        entry = log.raw(b'{"format":1,"id":"deep","x":' + b"[" * depth + b"]" * depth + b"}")
        assert not entry.accepted
        assert (entry.refusal != "no envelope: not JSON") is read
    log = two_colors()
    for rules in ('{"outputs":["p"],"x":' + "[" * 5_000, '{"a":' * 5_000):
        refusal = log.deploy("green", "m:4", rules=rules).refusal
        assert refusal is not None
        assert "nested more than 100 deep" in refusal
    endless = b"[" * 101 + b'"' + b'\\"' * 300_000
    assert two_colors().raw(endless).refusal == "no envelope: not JSON", "and in no time"
    reason = "[" * 500
    assert log.say("pause", reason=reason).refusal != "no envelope: not JSON", "text is text"


def test_P5_unknown_verb_repeated_id_and_expiry() -> None:
    log = two_colors()
    assert log.say("explode").refusal == f"unknown verb 'explode' of format {NEWEST_FORMAT}"
    assert not log.say("shift", id="c1", candidate=1, weight=100).accepted, "c1 was the second deploy's id"
    late = log.raw(envelope("pause", 1, "late", time=1_000), appended_ms=31_001)
    assert late.refusal is not None
    assert "sent at 1000 ms" in late.refusal
    assert "appended at 31001 ms" in late.refusal
    assert log.raw(envelope("pause", 1, "in time", time=1_000), appended_ms=31_000).accepted


def test_P5_a_newer_format_halts_and_a_forged_one_can_be_passed() -> None:
    newer = b'{"format":%d,"id":"x","verb":"leap"}' % (NEWEST_FORMAT + 1)
    log = two_colors()
    with pytest.raises(UpgradeFirst, match="--ignore-record 2"):
        log.raw(newer)
    fold = ControlFold(ignore_records=[2])
    for offset, (appended, value) in enumerate(log.records):
        fold.step(offset, appended, value)
    assert fold.state == log.fold.state
    assert fold.folded == 2


def test_P9_a_sampled_candidate_is_not_promoted_and_a_shift_ends_sampling() -> None:
    log = Log()
    assert not log.deploy("blue", "m:1", sample=500).accepted, "live scores every event"
    log.deploy("blue", "m:1")
    epoch = log.deploy("green", "m:2", sample=500).offset
    assert not log.say("promote", candidate=epoch).accepted
    assert log.say("shift", candidate=epoch, weight=100).accepted
    assert log.fold.state.candidate is not None
    assert log.fold.state.candidate.sample is None
    assert log.say("promote", candidate=epoch).accepted


def test_P29_rescore_puts_the_same_digest_as_a_new_deployment_into_the_live_slot() -> None:
    log = two_colors()
    assert not log.deploy("blue", "m:1").accepted
    assert not log.deploy("blue", "m:9", rescore=True).accepted, "another digest"
    entry = log.deploy("blue", "m:1", rescore=True)
    assert entry.accepted
    assert log.fold.state.live == "blue"
    assert log.fold.state.live_deployment is not None
    assert log.fold.state.live_deployment.id == entry.offset
    assert log.fold.state.live_deployment.rescores == 0


def test_P29_an_accepted_gap_puts_a_new_deployment_into_every_slot_that_is_not_retired() -> None:
    log = two_colors()
    log.say("shift", candidate=1, weight=5_000)
    entry = log.say("accept-gap", partition=3, first=40, end=90)
    assert entry.accepted
    state = log.fold.state
    assert (state.phase, state.live, state.weight) == (Phase.CANDIDATE, "blue", 0)
    slots = {color: slot for color, slot in state.slots.items() if slot is not None}
    assert {color: (one.id, one.model, one.rescores, dict(one.start)) for color, one in slots.items()} == {
        "blue": (entry.offset, "m:1", 0, {}),
        "green": (entry.offset, "m:2", 1, {}),
    }
    assert state.gaps == {3: AcceptedGap(40, 90, entry.offset)}
    assert (state.gap_end(3), state.gap_end(0)) == (90, 0)
    assert state.start_of(0) == 5, "the origin of the guarantee stays"


def test_P29_a_gap_keeps_the_way_back_and_leaves_the_retired_alone() -> None:
    log = two_colors()
    log.say("promote", candidate=1)
    log.say("accept-gap", partition=0, first=7, end=7)
    log.say("accept-gap", partition=1, first=2, end=9)
    assert log.say("rollback").accepted, "P2: to the successor of the deployment that was live"
    assert log.fold.state.live == "blue"
    log.say("retire", color="green")
    before = log.fold.state.slots["green"]
    assert log.say("accept-gap", partition=0, first=9, end=12).accepted
    assert log.fold.state.slots["green"] == before
    assert {partition: gap.end for partition, gap in log.fold.state.gaps.items()} == {0: 12, 1: 9}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"partition": 0, "first": 9, "end": 8}, "before it begins"),
        ({"partition": -1, "first": 0, "end": 8}, "partition"),
        ({"partition": 0, "first": 9}, "end"),
    ],
)
def test_P29_a_gap_that_is_none_is_refused(args: dict[str, int], words: str) -> None:
    log = two_colors()
    assert words in (log.say("accept-gap", **args).refusal or "")
    assert log.fold.state.gaps == {}
    assert Log().say("accept-gap", partition=0, first=0, end=1).refusal == "nothing is deployed: deploy a model first"


def test_P5_a_verb_in_a_format_older_than_itself_is_rejected_by_old_and_new_readers_alike() -> None:
    assert (format_of("shift"), format_of("accept-gap")) == (1, 2)
    log = two_colors()
    old = log.raw(envelope("accept-gap", 1, "x", partition=0, first=0, end=1).replace(b'"format": 2', b'"format": 1'))
    assert old.refusal == "unknown verb 'accept-gap' of format 1"
    assert log.raw(envelope("pause", 1, "y").replace(b'"format": 1', b'"format": 2')).accepted


def test_P5_an_argument_in_a_format_older_than_itself_is_rejected_by_old_and_new_readers_alike() -> None:
    change = {"contract_change": ["range: p is 1 to 99, live's 0.01 to 0.99"]}
    args = {"color": "green", "model": "m:1", "digest": digest("m:1"), "rules": RULES}
    assert (format_of("deploy", args), format_of("deploy", args | change)) == (1, 4), "only who needs it writes it"
    log = two_colors()
    said = envelope("deploy", 1, "x", **args, **change)
    old = log.raw(said.replace(b'"format": 4', b'"format": 3'))
    assert old.refusal == "deploy: contract_change: format 3 does not have it"
    assert log.raw(said.replace(b'"id": "x"', b'"id": "y"')).accepted
    assert log.fold.state.other_deployment is not None
    assert "at most" in (log.say("deploy", **args, contract_change=["x"] * 51).refusal or "")


_commands = st.lists(
    st.one_of(
        st.tuples(st.just("deploy"), st.sampled_from(["blue", "green"]), st.booleans()),
        st.tuples(st.just("shift"), st.integers(0, 12), st.sampled_from([0, 100, 10_000])),
        st.tuples(st.just("promote"), st.integers(0, 12), st.none()),
        st.tuples(st.just("retire"), st.sampled_from(["blue", "green"]), st.none()),
        st.tuples(st.just("accept-gap"), st.integers(0, 3), st.integers(0, 9)),
        st.tuples(st.sampled_from(["rollback", "abort", "pause", "resume"]), st.none(), st.none()),
    ),
    max_size=40,
)


@given(_commands)
def test_laws_of_every_state(commands: list[tuple[str, object, object]]) -> None:
    """Whatever is said: epochs only grow, live always stands in its slot, an aborted or retired color has no weight."""
    log = Log()
    last = -1
    for i, (verb, a, b) in enumerate(commands):
        args = {
            "deploy": {"color": a, "model": f"m:{i}", "gives_up_rollback": b},
            "shift": {"candidate": a, "weight": b},
            "promote": {"candidate": a},
            "retire": {"color": a},
            "accept-gap": {"partition": a, "first": 0, "end": b},
        }.get(verb, {})
        entry = log.deploy(**args) if verb == "deploy" else log.say(verb, **args)  # type: ignore[arg-type] # drawn
        state = log.fold.state
        assert state.epoch == (entry.offset if entry.accepted else last)
        last = state.epoch
        if state.live is None:
            assert state.phase is Phase.EMPTY
            continue
        assert state.live_deployment is not None
        assert state.live_deployment.answers
        assert state.weight == 0 or state.phase is Phase.CANDIDATE
        assert (state.rollback_to is not None) == (state.phase is Phase.WARM)
        assert state.phase is Phase.ALONE or state.other_deployment is not None


def test_P25_the_first_deploy_says_where_the_output_ended() -> None:
    log = Log()
    assert log.deploy("blue", "m:1", start={"0": 5}, output={"0": 70, "1": 0}).accepted
    assert [log.fold.state.output_begin(partition) for partition in (0, 1, 2)] == [70, 0, 0]
    assert log.deploy("green", "m:2", output={"0": 99}).accepted
    assert log.fold.state.output_begin(0) == 70, "only the first one says it"
    assert not Log().deploy("blue", "m:1", output={"one": 1}).accepted


def test_who_aborted_a_candidate_and_why() -> None:
    log = two_colors()
    entries = [log.say("abort", epoch=0), log.say("abort"), log.say("pause")]
    assert [entry.accepted for entry in entries] == [False, True, True]
    assert why_aborted(entries) == "aborted by test"
    assert why_aborted(entries[2:]) == "aborted: streambg history says by whom and why"
