"""The verdict: promote, abort, continue or inconclusive, from counts and the gate, with reasons a person understands.

- **promote**: every required test (each goal and guardrail, and each declared segment of them) has E >= K / alpha at
  one moment, and coverage is there. Guarantee: the chance of ever promoting at a moment when the true running mean of
  some required metric is -margin or worse is at most alpha (Ville for each of the K tests at alpha / K), however often
  one looks.
- **abort**: some test has E >= 1 / (w alpha_abort) against "worse by at most the abort margin"; the weights w add up
  to 1, half to whole metrics and half to segments, `other` among them. Guarantee: the chance of ever aborting what is
  not worse is at most alpha_abort. If both fire at one look, abort wins.
- **inconclusive**: `max_events` without a decision. **continue**: everything else. No evidence is never a pass.

The guarantee is about the events that were evaluated, not about the future.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import exp, log
from typing import Literal

import numpy as np

from streambg.deciding import grid, patience
from streambg.deciding.coverage import Coverage
from streambg.deciding.detector import ALARM_AT
from streambg.deciding.eprocess import log_good, log_harm
from streambg.deciding.tallies import Merged
from streambg.records.gate import OTHER, Gate, Metric, Role
from streambg.records.source import Color

Word = Literal["promote", "abort", "continue", "inconclusive"]
# What a process says of it when it ends.
EXIT: Mapping[Word, int] = {"promote": 0, "abort": 10, "continue": 11, "inconclusive": 12}

# Without any statistics: a candidate that leaves out more than a twentieth of at least so many events is broken.
BROKEN_COVERAGE, BROKEN_EVENTS = 0.95, 1_000
# Reasons of one verdict; what is furthest from its limit comes first.
MAX_REASONS = 12


@dataclass(frozen=True, slots=True)
class Test:
    """One metric over all events, or in one segment (field and value; else both empty).

    mean: of the differences, a share of the range, positive where the candidate is better; None without events.
    log_good, log_harm: ln of the e-values, needed_*: ln of what they must reach. required: does promote wait for it?
    more: events more until it is good enough, if they go on as so far; None: not in sight. needs_label: of its metric.
    """

    metric: str
    role: Role
    field: str
    value: str
    events: int
    mean: float | None
    log_good: float
    needed_good: float
    log_harm: float
    needed_harm: float
    required: bool
    needs_label: bool
    more: int | None

    @property
    def name(self) -> str:
        return f"{self.metric} in {self.field}={self.value}" if self.field else self.metric

    @property
    def good(self) -> bool:
        return self.log_good >= self.needed_good

    @property
    def harms(self) -> bool:
        return self.log_harm >= self.needed_harm


@dataclass(frozen=True, slots=True)
class Findings:
    """What a verdict is made from, over all partitions. `merged`: by metric; those without evidence may be missing.

    by_label: of the metrics that need labels; None: no labels were read. obstacles: what else stands in the way of a
    promote, in words (a lag, a partition that nobody answered). watched: the candidate was promoted, and what is asked
    is whether it harms. left_out: of the events that `rows` misses, those that the candidate has no row for; None: all.
    """

    candidate: Color
    rows: Coverage
    merged: Mapping[str, Merged]
    by_label: Coverage | None = None
    obstacles: tuple[str, ...] = ()
    watched: bool = False
    left_out: int | None = None

    @property
    def answered(self) -> Coverage:
        """Of what the other color has, how much the candidate has: what the other one lost is not its fault."""
        return self.rows if self.left_out is None else Coverage(self.rows.matched, self.left_out)


@dataclass(frozen=True, slots=True)
class Verdict:
    """ready: everything is there to promote; where only a person may, the word is `continue` all the same.

    blocked: what stands in the way of every metric; blocked_labels: of those that need labels; only_a_person: why
    nobody else may promote on those, empty where anybody may.
    """

    word: Word
    reasons: tuple[str, ...]
    tests: tuple[Test, ...] = ()
    ready: bool = False
    blocked: tuple[str, ...] = ()
    blocked_labels: tuple[str, ...] = ()
    only_a_person: str = ""

    def passed(self, metrics: Iterable[str]) -> bool:
        """Are these metrics good enough, with their segments?"""
        wanted = set(metrics)
        tests = [test for test in self.tests if test.required and test.metric in wanted]
        return {test.metric for test in tests} == wanted and all(test.good for test in tests)

    def step(self, metrics: Iterable[str], approved: bool) -> tuple[bool, tuple[str, ...]]:
        """May a step of a plan that waits for these metrics be left? And why, or why not.

        approved: a person said yes to it.
        """
        wanted = set(metrics)
        tests = [test for test in self.tests if test.required and test.metric in wanted]
        reasons = list(self.blocked)
        if any(test.needs_label for test in tests):
            reasons += self.blocked_labels
            reasons += [self.only_a_person] if self.only_a_person and not approved else []
        reasons += [f"{name}: nothing was judged yet" for name in sorted(wanted - {test.metric for test in tests})]
        reasons += [_waiting_reason(test) for test in _furthest_first(tests)]
        if reasons:
            return False, tuple(reasons[:MAX_REASONS])
        return True, tuple(_good_reason(test) for test in tests if not test.field)


def decide(gate: Gate, findings: Findings) -> Verdict:
    """Pure: the same counts give the same verdict."""
    if findings.watched:
        return _watch(gate, findings)
    tests = tuple(_tests(gate, findings))
    harms = [test for test in tests if test.harms]
    if harms:
        return Verdict("abort", tuple(_harm_reason(gate, test) for test in harms[:MAX_REASONS]), tests)
    answered = findings.answered
    if answered.owed >= BROKEN_EVENTS and answered.share < BROKEN_COVERAGE:
        what = f"{answered}, below {BROKEN_COVERAGE:.0%} the candidate is taken for broken"
        return Verdict("abort", (what,), tests)
    blocked = (*findings.obstacles, *_alarms(gate, findings), *_uncovered(gate, findings), *_failed(gate, findings))
    blocked_labels = tuple(_unlabelled(gate, findings))
    waiting = [_waiting_reason(test) for test in _furthest_first(tests)]
    found = Verdict("continue", (), tests, False, blocked, blocked_labels, _only_a_person(gate, tests))
    if not blocked and not blocked_labels and not waiting and any(test.required for test in tests):
        return _ready(found)
    reasons = (*blocked, *blocked_labels, *waiting)[:MAX_REASONS] or (
        "no metric is a goal or a guardrail: nothing decides",
    )
    if gate.max_events is not None and findings.rows.matched >= gate.max_events:
        end = f"no decision after {findings.rows.matched:,} events, max_events is {gate.max_events:,}"
        return replace(found, word="inconclusive", reasons=(end, *reasons))
    return replace(found, reasons=reasons)


def _ready(found: Verdict) -> Verdict:
    if found.only_a_person:
        return replace(found, reasons=(found.only_a_person,), ready=True)
    why = tuple(_good_reason(test) for test in found.tests if not test.field)
    return replace(found, word="promote", reasons=why, ready=True)


def _only_a_person(gate: Gate, tests: tuple[Test, ...]) -> str:
    by_label = sorted({test.metric for test in tests if test.needs_label})
    if gate.labels is None or not gate.labels.depends_on_answer or not by_label:
        return ""
    why = "the served answer decides whether a label exists (depends_on_answer)"
    return f"{', '.join(by_label)}: only a person may promote: {why}"


# -- the tests ------------------------------------------------------------------------------------------------------


def _tests(gate: Gate, findings: Findings) -> Iterator[Test]:
    if not gate.deciding:
        return
    needed_good = log(promote_tests(gate) / gate.alpha_promote)
    whole, in_segment = abort_weights(gate)
    places = {metric.name: list(gate.places(metric)) for metric in gate.deciding}
    for metric in gate.deciding:
        found = findings.merged.get(metric.name)
        nothing = np.zeros((1 + len(places[metric.name]), grid.POINTS), np.int64)
        counts = nothing if found is None else found.for_candidate(metric, findings.candidate)
        for row, (field, value) in enumerate([("", ""), *places[metric.name]]):
            needed_harm = -log((in_segment if field else whole) * gate.alpha_abort)
            yield _test(metric, field, value, counts[row], needed_good, needed_harm)


def abort_weights(gate: Gate) -> tuple[float, float]:
    """w of a whole metric and of a metric in a segment; without segments whole metrics have all of the weight."""
    segments = sum(1 for metric in gate.deciding for _ in gate.places(metric))
    whole = 1 / max(1, len(gate.deciding))
    return (whole / 2, 0.5 / segments) if segments else (whole, 0.0)


def promote_tests(gate: Gate) -> int:
    """K: how many tests must be good enough at one moment."""
    return sum(1 + sum(value != OTHER for _, value in gate.places(metric)) for metric in gate.deciding)


def _test(metric: Metric, field: str, value: str, counts: grid.Ints, needed_good: float, needed_harm: float) -> Test:
    margin, abort_margin = margins(metric, bool(field))
    good = log_good(counts, margin)
    return Test(
        metric.name,
        metric.role,
        field,
        value,
        grid.events(counts),
        grid.mean(counts),
        good,
        needed_good,
        log_harm(counts, abort_margin),
        needed_harm,
        value != OTHER or not field,
        metric.needs_label,
        0 if good >= needed_good else patience.still(counts, margin, exp(-needed_good)),
    )


def margins(metric: Metric, segment: bool) -> tuple[float, float]:
    """Margin and abort margin, each with the floor, which is nobody's fault."""
    margin = metric.segment_margin if segment else metric.margin
    harm = metric.segment_abort_margin if segment else metric.abort_margin
    return (margin or 0.0) + metric.floor, (harm or 0.0) + metric.floor


# -- words ----------------------------------------------------------------------------------------------------------


def _uncovered(gate: Gate, findings: Findings) -> Iterator[str]:
    if findings.rows.owed == 0:
        yield "nothing was compared yet"
    elif findings.rows.share < gate.rows:
        yield f"{findings.rows}, the limit is {_percent(gate.rows)}"


def _unlabelled(gate: Gate, findings: Findings) -> Iterator[str]:
    labelled = [metric.name for metric in gate.deciding if metric.needs_label]
    if labelled and findings.by_label is None:
        yield f"{', '.join(labelled)}: no labels were read"
    elif labelled and findings.by_label is not None and findings.by_label.share < gate.labels_covered:
        yield f"labels: {findings.by_label}, the limit is {_percent(gate.labels_covered)}"


def _failed(gate: Gate, findings: Findings) -> Iterator[str]:
    """A function that fails on events hides them: as bad as missing ones."""
    for metric in gate.deciding:
        found = findings.merged.get(metric.name)
        if found is not None and found.failed:
            rows = Coverage(grid.events(found.counts[0]), found.failed)
            if rows.share < gate.rows:
                yield f"{metric.name}: {metric.kind} failed on {found.failed:,} events: {rows}"


def _furthest_first(tests: Iterable[Test]) -> list[Test]:
    waiting = [test for test in tests if test.required and not test.good]
    return sorted(waiting, key=lambda test: (test.log_good - test.needed_good, test.name))


def show_e(log_e: float) -> str:
    """An e-value for people: 0.31, 88, 1,204; beyond a million nobody reads digits."""
    if log_e > log(1e6):
        return "over a million"
    value = exp(log_e)
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def evidence_words(log_e: float, needed: float) -> str:
    """`evidence 5.5 of the 180 needed`: an e-value beside what it must reach, both as their logarithms."""
    return f"evidence {show_e(log_e)} of the {show_e(needed)} needed"


def _percent(share: float) -> str:
    """As coverage says it: 0.999 is `99.9 %`."""
    return f"{share * 100:.6g} %"


def _points(share: float | None) -> str:
    """In hundredths of the range: percentage points for rates."""
    return "unknown" if share is None else f"{share * 100:+.2f} points"


def _waiting_reason(test: Test) -> str:
    if test.events == 0:
        return f"{test.name}: no events yet"
    more = "not in sight as it goes" if test.more is None else f"about {_rounded(test.more):,} more events"
    return f"{test.name}: {evidence_words(test.log_good, test.needed_good)}, {more}"


def _good_reason(test: Test) -> str:
    return f"{test.name}: {evidence_words(test.log_good, test.needed_good)}, mean {_points(test.mean)}"


def _harm_reason(gate: Gate, test: Test) -> str:
    """With the limit of harm: it lies within the margin, and who reads only the margin takes -2 of 3 for passed."""
    metric = next(metric for metric in gate.metrics if metric.name == test.metric)
    limit = f"{margins(metric, bool(test.field))[1] * 100:.4g}"
    beyond = f"harm beyond {limit} point{'s' * (limit != '1')}"
    reached = evidence_words(test.log_harm, test.needed_harm)
    return f"{test.name}: {beyond}, {reached}: mean {_points(test.mean)} over {test.events:,} events"


def _rounded(events: int) -> int:
    """To two digits: a forecast has no more."""
    size = int(10 ** max(0, len(str(events)) - 2))
    return -(-events // size) * size


# -- after the promote ----------------------------------------------------------------------------------------------


def _watch(gate: Gate, findings: Findings) -> Verdict:
    """Harm of the promoted color against the old one; `abort` means: roll back.

    Each metric gets its share of the false alarms: all together are `ALARM_AT` events apart on average.
    """
    found = _harm(gate, findings)
    labelled = findings.by_label is not None and findings.by_label.matched > 0
    unseen = tuple(
        metric.name for metric in gate.deciding if metric.needs_label and not labelled and not found.get(metric.name)
    )
    if not found and not unseen:
        return Verdict("continue", ("no goal or guardrail can show harm after the promote",))
    alarms = tuple(_alarms(gate, findings))
    if alarms:
        return Verdict("abort", alarms[:MAX_REASONS])
    said = tuple(
        f"{name}: evidence of harm {value:,.0f}, {_acted_on(found)}"
        for name, value in found.items()
        if name not in unseen
    )
    if unseen:  # an evidence of 0 would read like: all is well
        said = (f"{', '.join(unseen)}: no labels were read", *said)
    return Verdict("continue", said[:MAX_REASONS])


def _acted_on(found: Mapping[str, float]) -> str:
    """Each metric's limit. Never `91 of 200,000`: that reads like a count of events."""
    return f"acted on at {ALARM_AT * len(found):,.0f}"


def _harm(gate: Gate, findings: Findings) -> dict[str, float]:
    """The detectors' values, by metric."""
    return {
        metric.name: findings.merged[metric.name].harm[findings.candidate]
        for metric in gate.deciding
        if metric.name in findings.merged and findings.candidate in findings.merged[metric.name].harm
    }


def _alarms(gate: Gate, findings: Findings) -> Iterator[str]:
    """Harm of late. Before a promote it only holds that up: what was rolled back may be good enough on the whole."""
    found = _harm(gate, findings)
    for name, value in found.items():
        if value >= ALARM_AT * len(found):
            yield f"{name}: evidence of recent harm {show_e(log(value))}, {_acted_on(found)}"
