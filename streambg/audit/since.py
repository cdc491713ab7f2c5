"""Where an audit begins when it is not asked about the whole: a source offset, and the log offsets to read from. Pure.

Outcomes stand in source order, so theirs is found by halves. Answers are almost in source order: what a scorer had not
committed when it ended is repeated, so reading begins well before the place that is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streambg.audit.history import History, Line
from streambg.audit.parsing import HeaderParser, LetterParser, Parser, Status
from streambg.audit.sources import Chunk, Records, Role
from streambg.errors import ConfigError
from streambg.records.batch import BadBatch, decode_head
from streambg.records.source import COLORS, Color

# A scorer repeats what it had not committed: with the 5 ms linger at most 200 batches a second and partition, for some
# seconds. What a fold begins with is believed only above its first batch's `upto`, so too early costs nothing else.
BEFORE = 1_000
# Records that say nothing of where they stand (somebody else's, superseding ones) are looked past at each step.
LOOK_PAST = 64

# At a log offset: is all that belongs before the place before it? None where the record does not say.
Before = Callable[[Chunk], bool | None]


@dataclass(frozen=True, slots=True)
class Since:
    """Source offset to begin with, and the log offset of each topic to read from; 0 where it is not named."""

    source: int
    logs: Mapping[Role, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What `--from` says: an epoch, the last cutover of each partition, or source offsets of some partitions."""

    epoch: int | None = None
    last_cutover: bool = False
    positions: Mapping[int, int] = field(default_factory=dict)

    def check(self, history: History, partitions: int) -> None:
        """Raises ConfigError for an epoch or a partition that does not exist."""
        if self.epoch is not None and self.epoch not in history.routes:
            known = sorted(history.routes)
            said = f"the control log has {known[0]} to {known[-1]}" if known else "nothing was ever deployed"
            raise ConfigError(f"--from {self.epoch}: no such epoch; {said}", way_out="streambg history")
        if wrong := next((number for number in self.positions if number >= partitions), None):
            raise ConfigError(
                f"--from: partition {wrong}, but the input has {partitions}", way_out="streambg status names them"
            )

    def check_reached(self, records: Records, settled: Mapping[int, int], follow: bool) -> None:
        """Raises ConfigError for an offset from which on nothing can be judged: its partition would pass unseen.

        settled: by partition, the last source offset that is. Who follows may begin with the next event to come.
        """
        for number, offset in self.positions.items():
            span, place = records.span("input", number), f"{records.input_topic}/{number}"
            reached = min(settled.get(number, span.end - 1) + 1, span.end)
            if offset < (span.end + 1 if follow else reached):
                continue
            way_out = f"--from {place}@{reached - 1} or earlier; without --from all is judged"
            raise ConfigError(
                f"--from {place}@{offset}: {place} begins at {span.start}, ends at {span.end}, "
                f"and is settled below {reached}",
                way_out=way_out if reached > span.start else "nothing of it can be judged: leave this --from out",
            )

    def source(self, partition: int, line: Line) -> int | None:
        """The source offset to begin with; None: at the origin. Beyond all of them where an epoch never came."""
        if self.last_cutover:
            return int(line.firsts[-1]) if len(line.firsts) else None
        if self.epoch is not None:
            later = line.firsts[line.epochs >= self.epoch]
            return int(later[0]) if len(later) else NOT_YET
        return self.positions.get(partition)


NOT_YET = 2**62  # above every source offset: nothing is asked about until the epoch comes


def origin_of(line: Line, history: History, partition: int) -> int:
    """The first source offset owed."""
    return line.origin if line.origin is not None else history.state.start_of(partition)


def locate(records: Records, partition: int, source: int, line: Line, history: History) -> Since:
    """Where to read each topic so that everything from `source` on is seen. About twenty looks a topic."""
    logs: dict[Role, int] = {"input": source}
    parsers: dict[Role, Parser] = {
        "output": HeaderParser(records.input_topic, partition),
        "dead-letters": LetterParser(records.input_topic, partition),
    }

    def earlier(role: Role) -> Before:
        def before(one: Chunk) -> bool | None:
            parsed = parsers[role](one)
            return bool(parsed.offsets[0] < source) if parsed.statuses[0] == Status.OUTCOME else None

        return before

    outcomes: tuple[Role, Role] = ("output", "dead-letters")
    for role in outcomes:
        logs[role] = _first(records, role, partition, earlier(role))
    epoch = line.epoch_at(source)
    route = history.routes.get(epoch)
    for color in COLORS:
        deployment = route.deployment(color) if route is not None else None
        number = deployment.id if deployment is not None else epoch
        logs[color] = answers_from(records, color, partition, number, source)
    return Since(source, logs)


def answers_from(records: Records, color: Color, partition: int, deployment: int, source: int) -> int:
    """The log offset to read a deployment's answers from, so that what it says from `source` on is known."""
    return max(0, _first(records, color, partition, _answers_before(deployment, source)) - BEFORE)


def _answers_before(number: int, source: int) -> Before:
    def before(one: Chunk) -> bool | None:
        try:
            head = decode_head(one.values[0] or b"")
        except BadBatch:
            return None
        return head.deployment < number or (head.deployment == number and head.upto < source)

    return before


def _first(records: Records, role: Role, partition: int, before: Before) -> int:
    """The first log offset whose record is not before the place; the end where there is none."""
    span = records.span(role, partition)
    low, high = span.start, span.end
    while low < high:
        middle = (low + high) // 2
        at, is_before = _look(records, role, partition, middle, high, before)
        if is_before:
            low = at + 1
        else:
            high = middle
    return low


def _look(records: Records, role: Role, partition: int, offset: int, end: int, before: Before) -> tuple[int, bool]:
    """(log offset, is it before?) of the first record from `offset` on that says so; (end, False) where none does."""
    for _ in range(LOOK_PAST):
        one = records.peek(role, partition, offset) if offset < end else None
        if one is None or one.offsets[0] >= end:
            break
        if (said := before(one)) is not None:
            return one.offsets[0], said
        offset = one.offsets[0] + 1
    return end, False
