"""How many events a poll takes: as many as the model answers in a few seconds. Pure."""

from __future__ import annotations

# A turn of a scorer's loop takes no longer: a fifth of max.poll.interval.ms (15 s), after which the group gives the
# member's partitions away.
TURN_S = 3.0
# One poll fills one batch of a busy partition (MAX_ROWS), and the answers of a poll stay small in memory.
MOST = 1_000


def following(limit: int, events: int, seconds: float) -> int:
    """The limit of the next poll, where one with this limit brought so many events, answered in so many seconds.

    A session begins with one event and doubles while the model is fast (ten polls), so that a slow one is known before
    it costs the session.
    """
    affordable = int(events * TURN_S / seconds) if seconds > 0 else MOST
    return max(1, min(MOST, 2 * limit, affordable))
