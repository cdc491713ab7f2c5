"""Whom a partition waits for: asked of the publisher's own core, fed with what the topics hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streambg.control.state import ControlState
from streambg.errors import Gap
from streambg.publishing.answers import Fetch
from streambg.publishing.outcomes import Home
from streambg.publishing.partition import Partition
from streambg.records.coverage import Coverage
from streambg.records.source import COLORS, Color


@dataclass(frozen=True, slots=True)
class Wait:
    """`colors` owe an answer for source offset `offset`; none: the publisher has all it needs and is behind.

    answered_ms: when the other color's answer for it was appended (ms since 1970), which is what a publisher's
    deadline runs from, but for the time of its fetch (P18); None: nobody has answered there.
    """

    offset: int
    colors: tuple[Color, ...]
    answered_ms: int | None


def waiting(
    home: Home,
    state: ControlState,
    folded: int,
    settled: int,
    epoch: int,
    starts: Mapping[Color, tuple[int, Coverage | None]],
    batches: Mapping[Color, Sequence[Fetch]],
) -> Wait:
    """What a publisher that resumes at `settled` with these batches would say.

    starts: each color's committed log offset and fold (P26); batches: what follows there in the log, `fetched_at`
    being the append time in seconds. A deadline that a running publisher has let pass is not known here.
    """
    partition = Partition(home, settled, epoch, starts)
    partition.control(state, folded)
    for color in COLORS:
        for fetch in batches[color]:
            partition.offer(color, fetch)
    try:
        partition.advance(1)  # whole batches; whether anything moves is all that counts
    except Gap:
        return Wait(settled + 1, (), None)  # it halts, and says why
    stands = partition.waiting
    if stands is None:
        return Wait(settled + 1, (), None)
    if stands.holder is not None:
        since = partition.answers[partition.color_of(stands.holder)].fetched_at(stands.offset)
        return Wait(stands.offset, (partition.color_of(stands.side),), None if since is None else round(since * 1_000))
    if partition.stuck is not None:
        return Wait(stands.offset, (partition.color_of(stands.side),), None)
    owing = [color for color in COLORS if color == state.live or (state.candidate is not None and state.weight > 0)]
    return Wait(stands.offset, tuple(owing), None)
