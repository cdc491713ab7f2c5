"""What is printed for people: without lines, short, and nothing cut that must be copied, at 80 columns too. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Column, Table
from rich.text import Text


def plain_table(*columns: str) -> Table:
    """For short cells: what has no room goes on in the cell's next line, in the middle of a word where it must."""
    heads = (Column(Text(name), overflow="fold") for name in columns)
    return Table(*heads, box=None, pad_edge=False, padding=(0, 2, 0, 0))


class Paragraph:
    """Text that goes on in the next line between words only: an id, an event or an answer stays in one piece.

    Print it with `crop=False`: a word that is longer than the terminal is wide is then wrapped by the terminal.
    """

    def __init__(self, *parts: str | Text | tuple[str, str], indent: int = 2) -> None:
        """parts: text, or (text, style). indent: of every line but the first, in characters."""
        self._text = Text.assemble(*parts)
        self._indent = indent

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Text]:
        lines: list[Text] = []
        for part in self._text.split("\n", allow_blank=True):
            lines += part.divide(list(_breaks(part.plain, options.max_width, self._indent, first=not lines)))
        for number, line in enumerate(lines):
            line.rstrip()
            shown = Text(" " * self._indent if number else "", no_wrap=True, overflow="ignore")
            yield shown.append_text(line)


def _breaks(text: str, width: int, indent: int, *, first: bool) -> Iterator[int]:
    """Where its second line begins, and those behind it. first: it begins without the indent."""
    used = 0 if first else indent
    for found in re.finditer(r"\s*\S+", text):
        word = found[0].lstrip()
        if found.start() and used + cell_len(found[0]) > width:
            yield found.end() - len(word)
            used = indent + cell_len(word)
        else:
            used += cell_len(found[0])


def many(number: int, noun: str) -> str:
    """`1 warning`, `1,204 warnings`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moment(time_ms: int, *, fine: bool = False) -> str:
    """`2026-11-27 10:25:11 UTC`; fine: `2026-11-27 10:25:11.900 UTC`."""
    at = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return f"{at.replace(tzinfo=None).isoformat(' ', 'milliseconds' if fine else 'seconds')} UTC"
