"""P8 and P12: how far a deployment's answers reach in one partition, as a pure fold of batches in log order.

Publisher, comparator, scorer and replay share this fold; the audit has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Take(Enum):
    """What the fold says of one batch."""

    ACCEPTED = "accepted"  # its rows above the old `covered` count
    REPEAT = "repeat"  # nothing new in it: a crashed scorer answered again
    HOLE = "hole"  # it begins above `covered`: not accepted, counted, alarmed


class Standing(Enum):
    """What a batch's deployment id means beside the log and the one in force (P12)."""

    IN_FORCE = "in force"
    REPLACED = "replaced"  # smaller than the one in force: dropped
    BLOCKED = "blocked"  # beyond the folded control log: wait, do not judge
    UNKNOWN = "unknown"  # folded past it, and the log names no such deployment for this color


def standing(deployment: int, in_force: int | None, folded: int) -> Standing:
    """P12. `folded` is the last control offset folded; `in_force` this color's deployment there."""
    if deployment == in_force:
        return Standing.IN_FORCE
    if deployment > folded:
        return Standing.BLOCKED
    if in_force is not None and deployment < in_force:
        return Standing.REPLACED
    return Standing.UNKNOWN


@dataclass(frozen=True, slots=True)
class Coverage:
    """The fold's state for one deployment in one partition.

    covered: the answers reach to this source offset; None until a batch or a committed seed says so.
    sample_upto: up to here a missing row means *unanswered*: the batches were a sample, or the deployment's answers
    begin only above (P9).
    """

    deployment: int
    covered: int | None = None
    sample_upto: int = -1

    def take(self, after: int, upto: int, sample: bool = False) -> tuple[Take, Coverage]:
        """Fold the batch (after, upto]; its rows in (old covered, upto] count where it is ACCEPTED."""
        start, unanswered = after, max(self.sample_upto, after)
        if self.covered is not None:
            start, unanswered = self.covered, self.sample_upto
        if after > start:
            return Take.HOLE, self
        if upto <= start:
            # the very first batch may be empty of news and still says where the answers begin
            return Take.REPEAT, Coverage(self.deployment, start, unanswered)
        return Take.ACCEPTED, Coverage(self.deployment, upto, upto if sample else unanswered)
