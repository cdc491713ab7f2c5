"""One outcome against what both colors answered: is it the right one, for a reason that the logs justify? (P34)

Pure. `Problem`: something is wrong. `Blind`: what would decide is gone, so nobody can say (P35). None: it is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streambg.audit.answers import Answer, State
from streambg.audit.route import Route
from streambg.audit.tally import Check, Kind
from streambg.records.outcome import Why
from streambg.records.source import COLORS, Color, other

# a finding shows enough of a value to recognise it
SHOWN_BYTES = 80
NONE, LATE = "none", "late"


@dataclass(frozen=True, slots=True)
class Problem:
    """What was expected, and what stands there."""

    kind: Kind
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Blind:
    """What this check would need to judge it is gone."""

    check: Check


Judgement = Problem | Blind | None


@dataclass(frozen=True, slots=True)
class Case:
    """What is known about one event under one route.

    chosen_why: why this color was to answer, for the finding. time_ms: when the outcome was written by the broker's
    clock or the publisher's; None where its timestamp says nothing.
    """

    route: Route
    chosen: Color
    chosen_why: str
    answers: Mapping[Color, Answer]
    time_ms: int | None


def judge_output(case: Case, color: Color, why: Why, value: bytes) -> Judgement:
    """A published record: `color` answered with `value`, and says `why`."""
    route, chosen = case.route, case.chosen
    if why == "route":
        if color != chosen:
            return Problem(Kind.WRONG_COLOR, f"{chosen} ({case.chosen_why})", f"{color}, marked `route`")
        return judge_value(case.answers[color], color, value)
    if color == chosen:
        return _unjustified(f"`route`: {chosen} was chosen ({case.chosen_why})", f"{color}, marked `{why}`")
    if not route.may_stand_in(chosen):
        return _unjustified(f"no answer of {color} in place of {chosen}'s at epoch {route.epoch} (P16)", f"`{why}`")
    reason = _reason(case, why)
    return reason if reason is not None else judge_value(case.answers[color], color, value)


def _reason(case: Case, why: Why) -> Judgement:
    answer, chosen = case.answers[case.chosen], case.chosen
    if answer.state is State.UNKNOWN:
        return Blind(Check.ANSWER)
    if why == "late":
        return _late(answer, chosen, case.route.deadline(chosen), case.time_ms)
    justified = answer.state is State.ERROR if why == "error" else _unanswered(case, chosen)
    return None if justified else _unjustified(f"`{why}` only if {chosen} has none", f"{chosen}: {_told(answer)}")


def _unanswered(case: Case, color: Color) -> bool:
    """P9: a missing row says so for a candidate; of live it says that the event is not in the input."""
    state = case.answers[color].state
    return state is State.UNANSWERED or (state is State.NO_ROW and color != case.route.live.color)


def _no_event(case: Case, color: Color) -> bool:
    """P9: live's complete batch has no row, so it is not in the input."""
    return case.answers[color].state is State.NO_ROW and color == case.route.live.color


def _late(answer: Answer, color: Color, deadline_ms: int | None, time_ms: int | None) -> Judgement:
    """P34: it may not have stood in the log longer than the deadline when the outcome was written."""
    if deadline_ms is None:
        return _unjustified(f"{color} is waited for without end", "`late`")
    if answer.state is State.UNKNOWN:
        return Blind(Check.ANSWER)
    if answer.state is State.NEVER:
        return None
    if time_ms is None or answer.since_ms is None:
        return Blind(Check.LATE)
    stood = time_ms - answer.since_ms
    if stood <= deadline_ms:
        return None
    return _unjustified(
        f"`late` only if {color}'s answer stood in the log for at most {deadline_ms} ms", f"it stood for {stood} ms"
    )


def judge_value(answer: Answer, color: Color, value: bytes) -> Judgement:
    """Are these the bytes that the color answered?"""
    if answer.state is State.UNKNOWN:
        return Blind(Check.ANSWER)
    if answer.state is not State.OK:
        return Problem(Kind.WRONG_VALUE, f"nothing of {color}: {_told(answer)}", _short(value))
    return None if answer.value == value else Problem(Kind.WRONG_VALUE, _short(answer.value), _short(value))


def judge_letter(case: Case, said_chosen: Color, reasons: Mapping[str, str]) -> Judgement:
    """A dead letter: neither color could be published, and `reasons` says why for both (P17)."""
    chosen = case.chosen
    if said_chosen != chosen:
        expected = f"{chosen} ({case.chosen_why})"
        return Problem(Kind.WRONG_COLOR, expected, f"a dead letter that says {said_chosen} was chosen")
    if set(reasons) != set(COLORS):
        return _unjustified("a dead letter with the reasons of both colors", f"reasons of {sorted(reasons)}")
    if all(reasons[color] == LATE and not _is_own_error(case.answers[color], LATE) for color in COLORS):
        return _unjustified("a dead letter by the answer of one color at least (P18)", "`late` of both")
    judgement = _chosen_failed(case, reasons[chosen])
    return judgement if judgement is not None else _stand_in_failed(case, reasons[other(chosen)])


def _chosen_failed(case: Case, said: str) -> Judgement:
    chosen, answer = case.chosen, case.answers[case.chosen]
    if answer.state is State.UNKNOWN:
        return Blind(Check.ANSWER)
    if _is_own_error(answer, said) or (said == NONE and _unanswered(case, chosen)):
        return None
    if said == LATE and not _no_event(case, chosen) and case.route.may_stand_in(chosen):
        return _late(answer, chosen, case.route.deadline(chosen), case.time_ms)
    return _unjustified(f"a dead letter only if {chosen} failed", f"{chosen}: {_told(answer)}; reason given: {said!r}")


def _stand_in_failed(case: Case, said: str) -> Judgement:
    color = other(case.chosen)
    answer = case.answers[color]
    allowed = case.route.may_stand_in(case.chosen)
    if _is_own_error(answer, said):
        return None
    if said == NONE and (not allowed or _unanswered(case, color)):
        return None
    if answer.state is State.UNKNOWN:
        return Blind(Check.ANSWER)
    if said == LATE and not _no_event(case, color):
        return _late(answer, color, case.route.patience(color), case.time_ms)
    standing = "may stand in" if allowed else "may not stand in"
    return _unjustified(
        f"the reason why {color} ({standing}) did not answer", f"{color}: {_told(answer)}; reason given: {said!r}"
    )


def may_be_letter(case: Case) -> bool:
    """Could this event have ended as a dead letter? Asked where dead letters have expired (P35).

    Nobody knows when it was decided, so an answer that may have been late is no proof that it was there.
    """
    route, chosen = case.route, case.chosen
    answer, stand_in = case.answers[chosen], case.answers[other(chosen)]
    if _no_event(case, chosen):
        return False
    if not route.may_stand_in(chosen):
        return answer.state is not State.OK
    if stand_in.state is State.UNKNOWN:
        return True
    if answer.state is State.OK:
        return route.deadline(chosen) is not None and stand_in.state is State.ERROR
    if stand_in.state is State.OK:
        late = answer.state is State.ERROR and route.patience(other(chosen)) is not None
        return late or answer.state is State.UNKNOWN
    return True


def _is_own_error(answer: Answer, said: str) -> bool:
    return answer.state is State.ERROR and answer.value.decode("utf-8", "replace") == said


def _unjustified(expected: str, found: str) -> Problem:
    return Problem(Kind.UNJUSTIFIED, expected, found)


def _told(answer: Answer) -> str:
    match answer.state:
        case State.OK:
            return f"answered {_short(answer.value)}"
        case State.ERROR:
            return f"error row {_short(answer.value)}"
        case State.NO_ROW:
            return "no row in a complete batch"
        case State.UNANSWERED:
            return "unanswered"
        case State.NEVER:
            return "not covered"
        case State.UNKNOWN:
            return "expired"


def _short(value: bytes) -> str:
    text = repr(value[:SHOWN_BYTES])
    return text if len(value) <= SHOWN_BYTES else f"{text}... ({len(value)} bytes)"
