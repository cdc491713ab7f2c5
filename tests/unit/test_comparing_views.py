"""Snapshots as bytes, the desk, the summary and the live view."""

from __future__ import annotations

import asyncio
import json
import math
import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from pairs import BLUE, FOLDED, GREEN, PAIR, START, TERMS, Answer, batch, begun, cut, feed, finish, restarted

from streambg.comparing import snapshot as snapshots
from streambg.comparing.comparison import Comparison
from streambg.comparing.desk import Desk, Work
from streambg.comparing.evidence_log import EvidenceReader
from streambg.comparing.holes import STANDS_S, Holes
from streambg.comparing.liveview import FORMAT, TTL_S, Field, decode_fields, encode_field, summary_of, view_of
from streambg.comparing.pair import Pair
from streambg.comparing.pairing import GATHER_BYTES, GATHER_ROWS
from streambg.comparing.process import Comparator
from streambg.comparing.site import Site
from streambg.comparing.snapshot import BadSnapshot, Snapshot, decode, encode, evidence_bytes, to_wire
from streambg.errors import SessionEnded, UpgradeFirst
from streambg.kafka.coreader import Fetched
from streambg.records.batch import encode as encode_batch
from streambg.records.source import COLORS, Color
from streambg.web.health import Endpoint


def compared(partition: int = 2, n: int = 40, seed: int = 1, pair: Pair = PAIR) -> Comparison:
    rng = random.Random(seed)
    blue = {offset: Answer(rng.random()) for offset in range(n)}
    green = {offset: Answer(min(1.0, row.score + 0.1)) for offset, row in blue.items() if row.score is not None}
    comparison = begun(partition=partition, pair=pair)
    logs = {"blue": cut(pair.blue, blue, set(range(0, n, 10)) | {n - 1}), "green": cut(pair.green, green, {n - 1})}
    return feed(comparison, logs)  # type: ignore[arg-type]  # literals of the dict


def test_a_snapshot_survives_its_bytes() -> None:
    made = compared()
    again = decode(encode(made.snapshot()))
    assert again.places == made.snapshot().places
    assert again.key == b"2/3/7"
    assert encode(again) == encode(made.snapshot())


def test_P30_an_old_snapshot_only_means_more_replay() -> None:
    """A zombie's too: whoever resumes from it comes to the same bytes."""
    rng = random.Random(5)
    blue = {offset: Answer(rng.random()) for offset in range(200)}
    green = {offset: Answer(rng.random()) for offset in range(200)}
    logs = {"blue": cut(BLUE, blue, set(range(9, 200, 10))), "green": cut(GREEN, green, set(range(6, 200, 7)) | {199})}
    comparison, taken = begun(), []
    for at in range(30):
        for color in ("blue", "green"):
            if at < len(logs[color]):
                comparison.offer(color, at, 1, logs[color][at])
        finish(comparison)
        taken.append(encode(comparison.snapshot()))
    assert comparison.evidence.compared == 199
    for old in taken:
        resumed = Comparison.resume(decode(old), TERMS)
        resumed.control(FOLDED)
        feed(resumed, logs)  # type: ignore[arg-type]  # literals of the dict
        assert encode(resumed.snapshot()) == taken[-1]


def kept(*values: bytes) -> EvidenceReader:
    reader = EvidenceReader({"bootstrap.servers": "127.0.0.1:1", "group.id": "none", "log_level": 0}, "t.evidence")
    for value in values:
        reader.put(b"2/3/7", value)
    return reader


def test_P30_of_two_snapshots_the_one_that_compared_more_is_resumed() -> None:
    more, less = compared(n=40), compared(n=20)
    reader = kept(encode(more.snapshot()), encode(less.snapshot()), b"garbage")
    try:
        best = reader.best(PAIR, 2)
        assert best is not None
        assert best.evidence.compared == 39
        assert reader.best(PAIR, 1) is None
        assert [snapshot.evidence.compared for snapshot in reader.all()] == [39]
        reader.forget_before(Pair(3, 8))
        assert reader.best(PAIR, 2) is None
        reader.put(b"2/3/7", encode(more.snapshot()))
        reader.put(b"2/3/7", None)
        assert reader.best(PAIR, 2) is None
    finally:
        reader.close()


def test_P30_evidence_that_had_to_start_over_is_preferred_to_what_it_lost() -> None:
    old, new = encode(compared(n=40).snapshot()), encode(begun(start=20).snapshot())
    for both in ((old, new), (new, old)):
        reader = kept(*both)
        try:
            best = reader.best(PAIR, 2)
            assert best is not None
            assert best.evidence.start == 20, "though the other one compared up to 39"
        finally:
            reader.close()


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80", encode(compared().snapshot())[:-3]], ids=len)
def test_damaged_bytes_are_no_snapshot(damage: bytes) -> None:
    with pytest.raises(BadSnapshot):
        decode(damage)


def test_P5_a_newer_format_says_upgrade() -> None:
    with pytest.raises(UpgradeFirst, match="format 9, this process knows 2"):
        decode(msgspec.msgpack.encode({"format": 9}))


@pytest.mark.parametrize("change", ["river", "block"])
def test_detectors_of_another_river_begin_again_and_it_is_said(change: str) -> None:
    wire = to_wire(compared().snapshot())
    if change == "river":
        wire.drift.river = "0.1"
    else:
        wire.drift.detectors[0] = replace(wire.drift.detectors[0], block=b"damaged")
    again = snapshots.from_wire(wire).evidence
    assert (again.drift.restarts, again.drift.start) == (1, 39)
    assert [detector.fed for detector in again.drift.detectors] == [0, 0, 0]
    assert again.figures.counts["matched"] == 40


def fetched(color: Color, offset: int, value: bytes) -> Fetched:
    return Fetched(color, 2, offset, 0, value)


def work_through(desk: Desk, work: Work) -> frozenset[tuple[Color, int]]:
    for _ in desk.steps(work):
        pass
    return work.answer.result(0)


def test_the_desk_compares_what_one_poll_brought() -> None:
    every = {offset: Answer(0.5) for offset in range(10)}
    desk = Desk()
    records = [
        fetched("blue", 0, encode_batch(batch(BLUE, -1, 9, every))),
        fetched("green", 0, b"no batch"),
        fetched("green", 1, encode_batch(batch(GREEN, -1, 9, every))),
        Fetched("green", 5, 77, 0, b"of a partition that is not placed yet"),
    ]
    assert work_through(desk, Work(FOLDED, True, [begun()], records)) == frozenset()
    assert [snapshot.evidence.compared for snapshot in desk.snapshots()] == [9]
    assert desk.not_batches == {"green": 1}
    hole = fetched("green", 2, encode_batch(batch(GREEN, 15, 19, every)))
    work_through(desk, Work(FOLDED, fetched=[hole]))
    [(hole, batches)] = desk.holes().items()
    assert hole.words(batches) == "green/2: 1 batches stand beyond a hole that begins at 9"
    holes = Holes()
    assert holes.look(desk.holes(), 100) == []
    assert holes.look(desk.holes(), 100 + STANDS_S - 1) == [], "a scorer has time to close it"
    [alarm] = holes.look(desk.holes(), 100 + STANDS_S)
    assert alarm.startswith(f"{hole.words(batches)}, for 10 s; ")
    assert holes.look(desk.holes(), 200) == [], "once"
    assert holes.look({}, 201) == []
    assert holes.look(desk.holes(), 202) == []
    assert len(holes.look(desk.holes(), 202 + STANDS_S)) == 1, "it was closed, and is another one"
    work_through(desk, Work(FOLDED, fresh=True))
    assert desk.snapshots() == []


def test_P20_the_desk_says_who_has_run_ahead() -> None:
    big = {offset: Answer(0.5, b"x" * 60_000) for offset in range(80)}
    value = encode_batch(batch(BLUE, -1, 79, big))
    work = Work(FOLDED, True, [begun()], [fetched("blue", 0, value)])
    assert len(value) > 4 * 1024 * 1024
    assert work_through(Desk(), work) == {("blue", 2)}


def test_P5_a_batch_of_a_newer_format_stops_the_desk() -> None:
    newer = msgspec.msgpack.encode([2, BLUE, -1, 9, False])
    with pytest.raises(UpgradeFirst):
        work_through(Desk(), Work(FOLDED, True, [begun()], [fetched("blue", 0, newer)]))


def test_the_summary_is_the_candidate_against_live() -> None:
    """green is blue + 0.1: as the candidate it is higher; as live, blue is lower."""
    snapshot = compared().snapshot()
    up, down = summary_of([snapshot], "blue"), summary_of([snapshot], "green")
    assert up.difference_mean == pytest.approx(0.09, abs=0.02)
    assert down.difference_mean == -up.difference_mean  # type: ignore[operator]  # not None, as the line above shows
    assert (up.difference_low, up.difference_high) == (-down.difference_high, -down.difference_low)  # type: ignore[operator]  # as above
    assert up.difference_quantiles["p95"] == -down.difference_quantiles["p5"]  # type: ignore[operator]  # as above
    assert (up.flips_to_yes, up.flips_to_no) == (down.flips_to_no, down.flips_to_yes)
    assert up.flips > 0
    assert (up.matched, up.coverage, up.live.rows) == (40, 1.0, 40)
    assert up.agreement == 1 - up.flips / 40
    assert up.live.score_mean == down.candidate.score_mean
    assert up.live.latency_quantiles["p50"] == pytest.approx(10_000, rel=1 / 32)


def test_no_evidence_is_no_zero() -> None:
    summary = summary_of([begun().snapshot()], "blue")
    assert (summary.coverage, summary.agreement, summary.difference_mean, summary.live.error_rate) == (None,) * 4
    assert summary_of([], "blue").matched == 0


def test_P9_what_the_candidate_passed_over_is_unanswered_and_what_live_has_not_is_contradicted() -> None:
    every = {offset: Answer(0.5) for offset in range(10)}
    logs = {"blue": cut(BLUE, every, {9}), "green": cut(GREEN, {offset: Answer(0.5) for offset in range(4)}, {9})}
    snapshot = feed(begun(), logs).snapshot()  # type: ignore[arg-type]  # literals of the dict
    shadow = summary_of([snapshot], "blue")
    assert (shadow.candidate.unanswered, shadow.contradicted, shadow.coverage) == (6, 0, 0.4)
    promoted = summary_of([snapshot], "green")
    assert (promoted.candidate.unanswered, promoted.contradicted) == (0, 6)


def field(comparison: Comparison, at_ms: int, live: Color | None = "blue") -> bytes:
    return encode_field(comparison, at_ms, "sensors", live, {"blue": 0, "green": None}, "ab12cd34")


def test_the_view_puts_partitions_together_and_leaves_out_the_old() -> None:
    now = 1_000_000
    stored = {
        b"0": field(compared(0), now),
        b"2": field(compared(2, seed=2), now - 500),
        b"3": field(compared(3), now - TTL_S * 1_000 - 1),  # a comparator that died
        b"4": field(compared(4, pair=Pair(3, 5)), now),  # of the pair before
        b"5": b"{}",
        b"6": field(compared(6), now).replace(b'"format":1', b'"format":9', 1),
    }
    view = view_of(decode_fields(stored))
    assert view is not None
    assert (view.pair, view.live, view.input, view.at_ms) == (PAIR, "blue", "sensors", now)
    assert view.compared == {0: 39, 2: 39}
    assert view.covered[2] == {"blue": 39, "green": 39}
    assert view.summary.matched == 80
    shown = json.loads(json.dumps(view.as_json()))
    assert shown["summary"]["agreement"] == view.summary.agreement
    assert shown["summary"]["worst"][0]["offset"] == view.summary.worst[0].offset
    assert view_of([]) is None
    assert view_of(decode_fields({b"0": field(compared(0), now, live=None)})) is None


def test_a_view_of_evidence_is_bit_equal_to_it() -> None:
    made = compared()
    read = msgspec.json.decode(field(made, 1), type=Field)
    assert read.format == FORMAT
    assert evidence_bytes(snapshots.from_wire(read.snapshot).evidence) == evidence_bytes(made.evidence)


def test_the_size_of_evidence_is_bounded() -> None:
    """Keys, carried fields and alarms are cut or few; histograms have fixed edges."""
    rng = random.Random(9)
    n = 20_000
    blue = {offset: Answer(math.exp(rng.gauss(0, 8))) for offset in range(n)}
    green = {offset: Answer(math.exp(rng.gauss(0, 8))) for offset in range(n)}
    logs = {"blue": cut(BLUE, blue, {n - 1}), "green": cut(GREEN, green, {n - 1})}
    comparison = feed(begun(), logs)  # type: ignore[arg-type]  # literals of the dict
    # 3 score histograms of 3,267 buckets and 2 of latency with 962, 12 bytes each, and the rest
    assert len(encode(comparison.snapshot())) < 12 * (3 * 3_267 + 2 * 962) + 30_000
    assert isinstance(restarted(comparison).snapshot(), Snapshot)


@pytest.mark.parametrize(
    ("raised", "expected", "said"),
    [
        (ZeroDivisionError("a bug"), SessionEnded, "comparing failed: ZeroDivisionError: a bug"),
        (UpgradeFirst("newer"), UpgradeFirst, "newer"),
    ],
    ids=str,
)
def test_what_fails_while_comparing_ends_the_session_and_drops_what_was_compared(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception], said: str
) -> None:
    """The events come again from the last snapshot; nothing half-compared stays to be kept."""
    site = Site(
        "p",
        "in",
        {},
        "p.evidence",
        "p.verdicts",
        None,
        Path("models"),
        "redis://127.0.0.1:1/0",
        "p.0",
        {},
        {},
        {},
        {},
        "ab12cd34",
        {},
    )
    comparator = Comparator(site, lambda: pytest.fail("nothing is connected"), Endpoint())
    desk = comparator.desk
    work_through(desk, Work(FOLDED, True, [compared()]))
    work = Work(FOLDED)

    def fails(_comparison: Comparison) -> int:
        raise raised

    monkeypatch.setattr(Comparison, "advance", fails)
    asyncio.run(comparator.compare(work))
    with pytest.raises(expected, match=said):
        work.answer.result(0)
    assert desk.snapshots() == []


def test_P32_few_rows_wait_for_more_and_the_evidence_is_the_same() -> None:
    """Gathered until a step is worth its cost, until somebody asks for all, or while rows are large."""
    n = GATHER_ROWS + 100
    blue, green = ({offset: Answer((offset * prime % 97) / 97) for offset in range(n)} for prime in (31, 37))
    logs = {"blue": cut(BLUE, blue, range(19, n, 20)), "green": cut(GREEN, green, range(29, n, 30))}
    reference = feed(begun(), logs)  # type: ignore[arg-type]  # literals of the dict
    comparison, reached = begun(), list[int]()
    desk = Desk()
    work_through(desk, Work(FOLDED, True, [comparison], all_rows=False))
    for number in range(len(logs["blue"])):
        records = [
            fetched(color, number, encode_batch(logs[color][number]))  # type: ignore[index]  # as above
            for color in COLORS
            if number < len(logs[color])  # type: ignore[index]  # as above
        ]
        work_through(desk, Work(FOLDED, fetched=records, all_rows=False))
        reached.append(comparison.evidence.compared)
    assert [at for at in dict.fromkeys(reached) if at >= 0] == [GATHER_ROWS // 20 * 20 + 19], "one step, not fifty"
    work_through(desk, Work(FOLDED))
    assert comparison.evidence.compared == reference.evidence.compared
    assert evidence_bytes(comparison.evidence) == evidence_bytes(reference.evidence)


def test_P20_large_rows_are_not_gathered() -> None:
    every = {offset: Answer(0.5) for offset in range(10)}
    comparison = begun()
    for color in COLORS:
        comparison.offer(color, 0, GATHER_BYTES, batch(PAIR.of(color), START, 9, every))
    work_through(Desk(), Work(FOLDED, True, [comparison], all_rows=False))
    assert comparison.evidence.compared == 9
