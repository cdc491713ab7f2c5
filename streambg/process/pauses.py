"""How long a process waits before it begins its next session. Pure."""

from __future__ import annotations

# A session that ended starts over at once; one that ends again and again waits longer, up to the time in which a
# broker restart is noticed anyway.
FIRST_S = 0.05
LONGEST_S = 2.0


class Pauses:
    """Doubling, and from the beginning again after a session that lasted longer than the longest pause.

    So who works between two ends waits for a fortieth of that time at most: where a link broke every few seconds (row
    C7), pauses that grew until a session had lasted 10 s took a third of the throughput.
    """

    def __init__(self) -> None:
        self._next = FIRST_S

    def after(self, lasted_s: float) -> float:
        """The pause behind a session that lasted so long, seconds."""
        if lasted_s > LONGEST_S:
            self._next = FIRST_S
        pause, self._next = self._next, min(2 * self._next, LONGEST_S)
        return pause
