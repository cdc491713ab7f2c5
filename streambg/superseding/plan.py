"""Which ranges a `supersede` means, whose stored answers, and where these stand (P36). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from streambg.comparing.locate import PredictionLog, covering, first_of
from streambg.control.commands import MAX_SUPERSEDED
from streambg.control.state import ControlState, Deployment, Supersession
from streambg.errors import Refused
from streambg.records.cutover import Cutover, Superseded
from streambg.records.source import Color, Source

Cutovers = Mapping[int, Sequence[Cutover]]


@dataclass(frozen=True, slots=True)
class Place:
    """Source offsets `first` <= o < `end` of one partition of the input."""

    partition: int
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.partition}@{self.first}-{self.end - 1}"

    @property
    def key(self) -> tuple[int, int, int]:
        return self.partition, self.first, self.end


def since(cutovers: Cutovers, settled: Mapping[int, int], epoch: int) -> list[Place]:
    """Everything that was settled from the cutover of `epoch` on, or of the first behind it. Raises Refused."""
    found = []
    for partition, upto in sorted(settled.items()):
        later = [cutover.first for cutover in cutovers.get(partition, ()) if cutover.epoch >= epoch]
        if later and later[0] <= upto:
            found.append(Place(partition, later[0], upto + 1))
    return _some(found, f"nothing was published since epoch {epoch}")


def of_epoch(cutovers: Cutovers, settled: Mapping[int, int], epoch: int) -> list[Place]:
    """What was settled under `epoch` itself. Raises Refused where that is nothing."""
    found = []
    for partition, upto in sorted(settled.items()):
        cuts = cutovers.get(partition, ())
        begins = [cutover.first for cutover in cuts if cutover.epoch == epoch]
        ends = [cutover.first for cutover in cuts if cutover.epoch > epoch]
        if begins and begins[0] <= upto:
            found.append(Place(partition, begins[0], min([*ends, upto + 1])))
    return _some(found, f"nothing was published under epoch {epoch}")


def _some(found: list[Place], otherwise: str) -> list[Place]:
    if not found:
        raise Refused(otherwise, way_out="streambg history names the epochs, streambg status where each began")
    return found


def check(places: Sequence[Place], topic: str, settled: Mapping[int, int], origins: Mapping[int, int]) -> None:
    """Raises Refused where a range overlaps another, is not settled, was never owed, or is too long."""
    for before, after in pairwise(places):
        if before.partition == after.partition and after.first < before.end:
            raise Refused(f"{topic}/{before} and {topic}/{after} overlap", way_out="name each event once")
    for place in places:
        upto, origin = settled.get(place.partition, -1), origins[place.partition]
        if place.end - 1 > upto:
            raise Refused(
                f"{topic}/{place}: settled is {upto}; what has no outcome yet cannot be superseded",
                way_out=f"up to {topic}/{place.partition}@{upto}" if upto >= place.first else "streambg status",
            )
        if place.first < origin:
            raise Refused(
                f"{topic}/{place}: the pipeline began at {origin} in this partition",
                way_out=f"from {topic}/{place.partition}@{origin} on",
            )
        if place.end - place.first > MAX_SUPERSEDED:
            raise Refused(
                f"{topic}/{place}: {place.end - place.first:,} offsets, the limit of one range is {MAX_SUPERSEDED:,}",
                way_out="several commands, one after the other, each with a part of it: --range",
            )


def deployment_of(
    places: Sequence[Place], cutovers: Cutovers, states: Mapping[int, ControlState], color: Color, given: int | None
) -> Deployment:
    """The one that stood in the color when the ranges were published, or the one that is named. Raises Refused."""
    if given is not None:
        named = next((d for state in states.values() if (d := state.deployment(color, given)) is not None), None)
        if named is None:
            raise Refused(f"{color} never had a deployment {given}", way_out="streambg history")
        return named
    stood: dict[int, Deployment] = {}
    for place in places:
        for epoch in _epochs(cutovers.get(place.partition, ()), place):
            deployment = states[epoch].slots[color] if epoch in states else None
            if deployment is not None:
                stood[deployment.id] = deployment
    if not stood:
        raise Refused(f"nothing stood in {color} when that was published", way_out="--color: the other one?")
    if len(stood) > 1:
        names = ", ".join(f"{each.id} ({each.model})" for each in stood.values())
        raise Refused(
            f"{len(stood)} deployments stood in {color} while that was published: {names}",
            way_out="say whose answers: --deployment, or shorter ranges",
        )
    return next(iter(stood.values()))


def _epochs(cutovers: Sequence[Cutover], place: Place) -> set[int]:
    """Those that decided some event of the range."""
    before = [cutover.epoch for cutover in cutovers if cutover.first <= place.first]
    within = [cutover.epoch for cutover in cutovers if place.first < cutover.first < place.end]
    return {*before[-1:], *within}


def left_over(
    places: Sequence[Place], commands: Sequence[Supersession], deployment: Deployment
) -> tuple[list[Place], list[Supersession]]:
    """What the deployment does not supersede already, and the commands by which it does the rest.

    Of an event that several commands name the last one counts.
    """
    left, made = list[Place](), dict[int, Supersession]()
    for place in places:
        cuts = {at for each in commands for own in each.of(place.partition) for at in (own.first, own.end)}
        within = sorted({place.first, place.end, *(at for at in cuts if place.first < at < place.end)})
        for first, end in pairwise(within):
            part = Place(place.partition, first, end)
            last = next((each for each in reversed(commands) if each.touches([part.key])), None)
            if last is not None and last.deployment == deployment:
                made[last.epoch] = last
            elif left and (left[-1].partition, left[-1].end) == (part.partition, first):
                left[-1] = Place(part.partition, left[-1].first, end)
            else:
                left.append(part)
    return left, list(made.values())


def answers_place(log: PredictionLog, deployment: int, first: int) -> tuple[int, int]:
    """(log offset, covered): from where a fold of the deployment's batches gives its answers from `first` on.

    It begins some batches earlier, with what the first of those says was covered (P8): of a batch behind a hole, which
    is answered again, it must not be assumed that all before it was there. Where the deployment has no batch, the log's
    end: nothing will be read.
    """
    begin = first_of(log, deployment)
    if begin is None:
        return log.high, first - 1
    offset, head = begin
    if head.after >= first:
        return offset, head.after  # its answers begin later, or what was before is gone from the log
    for at in range(covering(log, offset, deployment, first - 1), log.high):
        found = log.head(at)
        if found is not None and found.deployment == deployment:
            # above `first`: it stands behind a hole itself
            return (at, found.after) if found.after < first else (offset, head.after)
    return offset, head.after


@dataclass(frozen=True, slots=True)
class Carried:
    """How far the publishers have come with a command: offsets passed of how many, records written, is that all?"""

    passed: int
    total: int
    written: int

    @property
    def done(self) -> bool:
        return self.passed == self.total


def carried(command: Supersession, notes: Mapping[int, Mapping[int, Superseded]]) -> Carried:
    """From what stands among the cutovers, by partition and epoch."""
    passed = total = written = 0
    for partition in sorted({each.partition for each in command.ranges}):
        note = notes.get(partition, {}).get(command.epoch)
        upto = note.superseded if note is not None else -1
        written += note.written if note is not None else 0
        for place in command.of(partition):
            total += place.end - place.first
            passed += max(0, min(upto + 1, place.end) - place.first)
    return Carried(passed, total, written)


def keys(places: Collection[Place]) -> list[tuple[int, int, int]]:
    """As the control state compares them."""
    return [place.key for place in places]


def range_of(text: str, topic: str) -> Place:
    """`sensors/3@100-200`, both ends included; or one position. Raises ValueError with what is wrong."""
    head, at, offsets = text.rpartition("@")
    name, _, partition = head.rpartition("/")
    first, dash, last = offsets.partition("-")
    if not at or name != topic or not all(part.isdecimal() for part in (partition, first, *([last] * bool(dash)))):
        raise ValueError(f"{text!r} is no range of {topic}; it is written {Source(topic, 3, 100)}-200")
    place = Place(int(partition), int(first), int(last if dash else first) + 1)
    if place.end <= place.first:
        raise ValueError(f"{text!r}: the range ends before it begins")
    return place
