"""What a label is, when an event's label is awaited, and the row that waits for it."""

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
    answers,
    packed_of,
)
from pairs import PAIR, TERMS, Answer, batch, begun, cut, feed, finish, restarted

from streambg.comparing.snapshot import decode as decode_snapshot
from streambg.comparing.snapshot import encode as encode_snapshot
from streambg.deciding.coverage import Coverage
from streambg.labelling import cohorts
from streambg.labelling.cohorts import EARLY_MS, KEPT, Awaited, Labelled, width_of
from streambg.labelling.rows import MOST_ROWS, in_sample, layout_of, place_of, seen_of, time_of
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
        (b"[" * 2_000, "no_json"),
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
