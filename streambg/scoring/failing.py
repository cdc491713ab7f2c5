"""When to say that a model fails on events: at its first error, then now and again with how many it were. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streambg.records.batch import ERROR, Batch

# Often enough to see whether it goes on, seldom enough for a log that a person reads.
AGAIN_S = 60.0
# How the reasons of error rows begin that are the model's own (models/answering.py); the others are the event's.
OF_MODEL = b"model"


@dataclass(frozen=True, slots=True)
class Fails:
    """errors of `events` answered by this deployment since it was said last; reason: of the first of them."""

    deployment: int
    errors: int
    events: int
    reason: str


class Failing:
    """One process's, from session to session."""

    def __init__(self) -> None:
        self._deployment: int | None = None
        self._said_at = float("-inf")
        self._errors = self._events = 0
        self._reason = ""

    def scored(self, batch: Batch, now: float) -> Fails | None:
        """What to say now, `now` of a monotonic clock in seconds; None: nothing."""
        if batch.deployment != self._deployment:
            self._deployment, self._said_at = batch.deployment, float("-inf")
            self._forget()
        self._events += len(batch)
        reasons = [batch.values[at] for at in np.flatnonzero(batch.statuses == ERROR).tolist()]
        own = [reason for reason in reasons if reason.startswith(OF_MODEL)]
        if own:
            self._errors += len(own)
            self._reason = self._reason or own[0].decode(errors="replace")
        if not self._errors or now - self._said_at < AGAIN_S:
            return None
        found = Fails(batch.deployment, self._errors, self._events, self._reason)
        self._said_at = now
        self._forget()
        return found

    def _forget(self) -> None:
        self._errors = self._events = 0
        self._reason = ""
