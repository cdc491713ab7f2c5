"""Named places where a fault test may end the process or its session; armed by the environment, else nothing happens.

STREAMBG_CRASH="after-flush:3" ends the process at once, without any cleaning up, the third time it comes by;
"session-end:0.01" ends one session in a hundred behind a commit. Several are parted by commas.
"""

from __future__ import annotations

import os
import random

from streambg.errors import ConfigError, SessionEnded

VARIABLE = "STREAMBG_CRASH"
SESSION_END = "session-end"
EXIT_CODE = 86  # no other exit code of ours, so that a test knows its own doing
SITES = (
    "fenced-the-dead",
    "initialised",
    "positions-read",
    "taken-up",
    "before-produce",
    "after-produce",
    "before-flush",
    "after-flush",
    "before-offsets",
    "after-offsets",
    "before-commit",
    "after-commit",
)


class Crash:
    """What is armed. Raises ConfigError for a text that names no place: a fault that never happens proves nothing."""

    def __init__(self, text: str) -> None:
        self._left: dict[str, int] = {}
        self._share = 0.0
        self._random = random.Random()
        for part in filter(None, text.split(",")):
            site, _, number = part.partition(":")
            try:
                if site == SESSION_END:
                    self._share = float(number)
                elif site in SITES:
                    self._left[site] = int(number)
                else:
                    raise ValueError
            except ValueError:
                raise ConfigError(
                    f"{VARIABLE}: {part!r} is no place and count", way_out=f"one of {', '.join(SITES)}, {SESSION_END}"
                ) from None

    def at(self, site: str) -> None:
        """The process comes by."""
        if site in self._left:
            self._left[site] -= 1
            if self._left[site] <= 0:
                os._exit(EXIT_CODE)

    def behind_a_commit(self) -> None:
        """Raises SessionEnded for the share that is armed."""
        if self._share and self._random.random() < self._share:
            raise SessionEnded(f"ended on purpose ({VARIABLE})")


CRASH = Crash(os.environ.get(VARIABLE, ""))
