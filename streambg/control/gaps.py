"""What `accept-gap` may give up: checked against what is settled and what the input still holds (P29)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.sender import ControlClient, Sent
from streambg.control.state import ControlState
from streambg.control.verbs import Said
from streambg.errors import Refused
from streambg.kafka import profiles
from streambg.kafka.looking import Look
from streambg.kafka.positions import read_settled
from streambg.publishing.tail import read_tails
from streambg.records.source import COLORS


@dataclass(frozen=True, slots=True)
class Ground:
    """One partition as measured: settled (None: nothing says it), and the input's (first, end) offsets."""

    partition: int
    settled: int | None
    input_start: int
    input_end: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Source offsets `first` <= o < `end` to give up; those below `input_start` are gone from the input."""

    partition: int
    first: int
    end: int
    input_start: int

    @property
    def dead_letters_at_most(self) -> int:
        """Every record that the input still shows in it becomes a dead letter."""
        return max(0, self.end - max(self.first, self.input_start))


def decide(ground: Ground, first: int | None, end: int | None) -> Gap:
    """The gap that a person means. Raises Refused where it would skip, settle again or reach what is not there. Pure.

    Defaults: from settled + 1 to the first offset that the input still holds.
    """
    where = f"partition {ground.partition}"
    if ground.settled is None:
        if first is None:
            raise Refused(
                f"{where}: neither committed positions nor outcomes say what is settled",
                way_out="say it yourself: --from the first source offset whose outcome is missing",
            )
        begins = first
    else:
        begins = ground.settled + 1
        if first is not None and first != begins:
            verb = "is settled already" if first < begins else "would leave what lies between without an outcome"
            raise Refused(
                f"{where}: settled is {ground.settled}, a gap from {first} {verb}",
                way_out=f"leave --from out, or {begins}",
            )
    if end is None:
        if ground.input_start <= begins:
            raise Refused(
                f"{where}: the input still holds offset {begins} (it holds {ground.input_start} to "
                f"{ground.input_end - 1}): nothing has to be given up",
                way_out="where predictions are lost, `deploy --rescore`; else say how far: --to OFFSET",
            )
        end = ground.input_start
    if not begins <= end <= ground.input_end:
        raise Refused(
            f"{where}: a gap ends between {begins} and the input's end {ground.input_end}, --to is {end}",
            way_out="--to is the first offset that is to be answered again",
        )
    return Gap(ground.partition, begins, end, ground.input_start)


def measure(pipeline: Pipeline, partition: int, state: ControlState) -> Ground:
    """`state` says which records of the output are this pipeline's (P25).

    Raises Refused where the input has no such partition, Unreachable.
    """
    count = verbs.partitions_of_input(pipeline)
    if not 0 <= partition < count:
        raise Refused(
            f"{pipeline.input.topic} has partitions 0..{count - 1}, not {partition}", way_out="name one of them"
        )
    reader: Mapping[str, Any] = {**profiles.reader(pipeline, verbs.CLIENT), **verbs.QUIET}
    topics = pipeline.topics
    predictions = [topics.predictions(color) for color in COLORS]
    settled = read_settled(reader, pipeline.groups.publisher, predictions, [partition]).get(partition)
    begins = {partition: state.output_begin(partition) or 0}
    tail = read_tails(reader, topics.output, topics.dead_letters, {partition: -1}, begins)[partition]
    known = [offset for offset in (settled, tail.offset if tail else None) if offset is not None]
    with Look(reader) as look:
        start, end = look.ends(topics.input, partition)
    return Ground(partition, max(known, default=None), start, end)


def accept(control: ControlClient, gap: Gap, said: Said, *, expected_epoch: int | None = None) -> Sent:
    """Give it up: dead letters for what the input still shows, new deployments that answer from its end on (P29)."""
    state = control.state()
    expected = state.epoch if expected_epoch is None else expected_epoch
    args = {"partition": gap.partition, "first": gap.first, "end": gap.end}
    return control.send("accept-gap", args, actor=said.actor, reason=said.reason, expected_epoch=expected)
