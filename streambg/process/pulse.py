"""Is a process well? What its loop says of sessions and turns, and what `/healthz` makes of it. Pure.

A session that ends is nothing: the next one starts over (P21). A process is unwell where it does not get around to its
work: it takes no turn (the broker is away, the control log is not read, a call or a model takes its time), or its
sessions end again and again.
"""

from __future__ import annotations

from typing import Any

# A session that lasted this long was a good one.
GOOD_SESSION_S = 10.0
# A turn takes a tenth of a second; taking partitions over, a broker that is slow to answer and a restart of the broker
# take less than this together.
LIMIT_S = 30.0


class Pulse:
    """Told by one thread, asked by any. Times are of the monotonic clock, seconds."""

    def __init__(self) -> None:
        self.sessions = 0
        self._ended: str | None = None
        self._began_at = float("-inf")
        self._turned_at = float("-inf")
        self._failing_since: float | None = None  # the first end by an error since the last good session

    def begins(self, now: float) -> None:
        """A session."""
        self.sessions += 1
        self._began_at = now

    def turns(self, now: float) -> None:
        """Its loop went around, with a view of the control log that is fresh (P6)."""
        self._turned_at = now
        if self._good(now):
            self._failing_since = None

    def ends(self, why: str | None, now: float) -> None:
        """why: the error it ended with; None: it did what it was there for."""
        self._ended = why
        if why is None or self._good(now):
            self._failing_since = None
        if why is not None and self._failing_since is None:
            self._failing_since = now

    def _good(self, now: float) -> bool:
        return now - self._began_at > GOOD_SESSION_S

    def unwell(self, now: float) -> str | None:
        """What is wrong, with the measured value and the limit; None: nothing is."""
        if self._turned_at == float("-inf"):
            return self._ended or "it is starting"
        if now - self._turned_at > LIMIT_S:
            said = f"its loop last went around {now - self._turned_at:.0f} s ago, the limit is {LIMIT_S:g} s"
            return f"{said}: {self._ended}" if self._ended else said
        if self._failing_since is not None and now - self._failing_since > LIMIT_S:
            return (
                f"for {now - self._failing_since:.0f} s no session has lasted {GOOD_SESSION_S:g} s, the limit is "
                f"{LIMIT_S:g} s: {self._ended}"
            )
        return None

    def report(self, now: float) -> dict[str, Any]:
        """For `/healthz`."""
        unwell, starting = self.unwell(now), self._turned_at == float("-inf")
        return {
            "ok": unwell is None,
            "unwell": unwell,
            "sessions": self.sessions,
            "session_ended": self._ended,
            "last_turn_s": None if starting else round(now - self._turned_at, 1),
        }
