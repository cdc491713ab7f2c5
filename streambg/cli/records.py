"""Records of the control log as `history` and `rollout history` print them."""

from __future__ import annotations

from rich.text import Text

from streambg.control.fold import Entry
from streambg.printing import Paragraph, moment


def record_lines(entry: Entry, what: str, then: str) -> Paragraph:
    """When, what and what became of it; under it who said it and why.

    then: behind an accepted one, what it led to. Print it with `crop=False`.
    """
    refusal = entry.refusal or "refused"
    outcome = Text(f"accepted{then}", "green") if entry.accepted else Text(f"refused: {refusal}", "red")
    envelope = entry.envelope
    said = f"\nby {envelope.actor}{f': {envelope.reason}' if envelope.reason else ''}" if envelope else ""
    head = f"{entry.offset:>6}  {moment(entry.appended_ms)}  {what}  "
    return Paragraph(head, outcome, said, indent=8)
