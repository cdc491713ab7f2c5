"""Evidence is a function of the two logs alone: P30, P31, P32; and what it counts (P9)."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import BLUE, FOLDED, GREEN, PAIR, START, TERMS, Answer, batch, begun, cut, feed, finish, restarted
from river import drift

from streambg.comparing.comparison import Comparison
from streambg.comparing.drift import Detector
from streambg.comparing.evidence import COUNTS, Evidence, merged
from streambg.comparing.pair import Terms
from streambg.comparing.side import Place
from streambg.comparing.snapshot import evidence_bytes
from streambg.comparing.worst import KEPT
from streambg.records.batch import Batch
from streambg.records.coverage import Coverage

LAST = 60  # source offsets 0..60

scores = st.one_of(
    st.none(), st.floats(0, 1, width=16), st.sampled_from([0.0, -0.0, 0.5, math.nan, math.inf, -3e9, 1e300])
)
answers = st.dictionaries(
    st.integers(0, LAST), st.builds(Answer, scores, st.sampled_from([b"a", b"b", b""])), max_size=LAST
)
borders = st.sets(st.integers(0, LAST), max_size=12).map(lambda found: found | {LAST})


@st.composite
def logs(
    draw: st.DrawFn, blue: dict[int, Answer], green: dict[int, Answer], sample_upto: int
) -> dict[str, list[Batch]]:
    """Both colors' answers cut in some way; a crashed scorer repeats a stretch, cut in another way."""
    made = {}
    for color, deployment, rows, sampled in (("blue", BLUE, blue, START), ("green", GREEN, green, sample_upto)):
        log = cut(deployment, rows, draw(borders), sample_upto=sampled)
        if draw(st.booleans()) and len(log) > 1:
            at = draw(st.integers(1, len(log) - 1))
            back = draw(st.integers(0, at))
            again = log[back].after if back < len(log) else log[-1].after
            log = [*log[:at], *cut(deployment, rows, draw(borders), again, sampled)]
        made[color] = log
    return made


@settings(max_examples=150, deadline=None)
@given(st.data(), answers, answers, st.integers(START, LAST), st.integers(0, 2**32))
def test_P32_evidence_does_not_depend_on_batch_borders_interleaving_or_restarts(
    data: st.DataObject, blue: dict[int, Answer], green: dict[int, Answer], sample_upto: int, seed: int
) -> None:
    one = {
        "blue": cut(BLUE, blue, {LAST}),
        "green": cut(GREEN, green, {LAST}, sample_upto=sample_upto),
    }
    reference = feed(begun(), one).evidence  # type: ignore[arg-type]  # literals of the dict above
    other = data.draw(logs(blue, green, sample_upto))
    evidence = feed(begun(), other, seed, restarts=0.2).evidence  # type: ignore[arg-type]  # as above
    for color in ("blue", "green"):
        # how often a scorer repeated itself is a fact of the log, not of its borders
        evidence.figures.colors[color].dropped.clear()
    assert evidence.compared == LAST
    assert evidence_bytes(evidence) == evidence_bytes(reference)


@settings(max_examples=100, deadline=None)
@given(st.data(), answers, answers, st.integers(0, 2**32))
def test_P30_the_whole_snapshot_is_equal_after_any_restarts(
    data: st.DataObject, blue: dict[int, Answer], green: dict[int, Answer], seed: int
) -> None:
    """Read positions, fold states and counts of dropped batches too."""
    both = data.draw(logs(blue, green, START))
    straight = feed(begun(), both)  # type: ignore[arg-type]  # literals of the dict
    broken = feed(begun(), both, seed, restarts=0.4)  # type: ignore[arg-type]  # as above
    assert broken.snapshot().places == straight.snapshot().places
    assert evidence_bytes(broken.evidence) == evidence_bytes(straight.evidence)


def drifting(n: int, at: int, seed: int) -> tuple[dict[int, Answer], dict[int, Answer]]:
    """Scores whose mean jumps by 0.3 at `at`, in green only; from there on the decisions differ more often."""
    rng = random.Random(seed)
    blue = {offset: Answer(rng.random() * 0.6) for offset in range(n)}
    green = {
        offset: Answer(min(1.0, row.score + rng.random() * 0.02 + (0.3 if offset >= at else 0)))
        for offset, row in blue.items()
        if row.score is not None
    }
    return blue, green


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_P32_adwin_alarms_are_bit_equal_after_crashes(seed: int) -> None:
    n = 4_000
    blue, green = drifting(n, 2_500, 7)
    one = {"blue": cut(BLUE, blue, {n - 1}), "green": cut(GREEN, green, {n - 1})}
    reference = feed(begun(), one).evidence  # type: ignore[arg-type]  # literals of the dict
    rng = random.Random(seed)
    cuts = {
        "blue": cut(BLUE, blue, {*rng.sample(range(n), 40), n - 1}),
        "green": cut(GREEN, green, {*rng.sample(range(n), 400), n - 1}),
    }
    evidence = feed(begun(), cuts, seed, restarts=0.1).evidence  # type: ignore[arg-type]  # as above
    assert evidence_bytes(evidence) == evidence_bytes(reference)
    alarms = {alarm.stream: alarm for alarm in evidence.drift.alarms if alarm.measure == "mean"}
    assert {"green score", "disagreement"} <= alarms.keys()
    assert "blue score" not in alarms
    alarm = alarms["green score"]
    assert 2_500 <= alarm.at < 2_800
    assert 2_300 <= alarm.since <= 2_520, "the change is placed where it began"
    assert alarm.before == pytest.approx(0.31, abs=0.03)
    assert alarm.after > alarm.before + 0.1, "ADWIN cuts at its buckets: some events of before are in the mean"


def test_the_detector_is_rivers_adwin_as_it_comes() -> None:
    values = np.concatenate((np.zeros(1_000), np.ones(200)))
    ours, theirs = Detector(), drift.ADWIN()._helper  # type: ignore[no-untyped-call] # river is not typed
    assert ours.state().block == bytes(theirs.__getstate__())
    first = next(at for at, value in enumerate(values.tolist()) if theirs.update(value))
    assert next(at for at, *_ in ours.feed(values)) == first


def test_P9_silence_is_counted_by_what_it_says() -> None:
    every = {offset: Answer(0.5) for offset in range(10)}
    some = {offset: Answer(0.5) for offset in (1, 5, 8)}
    # green begins after offset 1, samples up to 5, then answers everything it wants to answer
    green = cut(GREEN, some, {9}, first_after=1, sample_upto=5)
    comparison = feed(begun(), {"blue": cut(BLUE, every, {9}), "green": green})
    counts = comparison.evidence.figures.counts
    assert counts["matched"] == 2  # 5 and 8
    assert counts["unanswered_green"] == 2 + 3  # 0, 1 before it began; 2, 3, 4 in the sample
    assert counts["only_blue"] == 3  # 6, 7, 9: covered by a batch that is no sample
    assert (counts["only_green"], counts["unanswered_blue"]) == (0, 0)
    assert counts["rows_blue"] == 10 == counts["matched"] + counts["unanswered_green"] + counts["only_blue"]


def test_rows_of_the_other_color_alone() -> None:
    comparison = feed(
        begun(),
        {"blue": cut(BLUE, {3: Answer(0.1)}, {9}), "green": cut(GREEN, {3: Answer(0.1), 4: Answer(0.2)}, {9})},
    )
    counts = comparison.evidence.figures.counts
    assert (counts["matched"], counts["only_green"], counts["only_blue"]) == (1, 1, 0)


def test_errors_flips_and_equalities() -> None:
    blue = {0: Answer(0.4, b"x"), 1: Answer(0.4), 2: Answer(0.9), 3: Answer(None), 4: Answer(None), 5: Answer(0.5)}
    green = {0: Answer(0.4, b"y"), 1: Answer(0.6), 2: Answer(0.1), 3: Answer(0.5), 4: Answer(None), 5: Answer(math.nan)}
    counts = feed(begun(), {"blue": cut(BLUE, blue, {5}), "green": cut(GREEN, green, {5})}).evidence.figures.counts
    assert {name: counts[name] for name in COUNTS if counts[name]} == {
        "matched": 6,
        "both_ok": 4,
        "error_blue": 1,
        "error_both": 1,
        "not_comparable": 1,
        "compared": 3,
        "agree": 1,
        "flip_to_green": 1,
        "flip_to_blue": 1,
        "scores_equal": 1,
        "values_equal": 3,
        "rows_blue": 6,
        "rows_green": 6,
        "errors_blue": 2,
        "errors_green": 1,
    }


def test_a_batch_with_other_outputs_is_not_comparable() -> None:
    blue = cut(BLUE, {0: Answer(0.4)}, {0})
    comparison = feed(begun(terms=Terms(2, 0, 0.5)), {"blue": blue, "green": cut(GREEN, {0: Answer(0.4)}, {0})})
    counts = comparison.evidence.figures.counts
    assert (counts["matched"], counts["not_comparable"], counts["compared"]) == (1, 1, 0)


def test_without_a_decision_agreement_is_equality() -> None:
    blue = {0: Answer(0.4), 1: Answer(0.4)}
    green = {0: Answer(0.4), 1: Answer(0.40001)}
    comparison = feed(begun(terms=Terms(1)), {"blue": cut(BLUE, blue, {1}), "green": cut(GREEN, green, {1})})
    counts = comparison.evidence.figures.counts
    assert (counts["compared"], counts["agree"], counts["flip_to_green"]) == (2, 1, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=80), st.integers(0, 2**32))
def test_the_worst_20_are_those_of_a_sort(pairs: list[tuple[float, float]], seed: int) -> None:
    """Largest rounded difference first, the earlier event among equals."""
    blue = {offset: Answer(left) for offset, (left, _) in enumerate(pairs)}
    green = {offset: Answer(right) for offset, (_, right) in enumerate(pairs)}
    last = max(len(pairs) - 1, 0)
    rng = random.Random(seed)
    cuts = {*rng.sample(range(last + 1), min(5, last + 1)), last}
    both = {"blue": cut(BLUE, blue, cuts), "green": cut(GREEN, green, {last})}
    worst = feed(begun(), both, seed).evidence.figures.worst  # type: ignore[arg-type]  # literals of the dict
    steps = {offset: abs(int(np.rint((right - left) * 2**20))) for offset, (left, right) in enumerate(pairs)}
    expected = sorted((offset for offset in steps if steps[offset]), key=lambda offset: (-steps[offset], offset))
    assert [example.offset for example in worst] == expected[:KEPT]
    for example in worst:
        assert (example.blue, example.green) == pairs[example.offset]
        assert example.key == f"k{example.offset % 5}".encode()
        assert example.carry == {"event_id": f"e{example.offset}"}
        assert example.flip == ((example.blue >= 0.5) != (example.green >= 0.5))


def test_P32_partitions_merge_in_ascending_order_whatever_order_they_are_given_in() -> None:
    parts = []
    for partition in (5, 0, 3):
        rng = random.Random(partition)
        blue = {offset: Answer(rng.random()) for offset in range(50)}
        green = {offset: Answer(rng.random()) for offset in range(50)}
        made = begun(partition=partition)
        parts.append(feed(made, {"blue": cut(BLUE, blue, {49}), "green": cut(GREEN, green, {49})}).evidence)
    total = merged(parts)
    backwards = merged(parts[::-1])
    assert (total.counts, total.difference, total.worst) == (backwards.counts, backwards.difference, backwards.worst)
    assert total.counts["matched"] == 150
    assert total.difference.n == 150
    assert total.difference.total == sum(part.figures.difference.total for part in parts)
    assert [example.rank for example in total.worst] == sorted(example.rank for example in total.worst)
    assert len(total.worst) == KEPT
    with pytest.raises(ValueError, match="different pairs"):
        merged([parts[0], Evidence(1, type(PAIR)(1, 2), 0)])


def test_P31_rows_up_to_the_start_are_no_evidence() -> None:
    every = {offset: Answer(0.5) for offset in range(20)}
    comparison = begun(start=9)
    feed(comparison, {"blue": cut(BLUE, every, {4, 12, 19}), "green": cut(GREEN, every, {19}, first_after=9)})
    counts = comparison.evidence.figures.counts
    assert (comparison.evidence.start, comparison.evidence.compared) == (9, 19)
    assert (counts["matched"], counts["rows_blue"], counts["unanswered_green"]) == (10, 10, 0)


def test_P12_a_batch_beyond_the_folded_log_waits_and_a_replaced_one_is_dropped() -> None:
    every = {offset: Answer(0.5) for offset in range(20)}
    comparison = begun()
    later = FOLDED + 5
    green = [batch(GREEN, START, 9, every), batch(later, START, 9, every), batch(GREEN, 9, 19, every)]
    blue = [batch(BLUE, START, 9, every), batch(BLUE - 1, START, 9, every), batch(BLUE, 9, 19, every)]
    feed(comparison, {"blue": blue, "green": green})
    assert comparison.evidence.compared == 9
    assert (comparison.side("green").blocked, comparison.side("green").rows) == (2, 20)
    assert comparison.evidence.figures.colors["blue"].dropped == {}, "told with the batch after it"
    comparison.control(later)  # the log says: no deploy stands there
    finish(comparison)
    assert comparison.evidence.compared == 19
    assert comparison.side("green").rows == 0
    assert comparison.evidence.figures.colors["blue"].dropped == {"replaced": 1}
    assert comparison.evidence.figures.colors["green"].dropped == {"unknown": 1}


def test_P32_what_is_dropped_before_the_evidence_begins_is_no_evidence() -> None:
    """The search may end some records early, and earlier in a longer log: both must come to the same evidence."""
    every = {offset: Answer(0.5) for offset in range(20)}
    blue = [batch(BLUE, START, 4, every), None, batch(BLUE, START, 4, every), batch(BLUE, 4, 19, every)]
    green = cut(GREEN, every, {19}, first_after=4)
    evidence = []
    for first in (0, 2, 3):
        places = {"blue": Place(first, Coverage(BLUE, 4)), "green": Place(0, Coverage(GREEN, 4))}
        comparison = Comparison.begin(2, PAIR, TERMS, places, 4)  # type: ignore[arg-type] # the colors, as literals
        comparison.control(FOLDED)
        feed(comparison, {"blue": blue, "green": green})
        assert comparison.evidence.compared == 19
        evidence.append(evidence_bytes(comparison.evidence))
    assert evidence[0] == evidence[1] == evidence[2]


def test_P8_holes_are_counted_once_and_nothing_behind_them_counts() -> None:
    every = {offset: Answer(0.5) for offset in range(30)}
    green: list[Batch | None] = [
        batch(GREEN, START, 9, every),
        batch(GREEN, 14, 19, every),  # a hole: 10..14 are missing
        None,  # no batch at all
        batch(GREEN, 9, 29, every),  # the scorer went on at covered + 1
    ]
    comparison = begun()
    feed(comparison, {"blue": cut(BLUE, every, {29}), "green": green[:3]})
    assert comparison.evidence.compared == 9
    assert comparison.side("green").open_drops == {"hole": 1, "not a batch": 1}
    assert not comparison.evidence.figures.colors["green"].dropped, "open: told with the batch that closes it"
    for _ in range(2):
        comparison = restarted(comparison)
        feed(comparison, {"blue": cut(BLUE, every, {29}), "green": green})
    assert comparison.evidence.compared == 29
    assert comparison.evidence.figures.colors["green"].dropped == {"hole": 1, "not a batch": 1}
    assert comparison.evidence.figures.counts["matched"] == 30


def test_P20_a_color_that_runs_ahead_is_full_and_an_empty_queue_takes_one_batch() -> None:
    every = {offset: Answer(0.5) for offset in range(100)}
    comparison = begun()
    huge = 64 * 1024 * 1024
    assert comparison.pairing.full() == frozenset()
    comparison.offer("blue", 0, huge, batch(BLUE, START, 49, every))
    assert comparison.pairing.full() == {"blue"}
    comparison.offer("green", 0, 1, batch(GREEN, START, 99, every))
    finish(comparison)
    assert comparison.pairing.full() == frozenset(), "nothing waits in blue: it may take the next batch"
    comparison.offer("blue", 1, huge, batch(BLUE, 49, 99, every))
    finish(comparison)
    assert comparison.evidence.compared == 99


def test_evidence_refuses_rows_that_do_not_follow() -> None:
    comparison = begun()
    comparison.offer("blue", 0, 1, batch(BLUE, START, 9, {1: Answer(0.5)}))
    comparison.offer("green", 0, 1, batch(GREEN, START, 9, {1: Answer(0.5)}))
    rows = comparison.pairing.take()
    assert rows is not None
    comparison.evidence.add(rows, TERMS)
    with pytest.raises(ValueError, match="evidence reaches to 9, the rows begin after -1"):
        comparison.evidence.add(rows, TERMS)
