"""The demo on screen: what happens and why, and the numbers of this moment; a panel on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

# Without a terminal a line of numbers is written this often: a minute's stream then fills half a screen.
LINE_S = 5.0
REFRESH = 4  # times a second


@dataclass(frozen=True, slots=True)
class Numbers:
    """Of this moment."""

    sent: int
    events: int
    outcomes: int
    blue: int
    green: int
    others: int
    letters: int
    agreement: float | None
    compared: int
    in_force: str

    def line(self) -> str:
        """On one line."""
        agreement = "" if self.agreement is None else f"; agreement {self.agreement:.3%} of {self.compared:,}"
        return (
            f"sent {self.sent:,} of {self.events:,}; published blue {self.blue:,}, green {self.green:,}, "
            f"dead letters {self.letters}, on their way {max(0, self.sent - self.outcomes):,}{agreement}"
        )


class Screen:
    """Notes from any thread. `numbers` is asked by the screen's own thread from `show` on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._numbers: Callable[[], Numbers] | None = None
        self._live: Live | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._lines, name="screen", daemon=True)

    def note(self, text: str, style: str = "") -> None:
        """What happens, with the seconds since the start."""
        with self._lock:
            line = Text.assemble((f"{time.monotonic() - self._began:6.1f} s  ", "dim"), (text, style))
            self._console.print(line, highlight=False, soft_wrap=True)

    def print(self, what: RenderableType) -> None:
        """A table or a text as it is."""
        with self._lock:
            self._console.print(what, highlight=False)

    def show(self, numbers: Callable[[], Numbers]) -> None:
        """From now on show the numbers, until `close`."""
        self._numbers = numbers
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._panel, console=self._console, refresh_per_second=REFRESH)
            self._live.start()
        else:
            self._thread.start()

    def close(self) -> None:
        """Show the numbers no more; notes still come. May be called twice."""
        self._stopped.set()
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._thread.is_alive():
            self._thread.join(LINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lines(self) -> None:
        while not self._stopped.wait(LINE_S):
            if self._numbers is not None:
                self.note(self._numbers().line(), "dim")

    def _panel(self) -> RenderableType:
        assert self._numbers is not None
        now = self._numbers()
        table = Table(box=None, padding=(0, 2), show_header=False)
        total = max(1, now.blue + now.green)
        table.add_row("stream", ProgressBar(now.events, now.sent, width=40), f"{now.sent:,} of {now.events:,} events")
        for color, count in (("blue", now.blue), ("green", now.green)):
            bar = ProgressBar(total, count, width=40, complete_style=color, finished_style=color)
            table.add_row(Text(color, color), bar, f"{count:,} published")
        agreement = "not compared yet" if now.agreement is None else f"{now.agreement:.3%} of {now.compared:,}"
        table.add_row("agreement", agreement, f"{now.others:,} in place of the other, {now.letters} dead letters")
        return Group(Text(""), Text(f"in force: {now.in_force}", "bold"), table)
