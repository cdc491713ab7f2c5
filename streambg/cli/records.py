"""Records of the control log as `history` and `rollout history` print them."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from streambg.control.commands import Envelope
from streambg.control.fold import Entry
from streambg.control.state import FULL_WEIGHT
from streambg.printing import Paragraph, moment
from streambg.records.outcome import short_digest
from streambg.rollout.plan import Plan

# Of a command that was refused for it: why stands below.
UNREADABLE = "unreadable"


def record_lines(entry: Entry, what: str, then: str = "") -> Paragraph:
    """When, what became of it, and what it was; under it why it was refused, or what it led to, and who said it why.

    then: what an accepted one led to. Print it with `crop=False`.
    """
    outcome = Text("accepted", "green") if entry.accepted else Text("refused ", "red")
    more = [then if entry.accepted else f"refused: {entry.refusal}"]
    if entry.envelope is not None:
        reason = entry.envelope.reason
        more.append(f"by {entry.envelope.actor}{f': {reason}' if reason else ''}")
    below = "".join(f"\n{line}" for line in more if line)
    return Paragraph(f"{entry.offset:>6}  {moment(entry.appended_ms)}  ", outcome, f"  {what}", below, indent=8)


def args_of(envelope: Envelope) -> dict[str, Any]:
    """Without what is longer than all else together."""
    return {key: value for key, value in envelope.args.items() if key not in ("rules", "start", "output")}


def command_of(entry: Entry) -> str:
    """`promote candidate=5`; empty where the record is no command."""
    if entry.envelope is None:
        return ""
    # 0 equals False, and is a weight
    given = {key: value for key, value in args_of(entry.envelope).items() if value is not None and value is not False}
    return " ".join([entry.envelope.verb, *(f"{key}={_short(key, value)}" for key, value in given.items())])


def _short(key: str, value: Any) -> Any:
    """As people type it, or as tables show it; all of it is in the JSON. What was refused may be of any type."""
    match key, value:
        case _, bool():
            return value
        case (("weight" | "sample"), int()) if 0 <= value <= FULL_WEIGHT:
            return _percent(value)
        case "step", int():
            return value + 1  # people count from 1
        case "plan", str():
            return _plan(value)
        case (("digest" | "evidence"), str()):
            return short_digest(value)
        case "contract_change", list():
            return len(value)
        case "ranges", list():
            return _ranges(value)
    return value


def _percent(hundredths: int) -> str:
    return f"{hundredths / 100:g}%"


def _ranges(ranges: list[Any]) -> str:
    try:
        return ",".join(f"{each['partition']}@{each['first']}-{each['end'] - 1}" for each in ranges)
    except (KeyError, TypeError):
        return UNREADABLE


def _plan(text: str) -> str:
    """`0%,10%,50%,live`: its steps."""
    try:
        plan = Plan.from_text(text)
    except ValueError:
        return UNREADABLE
    return ",".join([*(_percent(step.weight) for step in plan.steps), *(["live"] if plan.promotes else [])])
