"""What rows need of the machine beside what `make` installs: said before the first row, not after three quarters of an
hour.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from chaos.clocks import settable
from chaos.disk import small_disk
from streambg.errors import StreambgError


def lacking(rows: Collection[str]) -> Iterator[tuple[str, str]]:
    """(row, what it lacks and the way out) of those that cannot succeed here."""
    for row, need in NEEDS.items():
        if row in rows:
            try:
                need()
            except StreambgError as error:
                yield row, str(error)


def _compiler() -> None:
    with tempfile.TemporaryDirectory(prefix="streambg-clock-") as folder:
        settable(Path(folder))


def _mount() -> None:
    with small_disk():
        pass


NEEDS: dict[str, Callable[[], None]] = {"B7": _mount, "T1": _compiler}
