"""What the last verdict about the pair in force says now: a verdict that nobody renews says nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streambg.comparing.judging import Case
from streambg.deciding.record import VerdictRecord
from streambg.deciding.verdict import Word

# A verdict that decides nothing new is written again this often: readers take one for stale after three of them.
AGAIN_S = 30.0
STALE_S = 3 * AGAIN_S


@dataclass(frozen=True, slots=True)
class Told:
    """What stands now; record: the verdict it was taken from, None where nobody has judged this case."""

    word: Word
    reasons: tuple[str, ...]
    record: VerdictRecord | None


def told(records: Iterable[VerdictRecord], case: Case, now_ms: int) -> Told:
    """The last verdict about this case. Without a fresh one it is `continue`: no evidence is never a pass."""
    last = _last(records, case)
    if last is None:
        return Told("continue", ("no verdict about this candidate yet; does a comparator run?",), None)
    age_s = (now_ms - last.at_ms) / 1_000
    if age_s > STALE_S:
        old = f"the last verdict ({last.word}) is {age_s:.0f} s old, the limit is {STALE_S:g} s; does a comparator run?"
        return Told("continue", (old,), last)
    return Told(last.word, last.reasons, last)


def told_aborted(records: Iterable[VerdictRecord], case: Case, why: str) -> Told:
    """Of a candidate that was taken back: `abort`, whatever the last verdict had said. why: as `why_aborted` has it."""
    return Told("abort", (why,), _last(records, case))


def _last(records: Iterable[VerdictRecord], case: Case) -> VerdictRecord | None:
    wanted = case.candidate.id, case.against.id, case.watched
    return next(iter([each for each in records if (each.deployment, each.against, each.watched) == wanted][-1:]), None)
