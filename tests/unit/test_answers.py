"""P8, P9, P12, P20, P26: one color's answers in one partition, folded, cut off and taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from predictions import Told, answers, fetched, value

from streambg.publishing.answers import Answers, View
from streambg.records.batch import Batch
from streambg.records.coverage import Coverage

EVERYTHING = 1_000_000
DEPLOYMENTS = (2, 5, 9)  # control offsets of the deploys to this color; 7 was refused
LOG_START = 40  # log offsets are not source offsets: let them differ


def in_force(folded: int) -> int | None:
    return max((deployment for deployment in DEPLOYMENTS if deployment <= folded), default=None)


def told(log: Sequence[Batch], folded: int) -> Told:
    """P12: every batch of the deployment in force before the first that blocks the queue, folded."""
    judged = takewhile(lambda batch: batch.deployment <= folded, log)
    return Told.of(batch for batch in judged if batch.deployment == in_force(folded))


def same(view: View, told: Told, settled: int) -> None:
    beyond = {offset: row for offset, row in told.rows.items() if offset > settled}
    assert view.offsets.tolist() == list(beyond)
    assert list(zip(view.values, view.ok.tolist(), strict=True)) == list(beyond.values())
    assert len(view.keys) == len(view.times) == len(beyond)
    if told.covered is not None:
        assert (view.covered, view.sample_upto) == (told.covered, told.unanswered_upto)
    else:
        assert view.covered < -1, "nothing is a fact yet"


def is_a_beginning_of(part: View, whole: View, settled: int) -> None:
    """A view cut by its limit says nothing beyond its `covered`, and enough to go on."""
    n = len(part.offsets)
    assert part.values == whole.values[:n]
    assert part.offsets.tolist() == [offset for offset in whole.offsets.tolist() if offset <= part.covered]
    assert part.covered == whole.covered or settled < part.covered < whole.covered


Op = tuple[str, int]


@dataclass
class Reader:
    """A publisher's view of one color: reads the log, folds control, settles; may be killed and start over."""

    log: list[Batch]
    folded: int = 0
    settled: int = -1
    read: int = 0
    answers: Answers = field(default_factory=lambda: Answers(LOG_START))

    def __post_init__(self) -> None:
        self.control(self.folded)

    def control(self, folded: int) -> None:
        self.folded = max(self.folded, folded)
        self.answers.control(in_force(self.folded), self.folded)

    def next(self, count: int) -> None:
        for batch in self.log[self.read : self.read + count]:
            self.answers.offer(fetched(LOG_START + self.read, batch, at=float(self.read)))
            self.read += 1

    def settle(self, by: int) -> None:
        self.settled += by
        self.answers.settle(self.settled)

    def restart(self) -> None:
        """P26: only the committed position, its metadata and settled are left."""
        offset, coverage = self.answers.position()
        upto, self.read = self.read, offset - LOG_START
        self.answers = Answers(offset, coverage)
        self.control(self.folded)
        self.next(upto - self.read)

    def told(self) -> Told:
        return told(self.log[: self.read], self.folded)

    def do(self, op: Op) -> None:
        getattr(self, op[0])(op[1])


def ahead_of_another(reader: Reader, rows: int, other_covered: int) -> View:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streambg.publishing.answers.BEYOND", rows)
        return reader.answers.view(reader.settled, EVERYTHING, None, other_covered)


def test_P14_a_view_that_is_cut_says_nothing_of_what_it_leaves_out() -> None:
    reader = Reader([answers(5, -1, 3, range(4)), answers(5, 3, 7, range(4, 8))], folded=5)
    reader.next(2)
    for view in (ahead_of_another(reader, 1, 0), reader.answers.view(-1, 1, None)):
        assert (view.offsets.tolist(), view.covered) == ([0, 1, 2, 3], 3)


@st.composite
def logs(draw: st.DrawFn) -> list[Batch]:
    """What scorers write: mostly one batch after the other; with repeats, holes, zombies, samples, empty batches."""
    log, reached = list[Batch](), dict[int, int]()
    for _ in range(draw(st.integers(0, 14))):
        deployment = draw(st.sampled_from([2, 5, 5, 7, 9]))
        at = reached.get(deployment, draw(st.integers(-1, 6)))
        after = max(-1, at + draw(st.sampled_from([0, 0, 0, 0, -2, -5, 3])))
        upto = after + draw(st.integers(0, 5))
        offsets = [o for o in range(after + 1, upto + 1) if draw(st.integers(0, 4))]
        errors = {o for o in offsets if not draw(st.integers(0, 4))}
        log.append(answers(deployment, after, upto, offsets, errors=errors, sample=not draw(st.integers(0, 4))))
        reached[deployment] = max(at, upto)
    return log


ops = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 4)),
        st.tuples(st.just("control"), st.integers(0, 10)),
        st.tuples(st.just("settle"), st.integers(0, 4)),
    ),
    max_size=25,
)


@given(logs(), ops, st.lists(st.integers(0, 24), max_size=3), st.integers(1, 5), st.integers(-1, 20))
def test_P26_the_fold_after_a_restart_equals_the_fold_before_it(
    log: list[Batch], steps: list[Op], restarts: list[int], limit: int, other_covered: int
) -> None:
    """P8, P9, P12, P26: whenever it is cut, however often: what it tells is the fold of what it has read."""
    whole, cut = Reader(log), Reader(log)
    for number, op in enumerate(steps):
        whole.do(op)
        cut.do(op)
        if number in restarts:
            cut.restart()
        for reader in (whole, cut):
            view = reader.answers.view(reader.settled, EVERYTHING, None)
            same(view, reader.told(), reader.settled)
            is_a_beginning_of(reader.answers.view(reader.settled, limit, None), view, reader.settled)
            part = ahead_of_another(reader, limit, other_covered)
            is_a_beginning_of(part, view, reader.settled)
            assert part.covered == view.covered or part.covered > other_covered
        assert cut.answers.position() == whole.answers.position()
        assert (cut.answers.rows, cut.answers.bytes) == (whole.answers.rows, whole.answers.bytes)


@given(logs(), ops)
def test_P20_what_waits_is_counted_exactly_and_is_nothing_once_all_is_settled(
    log: list[Batch], steps: list[Op]
) -> None:
    reader = Reader(log)
    for op in steps:
        reader.do(op)
        assert (reader.answers.rows == 0) or reader.answers.waiting_batches
        assert reader.answers.bytes >= 40 * reader.answers.rows >= 0
    reader.control(10)
    reader.settle(1_000)
    assert (reader.answers.rows, reader.answers.bytes, reader.answers.waiting_batches) == (0, 0, 0)


def folded_to(folded: int, *batches: Batch) -> Reader:
    reader = Reader(list(batches), folded)
    reader.next(len(batches))
    return reader


def test_P8_a_hole_is_not_accepted_until_the_scorer_closes_it() -> None:
    reader = folded_to(2, answers(2, -1, 4), answers(2, 6, 9), answers(2, 4, 9))
    assert reader.answers.dropped == {"hole": 1}
    assert reader.answers.covered == 9
    assert reader.answers.view(-1, EVERYTHING, None).offsets.tolist() == list(range(10))


def test_P8_of_an_answer_given_twice_the_first_counts() -> None:
    twice = answers(2, 1, 9)
    again = Batch(**{name: getattr(twice, name) for name in Batch.__slots__} | {"values": [b"other"] * len(twice)})
    reader = folded_to(2, answers(2, -1, 4), again)
    expected = [value(2, offset) for offset in range(5)] + [b"other"] * 5
    assert reader.answers.view(-1, EVERYTHING, None).values == expected


def test_P12_a_batch_of_a_deployment_beyond_the_folded_log_blocks_its_queue() -> None:
    reader = folded_to(2, answers(2, -1, 4), answers(5, 4, 8), answers(2, 4, 6))
    assert reader.answers.covered == 4
    assert reader.answers.waiting_batches == 3
    reader.control(4)
    assert reader.answers.covered == 4, "folded, but not to the deploy"
    reader.settle(5)
    assert reader.answers.position() == (LOG_START + 1, Coverage(2, 4, -1)), "never past what is not judged yet"
    reader.control(5)
    assert reader.answers.covered == 8
    assert reader.answers.dropped == {"replaced": 1}


def test_P12_only_a_smaller_deployment_is_replaced_and_one_that_never_stood_is_dropped() -> None:
    reader = folded_to(9, answers(5, -1, 4), answers(7, -1, 4), answers(9, -1, 4))
    assert reader.answers.dropped == {"replaced": 2}
    unknown = folded_to(8, answers(7, -1, 4))
    assert unknown.answers.dropped == {"unknown": 1}


def test_P12_a_redeploy_discards_what_waits_and_its_answers_are_read_from_the_next_batch() -> None:
    reader = folded_to(2, answers(2, -1, 4), answers(2, 4, 8))
    reader.settle(3)
    assert reader.answers.position() == (LOG_START, Coverage(2))
    reader.control(5)
    assert reader.answers.position() == (LOG_START + 2, Coverage(5))
    assert (reader.answers.rows, reader.answers.bytes) == (0, 0)
    assert reader.answers.covered is None


def test_P9_what_lies_before_the_first_answer_is_unanswered_even_after_a_restart() -> None:
    reader = folded_to(2, answers(2, 7, 7), answers(2, 7, 9))
    for _ in range(2):
        view = reader.answers.view(-1, EVERYTHING, None)
        assert (view.covered, view.sample_upto) == (9, 7)
        reader.restart()


def test_P18_the_deadline_runs_from_the_fetch_of_the_batch_that_holds_the_offset() -> None:
    reader = folded_to(2, answers(2, -1, 4), answers(2, 4, 8, [6]))
    assert [reader.answers.fetched_at(offset) for offset in (0, 4, 5, 8, 9)] == [0.0, 0.0, 1.0, 1.0, None]


@pytest.mark.parametrize(("present", "expected"), [(["x", None, "y"], ["x", None, "y"]), (None, [None] * 3)])
def test_P13_a_field_that_no_batch_carries_is_null_for_each_row(
    present: list[str] | None, expected: list[object]
) -> None:
    batch = answers(2, -1, 2, column=list(present) if present else None)
    reader = folded_to(2, batch)
    assert reader.answers.view(-1, EVERYTHING, "f").bucket_column == expected
    assert reader.answers.view(0, EVERYTHING, "f").bucket_column == expected[1:]


def test_P23_bytes_that_are_no_batch_are_passed() -> None:
    reader = folded_to(2, answers(2, -1, 4))
    reader.settle(5)
    reader.answers.skip(LOG_START + 1)
    assert reader.answers.position() == (LOG_START + 2, Coverage(2, 4, -1))


def test_headers_to_forward_are_per_row_and_empty_where_a_batch_has_none() -> None:
    trace = [[("traceparent", b"t%d" % row)] for row in range(3)]
    reader = folded_to(2, answers(2, -1, 2, forwarded=list(trace)), answers(2, 2, 3))
    assert reader.answers.view(0, EVERYTHING, None).forwarded == [*trace[1:], []]
    assert folded_to(2, answers(2, -1, 2)).answers.view(-1, EVERYTHING, None).forwarded is None
