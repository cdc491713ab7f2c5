"""Which event a label belongs to, and how full the room of waiting rows is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_room import (
    HORIZON,
    LAYOUT,
    WIDTH,
)

from streambg.labelling import cohorts
from streambg.labelling.cohorts import EARLY_MS, Awaited
from streambg.labelling.filling import Filled, Filling, Frontier, beyond, done, frontier
from streambg.labelling.matching import Candidate, Dated, Mark, decode_mark, find, span
from streambg.labelling.rows import Packed, Waiting, place_of

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
