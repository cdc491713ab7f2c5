"""Why this answer went out, or what an event waits for, in words a person understands. Pure.

What is chosen follows from the control state and the bucket (P15); what happened from the outcome. Where the two do
not fit each other the sentence says so: the audit is who judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from streambg.config.values import show_duration, show_weight
from streambg.control.state import ControlState
from streambg.publishing import table
from streambg.publishing.table import Act, Side
from streambg.records.outcome import GIVEN_UP, DeadLetter, Outcome
from streambg.records.source import COLORS, Color, other

# sampled, later: unanswered by P9, because it scored a sample then, or its answers begin above
Said = Literal["ok", "error", "missing", "sampled", "later", "not yet", "gone", "none"]
_STATES = {
    "ok": table.OK,
    "error": table.ERROR,
    "missing": table.MISSING,
    "sampled": table.SAMPLED,
    "later": table.SAMPLED,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose answer the route asks for, at one epoch. `bucket` None: nobody knows the key it is made of."""

    epoch: int
    live: Color
    weight: int
    candidate: bool  # does the other color hold a candidate?
    bucket: int | None

    @property
    def chosen(self) -> Color | None:
        """None where the weight decides and the bucket is not known."""
        if not self.weight or not self.candidate:
            return self.live
        if self.bucket is None:
            return None
        return other(self.live) if self.bucket < self.weight else self.live

    def words(self) -> str:
        """`green was chosen: bucket 412 < weight 1000 (10 %) at epoch 5`."""
        second = other(self.live)
        if not self.candidate:
            return f"{self.live} was chosen: it is live at epoch {self.epoch}, and there is no candidate"
        if not self.weight:
            return f"{self.live} was chosen: it is live at epoch {self.epoch}, and {second}'s weight is 0"
        weight = f"weight {self.weight} ({show_weight(self.weight)}) at epoch {self.epoch}"
        if self.bucket is None:
            return f"{weight} decides, and the event's bucket is not known: neither its key nor a prediction is left"
        relation = "<" if self.bucket < self.weight else ">="
        return f"{self.chosen} was chosen: bucket {self.bucket} {relation} {weight}"


@dataclass(frozen=True, slots=True)
class Reply:
    """One color's answer to the event, as the sentence needs it. `reason`: of an error row."""

    said: Said
    reason: str = ""

    def words(self, color: Color) -> str:
        match self.said:
            case "ok":
                return f"{color} answered"
            case "error":
                return f"{color} has an error: {self.reason}"
            case "missing":
                return f"{color} has no row for it"
            case "sampled":
                return f"{color} did not answer it: it scored a sample then"
            case "later":
                return f"{color} did not answer it: its answers begin later"
            case "none":
                return f"{color} has no deployment"
            case "gone":
                return f"{color}'s predictions of that time are no longer kept"
            case _:
                return f"{color} has not answered yet"


Replies = dict[Color, Reply]


@dataclass(frozen=True, slots=True)
class Why:
    """The sentence; and what does not fit it, for the audit to judge."""

    text: str
    doubt: str = ""


def choice_of(state: ControlState, bucket: int | None) -> Choice | None:
    """None where nothing is deployed."""
    if state.live is None:
        return None
    candidate = state.candidate is not None
    return Choice(state.epoch, state.live, state.weight if candidate else 0, candidate, bucket)


def published(outcome: Outcome, choice: Choice | None, replies: Replies, state: ControlState) -> Why:
    """Why the output record holds this color's answer."""
    color = outcome.color
    if outcome.why == "supersedes":
        return Why(f"{color}'s answer was published again on a recorded command")
    if choice is None:
        return Why(f"{color} was published", f"the control log names no live color at epoch {outcome.epoch}")
    if outcome.why == "route":
        wrong = choice.chosen not in (None, color)
        doubt = f"the route of epoch {choice.epoch} chooses {choice.chosen}, {color} was published" if wrong else ""
        return Why(choice.words(), doubt)
    passed = other(color)
    reply = replies[passed]
    match outcome.why:
        case "absent":
            detail = (
                reply.words(passed) if reply.said in ("missing", "sampled", "later") else f"{passed} did not answer it"
            )
        case "error":
            detail = reply.words(passed) if reply.said == "error" else f"{passed}'s answer was an error"
        case _:
            detail = f"{passed}'s answer did not come {_within(state, passed)}"
    doubt = f"`{outcome.why}`, but {passed} was not chosen" if choice.chosen == color else ""
    return Why(f"{color} instead of {passed}: {outcome.why}; {detail}; {choice.words()}", doubt)


def dead(letter: DeadLetter, choice: Choice | None) -> Why:
    """Why nobody's answer was published."""
    chosen, second = letter.chosen, other(letter.chosen)
    if letter.reasons.get(chosen) == GIVEN_UP:
        return Why(f"it was given up: a recorded `accept-gap`, settled under epoch {letter.epoch}; nobody was asked")
    said = letter.reasons.get(second, "none")
    match said:
        case "none":
            rest = f"{second} was not allowed to stand in, or did not answer it"
        case "late":
            rest = f"{second}'s answer did not come in time"
        case _:
            rest = f"{second}'s answer is an error as well: {said}"
    own = letter.reasons.get(chosen, "none")
    reason = f"{chosen} could not answer: {own}" if own not in ("none", "late") else f"{chosen} did not answer ({own})"
    if choice is None:
        return Why(f"{reason}; {rest}", f"the control log names no live color at epoch {letter.epoch}")
    wrong = choice.chosen not in (None, chosen)
    doubt = f"the route of epoch {choice.epoch} chooses {choice.chosen}, the letter says {chosen}" if wrong else ""
    return Why(f"{reason}; {rest}; {choice.words()}", doubt)


def waiting(choice: Choice, replies: Replies, state: ControlState, *, first: bool) -> str:
    """What the publisher still needs for an event (P14-P18). first: it is the next one to settle."""
    if choice.chosen is None or any(reply.said == "gone" for reply in replies.values()):
        return "; ".join(replies[color].words(color) for color in COLORS)
    live, second = choice.live, other(choice.live)
    act = _act(choice, replies, state)
    match act:
        case Act.WAIT_LIVE:
            return f"it waits for {live}'s answer{_limit(state, live)}; {replies[second].words(second)}"
        case Act.WAIT_OTHER:
            return f"it waits for {second}'s answer{_limit(state, second)}; {replies[live].words(live)}"
        case Act.SKIP:
            return f"{live} says it is no event of the input: it will be passed"
        case Act.DEAD:
            return "nobody can answer it: it will be a dead letter"
        case _:
            color = live if act == Act.LIVE else second
            then = "the publisher's next transaction writes it" if first else "it goes out in its turn"
            return f"{color}'s answer is there: {then}"


def _act(choice: Choice, replies: Replies, state: ControlState) -> Act:
    """The publisher's own table (P14-P17), before any deadline has fired."""
    second = other(choice.live)
    deployment = state.other_deployment
    # P15, P16: where the other color plays no part, its answer counts as missing
    counts = deployment is not None and deployment.answers and (choice.weight > 0 or state.fallback_to_other)
    theirs = _STATES.get(replies[second].said, table.UNKNOWN) if counts else table.MISSING
    if theirs == table.SAMPLED:
        theirs = table.MISSING  # a candidate's missing row is `unanswered` in any case (P9)
    late: frozenset[tuple[Side, str]] = frozenset()
    acts, _ = table.lookup(state.fallback_to_other and counts, late)
    code = table.case(
        np.array([choice.chosen != choice.live]),
        np.array([_STATES.get(replies[choice.live].said, table.UNKNOWN)]),
        np.array([theirs]),
    )
    return Act(int(acts[code][0]))


def _limit(state: ControlState, color: Color) -> str:
    limit = _late_ms(state, color)
    return f" ({show_duration(limit)} at most)" if limit is not None else " (for as long as it takes)"


def _within(state: ControlState, color: Color) -> str:
    limit = _late_ms(state, color)
    return f"within {show_duration(limit)}" if limit is not None else "in time"


def _late_ms(state: ControlState, color: Color) -> int | None:
    if state.rules is None:
        return None
    return state.rules.late_live_ms if color == state.live else state.rules.late_candidate_ms
