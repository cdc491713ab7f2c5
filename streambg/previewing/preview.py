"""What would be published at another weight, event by event, from the answers that both colors gave. Pure.

Both answers to each event exist, and so does the publisher's table (P14-P17): no guess is made. Only latency is left
out: an answer that would come late would be replaced by live's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import eq
from typing import Any

import numpy as np
import numpy.typing as npt

from streambg.comparing.measuring import seen_of
from streambg.comparing.pair import Terms
from streambg.comparing.pairing import Rows
from streambg.deciding.grid import ONE
from streambg.deciding.kinds import BadMeasure, differences
from streambg.deciding.tallies import grouped
from streambg.publishing.table import ERROR, OK, Act, case, lookup
from streambg.records.bucket import BUCKETS, bucket_keys, buckets
from streambg.records.gate import OTHER, Gate
from streambg.records.source import Color, other

Bools = npt.NDArray[np.bool_]
Acts = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Question:
    """Published at `weight` (hundredths of a percent) instead of at `now`: how much changes?

    salt: the candidate's deployment, which buckets are salted with. bucket_field: None: the record key is hashed.
    live_failed: may the candidate answer where live failed, at a weight above 0 (P16)?
    """

    source_topic: str
    live: Color
    now: int
    weight: int
    salt: int
    bucket_field: str | None
    live_failed: bool

    @property
    def candidate(self) -> Color:
        return other(self.live)


@dataclass(slots=True)
class Counts:
    """Events, and what becomes of them. All but `events` compare then with now.

    changed: other bytes, or an answer where a dead letter was, or the reverse. to_yes, to_no: published decisions that
    turn. candidate_now, candidate_then: answers of the candidate. letters_now, letters_then: dead letters.
    """

    events: int = 0
    changed: int = 0
    to_yes: int = 0
    to_no: int = 0
    candidate_now: int = 0
    candidate_then: int = 0
    letters_now: int = 0
    letters_then: int = 0

    def plus(self, more: Counts) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(more, each.name))


@dataclass(slots=True)
class Preview:
    """Of all events, by declared segment (field, value), and what metrics that need no label would gain.

    gained: by metric, the sum over all events of the change, a share of the metric's range, positive is better.
    failed: metrics whose function failed, and with what.
    """

    whole: Counts = field(default_factory=Counts)
    segments: dict[tuple[str, str], Counts] = field(default_factory=dict)
    gained: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--output json`."""
        segments = [
            {"field": name, "value": value, **_plain(counts)} for (name, value), counts in sorted(self.segments.items())
        ]
        return {**_plain(self.whole), "segments": segments, "gained": self.gained, "failed": self.failed}


def gain_words(metric: str, gained: float) -> str:
    """gained: of one event on average, a share of the metric's range."""
    if not gained:
        return f"{metric}: the same on the average event"
    return f"{metric}: {'worse' if gained < 0 else 'better'} by {abs(gained):.3%} of its range on the average event"


def _plain(counts: Counts) -> dict[str, int]:
    return {each.name: getattr(counts, each.name) for each in fields(counts)}


def add(preview: Preview, question: Question, partition: int, rows: Rows, terms: Terms, gate: Gate | None) -> None:
    """The next rows of a partition: every event that both colors answered."""
    if len(rows) == 0:
        return
    bucket = _buckets(question, partition, rows)
    now, then = (_acts(question, rows, bucket, weight) for weight in (question.now, question.weight))
    same = _equal_values(rows)
    flags = _flags(question, rows, terms, now, then, same)
    preview.whole.plus(_counted(flags, np.ones(len(rows), np.bool_)))
    if gate is None:
        return
    seen = seen_of(rows, terms, gate)
    for name, values in gate.segments.items():
        codes = grouped(seen.carry.get(name), values, len(rows))
        for number, value in enumerate((*values, OTHER)):
            counts = preview.segments.setdefault((name, value), Counts())
            counts.plus(_counted(flags, codes == number))
    # +1 where the candidate's answer comes in, -1 where it goes out
    swapped = (then == Act.OTHER).astype(np.int64) - (now == Act.OTHER)
    sign = 1 if question.candidate == "green" else -1
    for metric in gate.metrics:
        if metric.needs_label or not metric.directed:
            continue
        try:
            better = differences(metric, seen, terms.hooks.get(metric.kind)) * sign
        except BadMeasure as error:
            preview.failed[metric.name] = str(error)
            continue
        preview.gained[metric.name] = preview.gained.get(metric.name, 0.0) + float((better * swapped).sum()) / ONE


def _buckets(question: Question, partition: int, rows: Rows) -> npt.NDArray[np.int64]:
    if {question.now, question.weight} <= {0, BUCKETS}:  # none of the keys, or all of them: nobody asks which
        return np.zeros(len(rows), np.int64)
    part, at = rows.side(question.live), rows.at(question.live)
    keys = [key for batch, first, last in part.pieces for key in batch.keys[first:last]]
    column = None if question.bucket_field is None else part.column(question.bucket_field)
    chosen = bucket_keys(keys, column, question.source_topic, partition, part.offsets.tolist())
    return buckets(question.salt, chosen)[at]


def _acts(question: Question, rows: Rows, bucket: npt.NDArray[np.int64], weight: int) -> Acts:
    """Whose answer goes out: the publisher's own table, with both answers known."""
    state = {
        color: np.where(rows.side(color).ok[rows.at(color)], OK, ERROR) for color in (question.live, question.candidate)
    }
    acts, _ = lookup(question.live_failed and weight > 0, frozenset())
    chosen: Acts = acts[case(bucket < weight, state[question.live], state[question.candidate])]
    return chosen


def _equal_values(rows: Rows) -> Bools:
    blue, green = rows.blue.values, rows.green.values
    if len(rows) == len(blue) == len(green):  # both ascend, so all of them are matched in their order
        return np.fromiter(map(eq, blue, green), np.bool_, len(rows))
    at = zip(rows.at_blue.tolist(), rows.at_green.tolist(), strict=True)
    return np.fromiter((blue[left] == green[right] for left, right in at), np.bool_, len(rows))


def _flags(question: Question, rows: Rows, terms: Terms, now: Acts, then: Acts, same: Bools) -> Mapping[str, Bools]:
    """One column for each count."""
    letter_now, letter_then = now == Act.DEAD, then == Act.DEAD
    swapped = (now != then) & ~letter_now & ~letter_then
    decided = {
        color: rows.side(color).scores[rows.at(color)][:, terms.column] for color in (question.live, question.candidate)
    }
    nothing = np.zeros(len(rows), np.bool_)
    to_yes = to_no = nothing
    if terms.threshold is not None:
        yes = {color: scores >= terms.threshold for color, scores in decided.items()}
        before = np.where(now == Act.OTHER, yes[question.candidate], yes[question.live])
        after = np.where(then == Act.OTHER, yes[question.candidate], yes[question.live])
        to_yes, to_no = swapped & ~before & after, swapped & before & ~after
    return {
        "changed": (swapped & ~same) | (letter_now != letter_then),
        "to_yes": to_yes,
        "to_no": to_no,
        "candidate_now": now == Act.OTHER,
        "candidate_then": then == Act.OTHER,
        "letters_now": letter_now,
        "letters_then": letter_then,
    }


def _counted(flags: Mapping[str, Bools], among: Bools) -> Counts:
    return Counts(
        int(np.count_nonzero(among)), **{name: int(np.count_nonzero(flag & among)) for name, flag in flags.items()}
    )


def total(parts: Sequence[Preview]) -> Preview:
    """Over partitions."""
    whole = Preview()
    for part in parts:
        whole.whole.plus(part.whole)
        for place, counts in part.segments.items():
            whole.segments.setdefault(place, Counts()).plus(counts)
        for name, gained in part.gained.items():
            whole.gained[name] = whole.gained.get(name, 0.0) + gained
        whole.failed.update(part.failed)
    return whole
