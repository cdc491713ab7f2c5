"""What becomes of a child that ended by itself: started again, or left with a word on what to do. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

# A child that was killed comes back at once: an answer waits for it, and one try costs nothing.
FIRST_DELAY = 0.1
# A broker that is restarted is back within seconds; longer waits only make a pipeline late.
LONGEST_DELAY = 10.0
# A process that lived this long has started: what ended it now is another fault than the one before.
LONG_LIFE = 30.0

# The exit codes (errors.py) that starting again cannot mend, and what can.
LEFT: dict[int, str] = {
    2: "mend the file, flag or topic that its last lines name, then start again",
    4: "the server said no: its last lines name the user and the right that is missing; grant it, then start again",
    7: "another process runs under its name: end that one, or give each its own --slot, then start again",
    8: "data that is owed is gone; a person decides: its last lines name the command that goes on",
    9: "the control log holds a newer format: upgrade streambg here, then start again",
}


@dataclass(frozen=True, slots=True)
class Again:
    """Start it again after `delay` seconds; `short_lives` counts its quick ends in a row."""

    delay: float
    short_lives: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Do not start it again; `way_out` says what a person does."""

    way_out: str


def after_end(code: int, lived: float, short_lives: int) -> Again | Leave:
    """`code` as Popen gives it (negative: a signal), `lived` seconds; the delay doubles with each quick end."""
    if code in LEFT:
        return Leave(LEFT[code])
    if lived >= LONG_LIFE:
        short_lives = 0
    # the exponent is capped, too: 2.0 ** 2000 is an error, not a long time
    return Again(min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(short_lives, 16)), short_lives + 1)


def words(code: int) -> str:
    """An exit code for people: `signal SIGKILL`, `exit code 3`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
