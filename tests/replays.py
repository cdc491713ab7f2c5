"""Models that answer from their events, events, and a lane: what tests of replays share."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from streambg.comparing.pair import Terms
from streambg.models.contract import Answers, Events, Schema
from streambg.models.decoding import json_rows
from streambg.previewing.preview import Question
from streambg.records.gate import Gate, LabelTerms, Metric
from streambg.replaying.plan import Ends, Lane
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
