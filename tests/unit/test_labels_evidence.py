"""What labels have taught, as a fold of their topic."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_room import (
    LABEL_GATE,
    LABEL_TERMS,
    LAYOUT,
    Room,
    advance,
    answers,
    label_records,
    rows_of,
)
from pairs import PAIR

from streambg.deciding import grid, tallies
from streambg.errors import UpgradeFirst
from streambg.labelling.cohorts import EARLY_MS
from streambg.labelling.evidence import BadLabelEvidence, LabelEvidence, decode, encode
from streambg.labelling.filling import Frontier
from streambg.labelling.stream import AT_ONCE, MOST_WAITING, Fetched, Stream
from streambg.records.label import BAD, Label, parse

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
    step = stream.step(reads, room.look(stream, reads), Frontier(EARLY_MS + 2_000, 0))
    assert step.reads == [], "nor is one looked for by an older view of the room than the one it is found in"
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
