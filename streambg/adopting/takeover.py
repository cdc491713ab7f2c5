"""Where streambg begins when it takes over from a consumer group, and what speaks against it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from streambg.control.state import ControlState, Phase

# What the old service's `auto.offset.reset` would have done where it has no usable position.
Reset = Literal["earliest", "latest"]
# An objection names this many members or groups; a service has a handful.
NAMED = 8


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a consumer group, and how many partitions it holds."""

    client_id: str
    host: str
    partitions: int

    def __str__(self) -> str:
        return f"{self.client_id} at {self.host.removeprefix('/')} with {self.partitions} partitions"


@dataclass(frozen=True, slots=True)
class Lane:
    """One partition of the input: its log's first offset and end. committed: the old group's next offset, or None."""

    partition: int
    committed: int | None
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found. outputs: how many partitions the output has; groups: of the cluster, by name."""

    group: str
    lanes: Sequence[Lane]
    members: Sequence[Member]
    outputs: int
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Begin:
    """The first source offset that streambg owes in a partition, and why it is that one; None: nobody has decided."""

    lane: Lane
    start: int | None
    why: str

    @property
    def waiting(self) -> int:
        """About how many events stand there already."""
        return 0 if self.start is None else self.lane.end - self.start


@dataclass(frozen=True, slots=True)
class Takeover:
    """The plan. It may be carried out only where there are no objections."""

    begins: Sequence[Begin]
    objections: Sequence[str]

    @property
    def starts(self) -> dict[int, int]:
        """partition -> first source offset, as the first `deploy` carries it (P11)."""
        return {begin.lane.partition: begin.start for begin in self.begins if begin.start is not None}

    def reason(self, group: str, words: str) -> str:
        """What the control log says for ever."""
        committed = sum(begin.lane.committed == begin.start for begin in self.begins)
        taken = f"adopted from consumer group {group}: {committed} of {len(self.begins)} partitions at its offsets"
        return f"{taken}; {words}" if words else taken


def decide(survey: Survey, state: ControlState, ours: Collection[str], reset: Reset | None) -> Takeover:
    """Begin at the group's committed offsets. `ours`: groups of this pipeline, which nobody takes over from."""
    begins = [begin(lane, reset) for lane in survey.lanes]
    undecided = [] if _unknown(survey) else _undecided(begins)
    return Takeover(begins, [*_pipeline(survey, state, ours), *_group(survey), *undecided])


def begin(lane: Lane, reset: Reset | None) -> Begin:
    """At the committed offset, where the log still holds it; else where `reset` says."""
    committed = lane.committed
    if committed is not None and lane.first <= committed <= lane.end:
        return Begin(lane, committed, "committed")
    if committed is None:
        what = "no committed offset"
    elif committed < lane.first:
        what = f"{committed} was committed, {lane.first - committed} offsets behind it have expired"
    else:
        what = f"{committed} was committed, above the end: the topic was made again"
    if lane.first == lane.end:
        return Begin(lane, lane.end, f"{what}; no event is there")
    if reset is None:
        return Begin(lane, None, what)
    return Begin(lane, lane.first if reset == "earliest" else lane.end, f"{reset}: {what}")


def _pipeline(survey: Survey, state: ControlState, ours: Collection[str]) -> list[str]:
    found = []
    if state.phase is not Phase.EMPTY:
        found.append(
            f"this pipeline runs already ({state.summary()}): only its first deploy can take over; a pipeline that was "
            "given back begins anew under another name"
        )
    if survey.group in ours:
        found.append(f"{survey.group} is a group of this pipeline")
    if survey.outputs != len(survey.lanes):
        found.append(
            f"the output has {survey.outputs} partitions, the input {len(survey.lanes)}: an answer goes out in its "
            "event's partition, so they must be equal; let the pipeline write a new output topic"
        )
    return found


def _group(survey: Survey) -> list[str]:
    found = []
    if _unknown(survey):
        there = sorted(survey.groups - {survey.group})
        found.append(
            f"the group {survey.group} has committed nothing in this input; groups of the cluster: "
            f"{_some(there) or 'none'}"
        )
    if survey.members:
        found.append(
            f"the group {survey.group} must have no members, it has {len(survey.members)}: "
            f"{_some([str(member) for member in survey.members])}; stop the old service and what starts it again (one "
            "that was killed leaves the group after its session timeout)"
        )
    return found


def _unknown(survey: Survey) -> bool:
    """A group that never worked here, by a wrong name most likely: no decision about partitions helps."""
    return all(lane.committed is None for lane in survey.lanes)


def _undecided(begins: Sequence[Begin]) -> list[str]:
    return [
        f"partition {each.lane.partition}: {each.why}; the input holds {each.lane.first} to {each.lane.end - 1}: say "
        "--reset earliest or --reset latest, as the old service's auto.offset.reset would have done"
        for each in begins
        if each.start is None
    ]


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest
