"""From evidence to a verdict: who is judged, by what, and what stands in the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest
from control_log import Log
from pairs import BLUE, GATE, GREEN, METRICS, START, TERMS, Answer, batch, begun, cut, feed

from streambg.comparing import judge as judging_loop
from streambg.comparing.comparison import Comparison
from streambg.comparing.desk import Desk
from streambg.comparing.evidence import Evidence
from streambg.comparing.judge import Judge
from streambg.comparing.judging import Case, behind_ms, case_of, judge, material_of, obstacles_of
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.snapshot import FORMAT, Snapshot, decode, encode, to_wire
from streambg.comparing.tallywire import fit
from streambg.comparing.told import STALE_S, told
from streambg.control.state import Deployment
from streambg.deciding import record as records
from streambg.deciding import tallies
from streambg.deciding.grid import events, mean
from streambg.errors import UpgradeFirst
from streambg.records.rules import Rules
from streambg.records.source import Color

RULES = Rules(("p",), gate=GATE.data())


def deployment(color: Color, number: int) -> Deployment:
    return Deployment(number, color, f"m:{number}", "sha256:" + "0" * 64, RULES)


CASE = Case(deployment("green", GREEN), deployment("blue", BLUE), GATE, False, 9)


def compared(blue: Mapping[int, Answer], green: Mapping[int, Answer], partition: int = 0) -> Comparison:
    last = max([*blue, *green])
    made = begun(partition=partition)
    return feed(made, {"blue": cut(BLUE, blue, {last}), "green": cut(GREEN, green, {last})})


def same(rows: int) -> dict[int, Answer]:
    return {offset: Answer(0.25) for offset in range(rows)}


# -- what is counted ------------------------------------------------------------------------------------------------


def test_the_gate_counts_what_the_evidence_counts() -> None:
    blue = {offset: Answer(None if offset % 50 == 7 else 0.4) for offset in range(400)}
    green = {offset: Answer(None if offset % 40 == 5 else 0.4 + 0.2 * (offset % 10 == 3)) for offset in range(400)}
    evidence = compared(blue, green).evidence
    counts, found = evidence.figures.counts, evidence.tallies.metrics
    errors = found["errors"].counts[0]
    assert events(errors) == counts["matched"] == 400
    assert mean(errors) == pytest.approx((counts["error_blue"] - counts["error_green"]) / 400)
    flips = counts["flip_to_green"] + counts["flip_to_blue"] + counts["error_blue"] + counts["error_green"]
    assert mean(found["flips"].counts[0]) == pytest.approx(-flips / 400)
    assert [events(found["flips"].counts[row]) for row in range(5)] == [400, 1, 1, 1, 397]


def test_P30_a_snapshot_holds_the_counts_and_the_detectors() -> None:
    comparison = compared({**same(200), 7: Answer(None)}, {**same(200), 9: Answer(None)})
    kept = decode(encode(comparison.snapshot())).evidence.tallies
    for name, tally in comparison.evidence.tallies.metrics.items():
        assert (kept.metrics[name].counts == tally.counts).all()
        if tally.detector is not None:
            detector = kept.metrics[name].detector
            assert detector is not None
            assert detector.values.tobytes() == tally.detector.values.tobytes()
            assert (detector.quiet, detector.abort_margin) == (tally.detector.quiet, tally.detector.abort_margin)
    assert fit(kept, tallies.begun(GATE, labelled=False))


def test_P5_a_snapshot_without_counts_is_read_and_does_not_fit_a_gate() -> None:
    wire = to_wire(compared(same(20), same(20)).snapshot())
    wire.format, wire.tallies = FORMAT - 1, None
    old = decode(msgspec.msgpack.encode(wire))
    assert old.evidence.figures.counts["matched"] == 20
    assert not fit(old.evidence.tallies, tallies.begun(GATE, labelled=False))
    assert fit(old.evidence.tallies, tallies.begun(None, labelled=False)), (
        "where nothing is declared nothing is missing"
    )


def test_damaged_counts_are_no_snapshot() -> None:
    for damage in (b"\xff\xff\xff\x7f", b""):
        wire = to_wire(compared(same(20), same(20)).snapshot())
        assert wire.tallies is not None
        wire.tallies["flips"].cells = damage
        with pytest.raises(ValueError, match="counts for"):
            decode(msgspec.msgpack.encode(wire))
    wire = to_wire(compared(same(20), same(20)).snapshot())
    assert wire.tallies is not None
    assert wire.tallies["errors"].detector is not None
    wire.tallies["errors"].detector.values = b"\0" * 8
    with pytest.raises(ValueError, match="a detector with 1 values"):
        decode(msgspec.msgpack.encode(wire))


def test_without_a_gate_nothing_is_counted() -> None:
    made = begun(terms=Terms(1, 0, 0.5))
    evidence = feed(made, {"blue": cut(BLUE, same(9), {8}), "green": cut(GREEN, same(9), {8})}).evidence
    assert evidence.tallies.metrics == {}


# -- who is judged --------------------------------------------------------------------------------------------------


def rules(gate: dict[str, object]) -> str:
    return json.dumps({"outputs": ["p"], "gate": gate})


def test_the_candidate_is_judged_and_after_its_promote_it_is_watched() -> None:
    log = Log()
    assert case_of(log.fold.state) is None
    log.deploy("blue", "m:1", rules=rules(GATE.data()))
    assert case_of(log.fold.state) is None
    green = log.deploy("green", "m:2", rules=rules(GATE.data())).offset
    case = case_of(log.fold.state)
    assert case is not None
    assert (case.candidate.color, case.against.color, case.watched) == ("green", "blue", False)
    assert case.gate == GATE
    log.say("promote", candidate=green)
    case = case_of(log.fold.state)
    assert case is not None
    assert (case.candidate.color, case.against.color, case.watched) == ("green", "blue", True)
    log.say("rollback")
    log.say("abort")
    assert case_of(log.fold.state) is None


def test_P5_a_gate_of_a_newer_format_says_upgrade_and_one_that_contradicts_itself_is_refused() -> None:
    log = Log()
    for color in ("blue", "green"):
        log.deploy(color, "m:1", rules=rules({**GATE.data(), "format": 2}))
    with pytest.raises(UpgradeFirst, match="the deploy's gate has format 2, this process knows 1"):
        case_of(log.fold.state)
    refused = log.deploy("green", "m:2", rules=rules({**GATE.data(), "segments": {}}))
    assert "names a segment that is not declared" in (refused.refusal or "")


# -- the verdict ----------------------------------------------------------------------------------------------------


def parts(rows: int) -> list[Evidence]:
    return [compared(same(rows), same(rows), partition).evidence for partition in (0, 1)]


def test_equal_evidence_gives_an_equal_verdict_and_the_digest_is_the_evidences() -> None:
    one, two = (judge(CASE, material_of(parts(900), ()), "fraud", 5) for _ in range(2))
    assert one == two
    assert records.decode(records.encode(one)) == one
    assert (one.events, one.coverage, one.compared) == (1_800, 1.0, {"0": 899, "1": 899})
    assert one.digest.startswith("sha256:")
    other = judge(CASE, material_of(parts(901), ()), "fraud", 5)
    assert other.digest != one.digest
    assert one.decision == other.decision, "more of the same is no news"


def test_segments_that_saw_nothing_hold_a_promote_up_and_whole_metrics_do_not() -> None:
    verdict = judge(CASE, material_of(parts(900), ()), "fraud", 5)
    assert verdict.word == "continue"
    assert any(reason.startswith("errors in event_id=e1: evidence ") for reason in verdict.reasons)
    whole = tuple(replace(metric, segments=()) for metric in METRICS)
    free = replace(CASE, gate=replace(GATE, metrics=whole, segments={}))
    verdict = judge(free, material_of(parts(900), ()), "fraud", 5)
    assert (verdict.word, verdict.ready) == ("promote", True)
    held = judge(free, material_of(parts(900), ("green is away",)), "fraud", 5)
    assert (held.word, held.reasons) == ("continue", ("green is away",))


def test_an_a_a_pair_says_how_much_a_model_differs_from_itself() -> None:
    noisy = {offset: Answer(0.25 if offset % 50 else 0.75) for offset in range(3_000)}
    material = material_of([compared(same(3_000), noisy).evidence], ())
    record = judge(CASE, material, "fraud", 5)
    assert set(record.noise) == {"flips", "shift"}, "both deployments have one digest"
    assert 0.02 < record.noise["flips"] < 0.035
    assert 0.01 < record.noise["shift"] < 0.02
    other = replace(CASE, candidate=replace(CASE.candidate, digest="sha256:" + "1" * 64))
    assert judge(other, material, "fraud", 5).noise == {}


def test_missing_answers_count_against_coverage() -> None:
    green = {offset: answer for offset, answer in same(900).items() if offset % 100}
    made = compared(same(900), green).evidence
    verdict = judge(CASE, material_of([made], ()), "fraud", 5)
    assert verdict.coverage == pytest.approx(0.99)
    assert verdict.reasons[0] == "coverage 99.00 % of 900 events, the limit is 99.9 %"


def test_a_color_that_owes_answers_is_behind() -> None:
    comparison = begun()
    assert behind_ms(comparison, "green", 70_000, 60_000) == 0, "nobody has answered"
    comparison.offer("blue", 0, 1, batch(BLUE, START, 9, same(10), scored_at=65_000))
    assert behind_ms(comparison, "green", 70_000, 60_000) == 10_000, "green has not, since it is looked for"
    comparison.offer("green", 0, 1, batch(GREEN, START, 4, same(10), scored_at=66_000))
    assert behind_ms(comparison, "green", 70_000, 60_000) == 4_000
    comparison.offer("green", 1, 1, batch(GREEN, 4, 9, same(10), scored_at=67_000))
    assert behind_ms(comparison, "green", 90_000, 60_000) == 0, "a pipeline without events owes nothing"
    assert behind_ms(comparison, "blue", 90_000, 60_000) == 0


def test_what_stands_in_the_way_is_said() -> None:
    assert obstacles_of("green", GATE, {0: 4_999, 1: 0}, (), ()) == []
    assert obstacles_of("green", GATE, {0: 7_000, 1: 9_100, 2: 0}, [(4, "green")], [7, 8]) == [
        "partition 4: green has not answered anything yet",
        "green owes answers in 2 partitions, for 9 s in 1; max_lag is 5 s",
        "no evidence yet of partitions 7, 8",
    ]


# -- what others read -----------------------------------------------------------------------------------------------


def test_only_a_fresh_verdict_about_this_pair_counts() -> None:
    made = judge(CASE, material_of(parts(50), ()), "fraud", 1_000_000)
    good = msgspec.structs.replace(made, word="promote", reasons=("fine",))
    now = 1_000_000 + 1_000
    assert (told([made, good], CASE, now).word, told([made, good], CASE, now).reasons) == ("promote", ("fine",))
    for other in (
        replace(CASE, candidate=deployment("green", GREEN + 1)),
        replace(CASE, against=deployment("blue", BLUE + 1)),
        replace(CASE, watched=True),
    ):
        nothing = told([good], other, now)
        assert (nothing.word, nothing.record) == ("continue", None)
        assert nothing.reasons == ("no verdict about this candidate yet; does a comparator run?",)
    late = told([good], CASE, now + int(STALE_S * 1_000))
    assert late.word == "continue"
    assert late.reasons == ("the last verdict (promote) is 91 s old, the limit is 90 s; does a comparator run?",)


def test_over_http_a_verdict_that_nobody_renews_is_no_promote(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop judges, another thread answers: it may hang while `latest` says promote."""
    state = Log().fold.state
    monkeypatch.setattr(judging_loop, "case_of", lambda _state: CASE)
    made = judge(CASE, material_of(parts(50), ()), "fraud", 1_000_000)
    judges = Judge(cast(Any, None), Desk(), cast(Any, None), cast(Any, None))
    assert judges.page(state, (), 1_000_000) == {"ok": False, "reasons": ["nothing was judged yet"]}
    judges.latest = msgspec.structs.replace(made, word="promote", reasons=("fine",))
    fresh = judges.page(state, (), 1_000_000 + int(STALE_S * 1_000))
    assert (fresh["ok"], fresh["word"], fresh["reasons"]) == (True, "promote", ["fine"])
    old = judges.page(state, (), 1_001_000 + int(STALE_S * 1_000))
    assert (old["ok"], old["word"]) == (False, "continue")
    assert "the last verdict (promote) is 91 s old, the limit is 90 s" in old["reasons"][0]
    monkeypatch.setattr(judging_loop, "case_of", lambda _state: replace(CASE, watched=True))
    assert judges.page(state, (), 1_000_000)["word"] == "continue"


def test_P5_a_newer_verdict_says_upgrade_and_what_is_none_is_an_error() -> None:
    with pytest.raises(UpgradeFirst, match="newer format"):
        records.decode(b'{"format": 2}')
    for none in (b"", b"{}", b'{"format": 1}'):
        with pytest.raises(ValueError, match=r"truncated|missing"):
            records.decode(none)


def test_the_pair_of_a_snapshot_is_the_cases() -> None:
    kept = Snapshot(parts(9)[0], begun().pairing.places())
    assert kept.evidence.pair == Pair(CASE.against.id, CASE.candidate.id)
    assert TERMS.gate == CASE.gate
