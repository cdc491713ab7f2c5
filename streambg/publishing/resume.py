"""Where a partition goes on after an assignment: committed positions, tail and cutovers decide (P24-P27). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streambg.control.state import ControlState
from streambg.errors import Gap
from streambg.publishing.superseding import Progress
from streambg.records.coverage import Coverage
from streambg.records.cutover import Cutover, PublisherPosition, Superseded
from streambg.records.source import COLORS, Color

NOTHING_LEFT = 2**62 - 1  # no source offset comes so far
# How to go on where data that is owed is gone; a person decides.
RESCORE = "streambg deploy --rescore gives the lost predictions again (P29)"


@dataclass(frozen=True, slots=True)
class Committed:
    """One color's committed position; both None where there is none."""

    offset: int | None
    position: PublisherPosition | None


@dataclass(frozen=True, slots=True)
class Tail:
    """The largest source position among the outcomes of a partition, and the epoch stamped on it (P25)."""

    offset: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read about one partition. `log` is each color's (first, end) offset of its predictions partition."""

    partition: int
    committed: Mapping[Color, Committed]
    tail: Tail | None
    cutovers: Sequence[Cutover]
    log: Mapping[Color, tuple[int, int]]
    topic_id: str
    cluster_id: str
    # first source offset stamped with the tail's epoch, asked for where no cutover record says where it begins (P25)
    stamped_from: int | None = None
    # what the last `supersede` that was begun here had come to (P36)
    superseded: Superseded | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on here. `origin` is to be written into the first cutover record; `alarms` are for people.

    unrecorded: (epoch, first) of a cutover record that is missing (P25). rereads: colors whose positions are missing,
    with the (first, end) of their log, which must lead on from settled (P27). superseded: where superseding goes on.
    """

    settled: int
    epoch: int
    starts: Mapping[Color, tuple[int, Coverage | None]]
    origin: int | None
    alarms: tuple[str, ...]
    unrecorded: tuple[int, int] | None = None
    rereads: Mapping[Color, tuple[int, int]] = field(default_factory=dict)
    superseded: Progress = field(default_factory=Progress)


def epoch_floor(cutovers: Sequence[Cutover], topic_id: str) -> int:
    """Outcomes below this epoch belong to an earlier input topic of the same name (P25)."""
    mine = [cutover.epoch for cutover in cutovers if cutover.topic_id == topic_id]
    return min(mine) if mine else -1


def needed_epoch(facts: Facts) -> int:
    """The control log must be folded to here before this partition may go on (P24)."""
    positions = [c.position for c in facts.committed.values() if c.position]
    # a deployment is a control offset too: whoever committed its fold had folded the log that far
    known = [offset for position in positions for offset in (position.epoch, position.deployment)]
    if facts.superseded is not None:
        known.append(facts.superseded.epoch)
    return max([*known, facts.tail.epoch if facts.tail else -1])


def plan(facts: Facts, state: ControlState) -> Resume:
    """Raises Gap where nobody can know where to go on."""
    _same_input(facts)
    positions = {color: committed.position for color, committed in facts.committed.items()}
    known = [position for position in positions.values() if position is not None]
    alarms: list[str] = []
    origin: int | None = None
    if known:
        settled, epoch = max(p.settled for p in known), max(p.epoch for p in known)
        alarms += [
            f"partition {facts.partition}: no committed position of {color}; going on from its first predictions"
            for color, position in positions.items()
            if position is None
        ]
    elif facts.tail is not None:
        settled, epoch = facts.tail.offset, facts.tail.epoch
        alarms.append(f"partition {facts.partition}: no committed position; going on from the tail at {settled}")
    elif facts.cutovers:
        settled, epoch = _given_up_to(facts, state), facts.cutovers[-1].epoch
        alarms.append(f"partition {facts.partition}: nothing says what was published; going on from an accepted gap")
    else:
        origin = state.start_of(facts.partition)
        settled, epoch = origin - 1, -1
    if known and facts.tail is not None and facts.tail.offset > settled:
        alarms.append(
            f"partition {facts.partition}: the tail is at {facts.tail.offset}, above the settled offset {settled}"
        )
        settled = facts.tail.offset
    if facts.tail is not None:
        epoch = max(epoch, facts.tail.epoch)
    if not facts.cutovers:
        origin = state.start_of(facts.partition)
    starts = {color: _start(color, facts, state, alarms) for color in COLORS}
    fresh = facts.tail is None and not known
    rereads = {} if fresh else {color: facts.log[color] for color in COLORS if not _position_holds(color, facts)}
    superseded = _superseded(facts, state, epoch, alarms)
    return Resume(settled, epoch, starts, origin, tuple(alarms), _unrecorded(facts), rereads, superseded)


def missing_record(tail: Tail, cutovers: Sequence[Cutover], topic_id: str) -> bool:
    """P25: does no cutover record say where the tail's epoch begins?"""
    return all((cutover.epoch, cutover.topic_id) != (tail.epoch, topic_id) for cutover in cutovers)


def _unrecorded(facts: Facts) -> tuple[int, int] | None:
    if facts.tail is None or facts.stamped_from is None:
        return None
    return facts.tail.epoch, facts.stamped_from


def _superseded(facts: Facts, state: ControlState, epoch: int, alarms: list[str]) -> Progress:
    """P36: where superseding goes on. Where the cutovers were lost, so was this: what had been commanded by then is
    taken for done, because a record that is missing can be asked for again, and one that is there twice stays.
    """
    if facts.superseded is not None:
        return Progress(facts.superseded.epoch, facts.superseded.superseded, facts.superseded.written)
    commanded = [each.epoch for each in state.supersessions if each.epoch <= epoch and each.of(facts.partition)]
    if facts.cutovers or not commanded:
        return Progress()
    alarms.append(
        f"partition {facts.partition}: no cutover record is left, so nothing says how far the supersede commands up to "
        f"epoch {commanded[-1]} came; they are taken for done"
    )
    return Progress(commanded[-1], NOTHING_LEFT, recorded=False)


def _given_up_to(facts: Facts, state: ControlState) -> int:
    """Settled, where only an accepted gap can say it: a gap accepted after everything that is known (P27, P29)."""
    gap = state.gaps.get(facts.partition)
    if gap is None or gap.epoch <= facts.cutovers[-1].epoch:
        raise Gap(
            f"partition {facts.partition}: neither committed positions nor outcomes, but a cutover record of epoch "
            f"{facts.cutovers[-1].epoch}: what was published is unknown",
            way_out=f"restore the output topic, or say where to go on: streambg accept-gap {facts.partition} "
            "--from OFFSET --to OFFSET (P29)",
        )
    return gap.first - 1


def _position_holds(color: Color, facts: Facts) -> bool:
    offset, (first, end) = facts.committed[color].offset, facts.log[color]
    return offset is not None and first <= offset <= end


def _same_input(facts: Facts) -> None:
    if facts.cutovers and all(cutover.topic_id != facts.topic_id for cutover in facts.cutovers):
        raise Gap(
            f"partition {facts.partition}: the input topic was deleted and made again (its id is {facts.topic_id}, the "
            f"cutovers name {facts.cutovers[-1].topic_id}): offsets no longer mean the same events",
            way_out="start a new pipeline name for the new topic",
        )


def _start(color: Color, facts: Facts, state: ControlState, alarms: list[str]) -> tuple[int, Coverage | None]:
    first, end = facts.log[color]
    committed = facts.committed[color]
    position = committed.position
    if committed.offset is None or position is None:
        return first, None  # the fold drops what is settled (P27)
    if first <= committed.offset <= end:
        return committed.offset, position.coverage
    what = (
        f"partition {facts.partition}: {color}'s predictions reach from {first} to {end}, "
        f"the committed position is {committed.offset}"
    )
    deployment = state.slots[color]
    if deployment is None or deployment.id != position.deployment:
        alarms.append(f"{what}; they are of another deployment than the one in force: going on from {first}")
        return first, None  # what of the new one is gone is waited for like any answer (P14)
    if color == state.live:
        raise Gap(f"{what}: predictions that are owed are gone", way_out=RESCORE)
    alarms.append(f"{what}; {color} is not live: going on from {first}, deploy it again if answers stay out (P8)")
    return first, position.coverage
