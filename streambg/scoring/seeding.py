"""Where a deployment begins or goes on in a partition (P11). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from streambg.control.state import Deployment
from streambg.records.cutover import ScorerPosition


@dataclass(frozen=True, slots=True)
class GoOn:
    """Resume at this source offset: the committed position is this deployment's."""

    offset: int
    checked: int
    covered: int


@dataclass(frozen=True, slots=True)
class Seed:
    """Begin here: commit it, and have it acknowledged, before the first batch."""

    offset: int


@dataclass(frozen=True, slots=True)
class FoldFirst:
    """A newer deployment committed here: fold the control log to it, then ask again."""

    deployment: int


Start = GoOn | Seed | FoldFirst


def start(
    partition: int,
    deployment: Deployment,
    committed_offset: int | None,
    committed: ScorerPosition | None,
    own_covered: int | None,
    own_end: int,
    settled: int | None,
    origin: int,
    gap_end: int,
) -> Start:
    """What to do in one partition.

    own_covered: how far batches of this deployment in the color's own topic reach, asked for where no position is
    committed; own_end: that topic's end. settled: the publisher's settled offset, None where it has none yet.
    origin: the pipeline's first source offset owed; gap_end: nothing below is owed any more (P29).
    """
    if committed is not None and committed_offset is not None:
        if committed.deployment == deployment.id:
            return GoOn(committed_offset, committed.checked, committed.covered)
        if committed.deployment > deployment.id:
            return FoldFirst(committed.deployment)
    elif own_covered is not None:
        return GoOn(own_covered + 1, own_end, own_covered)
    if deployment.start:
        return Seed(deployment.start.get(partition, 0))
    # live's seed where the publisher has settled nothing yet: then every event is still to be published
    return Seed(max(settled + 1 if settled is not None else origin, gap_end))
