"""One event as a value: what went in, what both colors said, what came out, and its status in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from streambg.control.state import Deployment
from streambg.looking.answers import Held, Search
from streambg.looking.why import Choice, Reply, Why
from streambg.looking.words import as_fields, show, show_time
from streambg.records.batch import Carried
from streambg.records.outcome import DeadLetter, Outcome
from streambg.records.source import COLORS, Color, Source

Status = Literal[
    "published",
    "dead letter",
    "waiting",  # an event that is not settled yet
    "beyond the end",  # no such event yet
    "below the origin",  # the pipeline's guarantee begins above
    "expired",  # settled; its record or its outcome is no longer kept
    "no event",  # settled: a transaction marker, or a record that compaction removed
    "not deployed",
    "lost",  # settled, and no outcome: what must never be
]


@dataclass(frozen=True, slots=True)
class Given:
    """The input record. time_ms: the producer's, since 1970."""

    key: bytes | None
    value: bytes | None
    time_ms: int


@dataclass(frozen=True, slots=True)
class Row:
    """One color's row for the event. value: what would be published, or the reason of an error. spent_us, rows: of
    the whole batch.
    """

    ok: bool
    key: bytes | None
    value: bytes
    scores: tuple[float, ...]
    carry: Mapping[str, Carried]
    scored_at: int
    spent_us: int
    rows: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What one color said. replaced: batches of the deployment before, which hold the event too (P12)."""

    deployment: Deployment | None
    reply: Reply
    search: Search | None = None
    replaced: tuple[Held, ...] = ()
    row: Row | None = None

    @property
    def held(self) -> tuple[Held, ...]:
        return (*self.replaced, *(self.search.held if self.search else ()))


@dataclass(frozen=True, slots=True)
class Published:
    """The output record."""

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    header: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Letter:
    """The dead letter, and where it stands."""

    offset: int
    time_ms: int
    key: bytes | None
    letter: DeadLetter


@dataclass(frozen=True, slots=True)
class Span:
    """The source offsets that one epoch decides: from its cutover to the next one's, None while it is the last."""

    epoch: int
    first: int
    upto: int | None


@dataclass(frozen=True, slots=True)
class Reached:
    """How far its partition has come. input: (first, end) offset; covered: each color's answers, as its log ends."""

    input: tuple[int, int]
    origin: int
    settled: int | None
    covered: Mapping[Color, int | None]


@dataclass(frozen=True, slots=True)
class Event:
    """All that the topics say of one event. `given` None: not (or no longer) in the input.

    superseded: what was published of it again on commands (P36), the last one counts.
    """

    source: Source
    status: Status
    why: Why
    reached: Reached
    given: Given | None = None
    span: Span | None = None
    choice: Choice | None = None
    answers: Mapping[Color, Answered] | None = None
    outcome: Published | Letter | None = None
    superseded: tuple[Published, ...] = ()

    @property
    def input_words(self) -> str:
        """Why there is no input record to show."""
        low, high = self.reached.input
        if self.source.offset < low:
            return f"expired by retention: the input's partition begins at {low}"
        if self.source.offset >= high:
            return f"not written yet: the input's partition ends at {high}"
        return "no record: a transaction marker, or removed by compaction"


def status_words(event: Event) -> str:
    """What became of it, in one line."""
    if event.superseded:
        last = event.superseded[-1].outcome
        return f"{_status_words(event)}; superseded: {last.color} {last.model} under epoch {last.epoch}"
    return _status_words(event)


def _status_words(event: Event) -> str:
    at, reached = event.source.offset, event.reached
    match event.status:
        case "published" if isinstance(event.outcome, Published):
            outcome = event.outcome.outcome
            return f"published: {outcome.color} {outcome.model} under epoch {outcome.epoch}, {outcome.why}"
        case "dead letter" if isinstance(event.outcome, Letter):
            return f"a dead letter under epoch {event.outcome.letter.epoch}"
        case "waiting":
            before = at - (reached.settled if reached.settled is not None else reached.origin - 1) - 1
            first = f"; {before:,} before it come first" if before else ""
            return f"not settled yet: settled is {_number(reached.settled)}{first}"
        case "beyond the end":
            end = reached.input[1]
            last = f"the partition's last event is {end - 1}" if end > reached.input[0] else "the partition is empty"
            return f"not there yet: {last}"
        case "below the origin":
            return f"never owed: the pipeline began at {reached.origin} in this partition (P27)"
        case "expired":
            return f"settled (settled is {reached.settled}); what came of it is no longer kept"
        case "no event":
            return f"no event: settled is {reached.settled}, and the input has no record there"
        case "not deployed":
            return "nothing is deployed: nobody answers"
        case _:
            return f"ATTENTION: settled is {reached.settled}, and it has no outcome"


def _number(settled: int | None) -> str:
    return "nothing" if settled is None else str(settled)


def as_json(event: Event, *, full: bool) -> dict[str, Any]:
    """Everything, keys stable. full: values as they are; else masked and cut as on the terminal."""
    reached = event.reached
    return {
        "source": str(event.source),
        "status": event.status,
        "says": status_words(event),
        "why": event.why.text,
        "doubt": event.why.doubt or None,
        "input": _given(event, full),
        "epoch": event.span.epoch if event.span else None,
        "cutover": {"first": event.span.first, "upto": event.span.upto} if event.span else None,
        "route": _choice(event.choice),
        "answers": {color: _answered(event.answers[color], full) for color in COLORS} if event.answers else None,
        "outcome": _outcome(event.outcome, full),
        "superseded": [_outcome(each, full) for each in event.superseded],
        "partition": {
            "input_first": reached.input[0],
            "input_end": reached.input[1],
            "origin": reached.origin,
            "settled": reached.settled,
            "covered": dict(reached.covered),
        },
    }


def _bytes(name: str, data: bytes | None, full: bool) -> dict[str, str | None]:
    return as_fields(name, data) if full or data is None else {name: show(data)}


def _given(event: Event, full: bool) -> dict[str, Any]:
    given = event.given
    if given is None:
        return {"gone": event.input_words}
    return {
        **as_fields("key", given.key),
        **_bytes("value", given.value, full),
        "bytes": len(given.value) if given.value is not None else None,
        "time": show_time(given.time_ms),
    }


def _choice(choice: Choice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    return {
        "epoch": choice.epoch,
        "live": choice.live,
        "weight": choice.weight,
        "bucket": choice.bucket,
        "chosen": choice.chosen,
    }


def _answered(answered: Answered, full: bool) -> dict[str, Any]:
    deployment, row = answered.deployment, answered.row
    return {
        "deployment": deployment.id if deployment else None,
        "model": deployment.model if deployment else None,
        "digest": deployment.digest if deployment else None,
        "said": answered.reply.said,
        "reason": answered.reply.reason or None,
        **(_bytes("value", row.value, full) if row and row.ok else {"value": None}),
        "scores": list(row.scores) if row and row.ok else None,
        "carry": dict(row.carry) if row else None,
        "scored_at": show_time(row.scored_at) if row else None,
        "batches": [
            {
                "log_offset": held.log_offset,
                "deployment": held.head.deployment,
                "after": held.head.after,
                "upto": held.head.upto,
                "sample": held.head.sample,
                "verdict": held.verdict.value,
            }
            for held in answered.held
        ],
    }


def _outcome(outcome: Published | Letter | None, full: bool) -> dict[str, Any] | None:
    if outcome is None:
        return None
    at = {"offset": outcome.offset, "time": show_time(outcome.time_ms), **as_fields("key", outcome.key)}
    if isinstance(outcome, Letter):
        letter = outcome.letter
        said = {"epoch": letter.epoch, "chosen": letter.chosen, "reasons": dict(letter.reasons)}
        return {"kind": "dead letter", **at, **said}
    stamped = outcome.outcome
    told = {"epoch": stamped.epoch, "color": stamped.color, "model": stamped.model, "why": stamped.why}
    return {"kind": "output", **at, **told, **_bytes("value", outcome.value, full), "header": outcome.header}
