"""`streambg replay`, the pure part: windows, both sides, the proof, series, checkpoints and the report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from streambg.comparing.evidence import Evidence
from streambg.comparing.pair import Pair, Terms
from streambg.comparing.snapshot import evidence_bytes
from streambg.comparing.side import Part
from streambg.models.contract import Answers, Events, Schema
from streambg.models.decoding import json_rows
from streambg.previewing.preview import Question
from streambg.records.gate import Gate, LabelTerms, Metric
from streambg.replaying import state as states
from streambg.replaying.against import AgainstModel, Baseline
from streambg.replaying.charts import charts_of
from streambg.replaying.contender import Contender, Spent, cut
from streambg.replaying.labels import LabelTable
from streambg.replaying.partition import WINDOW, Candidate, PartitionReplay, Rule
from streambg.replaying.plan import Ends, Lane
from streambg.replaying.proof import Count, Prover, Published, polled_of
from streambg.replaying.series import MOST_PIECES, Series
from streambg.scoring.answerer import Answerer, Fields
from streambg.scoring.batching import Polled

SCHEMA = Schema({"f": "number"}, ("p",), "p", 0.5)
LABELS = LabelTerms("labels", "id", "y", 60_000, 10_000, False)
GATE = Gate(
    (
        Metric("correct", "correctness", "goal", 0.0, 1.0, "higher", True, 0.1, 0.05),
        Metric(
            "errors",
            "error_rate",
            "guardrail",
            0.0,
            1.0,
            "lower",
            False,
            0.05,
            0.03,
            segments=("kind",),
            segment_margin=0.1,
            segment_abort_margin=0.05,
        ),
        Metric("flips", "flip_rate", "guardrail", 0.0, 1.0, "lower", False, 0.3, 0.2),
    ),
    {"kind": ("a", "b")},
    0.05,
    0.01,
    0.99,
    0.5,
    carried=("id", "kind"),
    labels=LABELS,
)
TERMS = Terms(1, 0, 0.5, GATE)
QUESTION = Question("in", "blue", 0, 10_000, 1, None, False)


class Shifted:
    """Answers with the feature and a bit more; fails on some ids; `alone` answers otherwise in small batches."""

    def __init__(self, more: float = 0.0, fails: int | None = None, alone: bool = False) -> None:
        self.more, self.fails, self.alone = more, fails, alone

    def predict_many(self, events: Events) -> Answers:
        scores = np.clip(events.column("f") + self.more, 0, 1)
        if self.alone and len(events) < 50:
            scores = scores * 0.999
        errors = (
            {}
            if self.fails is None
            else {at: "no answer" for at, row in enumerate(events.rows) if row["id"] % 100 == self.fails}
        )
        return Answers(scores, errors=errors)


def answerer(deployment: int, model: Shifted) -> Answerer:
    return Answerer(deployment, model, SCHEMA, json_rows, Fields(("id", "kind"), None), "in")


def events(first: int, last: int) -> Polled:
    offsets = list(range(first, last))
    values: list[bytes | None] = [
        json.dumps({"f": offset % 10 / 10, "id": offset, "kind": "abc"[offset % 3]}).encode() for offset in offsets
    ]
    return Polled(
        offsets, [b"k%d" % (offset % 7) for offset in offsets], [1_000 * offset for offset in offsets], values, None
    )


def lane(end: int) -> Lane:
    return Lane(0, 0, 0, end, end - 1, 0, -1, None, 0, {"blue": Ends(0, 0)})


def nothing(_offsets: Sequence[int]) -> None:
    return None


def replayed(borders: Sequence[int], *, restart: bool = False, labels: LabelTable | None = None) -> states.State:
    """Windows that end at these offsets; restart: through bytes after each of them."""
    state = states.begun(lane(borders[-1]), TERMS, 1)
    for border in borders:
        if restart:
            state = states.decode(states.encode(state, "id"), "id")
        candidate = Candidate(Contender(answerer(1, Shifted(0.05, fails=3)), 0, 1, state.models[0].spent), None)
        against = AgainstModel(Contender(answerer(0, Shifted()), 0, 1, Spent()))
        replay = PartitionReplay(state, [candidate], against, Rule(TERMS, QUESTION, QUESTION), labels, nothing)
        replay.step(events(state.upto + 1, border), border - 1)
    return state


def table() -> LabelTable:
    found = LabelTable(LABELS)
    found.take(
        [1_000 * number + 500 for number in range(3_000)],
        [json.dumps({"id": number, "y": number % 10 >= 5}).encode() for number in range(3_000)],
    )
    found.take([1], [b"no label"])
    found.sort()
    return found


def test_P32_where_windows_end_and_what_was_restarted_changes_no_bit() -> None:
    whole = replayed([4_000], labels=table())
    pieces = replayed([700, 701, 2_500, 4_000], restart=True, labels=table())
    one, other = whole.models[0], pieces.models[0]
    assert evidence_bytes(one.evidence) == evidence_bytes(other.evidence)
    assert (one.series.cells == other.series.cells).all()
    assert one.series.width_ms == other.series.width_ms
    assert one.flips == other.flips
    assert one.reasons == other.reasons == Counter({"model: no answer": 40})
    assert one.shown == other.shown
    assert (one.labels.matched, one.labels.owed, one.labels.there) == (3_000, 2_940, 2_940)
    assert (other.labels.matched, other.labels.owed, other.labels.there) == (3_000, 2_940, 2_940)
    assert (one.labels.tallies.metrics["correct"].counts == other.labels.tallies.metrics["correct"].counts).all()
    assert whole.events == pieces.events == 4_000


def test_series_add_up_whatever_each_partition_saw() -> None:
    rng = np.random.default_rng(1)
    times = rng.integers(10**12, 10**12 + 3_000_000, 5_000)
    found = [Series(("m",)) for _ in range(3)]
    for series, part in ((found[0], times), (found[1], times[:100]), (found[2], times[100:])):
        for first in range(0, len(part), 700):
            some = part[first : first + 700]
            places = series.place(some)
            series.add_differences(places, "m", np.where(some % 3 == 0, -1 << 20, 0))
    merged = found[1].copy()
    merged.take(found[2])
    assert len(merged.cells) <= MOST_PIECES
    assert merged.width_ms == found[0].width_ms
    assert merged.first == found[0].first
    assert (merged.cells == found[0].cells).all()
    assert (merged.growing("m")[-1].sum() >> 18) == 5_000


def test_the_proof_finds_what_is_not_reproduced() -> None:
    """Planted: an answer that was published otherwise; and one that only its batch's borders explain."""
    polled = events(0, 200)
    live = Contender(answerer(1, Shifted(alone=True)), 0, 1, Spent())
    parts = [live.part(first - 1, some) for first, some in ((0, events(0, 20)), (20, events(20, 200)))]
    from streambg.comparing.side import part_of

    stored = part_of([piece for part in parts for piece in part.pieces], 1)
    changed = list(stored.values)
    changed[150] = b'{"p":0.123,"decision":false}'
    baseline = replace(stored, values=changed)
    model = live.part(-1, polled)
    at = np.arange(200)
    from streambg.comparing.pairing import Rows

    rows = Rows(-1, 199, baseline, model, at, at, {"blue": 0, "green": 0}, {"blue": 0, "green": 0})
    published = Published(np.full(200, 7, np.int64), {7: stored})
    count = Count()
    Prover("in", 0, [7], [], live.ask).add(count, rows, published, lambda offsets: polled_of([polled], offsets))
    assert (count.events, count.reproduced, count.close, count.different) == (200, 199, 0, 1)
    assert count.first[0].source == "in/0@150"
    count = Count()
    Prover("in", 0, [7], [], live.ask).add(count, rows, Published(np.full(200, 7, np.int64), {}), nothing)
    assert count.reproduced + count.different + count.close == 200
    assert count.different > 1, "without the borders nobody can tell"
    count = Count()
    Prover("in", 0, [], [7], live.ask).add(count, rows, published, nothing)
    assert (count.events, count.other_rules, count.reproduced) == (200, 200, 0)
