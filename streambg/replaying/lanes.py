"""The lanes of a replay: which part of each partition, and where everything that belongs to it stands."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streambg.audit.sources import PARTITIONED, Role, Span
from streambg.config import Pipeline
from streambg.control.state import ControlState
from streambg.errors import ConfigError
from streambg.kafka.admin import TopicFacts
from streambg.kafka.reading import LogReader
from streambg.looking.logs import Outcomes, Predictions
from streambg.publishing.resume import epoch_floor
from streambg.records.cutover import Cutover
from streambg.records.source import COLORS, Color
from streambg.replaying.plan import NOWHERE, Ends, Lane
from streambg.replaying.recorded import TopicRange
from streambg.replaying.request import PUBLISHED, Bound, Request

OUTCOMES: tuple[Role, Role] = ("output", "dead-letters")


@dataclass(frozen=True, slots=True)
class Seen:
    """The pipeline as it was found. spans: (role, partition) -> log offsets."""

    names: Mapping[Role, str]
    facts: Mapping[str, TopicFacts]
    settled: Mapping[int, int]
    spans: Mapping[tuple[Role, int], Span]
    states: Mapping[int, ControlState]
    cutovers: Mapping[int, Sequence[Cutover]]
    compacted: frozenset[Role]

    @property
    def state(self) -> ControlState:
        return self.states[max(self.states)] if self.states else ControlState()


def lanes_of(pipeline: Pipeline, request: Request, seen: Seen, looks: LogReader) -> list[Lane]:
    """Partitions that hold something of the range. Raises ConfigError where none does, or a partition is not there."""
    topic = pipeline.topics.input
    total = seen.facts[topic].partitions
    named = set(request.partitions) | set(request.begin.offsets) | set(request.end.offsets)
    if wrong := sorted(number for number in named if not 0 <= number < total):
        raise ConfigError(
            f"{topic} has no partition {wrong[0]}: they are 0 to {total - 1}", way_out=f"--partition {total - 1}"
        )
    if all(span.start >= span.end for (role, _), span in seen.spans.items() if role == "input"):
        raise ConfigError(
            f"{topic} holds no events: nothing was sent, or all of it has expired",
            way_out="send it some, with any Kafka producer; or is another topic meant, in `input.topic`?",
        )
    lanes, said = [], []
    for partition in sorted(set(request.partitions)) or range(total):
        span = seen.spans["input", partition]
        asked = _offset(request.begin, looks, topic, partition, span.start)
        end = min(_offset(request.end, looks, topic, partition, span.end), span.end)
        begin = max(asked, span.start)
        said.append(f"{topic}/{partition} holds {span.start} to {span.end - 1}, asked for {asked} to {end - 1}")
        if begin < end:
            lanes.append(_lane(pipeline, partition, asked, begin, end, seen, looks))
    if not lanes:
        raise ConfigError(
            f"there is no event in the range: {'; '.join(said[:8])}",
            way_out="give a range that the input still holds: --from, --to, --last",
        )
    return lanes


def _offset(bound: Bound, looks: LogReader, topic: str, partition: int, otherwise: int) -> int:
    if partition in bound.offsets:
        return bound.offsets[partition]
    if bound.offset is not None:
        return bound.offset
    return otherwise if bound.time_ms is None else looks.since(topic, partition, bound.time_ms)


def _lane(pipeline: Pipeline, partition: int, asked: int, begin: int, end: int, seen: Seen, looks: LogReader) -> Lane:
    cutovers = seen.cutovers.get(partition, [])
    floor = epoch_floor(cutovers, seen.facts[pipeline.topics.input].topic_id)
    mine = [cutover for cutover in cutovers if cutover.epoch >= floor]
    origins = [cutover.origin for cutover in mine if cutover.origin is not None]
    origin = origins[0] if origins else seen.state.start_of(partition)
    settled = min(seen.settled.get(partition, origin - 1), end - 1)
    span = seen.spans["input", partition]
    logs: dict[str, Ends] = {}
    outcomes_from = 0
    for role in OUTCOMES:
        low, high = seen.spans[role, partition].start, seen.spans[role, partition].end
        log = Outcomes(looks, seen.names[role], partition, floor, letters=role == "dead-letters", ends=(low, high))
        start = _behind(log, begin) if begin > max(span.start, origin) else low
        # where not all of it is settled more outcomes may come: as far as there are
        logs[role] = Ends(start, _behind(log, end) if settled == end - 1 else high)
        if role in seen.compacted:
            outcomes_from = NOWHERE
        elif low > ((seen.state.output_begin(partition) or 0) if role == "output" else 0):
            first = log.mark(low)
            outcomes_from = max(outcomes_from, NOWHERE if first is None else first.source)
    for color in COLORS:
        logs[color] = Ends(seen.spans[color, partition].start, seen.spans[color, partition].end)
    output_begin = seen.state.output_begin(partition)
    return Lane(partition, asked, begin, end, settled, origin, floor, output_begin, outcomes_from, logs)


def _behind(log: Outcomes, source: int) -> int:
    """The log offset behind the last outcome of an earlier event: the next one may not be there yet."""

    def reached(offset: int) -> bool:
        mark = log.mark(offset)
        return mark is None or mark.source >= source

    return first_reached(log.low, log.high, reached)


def first_reached(low: int, high: int, reached: Callable[[int], bool]) -> int:
    """The first offset of [low, high) that has reached; `high` where none has. Backwards in growing steps, then between
    two of them: a look takes some 12 ms, and most ranges end where the log does.
    """
    upper, step = high, 1
    while upper > low:
        at = max(low, high - step)
        if not reached(at):
            low = at + 1
            break
        upper, step = at, 4 * step
    return low + bisect_left(range(low, upper), True, key=reached)


def ranges_of(lane: Lane, seen: Seen, against: str, epoch: int, looks: LogReader) -> list[TopicRange]:
    """What of a lane's topics the result rests on: as far as it is needed, where they go on. epoch: `epoch_of`."""
    roles: dict[Role, Ends] = {"input": Ends(lane.begin, lane.end)}
    if against == PUBLISHED:
        roles |= {role: lane.logs[role] for role in OUTCOMES}
    for color in COLORS:
        states = [state for number, state in seen.states.items() if number <= epoch]
        deployed = [slot.id for state in states if (slot := state.slots[color]) is not None]
        if deployed and against in (PUBLISHED, color):
            roles[color] = _answers(lane, seen, looks, color, max(deployed))
    return [
        TopicRange(role, seen.names[role], seen.facts[seen.names[role]].topic_id, lane.partition, ends.start, ends.end)
        for role in PARTITIONED
        if (ends := roles.get(role)) is not None
    ]


def _answers(lane: Lane, seen: Seen, looks: LogReader, color: Color, last: int) -> Ends:
    """About where a color's answers of the range stand; what is read is decided by the fold. last: deployment; later
    ones may begin anew (P10). A color that has not answered all of the range is pinned as far as it has.
    """
    whole = lane.logs[color]
    log = Predictions(looks, seen.names[color], lane.partition, (whole.start, whole.end))

    def covering(source: int) -> int:
        def reached(offset: int) -> bool:
            head = log.head(offset)
            return head is None or head.deployment > last or head.upto >= source

        return first_reached(whole.start, whole.end, reached)

    start = whole.start if lane.begin <= lane.origin else covering(lane.begin)
    end = whole.end if lane.settled < lane.end - 1 else min(whole.end, covering(lane.end - 1) + 1)
    return Ends(start, end)


def epoch_of(seen: Seen, lanes: Sequence[Lane]) -> int:
    """The last epoch that decides an event of the range: commands that came later change nothing here."""
    if any(lane.settled < lane.end - 1 for lane in lanes):
        return seen.state.epoch
    cut = [
        cutover.epoch
        for lane in lanes
        for cutover in seen.cutovers.get(lane.partition, [])
        if cutover.first < lane.end and cutover.epoch >= lane.floor
    ]
    return max(cut, default=seen.state.epoch)
