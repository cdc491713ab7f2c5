"""A terminal of 80 columns, on which nothing may be cut."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

WIDTH = 80


def shown(*things: Any) -> str:
    out = io.StringIO()
    console = Console(width=WIDTH, file=out)
    for thing in things:
        console.print(thing, crop=False)
    return whole(out.getvalue())


def whole(text: str, *words: str) -> str:
    """Nothing is cut; no line but one that is a single long word is wider than the terminal."""
    assert "\u2026" not in text
    for line in text.splitlines():
        assert len(line.rstrip()) <= WIDTH or len(line.split()) == 1, line
    assert not [word for word in words if word not in text]
    assert not [letter for letter in text if letter in "\u2500\u2501\u2502\u2503"], "no lines"
    return text
