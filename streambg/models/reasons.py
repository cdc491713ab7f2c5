"""Why an event has no answer, as the value of its error row."""

from __future__ import annotations

import re

# Long enough for a sentence with a number in it; 1,000 of them fill half a prediction batch.
MAX_REASON_BYTES = 256

# What a team's code raises is about its events. `sys.exit()` in a model would else end a verb with that code, as if all
# was well, or a scorer as if we had meant it.
RAISES = (Exception, SystemExit)

# object addresses differ between processes; a replay must say the same bytes
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def reason_bytes(text: str) -> bytes:
    """One line, at most MAX_REASON_BYTES of UTF-8, the same in every process."""
    line = _ADDRESS.sub("", " ".join(text.split())).encode("utf-8", "replace")
    if len(line) <= MAX_REASON_BYTES:
        return line
    return line[: MAX_REASON_BYTES - 3].decode("utf-8", "ignore").encode() + b"..."


def words(error: BaseException) -> str:
    """What an exception of foreign code says; it may fail even at that."""
    try:
        return str(error)
    except RAISES:  # foreign code again
        return "(it cannot say why)"
