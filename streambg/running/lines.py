"""A child's log line as people read it: its JSON as a sentence, its label in the color of its work. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from rich.text import Text

# Fields that the label or the front of the line says already.
_SAID = frozenset({"event", "level", "timestamp", "logger", "process", "pipeline"})
# Orders to a terminal (hide the cursor, move it) are not for one that several processes share.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
_LEVEL_STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "bold red", "critical": "bold red"}
_LABEL_STYLES = (
    ("blue", "bold blue"),
    ("green", "bold green"),
    ("publisher", "bold magenta"),
    ("comparator", "cyan"),
    ("controller", "yellow"),
)


def labelled(name: str, line: str, width: int) -> Text:
    """`scorer.blue | 21:03:04 model loaded  model=fraud:8`; `width` is that of the longest name."""
    level, text = readable(line)
    return Text.assemble((f"{name:<{width}} | ", label_style(name)), (text, _LEVEL_STYLES.get(level, "")))


def label_style(name: str) -> str:
    """How a process's label is shown."""
    return next((style for part, style in _LABEL_STYLES if part in name), "bold")


def readable(line: str) -> tuple[str, str]:
    """(level, text) of a log line; what is no JSON of ours stays as it is, with the level `info`."""
    line = _ESCAPES.sub("", line)
    try:
        fields = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return "info", line
    level = str(fields.get("level", "info"))
    shown = [f"{key}={_value(value)}" for key, value in fields.items() if key not in _SAID]
    clock = str(fields.get("timestamp", ""))[11:19]
    front = " ".join(part for part in (clock, level if level != "info" else "", fields["event"]) if part)
    return level, "  ".join([front, " ".join(shown)]) if shown else front


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return json.dumps(text) if " " in text and isinstance(value, str) else text
