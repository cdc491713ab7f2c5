"""The verdicts topic as others read it: what the last verdict about the pair in force says now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streambg.comparing.judge import STALE_S
from streambg.comparing.judging import Case
from streambg.comparing.site import ClientConfig
from streambg.deciding.record import VerdictRecord, decode
from streambg.deciding.verdict import Word
from streambg.kafka.newest import read_newest

# The judge writes a verdict every 30 s and at every change: these are the last minutes.
TAIL = 50


@dataclass(frozen=True, slots=True)
class Told:
    """What stands now; record: the verdict it was taken from, None where nobody has judged this case."""

    word: Word
    reasons: tuple[str, ...]
    record: VerdictRecord | None


def read_verdicts(reader: ClientConfig, topic: str) -> list[VerdictRecord]:
    """The last ones, oldest first; what is no verdict is passed over. Raises Unreachable, Denied, UpgradeFirst."""
    return list(_decoded(event.value for event in read_newest(reader, topic, 1, TAIL)))


def _decoded(values: Iterable[bytes | None]) -> Iterator[VerdictRecord]:
    for value in values:
        try:
            yield decode(value or b"")
        except ValueError:  # msgspec's errors are ValueErrors
            continue


def told(records: Iterable[VerdictRecord], case: Case, now_ms: int) -> Told:
    """The last verdict about this case. Without a fresh one it is `continue`: no evidence is never a pass."""
    wanted = case.candidate.id, case.against.id, case.watched
    found = [each for each in records if (each.deployment, each.against, each.watched) == wanted]
    if not found:
        return Told("continue", ("no verdict about this candidate yet; does a comparator run?",), None)
    last = found[-1]
    age_s = (now_ms - last.at_ms) / 1_000
    if age_s > STALE_S:
        old = f"the last verdict ({last.word}) is {age_s:.0f} s old, the limit is {STALE_S:g} s; does a comparator run?"
        return Told("continue", (old,), last)
    return Told(last.word, last.reasons, last)
