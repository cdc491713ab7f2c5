"""The children's lines on the terminal, one writer at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from streambg.running.lines import labelled

_STYLES = {"info": "dim", "warning": "yellow", "error": "bold red"}


class Terminal:
    """Prints from any thread. When nobody reads any more (`| head`), `gone` is called instead."""

    def __init__(self, console: Console, width: int, gone: Callable[[], None]) -> None:
        self._console, self._width, self._gone = console, width, gone
        self._lock = threading.Lock()

    def line(self, name: str, text: str) -> None:
        """A line that a child wrote."""
        self._print(labelled(name, text, self._width))

    def say(self, name: str, text: str, level: str) -> None:
        """What the supervisor has to say about a child."""
        self._print(labelled(name, "", self._width).append(text, _STYLES[level]))

    def note(self, text: str) -> None:
        """What concerns them all."""
        self._print(Text(text))

    def _print(self, text: Text) -> None:
        with self._lock:
            try:
                self._console.print(text, soft_wrap=True, highlight=False)
            except BrokenPipeError:
                self._gone()
