"""P14-P18: what may be settled, by whose answer; against the rules written out offset by offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streambg.publishing.answers import View
from streambg.publishing.settle import Route, Waiting, settle
from streambg.publishing.table import Act, Side
from streambg.records.batch import Carried
from streambg.records.bucket import bucket, bucket_keys

TOPIC, PARTITION, SALT = "in", 3, 77
Late = frozenset[tuple[Side, str]]
NOBODY_LATE: Late = frozenset()
# as `Partition.fire` joins them: an answer's deadline is also an error row's
LATE_OTHER: Late = frozenset({("other", "answer"), ("other", "error")})
LATE_LIVE: Late = frozenset({("live", "answer")})
LATE_LIVE_ERROR: Late = frozenset({("live", "error")})


@dataclass(frozen=True)
class Answered:
    """One side: offset -> may it be published? `covered` and `sample_upto` as P8 and P9 say them."""

    rows: Mapping[int, bool]
    covered: int
    sample_upto: int = -1

    def view(self, settled: int, events: Events) -> View:
        offsets = sorted(offset for offset in self.rows if offset > settled)
        return View(
            np.array(offsets, np.int64),
            np.array([self.rows[offset] for offset in offsets], np.bool_),
            self.covered,
            self.sample_upto,
            [events.key(offset) for offset in offsets],
            [b"%d" % offset for offset in offsets],
            np.array(offsets, np.int64),
            [events.field(offset) for offset in offsets] if events.fields is not None else None,
            None,
        )

    def says(self, offset: int) -> str:
        """P9, of one offset."""
        if offset in self.rows:
            return "ok" if self.rows[offset] else "error"
        if offset > self.covered:
            return "unknown"
        return "unanswered" if offset <= self.sample_upto else "no row"


@dataclass(frozen=True)
class Events:
    """What the events are bucketed by: keys, or fields where the pipeline says so (P13)."""

    keys: Sequence[bytes | None] = (b"a", None, b"", b"b", b"c")
    fields: Sequence[Carried] | None = None

    def key(self, offset: int) -> bytes | None:
        return self.keys[offset % len(self.keys)]

    def field(self, offset: int) -> Carried:
        return self.fields[offset % len(self.fields)] if self.fields else None

    def bucket(self, offset: int) -> int:
        column = [self.field(offset)] if self.fields is not None else None
        return bucket(SALT, bucket_keys([self.key(offset)], column, TOPIC, PARTITION, [offset])[0])


@dataclass(frozen=True)
class Case:
    """Everything a decision depends on; `other` is None where its answers play no part."""

    live: Answered
    other: Answered | None
    settled: int
    weight: int = 0
    falls_back: bool = False
    late: Late = NOBODY_LATE
    events: Events = Events()


Outcome = tuple[int, str, str]  # (offset, LIVE | OTHER | DEAD, why)


def by_the_rules(case: Case) -> tuple[int, list[Outcome], Waiting]:
    """(settled, outcomes, what the next offset waits for): P14-P18, one offset at a time."""
    outcomes: list[Outcome] = []
    offset = case.settled + 1
    while True:
        verdict = _judge(case, offset)
        if isinstance(verdict, Waiting):
            return offset - 1, outcomes, verdict
        if verdict:
            outcomes.append((offset, *verdict))
        offset += 1


def _judge(case: Case, offset: int) -> tuple[str, str] | tuple[()] | Waiting:
    """One offset: (whose, why), or () where it passes without an outcome, or what it waits for."""
    live = case.live.says(offset)
    other = case.other.says(offset) if case.other is not None else "none"
    if live == "no row":
        return ()  # P14: a non-sample batch of live covers it without a row
    if live not in ("ok", "error") and other not in ("ok", "error"):
        # nobody has a row. Where live never answered (P9), a color that answers every event may say it is no event
        return () if (live, other) == ("unanswered", "no row") else Waiting(offset, "live", "answer", None)
    if case.weight and case.events.bucket(offset) < case.weight:
        return _candidate_chosen(case, offset, live, other)
    return _live_chosen(case, offset, live, other)


def _candidate_chosen(case: Case, offset: int, live: str, other: str) -> tuple[str, str] | Waiting:
    stands_in = "LIVE" if live == "ok" else "DEAD"  # P16: always allowed; P17: nobody is left
    match other:
        case "ok":
            return "OTHER", "route"
        case "error" if live == "unknown" and not any(side == "live" for side, _ in case.late):
            return Waiting(offset, "live", "error", "other")
        case "error":
            return stands_in, "error"
        case "unknown" if ("other", "answer") not in case.late:
            return Waiting(offset, "other", "answer", "live")
        case "unknown":
            return stands_in, "late"
    return stands_in, "absent"


def _live_chosen(case: Case, offset: int, live: str, other: str) -> tuple[str, str] | Waiting:
    allowed = case.falls_back and case.other is not None  # P16
    stands_in = "OTHER" if allowed and other == "ok" else "DEAD"
    match live:
        case "ok":
            return "LIVE", "route"
        case "error" if allowed and other == "unknown" and not any(side == "other" for side, _ in case.late):
            return Waiting(offset, "other", "error", "live")
        case "error":
            return stands_in, "error"
        case "unanswered":
            return stands_in, "absent"
    if allowed and ("live", "answer") in case.late:
        return stands_in, "late"
    return Waiting(offset, "live", "answer", "other")


def by_the_code(case: Case) -> tuple[int, list[Outcome], Waiting]:
    """`settle` until nothing moves, as the publisher calls it; each run must move as far as it says."""
    settled, outcomes = case.settled, list[Outcome]()
    route = Route(TOPIC, PARTITION, case.weight, SALT, case.falls_back, case.late)
    while True:
        other = case.other.view(settled, case.events) if case.other is not None else None
        run = settle(case.live.view(settled, case.events), other, settled, route)
        assert run.settled >= settled
        if run.waiting is None:
            assert run.plain
            assert run.settled > settled
        else:
            assert run.waiting.offset == run.settled + 1
        rows = zip(run.offsets.tolist(), run.acts.tolist(), run.whys, strict=True)
        new = [(offset, Act(act).name, why) for offset, act, why in rows if act != Act.SKIP]
        assert all(settled < offset <= run.settled for offset, _, _ in new)
        assert run.outcomes == len(new)
        outcomes += new
        if run.settled == settled:
            assert run.waiting is not None
            return settled, outcomes, run.waiting
        settled = run.settled


def check(case: Case) -> tuple[int, list[Outcome], Waiting]:
    expected = by_the_rules(case)
    assert by_the_code(case) == expected
    return expected


SPAN = 12  # offsets beyond settled: every pair of neighbours, and small enough to be shrunk


@st.composite
def cases(draw: st.DrawFn) -> Case:
    settled = draw(st.sampled_from([-1, 0, 5, 10**12, 2**62]))

    def side(like: Mapping[int, bool] | None = None) -> Answered:
        covered = draw(st.integers(max(-2, settled - 3), settled + SPAN))
        offsets = [offset for offset in range(settled + 1, covered + 1) if like is None or offset in like]
        # mostly full, as scorers write them; sometimes sparse: compacted input, samples, foreign deployments
        row = st.sampled_from([True] * draw(st.sampled_from([1, 6])) + [False, None])
        rows = {offset: ok for offset in offsets if (ok := draw(row)) is not None}
        return Answered(rows, covered, draw(st.one_of(st.just(-1), st.integers(max(-1, settled - 1), covered + 2))))

    alone = draw(st.integers(0, 4)) == 0
    weight = 0 if alone else draw(st.sampled_from([0, 1, 3_000, 7_000, 10_000]))
    live = side()
    return Case(
        live,
        None if alone else side(draw(st.sampled_from([None, live.rows]))),
        settled,
        weight,
        draw(st.booleans()),
        draw(st.sampled_from([NOBODY_LATE, LATE_OTHER, LATE_LIVE, LATE_LIVE_ERROR, LATE_LIVE | LATE_OTHER])),
        draw(st.sampled_from([Events(), Events(fields=("x", None, 7, True, "y"))])),
    )


# a row of the candidate beyond what live covers, not chosen: the offsets before it must not be passed
@example(Case(Answered({}, 100), Answered({105: True}, 105, 105), 100, 1, falls_back=False))
# both have the same row, and live scored a sample: what lies before it may be events
@example(Case(Answered({8: True}, 9, 9), Answered({8: True}, 9, 9), 5, 1))
@settings(max_examples=300, deadline=None)
@given(cases())
def test_P14_to_P18_equal_the_rules_written_out(case: Case) -> None:
    check(case)


def full(first: int, last: int, *, errors: Sequence[int] = (), sample_upto: int = -1) -> Answered:
    return Answered({o: o not in errors for o in range(first, last + 1)}, last, sample_upto)


def test_P14_an_offset_that_live_covers_without_a_row_passes_without_an_outcome() -> None:
    assert check(Case(Answered({4: True}, 6), None, 2))[:2] == (6, [(4, "LIVE", "route")])
    assert check(Case(Answered({}, 6), full(3, 6), 2, 10_000))[:2] == (6, []), "whatever the candidate says"


def test_P14_live_that_begins_above_settled_is_waited_for() -> None:
    case = Case(full(11, 20, sample_upto=10), None, 4)
    assert check(case) == (4, [], Waiting(5, "live", "answer", None))


def test_P14_the_candidates_rows_never_lead_past_an_offset_nobody_accounts_for() -> None:
    """Settled 4, live silent, the candidate (a sample until now) has a row at 7: 5 and 6 may be events."""
    for weight in (1, 10_000):
        assert check(Case(Answered({}, 4), Answered({7: True}, 9, 9), 4, weight))[0] == 4
    assert check(Case(Answered({}, 4), Answered({5: True, 7: True}, 9, 9), 4, 10_000))[0] == 5


def test_P14_a_candidate_ahead_of_live_is_published_where_it_is_chosen() -> None:
    case = Case(full(0, 4), full(0, 9), 4, 10_000)
    assert check(case)[1] == [(o, "OTHER", "route") for o in range(5, 10)]


def test_P15_at_weight_0_the_candidate_is_neither_waited_for_nor_published() -> None:
    for other in (None, Answered({}, 0), full(0, 9)):
        assert check(Case(full(0, 9), other, 4))[1] == [(o, "LIVE", "route") for o in range(5, 10)]


def test_P15_the_reason_is_absent_error_or_late() -> None:
    live = full(0, 5)
    assert check(Case(live, Answered({}, 5), 4, 10_000))[1] == [(5, "LIVE", "absent")]
    assert check(Case(live, full(0, 5, errors=[5]), 4, 10_000))[1] == [(5, "LIVE", "error")]
    assert check(Case(live, full(0, 4), 4, 10_000, late=LATE_OTHER))[1] == [(5, "LIVE", "late")]
    assert check(Case(live, full(0, 4), 4, 10_000))[2] == Waiting(5, "other", "answer", "live")


def test_P16_live_falls_back_only_where_it_may() -> None:
    case = Case(full(0, 5, errors=[5]), full(0, 5), 4)
    assert check(case)[1] == [(5, "DEAD", "error")]
    assert check(replace(case, falls_back=True))[1] == [(5, "OTHER", "error")]


def test_P16_aborted_is_never_a_fallback() -> None:
    """Its answers play no part: they come in as None."""
    case = Case(full(0, 5, errors=[5]), None, 4, falls_back=True, late=LATE_LIVE)
    assert check(case)[1] == [(5, "DEAD", "error")]
    assert check(replace(case, live=full(0, 4)))[2] == Waiting(5, "live", "answer", None)


def test_P16_what_live_never_answered_is_answered_by_the_warm_color() -> None:
    """A promote of a candidate that began above settled: the old live color has those answers."""
    case = Case(full(9, 12, sample_upto=8), full(0, 10, errors=[6]), 4, falls_back=True)
    outcomes = [(o, "DEAD" if o == 6 else "OTHER", "absent") for o in range(5, 9)]
    assert check(case)[1] == outcomes + [(o, "LIVE", "route") for o in range(9, 13)]


@pytest.mark.parametrize("weight", [0, 10_000])
def test_P17_an_error_row_waits_for_the_other_color_and_at_most_the_deadline(weight: int) -> None:
    errors, behind = full(0, 5, errors=[5]), full(0, 4)
    live, other = (behind, errors) if weight else (errors, behind)
    side: Side = "live" if weight else "other"
    case = Case(live, other, 4, weight, falls_back=True)
    assert check(case)[2] == Waiting(5, side, "error", "other" if weight else "live")
    assert check(replace(case, late=frozenset({(side, "error")})))[1] == [(5, "DEAD", "error")]
    assert check(replace(case, live=errors, other=errors))[1] == [(5, "DEAD", "error")], "both failed"


def test_P18_a_late_color_is_not_waited_for_again() -> None:
    case = Case(full(0, 9), full(0, 4), 4, 10_000, late=LATE_OTHER)
    assert check(case)[1] == [(o, "LIVE", "late") for o in range(5, 10)]


def test_P18_live_is_late_only_where_another_may_answer() -> None:
    case = Case(full(0, 4), full(0, 9, errors=[7]), 4, late=LATE_LIVE)
    assert check(case)[2] == Waiting(5, "live", "answer", "other")
    outcomes = check(replace(case, falls_back=True))[1]
    assert outcomes == [(o, "DEAD" if o == 7 else "OTHER", "late") for o in range(5, 10)]
