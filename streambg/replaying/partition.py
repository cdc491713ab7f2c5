"""One partition of a replay: window by window, both sides joined and counted by the comparator's own code. Pure.

A window is a fixed number of events from the range's begin on: so neither a checkpoint nor a poll moves its borders,
and what depends on them (the batches that a model is asked in) is the same in every run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streambg.comparing.measuring import answers_of, seen_of
from streambg.comparing.pair import Terms
from streambg.comparing.pairing import Rows, match
from streambg.comparing.side import Part
from streambg.deciding import tallies
from streambg.deciding.grid import Ints
from streambg.previewing import preview
from streambg.previewing.preview import Question
from streambg.records.batch import MAX_ROWS
from streambg.replaying.against import Against, Baseline
from streambg.replaying.contender import Contender
from streambg.replaying.labels import Given, LabelTable, labelled
from streambg.replaying.proof import Fetch, Prover, polled_of
from streambg.replaying.rowing import rows_of
from streambg.replaying.rows import RowsBatch
from streambg.replaying.state import Missing, ModelState, Shown, State
from streambg.scoring.batching import Polled

# Eight of the largest batches: numpy's cost a call is spread thin, and both sides' rows stay at some ten MB.
WINDOW = 8 * MAX_ROWS
# Reasons of error rows that are told apart, and their length: a model's own words may hold anything.
MOST_REASONS, REASON_BYTES = 100, 120
OTHER_REASONS = "others"


Publish = Callable[[Polled, Part, int], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model: how it is asked, and how it proves itself; None: nothing of it was published."""

    contender: Contender
    prover: Prover | None


@dataclass(frozen=True, slots=True)
class Rule:
    """What all models are compared by. flips, as_if: the weights at which the published stream is imagined."""

    terms: Terms
    flips: Question
    as_if: Question | None


class PartitionReplay:
    """`step` with one window after the other; `state` is consistent in between.

    fetch: events that lie outside of the window and of the one before it. rows: who wants the first model's rows.
    publish: takes each window's events, the model's rows of them and the source offset that it reaches to; there is
    one model then.
    """

    def __init__(
        self,
        state: State,
        candidates: Sequence[Candidate],
        against: Against,
        rule: Rule,
        labels: LabelTable | None,
        fetch: Fetch,
        rows: Callable[[RowsBatch], None] | None = None,
        publish: Publish | None = None,
    ) -> None:
        self.state = state
        self._publish = publish
        self._candidates = candidates
        self._against = against
        self._rule = rule
        self._labels = labels
        self._fetch = fetch
        self._rows = rows
        self._before: Polled | None = None
        # of decisions that turn only the segments are asked: what metrics gain is another question
        self._places = None if rule.terms.gate is None else replace(rule.terms.gate, metrics=())

    def step(self, events: Polled, high: int) -> None:
        """The events of (state.upto, high]."""
        state, low = self.state, self.state.upto
        state.events += len(events.offsets)
        if events.times:
            times = min(events.times), max(events.times)
            state.first_ms = times[0] if state.first_ms is None else min(state.first_ms, times[0])
            state.last_ms = times[1] if state.last_ms is None else max(state.last_ms, times[1])
        baseline: Baseline | None = None
        given: Given | None = None
        for candidate, model in zip(self._candidates, state.models, strict=True):
            part = candidate.contender.part(low, events)
            if self._publish is not None:
                self._publish(events, part, high)
            if baseline is None:  # the same for all of them: what an event carries does not depend on who answers it
                baseline = self._against.take(low, high, events, part)
                self._take(baseline)
                if self._labels is not None and state.met is not None:
                    given = self._labels.find(state.met, part.column(self._labels.key), part.times)
                if self._rows is not None:
                    self._rows(rows_of(state.partition, baseline, part, given))
            rows = _rows(low, high, baseline.comparable(), baseline.silent, part)
            self._compare(model, rows)
            if candidate.prover is not None:
                # of all that was published, comparable or not: bytes are bytes
                published = rows if rows.blue is baseline.part else _rows(low, high, baseline.part, 0, part)
                candidate.prover.add(model.proof, published, baseline.published, self._fetching(events))
            if self._labels is not None and given is not None and len(rows):
                self._label(self._labels, model, rows, given)
        self._before = events
        state.upto = high

    def _take(self, baseline: Baseline) -> None:
        state = self.state
        state.came += baseline.came
        state.answering += baseline.answering
        for why, offsets in sorted(baseline.missing.items()):
            if len(offsets):
                found = state.missing.setdefault(why, Missing(int(offsets[0]), 0, 0))
                found.end, found.offsets = int(offsets[-1]) + 1, found.offsets + len(offsets)

    def _compare(self, model: ModelState, rows: Rows) -> None:
        terms, partition = self._rule.terms, self.state.partition
        times = rows.blue.times[rows.at_blue]
        places = model.series.place(times)

        def watch(name: str, found: Ints, kept: Ints | None) -> None:
            model.series.add_differences(places if kept is None else places[kept], name, found)

        worst = model.evidence.figures.worst
        model.evidence.add(rows, terms, watch)
        if model.evidence.figures.worst is not worst:
            _show(model, rows)
        _reasons(model.reasons, rows.green)
        preview.add(model.flips, self._rule.flips, partition, rows, terms, self._places)
        if self._rule.as_if is not None:
            preview.add(model.as_if, self._rule.as_if, partition, rows, terms, terms.gate)
        if len(rows):
            model.series.add_answers(places, answers_of(rows, "blue", terms), answers_of(rows, "green", terms))

    def _label(self, table: LabelTable, model: ModelState, rows: Rows, given: Given) -> None:
        """given: of the window's events; each has one row of the model, in the same order."""
        terms = self._rule.terms
        gate = terms.gate
        if gate is None or gate.labels is None:
            return
        model.labels.count(given, rows.at_green, table.until_ms, gate.labels.horizon_ms)
        found = np.flatnonzero(given.there[rows.at_green])
        if len(found):
            outcomes = given.labels[rows.at_green[found]]
            seen = labelled(seen_of(rows, terms, gate), found, outcomes)
            tallies.add(model.labels.tallies, gate, seen, terms.hooks)
            model.labels.calibrated.add((seen.blue, seen.green), outcomes)

    def _fetching(self, events: Polled) -> Fetch:
        near = [window for window in (self._before, events) if window is not None]

        def fetch(offsets: Sequence[int]) -> Polled | None:
            return polled_of(near, offsets) or self._fetch(offsets)

        return fetch


def _rows(low: int, high: int, blue: Part, owed: int, model: Part) -> Rows:
    """Joined; blue: the other side's rows, which owes so many more. Outcomes without an event say nothing of the model:
    it was not asked.
    """
    at_blue, at_green = match(blue.offsets, model.offsets)
    alone = len(model) - len(at_green)
    silent = {"blue": owed, "green": 0}
    unanswered = {"blue": alone - owed, "green": len(blue) - len(at_blue)}
    return Rows(low, high, blue, model, at_blue, at_green, silent, unanswered)  # type: ignore[arg-type] # both colors


def _show(model: ModelState, rows: Rows) -> None:
    """What both sides said of the examples that have just come in; and nothing of those that have gone."""
    known = {shown.offset: shown for shown in model.shown}
    for example in model.evidence.figures.worst:
        if example.offset not in known:
            left = int(np.searchsorted(rows.blue.offsets, example.offset))
            right = int(np.searchsorted(rows.green.offsets, example.offset))
            known[example.offset] = Shown(
                example.offset, int(rows.green.times[right]), rows.blue.values[left], rows.green.values[right]
            )
    model.shown = [known[example.offset] for example in model.evidence.figures.worst]


def _reasons(reasons: Counter[str], part: Part) -> None:
    for row in np.flatnonzero(~part.ok).tolist():
        reason = part.values[row][:REASON_BYTES].decode("utf-8", "replace")
        reasons[reason if reason in reasons or len(reasons) < MOST_REASONS else OTHER_REASONS] += 1
