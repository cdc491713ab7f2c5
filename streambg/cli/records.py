"""Records of the control log as `history` and `rollout history` print them."""

from __future__ import annotations

from rich.text import Text

from streambg.control.fold import Entry
from streambg.printing import Paragraph, moment


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
