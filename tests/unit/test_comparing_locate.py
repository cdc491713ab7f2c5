"""P31: evidence begins at the younger deployment's first `after`; the other color is read from what covers it."""

from __future__ import annotations

import random

import pytest
from control_log import Log as ControlLog
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import BLUE, FOLDED, GREEN, PAIR, TERMS, Answer, batch, cut, feed

from streambg.comparing import locate as located
from streambg.comparing.comparison import Comparison
from streambg.comparing.locate import Start, first_of, locate
from streambg.comparing.pair import Pair, Terms, pair_of, terms_of
from streambg.comparing.snapshot import evidence_bytes
from streambg.records.batch import Batch, Head
from streambg.records.source import Color


class Memory:
    """A partition in memory; `low` > 0: what was before is gone."""

    def __init__(self, records: list[Batch | None], low: int = 0) -> None:
        self.records = records
        self.low = low
        self.high = len(records)
        self.looks = 0

    def head(self, offset: int) -> Head | None:
        assert self.low <= offset < self.high
        self.looks += 1
        record = self.records[offset]
        return None if record is None else record.head


def begin(start: Start) -> Comparison:
    comparison = Comparison.begin(2, PAIR, TERMS, dict(start.places), start.compared)
    comparison.control(FOLDED)
    return comparison


@pytest.fixture
def small_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short logs reach beyond the slack."""
    monkeypatch.setattr(located, "SLACK_RECORDS", 6)
    monkeypatch.setattr(located, "SLACK_OFFSETS", 40)
    monkeypatch.setattr(located, "SLACK_FIRST", 24)
    monkeypatch.setattr(located, "LOOK_PAST", 8)


def messy(deployment: int, n: int, seed: int) -> list[Batch | None]:
    """A scorer's log: batches of an older deployment, then its own; crashes repeat up to 30 offsets; some garbage."""
    rng = random.Random(seed)
    every = {offset: Answer(rng.random()) for offset in range(n)}
    log: list[Batch | None] = []
    switch = rng.randrange(1, n // 2)
    log += cut(deployment - 2, every, {*rng.sample(range(switch), switch // 4), switch})
    after = switch
    while after < n - 1:
        upto = min(n - 1, after + rng.randrange(1, 15))
        log.append(batch(deployment, after, upto, every))
        after = upto
        if rng.random() < 0.05:
            after = max(switch, after - rng.randrange(1, 30))  # a crash: from the committed position again
        if rng.random() < 0.02:
            log.append(None)
        if rng.random() < 0.03:
            log.append(batch(deployment - 2, 0, min(switch, 9), every))  # a dead process writes its last
    return log


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1))
@pytest.mark.usefixtures("small_slack")
def test_P31_reading_from_the_place_found_gives_what_reading_everything_gives(seed: int, where: float) -> None:
    """Even where the live color's log has repeats, garbage and late batches: the fold's answers are those of P8."""
    n = 400
    blue = messy(BLUE, n, seed)
    first = next(record for record in blue if record is not None and record.deployment == BLUE)
    start = first.after + int(where * (n - 2 - first.after))
    every = {offset: Answer(0.5) for offset in range(n)}
    green: list[Batch | None] = [
        *cut(GREEN - 1, every, {start}),
        *cut(GREEN, every, {n - 1}, first_after=start),
    ]
    found = locate(PAIR, {"blue": Memory(blue), "green": Memory(green)})
    assert isinstance(found, Start)
    assert found.compared == start
    logs: dict[Color, list[Batch | None]] = {"blue": blue, "green": green}
    evidence = feed(begin(found), logs).evidence
    whole = locate(PAIR, {"blue": Memory(blue), "green": Memory(green)})
    assert isinstance(whole, Start)
    everything = begin(whole)
    for color, log in logs.items():
        side = everything.side(color)
        side.next_offset = 0
        side.coverage = type(side.coverage)(side.coverage.deployment)
        for at, record in enumerate(log):
            everything.offer(color, at, 1, record)
    while everything.advance():
        pass
    for both in (evidence, everything.evidence):
        for own in both.figures.colors.values():
            own.dropped.clear()  # reading from the middle sees fewer repeats
    assert evidence.compared == n - 1
    assert evidence.figures.counts["matched"] == n - 1 - start
    assert evidence_bytes(evidence) == evidence_bytes(everything.evidence)


def test_a_long_log_is_searched_not_read() -> None:
    every = {offset: Answer(0.5) for offset in range(200_000)}
    blue: list[Batch | None] = [batch(BLUE, at - 1, at + 9, {at: every[at]}) for at in range(0, 200_000, 10)]
    memory = Memory(blue)
    found = locate(PAIR, {"blue": memory, "green": Memory([batch(GREEN, 150_000, 150_010, {})])})
    assert isinstance(found, Start)
    assert memory.looks < 250
    place = found.places["blue"]
    assert 15_000 - located.SLACK_RECORDS <= place.log_offset <= 15_000
    assert place.coverage.covered == 150_000 == found.compared


def test_nothing_is_located_before_both_have_answered() -> None:
    every = {offset: Answer(0.5) for offset in range(10)}
    blue, none = Memory([*cut(BLUE, every, {9})]), Memory([])
    old = Memory([*cut(GREEN - 1, every, {9})])
    assert locate(PAIR, {"blue": blue, "green": none}) == "green"
    assert locate(PAIR, {"blue": blue, "green": old}) == "green"
    assert locate(PAIR, {"blue": none, "green": Memory([*cut(GREEN, every, {9})])}) == "blue"


def test_an_older_color_that_begins_later_is_read_from_its_first_batch() -> None:
    """A candidate that waited for its seed while live was scored again (P29): silent until it begins (P9)."""
    every = {offset: Answer(0.5) for offset in range(30)}
    blue, green = cut(BLUE, every, {29}, first_after=19), cut(GREEN, every, {29}, first_after=9)
    found = locate(PAIR, {"blue": Memory([*blue]), "green": Memory([*green])})
    assert isinstance(found, Start)
    assert (found.compared, found.places["blue"].coverage.covered) == (9, None)
    counts = feed(begin(found), {"blue": blue, "green": green}).evidence.figures.counts
    assert (counts["matched"], counts["unanswered_blue"], counts["only_green"]) == (10, 10, 0)


def test_a_log_that_lost_its_beginning_begins_where_it_still_reaches() -> None:
    every = {offset: Answer(0.5) for offset in range(100)}
    blue, green = cut(BLUE, every, set(range(9, 100, 10))), cut(GREEN, every, set(range(9, 100, 10)), first_after=9)
    found = locate(PAIR, {"blue": Memory([*blue], low=5), "green": Memory([*green], low=2)})
    assert isinstance(found, Start)
    assert found.compared == 29
    assert found.places["green"].log_offset == 2
    assert found.places["blue"].coverage.covered is None  # 50..: its first batch begins after 49
    counts = feed(begin(found), {"blue": blue, "green": green}).evidence.figures.counts
    assert (counts["matched"], counts["unanswered_blue"]) == (50, 20)


def test_the_first_batch_of_a_deployment_is_found_beside_late_ones_of_the_one_before() -> None:
    every = {offset: Answer(0.5) for offset in range(40)}
    log: list[Batch | None] = [*cut(5, every, set(range(20))), *cut(7, every, {21}, first_after=19)]
    log += [batch(5, 18, 19, every), None, *cut(7, every, {25, 30, 39}, first_after=21)]
    found = first_of(Memory(log), 7)
    assert found is not None
    assert (found[0], found[1].after) == (20, 19)


def test_the_pair_follows_the_control_log() -> None:
    """Promote and rollback leave the pair as it is; retire ends it; an aborted candidate goes on scoring (P3)."""
    log = ControlLog()
    assert pair_of(log.fold.state) is None
    with pytest.raises(ValueError, match="no rules"):
        terms_of(log.fold.state)
    log.deploy("blue", "m:1")
    assert pair_of(log.fold.state) is None
    log.deploy("green", "m:2")
    pair = pair_of(log.fold.state)
    assert pair == Pair(0, 1)
    assert (pair.younger, pair.key(3)) == ("green", b"3/0/1")
    assert terms_of(log.fold.state) == Terms(1, 0, 0.5)
    log.say("promote", candidate=1)
    assert pair_of(log.fold.state) == pair
    log.say("rollback")
    assert pair_of(log.fold.state) == pair
    log.say("abort")
    assert pair_of(log.fold.state) == pair
    log.say("retire", color="green")
    assert pair_of(log.fold.state) is None
    log.deploy("green", "m:3")
    assert pair_of(log.fold.state) == Pair(0, log.fold.state.epoch)


def test_P31_a_record_that_is_no_batch_does_not_hide_the_first_batch_from_the_search() -> None:
    """It was passed as if it were older, and the evidence began at the repeat behind it."""
    every = {offset: Answer(0.5) for offset in range(8)}
    first, repeat, more = batch(BLUE, -1, 6, every), batch(BLUE, -1, 5, every), batch(BLUE, 5, 7, every)
    start = locate(PAIR, {"blue": Memory([first, None, repeat, more]), "green": Memory([batch(GREEN, -1, 7, every)])})
    assert isinstance(start, Start)
    assert start.places["blue"].log_offset == 0
