"""The questions of `make statistics`, each with the figure that must be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from decisions import others
from decisions.looks import aborted_at, alarmed_at, promoted_at
from decisions.streams import Streams, independent_errors, oscillating, paired
from streambg.deciding.detector import ALARM_AT

Ints = npt.NDArray[np.int64]

ALPHA_PROMOTE, ALPHA_ABORT = 0.05, 0.01
# Streams of others' questions: their figures are far away, and some are slow.
OTHERS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """value: measured, a share or events. bound: its upper 95 % bound (`lower`: the lower one).

    limit: what the bound must keep; None: the row is there to be known.
    """

    question: str
    others: str
    value: float
    bound: float
    limit: float | None
    lower: bool = False

    @property
    def reached(self) -> bool:
        return self.keeps(self.bound)

    def keeps(self, value: float) -> bool:
        """Is a value on the right side of the limit?"""
        if self.limit is None:
            return True
        return value >= self.limit if self.lower else value <= self.limit


@dataclass(frozen=True, slots=True)
class Size:
    """Streams of a question, and their events; `events` is what a share is measured over."""

    streams: int = 2_000
    events: int = 20_000


Ask = Callable[[np.random.Generator, Size], Iterator[Answer]]


def share_bound(hits: int, of: int) -> float:
    """Upper 95 % bound of a share (Clopper & Pearson)."""
    return float(beta.ppf(0.95, hits + 1, of - hits)) if hits < of else 1.0


def median_bound(times: Ints) -> float:
    """Upper 95 % bound of the median: an order statistic; 0 (never) counts as infinity."""
    ordered = np.sort(np.where(times > 0, times.astype(np.float64), np.inf))
    rank = min(len(ordered) - 1, ceil(len(ordered) / 2 + 1.645 * sqrt(len(ordered)) / 2))
    return float(ordered[rank])


def _share(question: str, of_others: str, hits: int, size: Size, limit: float) -> Answer:
    return Answer(question, of_others, hits / size.streams, share_bound(hits, size.streams), limit)


def _percent(said: npt.NDArray[np.bool_]) -> str:
    return f"{said.mean():.0%}"


def false_promotion(rng: np.random.Generator, size: Size) -> Iterator[Answer]:
    for margin, discordance in ((0.005, 0.02), (0.01, 0.05), (0.02, 0.10)):
        streams = paired(rng, (size.streams, size.events), -margin, discordance)
        peeked = _percent(others.peeked(streams[:OTHERS], margin, others.Z_05))
        hits = int((promoted_at(streams, margin, ALPHA_PROMOTE) > 0).sum())
        what = f"false promotion at exactly -{margin * 100:g} points, discordance {discordance:.0%}"
        yield _share(what, f"{peeked} (peeked z-test)", hits, size, 0.04)


def oscillation(rng: np.random.Generator, size: Size) -> Iterator[Answer]:
    for period in (100, 500):
        streams = oscillating(rng, (size.streams, size.events), (-0.03, 0.015), 0.05, period)
        adaptive = _percent(others.adaptive(streams[:OTHERS], 0.005, ALPHA_PROMOTE))
        hits = int((promoted_at(streams, 0.005, ALPHA_PROMOTE) > 0).sum())
        what = f"oscillating candidate (-3 / +1.5 points, {period} events each), margin 0.5: promoted"
        yield _share(what, f"{adaptive} (adaptive bets)", hits, size, 0.04)


def false_abort(rng: np.random.Generator, size: Size) -> Iterator[Answer]:
    streams = paired(rng, (size.streams, size.events), 0.0, 0.02)
    peeked = _percent(others.peeked(streams[:OTHERS], 0.0, others.Z_01, harm=True))
    hits = int((aborted_at(streams, 0.0, ALPHA_ABORT) > 0).sum())
    yield _share("A/A, any false abort (abort_margin 0)", f"{peeked} (peeked z-test)", hits, size, 0.01)
    streams = paired(rng, (size.streams, size.events), 0.0, 0.02)
    # a stream's events fall into 20 segments in turn: each has a twentieth of half of alpha
    parts = [streams[:, first::20] for first in range(20)]
    peeked_parts = [others.peeked(part[:OTHERS], 0.0, others.Z_01, harm=True) for part in parts]
    fired = np.array([aborted_at(part, 0.0, ALPHA_ABORT / 2 / 20) > 0 for part in parts]).any(axis=0)
    said = _percent(np.array(peeked_parts).any(axis=0))
    yield _share("20 segments A/A, any false abort", f"{said} (peeked, uncorrected)", int(fired.sum()), size, 0.01)


def time_to_abort(rng: np.random.Generator, size: Size) -> Iterator[Answer]:
    for mean, discordance, limit in (
        (-0.01, 0.03, 3_500),
        (-0.02, 0.05, 1_450),
        (-0.05, 0.08, 390),
        (-0.10, 0.12, 135),
    ):
        times = aborted_at(paired(rng, (size.streams, 5 * limit), mean, discordance), 0.0, ALPHA_ABORT)
        # both models err on a tenth of the events; unpaired, each event tells of one of them only
        unpaired = independent_errors(rng, (OTHERS, min(20 * limit, 40_000)), 0.1, 0.1 - mean)
        median = float(np.median(aborted_at(unpaired, 0.0, ALPHA_ABORT)))
        what = f"events to abort at {mean * 100:g} points, discordance {discordance:.0%} (median)"
        yield Answer(what, f"{median:,.0f} (unpaired)", float(np.median(times)), median_bound(times), limit)


def time_to_promote(rng: np.random.Generator, size: Size) -> Iterator[Answer]:
    for margin, discordance, limit in (
        (0.005, 0.02, 7_000),
        (0.01, 0.02, 1_750),
        (0.01, 0.05, 3_900),
        (0.02, 0.10, 2_150),
    ):
        times = promoted_at(paired(rng, (size.streams, 5 * limit), 0.0, discordance), margin, ALPHA_PROMOTE)
        what = f"events to promote an equal candidate, margin {margin * 100:g}, discordance {discordance:.0%} (median)"
        yield Answer(what, "-", float(np.median(times)), median_bound(times), limit)


# Events before the change: a plan of three steps has 9,000 of them before its promote.
BEFORE = 5_000
# How often a Hoeffding tree and a logistic regression differ on the Shuttle data.
DISCORDANCE = 0.0064
OLD_RATE = 0.10


def delay(rng: np.random.Generator, size: Size) -> Iterator[Answer]:
    """The candidate errs more often on events that the old color gets right; what else differs goes both ways."""
    for rate, limit in ((0.15, 565.0), (0.20, 195.0), (0.40, 35.0)):
        more, rows = rate - OLD_RATE, size.streams
        before = paired(rng, (rows, BEFORE), 0.0, DISCORDANCE)
        after = paired(rng, (rows, round(20 * limit)), -more, more + DISCORDANCE)
        # ADWIN sees the candidate's own errors, which independent draws give as well
        errors = independent_errors(rng, (OTHERS, round(20 * limit)), 0.0, rate)
        healthy = independent_errors(rng, (OTHERS, BEFORE), 0.0, OLD_RATE)
        theirs = others.adwin_delays(np.concatenate([healthy, errors], axis=1), BEFORE)
        what = f"candidate's error .10 -> {rate:.2f} after its promote, old color at .10: delay in events (mean)"
        yield _delay(what, f"{theirs[theirs > 0].mean():,.0f} (ADWIN)", [before, after], limit)
    for rate in (0.15, 0.20, 0.40):
        before = independent_errors(rng, (size.streams, BEFORE), OLD_RATE, OLD_RATE)
        after = independent_errors(rng, (size.streams, 8_000), OLD_RATE, rate)
        what = f"the same .10 -> {rate:.2f} where the models err independently (discordance 18 % before)"
        yield _delay(what, f"{others.fastest(OLD_RATE, rate, ALARM_AT):,.0f} (optimum)", [before, after], None)


def _delay(what: str, of_others: str, pieces: list[Streams], limit: float | None) -> Answer:
    """A stream that never alarms counts with all its events after the change, and how many did not is said.

    One that alarms before the change is a false alarm (they are counted below) and says nothing of a delay.
    """
    fired, after = alarmed_at(pieces, len(pieces[0]), ALARM_AT), pieces[-1].shape[1]
    early, never = (fired > 0) & (fired <= BEFORE), fired == 0
    delays = np.where(never, after, fired - BEFORE)[~early].astype(np.float64)
    bound = float(delays.mean() + 1.645 * delays.std(ddof=1) / sqrt(len(delays)))
    said = f"; without an alarm in {after:,}: {never.sum()}" * bool(never.any())
    said += f"; left out, alarmed before: {early.sum()}" * bool(early.any())
    return Answer(what + said, of_others, float(delays.mean()), bound, limit)


def false_alarms(rng: np.random.Generator, size: Size) -> Iterator[Answer]:
    """Streams end at five times the figure; those without an alarm count with their length: the mean is too low."""
    rows, longest, piece = max(10, size.streams // 10), 25 * size.events, 5_000
    pieces = (independent_errors(rng, (rows, piece), 0.1, 0.1) for _ in range(longest // piece))
    fired = alarmed_at(pieces, rows, ALARM_AT)
    times = np.where(fired > 0, fired, longest).astype(np.float64)
    low = float(times.mean() - 1.645 * times.std(ddof=1) / sqrt(rows))
    yield Answer(
        "events between false alarms after a promote (mean, at least)", "-", float(times.mean()), low,
        min(ALARM_AT, longest / 2), lower=True,
    )  # fmt: skip


QUESTIONS: dict[str, Ask] = {
    "false-promotion": false_promotion,
    "oscillation": oscillation,
    "false-abort": false_abort,
    "time-to-abort": time_to_abort,
    "time-to-promote": time_to_promote,
    "delay": delay,
    "false-alarms": false_alarms,
}
