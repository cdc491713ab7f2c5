"""Finding an event's batches and its outcome by search gives what reading everything gives."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streambg.comparing import locate as located
from streambg.looking.answers import Reach, Verdict, search
from streambg.looking.finding import Mark, first_reaching
from streambg.records.batch import Head
from streambg.records.coverage import Coverage, Take

OLD, NEW = 3, 7


class Heads:
    """A predictions partition in memory; what stands below `low` is gone."""

    def __init__(self, records: list[Head | None], low: int = 0) -> None:
        self.records, self.low, self.high = records, low, len(records)
        self.looked: set[int] = set()

    def head(self, offset: int) -> Head | None:
        assert self.low <= offset < self.high
        self.looked.add(offset)
        return self.records[offset]


@pytest.fixture
def small_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short logs reach beyond the slack."""
    monkeypatch.setattr(located, "SLACK_RECORDS", 24)
    monkeypatch.setattr(located, "SLACK_OFFSETS", 80)
    monkeypatch.setattr(located, "SLACK_FIRST", 24)
    monkeypatch.setattr(located, "LOOK_PAST", 8)


def crashing(seed: int, n: int) -> list[Head | None]:
    """A deployment, then another from `switch` on; a crash repeats up to 30 offsets, never below what was committed
    before; garbage stands between.
    """
    rng = random.Random(seed)
    switch, after = rng.randrange(10, n // 2), -1
    log: list[Head | None] = []
    while after < switch + 5:
        log.append(Head(OLD, after, after := after + rng.randrange(1, 15)))
    after = committed = switch
    while after < n:
        log.append(Head(NEW, after, after := min(n, after + rng.randrange(1, 15))))
        if rng.random() < 0.08:
            after = committed = max(committed, after - rng.randrange(1, 30))
        if rng.random() < 0.05:
            log.append(None)
    return log


def told(log: list[Head | None], deployment: int, source: int) -> int | None:
    """P8 from the beginning: the log offset of the batch whose row counts."""
    fold = Coverage(deployment)
    for offset, head in enumerate(log):
        if head is None or head.deployment != deployment:
            continue
        before = head.after if fold.covered is None else fold.covered
        take, fold = fold.take(head.after, head.upto, head.sample)
        if take is Take.ACCEPTED and before < source <= head.upto:
            return offset
    return None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 400))
@pytest.mark.usefixtures("small_slack")
def test_P8_the_batch_found_is_the_folds(seed: int, source: int) -> None:
    log = crashing(seed, 400)
    found = search(Heads(log), NEW, source)
    expected = told(log, NEW, source)
    counted = [held.log_offset for held in found.held if held.verdict is Verdict.ACCEPTED]
    assert counted == ([] if expected is None else [expected])
    assert (found.reach is Reach.HELD) == (expected is not None)
    assert all(held.head.after < source <= held.head.upto for held in found.held)
    if expected is None:
        assert found.reach is Reach.BEFORE


def test_a_repeat_is_a_repeat_and_what_is_beyond_is_not_yet() -> None:
    log: list[Head | None] = [Head(NEW, -1, 4), Head(NEW, 4, 9), Head(NEW, 2, 9), Head(NEW, 9, 12)]
    held = search(Heads(log), NEW, 7).held
    assert [(each.log_offset, each.verdict) for each in held] == [(1, Verdict.ACCEPTED), (2, Verdict.REPEAT)]
    beyond = search(Heads(log), NEW, 13)
    assert (beyond.reach, beyond.held, beyond.upto) == (Reach.NOT_YET, (), 12)


def test_P8_a_hole_is_not_accepted_and_what_closes_it_is() -> None:
    log: list[Head | None] = [Head(NEW, -1, 4), Head(NEW, 9, 12), Head(NEW, 4, 12)]
    held = search(Heads(log), NEW, 11).held
    assert [(each.log_offset, each.verdict) for each in held] == [(1, Verdict.HOLE), (2, Verdict.ACCEPTED)]
    assert search(Heads(log[:2]), NEW, 11).reach is Reach.NOT_YET


@pytest.mark.usefixtures("small_slack")
def test_P8_a_hole_far_from_the_beginning_is_seen_as_one() -> None:
    log: list[Head | None] = [Head(NEW, at, at + 5) for at in range(-1, 400, 5)]
    log[-1] = Head(NEW, 404, 409)
    found = search(Heads(log), NEW, 406)
    assert [(each.log_offset, each.verdict) for each in found.held] == [(len(log) - 1, Verdict.HOLE)]


def test_P9_answers_that_begin_above_and_answers_that_are_gone_are_told_apart() -> None:
    log: list[Head | None] = [Head(OLD, -1, 20), Head(NEW, 15, 30)]
    assert search(Heads(log), NEW, 15).reach is Reach.BEFORE
    assert search(Heads(log), NEW, 16).reach is Reach.HELD
    assert search(Heads(log, low=1), NEW, 15).reach is Reach.GONE, "the batch before may have been its own"
    assert search(Heads(log, low=2), NEW, 20).reach is Reach.GONE
    assert search(Heads([]), NEW, 20).reach is Reach.NOT_YET


def test_a_long_log_is_not_read_through() -> None:
    log = Heads([Head(NEW, at * 10 - 1, at * 10 + 9) for at in range(100_000)])
    assert search(log, NEW, 512_345).reach is Reach.HELD
    # the slack on one side, the look for repeats on the other, and the searches' own steps
    assert len(log.looked) < located.SLACK_RECORDS + 600


# -- outcomes ----------------------------------------------------------------------------------------------------------


@dataclass
class Marks:
    """An outcome partition in memory: log offset -> source offset, with gaps where markers stand."""

    sources: dict[int, int]
    low: int = 0
    looks: int = 0

    @property
    def high(self) -> int:
        return max(self.sources, default=-1) + 2  # the last transaction's marker

    def mark(self, offset: int) -> Mark | None:
        self.looks += 1
        at = min((each for each in self.sources if each >= max(offset, self.low)), default=None)
        return None if at is None else Mark(at, self.sources[at])


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), max_size=60), st.integers(0, 130))
def test_an_outcome_is_found_where_it_stands(steps: list[tuple[int, int]], wanted: int) -> None:
    log, source, sources = 0, -1, {}
    for records, offsets in steps:
        log, source = log + records, source + offsets
        sources[log] = source
    found = first_reaching(Marks(sources), wanted)
    assert (found.source if found else None) == min((s for s in sources.values() if s >= wanted), default=None)


def test_outcomes_of_an_earlier_input_topic_are_below_everything() -> None:
    log = Marks({0: -1, 1: -1, 3: 0, 4: 2})
    assert first_reaching(log, 0) == Mark(3, 0)
    assert first_reaching(log, 1) == Mark(4, 2)
    assert first_reaching(log, 3) is None


def test_a_search_costs_the_logarithm() -> None:
    log = Marks({at: at for at in range(4_000)})
    assert first_reaching(log, 2_717) == Mark(2_717, 2_717)
    assert log.looks <= 13
