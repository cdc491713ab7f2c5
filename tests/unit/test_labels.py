"""What a label is, which event it belongs to, and what is counted: the labels' pure part."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_room import (
    CORRECT,
    HORIZON,
    LABEL_GATE,
    LABEL_TERMS,
    LABELS,
    LAYOUT,
    WIDTH,
    Room,
    advance,
    answers,
    label_records,
    packed_of,
    rows_of,
)
from pairs import PAIR, TERMS, Answer, batch, begun, cut, feed, finish, restarted

from streambg.comparing.snapshot import decode as decode_snapshot
from streambg.comparing.snapshot import encode as encode_snapshot
from streambg.deciding import grid, tallies
from streambg.deciding.coverage import Coverage
from streambg.errors import UpgradeFirst
from streambg.labelling import cohorts
from streambg.labelling.cohorts import EARLY_MS, KEPT, Awaited, Labelled, width_of
from streambg.labelling.evidence import BadLabelEvidence, LabelEvidence, decode, encode
from streambg.labelling.filling import Filled, Filling, Frontier, beyond, done, frontier
from streambg.labelling.matching import Candidate, Dated, Mark, decode_mark, find, span
from streambg.labelling.rows import MOST_ROWS, Packed, Waiting, in_sample, layout_of, place_of, seen_of, time_of
from streambg.labelling.stream import AT_ONCE, MOST_WAITING, Fetched, Stream
from streambg.records.label import BAD, Label, parse

# -- a label ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"id": "e1", "y": 1}', Label(b"e1", 1.0)),
        (b'{"id": "e1", "y": true, "why": [1]}', Label(b"e1", 1.0)),
        (b'{"id": 17, "y": false}', Label(b"17", 0.0)),
        (b'{"id": true, "y": -2.5}', Label(b"true", -2.5)),
        (b"", "empty"),
        (None, "empty"),
        (b"{", "no_json"),
        (b"\xff", "no_json"),
        (b'{"id": "e1", "y": NaN}', "no_json"),
        (b"[1]", "no_object"),
        (b'{"y": 1}', "no_key"),
        (b'{"id": null, "y": 1}', "no_key"),
        (b'{"id": {}, "y": 1}', "bad_key"),
        (b'{"id": "", "y": 1}', "bad_key"),
        (b'{"id": "' + b"x" * 257 + b'", "y": 1}', "bad_key"),
        (b'{"id": "e1"}', "no_value"),
        (b'{"id": "e1", "y": null}', "no_value"),
        (b'{"id": "e1", "y": "1"}', "bad_value"),
        (b'{"id": "e1", "y": [1]}', "bad_value"),
        (b'{"id": "e1", "y": 1e999}', "no_json"),
        (b'{"id": "e1", "y": ' + b"9" * 400 + b"}", "bad_value"),
    ],
)
def test_labels_and_what_is_none(data: bytes | None, expected: object) -> None:
    assert parse(data, "id", "y") == expected


def test_every_reason_is_seen_above() -> None:
    mark = test_labels_and_what_is_none.pytestmark[0]  # type: ignore[attr-defined]  # the table itself
    assert {why for _, why in mark.args[1] if isinstance(why, str)} == set(BAD)


# -- time and cohorts -------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=300), st.integers(0, 2**32), st.booleans())
@settings(max_examples=60, deadline=None)
def test_P32_cohorts_do_not_depend_on_borders_and_a_later_beginning_dates_alike(
    times: list[int], seed: int, many: bool
) -> None:
    rng = random.Random(seed)
    width = 1_000 if many else 20_000
    offsets = np.cumsum([rng.randrange(1, 4) for _ in times])
    owed = np.array([rng.random() < 0.7 for _ in times])
    whole, pieces = Awaited(), Awaited()
    dated = whole.dated(np.array(times))
    whole.add(dated // width, offsets, owed)
    at = 0
    while at < len(times):
        to = at + rng.randrange(1, 40)
        part = pieces.dated(np.array(times[at:to]))
        pieces.add(part // width, offsets[at:to], owed[at:to])
        at = to
    assert pieces == whole
    assert (np.diff(dated) >= 0).all()
    assert whole.older + sum(cohort.events for cohort in whole.cohorts) == owed.sum()
    assert len(whole.cohorts) <= KEPT
    for cohort in whole.cohorts:
        first = int(np.searchsorted(offsets, cohort.after, "right"))
        again = Awaited().dated(np.array(times[first:]))
        assert (again == dated[first:]).all(), "read again from a cohort's beginning"
        assert whole.containing(cohort.after) is cohort


def test_coverage_counts_only_what_is_older_than_the_horizon() -> None:
    width = width_of(HORIZON)
    assert (width, width_of(1_000)) == (10_000, EARLY_MS)
    awaited = Awaited()
    awaited.add(np.array([0, 0, 1, 5, 5]), np.arange(5), np.array([True, True, True, True, False]))
    labelled = Labelled()
    for number in (0, 1, 5):
        labelled.add(number)
    assert cohorts.coverage([awaited], [labelled], 10_000 + HORIZON - 1, HORIZON) == Coverage(0, 0)
    assert cohorts.coverage([awaited], [labelled], 10_000 + HORIZON, HORIZON) == Coverage(1, 1)
    assert cohorts.coverage([awaited], [labelled], 60_000 + HORIZON, HORIZON) == Coverage(3, 1)
    assert cohorts.coverage([awaited, awaited], [labelled], 60_000 + HORIZON, HORIZON) == Coverage(3, 5)
    assert cohorts.coverage([], [labelled], 60_000 + HORIZON, HORIZON) == Coverage(0, 0), (
        "ahead of the other's snapshot"
    )


def test_labelled_cohorts_have_an_end() -> None:
    labelled = Labelled()
    for number in range(200):
        labelled.add(number)
    assert (len(labelled.cohorts), labelled.older, min(labelled.cohorts)) == (KEPT, 200 - KEPT, 200 - KEPT)


# -- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_says_what_both_colors_answered() -> None:
    blue, green = answers(5, 120, "blue"), answers(5, 120, "green")
    rows = [row for packed in packed_of(LABEL_TERMS) for row in packed.rows]
    both = sorted(set(blue) & set(green))
    assert len(rows) == len(both)
    seen = seen_of(LAYOUT, LABEL_TERMS, [row.value for row in rows], [1.0] * len(rows))
    for at, offset in enumerate(both):
        assert rows[at].place == place_of(f"e{offset}".encode())
        assert time_of(LAYOUT, rows[at].cohort, rows[at].value) == offset
        for color, given_ in (("blue", blue), ("green", green)):
            answer, score = getattr(seen, color), given_[offset].score
            assert answer.failed[at] == (score is None)
            assert answer.answered[at] == (score is not None)
            if score is not None:
                assert answer.decided[at] == score
                assert answer.yes is not None
                assert answer.yes[at] == (score >= 0.5)
        expected = f"e{offset}" if offset in (1, 5, 8) else None
        assert seen.carry["event_id"][at] == expected
    assert max(len(row.value) for row in rows) <= 64 - 20, "Redis packs values of at most 64 bytes"


def test_a_function_of_the_teams_gets_all_scores_and_fields() -> None:
    own = replace(CORRECT, name="own", kind="m:f")
    terms = replace(TERMS, gate=replace(LABEL_GATE, metrics=(own,)))
    layout = layout_of(terms)
    assert layout is not None
    rows = [row for packed in packed_of(terms) for row in packed.rows]
    seen = seen_of(layout, terms, [row.value for row in rows], [0.0] * len(rows))
    both = sorted(set(answers(5, 120, "blue")) & set(answers(5, 120, "green")))
    assert list(seen.carry["event_id"]) == [f"e{offset}" for offset in both]
    assert seen.blue.scores.shape == (len(rows), 1)


def test_only_keyed_events_of_the_sample_wait() -> None:
    tenth = replace(LABEL_TERMS, gate=replace(LABEL_GATE, labels=replace(LABELS, sample=1_000)))
    rows = [row for packed in packed_of(tenth, upto=2_000) for row in packed.rows]
    every = [row for packed in packed_of(LABEL_TERMS, upto=2_000) for row in packed.rows]
    assert 0.06 * len(every) < len(rows) < 0.15 * len(every)
    assert {row.place for row in rows} == {row.place for row in every} & {
        place_of(f"e{offset}".encode()) for offset in range(2_001) if in_sample(f"e{offset}".encode(), 1_000)
    }
    keyless = replace(LABEL_TERMS, gate=replace(LABEL_GATE, labels=replace(LABELS, key="nothing")))
    comparison = begun(terms=keyless)
    feed(comparison, {color: cut(PAIR.of(color), {0: Answer(0.1)}, [0]) for color in ("blue", "green")})  # type: ignore[misc, arg-type]
    assert [list(packed.rows) for packed in comparison.take_packed()] == [[]]
    assert comparison.evidence.awaited.keyless == 1
    assert layout_of(TERMS) is None


def test_P30_what_waits_stands_in_the_snapshot_and_rows_that_nobody_takes_have_an_end() -> None:
    comparison = begun(terms=LABEL_TERMS)
    logs = {color: cut(PAIR.of(color), answers(5, 90, color), range(0, 91, 7)) for color in ("blue", "green")}  # type: ignore[arg-type]
    feed(comparison, logs)  # type: ignore[arg-type]
    again = decode_snapshot(encode_snapshot(comparison.snapshot())).evidence.awaited
    assert again == comparison.evidence.awaited
    assert again.cohorts
    assert restarted(comparison).evidence.awaited == again
    large = begun(terms=LABEL_TERMS)
    for first in range(0, 20_000, 1_000):
        part = {offset: Answer(0.5) for offset in range(first, first + 1_000)}
        for color in ("blue", "green"):
            large.offer(color, first // 1_000, 100, batch(PAIR.of(color), first - 1, first + 999, part))  # type: ignore[arg-type]
        finish(large)
    assert sum(len(packed.rows) for packed in large.take_packed()) <= MOST_ROWS


# -- which event ------------------------------------------------------------------------------------------------------


def waiting(time: int, partition: int = 0, offset: int = 0, mark: Mark | None = None) -> Candidate:
    cohort, rest = divmod(time, WIDTH)
    value = rest.to_bytes(4, "big") + partition.to_bytes(2, "big") + offset.to_bytes(8, "big")
    return Candidate(cohort, value + bytes(LAYOUT.fixed.itemsize - 14), mark)


def dated(time: int, offset: int = 10, value: float = 1.0) -> Dated:
    return Dated(offset, time, place_of(b"k"), value)


NOW = 1_000_000


@pytest.mark.parametrize(
    ("candidates", "expected", "early"),
    [
        ([], "orphan", False),
        ([waiting(NOW)], "matched", False),
        ([waiting(NOW - HORIZON)], "matched", False),
        ([waiting(NOW - HORIZON - 1)], "late", False),
        ([waiting(NOW + 1)], "matched", True),
        ([waiting(NOW + EARLY_MS)], "matched", True),
        ([waiting(NOW + EARLY_MS + 1)], "orphan", False),
        ([waiting(NOW - 5, mark=Mark(0, 4, 1.0))], "repeated", False),
        ([waiting(NOW - 5, mark=Mark(0, 4, 0.0))], "corrected", False),
        ([waiting(NOW - 5, mark=Mark(0, 10, 1.0))], "matched", False),  # its own, read again
        ([waiting(NOW - 5, mark=Mark(1, 4, 1.0))], "elsewhere", False),
    ],
)
def test_kinds_of_labels(candidates: list[Candidate], expected: str, early: bool) -> None:
    found = find(LAYOUT, 0, dated(NOW), candidates)
    assert (found.kind, found.early) == (expected, early)


def test_of_several_events_with_its_key_the_first_has_the_label() -> None:
    expected = waiting(NOW - 500, 3, 9)
    others = [waiting(NOW - 500, 4, 2), waiting(NOW - 500, 3, 11), waiting(NOW), waiting(NOW - HORIZON - 7)]
    for order in ([expected, *others], [*others[::-1], expected]):
        assert find(LAYOUT, 0, dated(NOW), order).candidate == expected


@given(st.integers(0, 10**13), st.integers(0, HORIZON), st.integers(0, EARLY_MS))
def test_every_event_a_label_may_belong_to_is_in_its_span(now: int, before: int, after: int) -> None:
    low, high = span(LAYOUT, now)
    for time in (max(0, now - before), now + after):
        assert low <= time // WIDTH <= high


def test_marks_are_bytes_and_back() -> None:
    mark = Mark(65_535, 2**60, 0.1)
    assert decode_mark(mark.encode()) == mark
    assert len(mark.encode()) == 18


# -- how full the room is ---------------------------------------------------------------------------------------------


def some(low: int, high: int, dated_: int, cohort: int = 100) -> Packed:
    return Packed(low, high, dated_, [Waiting(cohort, place_of(b"%d" % offset), b"") for offset in range(low, high)])


def test_labels_go_as_far_as_the_last_partition_and_no_further_back_than_rows_live() -> None:
    first = Filled(9, 500).with_rows(some(9, 20, 700, 3), 10_000)
    assert (first.upto, first.passed, first.since, first.expiries) == (20, 699, 0, ((3, 10_000),))
    second = first.with_rows(some(20, 30, 900, 4), 12_000)
    assert frontier({0: second, 1: Filled(4, 600)}, 9_999, WIDTH) == Frontier(600, 0)
    assert frontier({0: second, 1: Filled(4, 6_000)}, 10_000, WIDTH) == Frontier(899, 4 * WIDTH)
    assert frontier({0: second, 1: None}, 0, WIDTH) is None
    assert frontier({}, 0, WIDTH) is None
    assert Filled.decode(second.encode()) == second


def test_a_quiet_partition_is_passed_where_nothing_is_under_way() -> None:
    assert Filled(9, 500).with_end(11, 90_000).passed == 500
    assert Filled(9, 500).with_end(10, 90_000).passed == 90_000 - EARLY_MS
    assert Filled(9, 500).with_end(10, 1).passed == 500


def awaited(*numbers: int, older: int = 0) -> Awaited:
    made = Awaited(numbers[-1] * WIDTH + 5, older=older)
    made.cohorts = [cohorts.Cohort(number, 10 * at - 1, 10) for at, number in enumerate(numbers)]
    return made


def test_what_must_be_read_again() -> None:
    full = awaited(100, 101, 102, 103, 104, 105, 106, 107)
    filling = Filling(-1)
    filling.adopt(None, b"")
    lost = filling.again(full, 79, LAYOUT, None)
    assert lost is not None
    assert (lost.cohort.number, lost.since) == (101, 101 * WIDTH), "a horizon and what the late are told by"
    filling.offer([some(-1, 5, 100)])
    assert filling.again(full, 5, LAYOUT, None) is None, "all of it is at hand"

    filling = Filling(-1)
    filling.adopt(Filled(79, 5, 103 * WIDTH), b"x")
    assert filling.again(full, 79, LAYOUT, None) is None
    assert filling.again(full, 79, LAYOUT, 103 * WIDTH) is None
    older = filling.again(full, 79, LAYOUT, 101 * WIDTH + 7)
    assert older is not None
    assert (older.cohort.number, older.since) == (101, 101 * WIDTH)
    whole = filling.again(full, 79, LAYOUT, 0)
    assert whole is not None
    assert (whole.cohort.number, whole.since) == (100, 0), "from the beginning on nothing is missing"
    cut_off = filling.again(awaited(100, 101, 103, older=7), 29, LAYOUT, 0)
    assert cut_off is None or cut_off.since == 100 * WIDTH

    gap = filling.again(full, 85, LAYOUT, None)
    assert gap is not None
    assert gap.cohort.number == 107, "what was let go, from the beginning of its cohort on"
    assert filling.again(Awaited(), 85, LAYOUT, None) is None, "nothing waits"


def test_after_reading_again_the_room_has_both() -> None:
    full = awaited(100, 101, 102, 103)
    filling = Filling(-1)
    filling.adopt(Filled(25, 900, 102 * WIDTH, ((102, 5),)), b"x")
    again = filling.again(full, 25, LAYOUT, 101 * WIDTH)
    assert again is not None
    last = Filled(again.cohort.after).with_rows(some(9, 20, 1, 101), 50).with_rows(some(20, 39, 950, 102), 50)
    assert done(again, filling.filled, last) == Filled(39, 949, 101 * WIDTH, ((101, 50), (102, 50)))
    assert done(again, None, last).since == 101 * WIDTH
    short = Filled(again.cohort.after).with_rows(some(9, 20, 1, 101), 50)
    assert done(again, filling.filled, short).since == 102 * WIDTH, "it did not reach what was there"


# -- a stream of labels -----------------------------------------------------------------------------------------------


def stream_of(evidence: LabelEvidence | None = None) -> Stream:
    return Stream(evidence or LabelEvidence(0, PAIR, 0, LABEL_GATE), LAYOUT)


def test_P33_evidence_of_labels_is_what_a_table_of_both_says() -> None:
    records, blue, green = label_records(3, 400), answers(5, 400, "blue"), answers(5, 400, "green")
    stream = stream_of()
    for record in records:
        stream.offer(record)
    assert advance(stream, Room(rows_of(5, 400)), LABEL_TERMS) == len(records)
    first: dict[str, bool] = {}
    counted = dict.fromkeys(("repeated", "corrected", "orphan"), 0)
    good, flips = 0, 0
    for record in records:
        label = parse(record.value, "event_id", "outcome")
        if not isinstance(label, Label):
            continue
        name, offset = label.key.decode(), int(label.key[1:])
        if offset not in blue or offset not in green:
            counted["orphan"] += 1
        elif name in first:
            counted["repeated" if first[name] == bool(label.value) else "corrected"] += 1
        else:
            first[name] = bool(label.value)
            right = [
                score is not None and (score >= 0.5) == bool(label.value)
                for score in (blue[offset].score, green[offset].score)
            ]
            good += right[1] - right[0]
            flips += right[0] != right[1]
    evidence = stream.evidence
    assert {name: evidence.counts[name] for name in counted} == counted
    assert min(counted.values()) > 0
    assert evidence.counts["matched"] == len(first) == sum(evidence.labelled.cohorts.values())
    assert sum(evidence.counts[name] for name in BAD) > 0
    told = sum(count for name, count in evidence.counts.items() if name not in ("early", "error_blue", "error_green"))
    assert told == len(records) == evidence.position, "every record is counted once"
    correct = tallies.merged([(0, evidence.tallies)])["correct"].counts[0]
    assert grid.events(correct) == len(first)
    assert grid.mean(correct) == pytest.approx(good / len(first), abs=1e-9)
    assert flips > 0


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_P33_borders_kills_and_lost_marks_change_no_bit(seed: int) -> None:
    rng = random.Random(seed)
    records, rows = label_records(seed % 7, 300), rows_of(5, 300)
    whole = stream_of()
    for record in records:
        whole.offer(record)
    advance(whole, Room(rows), LABEL_TERMS)
    expected = encode(whole.evidence)

    room, stream, at = Room(rows), stream_of(), 0
    kept = encode(stream.evidence)
    while stream.evidence.position < len(records):
        for record in records[at : at + rng.randrange(1, 80)]:
            stream.offer(record)
            at += 1
        passed = rng.choice([50, 200, 10**12])
        advance(stream, room, LABEL_TERMS, passed, mark=rng.random() < 0.9)
        if rng.random() < 0.5:
            kept = encode(stream.evidence)
        if rng.random() < 0.3:  # kill -9: what is not kept is counted again
            stream = stream_of(decode(kept))
            at = stream.evidence.position
        if rng.random() < 0.2:  # Redis was emptied
            room.marks.clear()
            room.marked, stream.remarking = 0, False
        if room.marked < stream.evidence.position and not stream.remarking:  # as the desk has it
            since = stream.marked_from
            stream.rewind()
            stream.offer(records[0])
            assert stream.waiting == 0, "what was on its way is read again"
            stream.rewound()
            at = next((each.offset for each in records if each.timestamp_ms >= since), len(records))
            at = min(at, stream.evidence.position)
        elif room.marked >= stream.evidence.position:
            stream.remarking = False
    assert encode(stream.evidence) == expected


def test_P33_a_label_ahead_of_its_event_waits_and_all_behind_it() -> None:
    stream = stream_of()
    for record in label_records(3, 50):
        stream.offer(record)
    room = Room(rows_of(5, 50))
    assert advance(stream, room, LABEL_TERMS, passed=EARLY_MS - 10) == 0
    assert stream.evidence.position == 0
    assert 0 < advance(stream, room, LABEL_TERMS, passed=EARLY_MS + 2_000) < stream.waiting
    before = stream.evidence.position
    reads = stream.next_reads(10**12)
    step = stream.step(reads, room.look(stream, reads), Frontier(10**12, 10**11))
    assert step.needs is not None
    assert step.reads == [], "rows that are gone are waited for"
    assert stream.evidence.position == before


def test_what_waits_has_an_end() -> None:
    stream = stream_of()
    for offset in range(MOST_WAITING):
        assert not stream.full
        stream.offer(Fetched(0, offset, 5, b"{}"))
    assert stream.full
    assert len(stream.next_reads(10**12)) == AT_ONCE


def test_evidence_is_bytes_and_back() -> None:
    stream = stream_of()
    for record in label_records(3, 200):
        stream.offer(record)
    advance(stream, Room(rows_of(5, 200)), LABEL_TERMS)
    data = encode(stream.evidence)
    assert encode(decode(data)) == data
    assert stream.evidence.key == b"labels/0/3/7"
    with pytest.raises(BadLabelEvidence):
        decode(b"nonsense")
    newer = data.replace(b"\xa6format\x01", b"\xa6format\x02")
    with pytest.raises(UpgradeFirst, match="format 2"):
        decode(newer)
    evidence = LabelEvidence(0, PAIR, 5, LABEL_GATE)
    evidence.position = 4
    with pytest.raises(BadLabelEvidence, match=r"labels \[5, 4\)"):
        decode(encode(evidence))


def test_rows_behind_a_gap_are_read_again_and_what_no_cohort_tells_of_is_not() -> None:
    filling = Filling(-1)
    filling.adopt(Filled(79, 5, 0), b"x")
    filling.offer([some(79, 81, 100)])
    filling.offer([some(90, 95, 110)])
    assert [packed.low for packed in filling.packed] == [90]
    gap = filling.again(awaited(100, 101, 102, 103, 104, 105, 106, 107), 95, LAYOUT, None)
    assert gap is not None
    full, filled = awaited(100, 101, older=7), Filled(19, 5, 100 * WIDTH)
    assert beyond(filled, full, 100 * WIDTH - 1, WIDTH)
    assert not beyond(filled, full, 100 * WIDTH, WIDTH)
    assert not beyond(filled, awaited(100, 101), 100 * WIDTH - 1, WIDTH), "that can be read again"
    assert not beyond(filled, full, None, WIDTH)
