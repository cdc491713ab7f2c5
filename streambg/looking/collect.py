"""One event, put together from the topics: `with Scenery(pipeline) as scenery: scenery.event(source)`.

A position is found by searches (about log2 of a partition's length single records), never by reading a partition.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from streambg import topicplan
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.state import ControlState, Deployment
from streambg.errors import ConfigError
from streambg.kafka import profiles
from streambg.kafka.admin import describe
from streambg.kafka.positions import read_settled
from streambg.kafka.reading import LogReader
from streambg.looking import why
from streambg.looking.answers import Held, Reach, Search, Verdict, search
from streambg.looking.event import Answered, Event, Given, Letter, Published, Reached, Row, Span, Status
from streambg.looking.finding import behind, first_reaching
from streambg.looking.logs import Outcomes, Predictions
from streambg.looking.why import Choice, Reply, Said, Why
from streambg.models.decoding import json_rows
from streambg.publishing.resume import epoch_floor
from streambg.publishing.tail import read_cutovers
from streambg.records.batch import Carried
from streambg.records.bucket import bucket, bucket_keys
from streambg.records.source import COLORS, Color, Source

CLIENT = "streambg.inspect"
# A position may be visible a moment before the outcomes of its own transaction are: markers are written topic by topic.
COMMIT_S = 2.0
LOOK_AGAIN_S = 0.05


class Scenery:
    """What decides all events: the control log, folded; cutovers; settled. Read once, when it is made.

    floors: by partition, outcomes below this epoch are of an earlier input topic of the same name (P25).
    Raises Unreachable, Denied, Misconfigured, UpgradeFirst.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        topics = pipeline.topics
        admin = topicplan.connect(pipeline)
        # an auditor's rights are enough
        topicplan.check(pipeline, admin, "audit", by_offsets=True)
        facts = describe(admin, [topics.input])[topics.input]
        self.partitions = facts.partitions
        # the state that each accepted command brought, by its epoch
        self.states = {entry.state.epoch: entry.state for entry in verbs.entries(pipeline) if entry.accepted}
        config: dict[str, Any] = {**profiles.reader(pipeline, CLIENT), **verbs.QUIET}
        predictions = [topics.predictions(color) for color in COLORS]
        self.settled = read_settled(config, pipeline.groups.publisher, predictions, range(self.partitions))
        cutovers = read_cutovers(config, topics.cutovers)
        self.floors = {number: epoch_floor(found, facts.topic_id) for number, found in cutovers.items()}
        self.cutovers = {
            number: [cutover for cutover in found if cutover.topic_id == facts.topic_id]
            for number, found in cutovers.items()
        }
        self.log = LogReader(config, looks=True)
        self._predictions: dict[tuple[Color, int], Predictions] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.log.__exit__(kind, error, at)

    @property
    def state(self) -> ControlState:
        """In force now."""
        return next(reversed(self.states.values()), ControlState())

    # -- one event -----------------------------------------------------------------------------------------------

    def event(self, source: Source) -> Event:
        """Raises ConfigError where it is no position of this pipeline's input."""
        self.belongs(source)
        reached = self._reached(source.partition)
        given = self._given(source, reached)
        if self.state.live is None:
            return Event(source, "not deployed", Why(self.state.summary()), reached, given)
        if source.offset >= reached.input[1]:
            return Event(source, "beyond the end", Why("no such event has been written"), reached, given)
        if source.offset < reached.origin:
            return Event(source, "below the origin", Why("nobody was to answer it"), reached, given)
        outcome = self.outcome(source, reached.settled)
        span = self._span(source)
        settled = outcome is not None or (reached.settled is not None and source.offset <= reached.settled)
        epoch = _epoch_of(outcome) if outcome is not None else span.epoch if span is not None and settled else None
        state = self.state if epoch is None else self.states.get(epoch, ControlState())
        answers = {color: self._answered(source, color, state) for color in COLORS}
        choice = self._choice(source, state, given, answers)
        gone = settled and outcome is None and (source.offset < reached.input[0] or self._expired(source))
        status = _status(outcome, settled, given, gone)
        if status == "waiting" and choice is not None:
            told = self._waiting(source, reached, choice, answers)
        else:
            told = self._why(outcome, status, choice, answers, state)
        if outcome is not None and span is not None and span.epoch != epoch:
            told = Why(
                told.text, told.doubt or f"stamped with epoch {epoch}, by the cutovers epoch {span.epoch} decides"
            )
        shown = span if settled else None
        return Event(source, status, told, reached, given, shown, choice, answers, outcome, self.superseded(source))

    def belongs(self, source: Source) -> None:
        """Raises ConfigError where it is no position of this pipeline's input."""
        topic = self.pipeline.input.topic
        if source.topic != topic:
            raise ConfigError(
                f"{source.topic} is not the input of {self.pipeline.name}", way_out=f"its input is {topic}: {topic}/0@0"
            )
        if source.partition >= self.partitions:
            raise ConfigError(
                f"{topic} has {self.partitions} partitions, from 0 on; there is no {source.partition}",
                way_out=f"a partition up to {self.partitions - 1}: {topic}/{self.partitions - 1}@{source.offset}",
            )

    def _reached(self, partition: int) -> Reached:
        topics, state = self.pipeline.topics, self.state
        covered: dict[Color, int | None] = {}
        for color in COLORS:
            deployment = state.slots[color]
            covered[color] = _last_covered(self.predictions(color, partition), deployment) if deployment else None
        return Reached(
            self.log.ends(topics.input, partition),
            self.origin(partition),
            self.settled.get(partition),
            covered,
        )

    def origin(self, partition: int) -> int:
        """The first source offset owed (P27)."""
        origins = [c.origin for c in self.cutovers.get(partition, []) if c.origin is not None]
        return origins[0] if origins else self.state.start_of(partition)

    def predictions(self, color: Color, partition: int) -> Predictions:
        """Its end is that of the first look, after `settled` was read: what is settled is in it."""
        if (color, partition) not in self._predictions:
            topic = self.pipeline.topics.predictions(color)
            self._predictions[color, partition] = Predictions(self.log, topic, partition)
        return self._predictions[color, partition]

    def _given(self, source: Source, reached: Reached) -> Given | None:
        low, high = reached.input
        if not low <= source.offset < high:
            return None
        record = self.log.at(source.topic, source.partition, source.offset)
        if record is None or record.offset != source.offset:
            return None
        return Given(record.key, record.value, record.time_ms)

    def _span(self, source: Source) -> Span | None:
        """The epoch whose cutover stands at or below the event."""
        cutovers = self.cutovers.get(source.partition, [])
        began = [cutover for cutover in cutovers if cutover.first <= source.offset]
        later = [cutover for cutover in cutovers if cutover.first > source.offset]
        if not began:
            return None
        return Span(began[-1].epoch, began[-1].first, later[0].first - 1 if later else None)

    # -- outcome -------------------------------------------------------------------------------------------------

    def outcomes(self, partition: int) -> tuple[Outcomes, Outcomes]:
        topics, floor = self.pipeline.topics, self.floors.get(partition, -1)
        return (
            Outcomes(self.log, topics.output, partition, floor, letters=False),
            Outcomes(self.log, topics.dead_letters, partition, floor, letters=True),
        )

    def outcome(self, source: Source, settled: int | None) -> Published | Letter | None:
        """What came out of it; None where nothing did."""
        deadline = time.monotonic() + COMMIT_S
        while True:
            found = next((o for log in self.outcomes(source.partition) if (o := log.of(source.offset))), None)
            if found is not None or settled is None or source.offset > settled or time.monotonic() > deadline:
                return found
            if not self._newest(source.partition, source.offset):
                return None  # only of the newest events the outcome may come a moment after the position
            time.sleep(LOOK_AGAIN_S)

    def superseded(self, source: Source) -> tuple[Published, ...]:
        """What was published of it again, in the order of commands (P36)."""
        place = [(source.partition, source.offset, source.offset + 1)]
        log, _ = self.outcomes(source.partition)
        found = []
        for command in self.state.supersessions:
            if command.touches(place):
                cuts = self.cutovers.get(source.partition, [])
                later = [cutover.first for cutover in cuts if cutover.epoch >= command.epoch]
                # its records stand behind the outcomes of earlier epochs
                begin = behind(log, later[0] if later else self.settled.get(source.partition, -1) + 1)
                found.append(log.again(begin, command.epoch, source))
        return tuple(record for record in found if record is not None)

    def _newest(self, partition: int, source: int) -> bool:
        return all(first_reaching(log, source) is None for log in self.outcomes(partition))

    def _expired(self, source: Source) -> bool:
        return any(log.kept_above(source.offset) for log in self.outcomes(source.partition))

    # -- answers -------------------------------------------------------------------------------------------------

    def _answered(self, source: Source, color: Color, state: ControlState) -> Answered:
        deployment = state.slots[color]
        if deployment is None:
            return Answered(None, Reply("none"))
        log = self.predictions(color, source.partition)
        found = search(log, deployment.id, source.offset)
        counted = next((held for held in found.held if held.verdict is Verdict.ACCEPTED), None)
        row = log.row(counted, source.offset) if counted is not None else None
        reply = Reply(_said(found, counted, row), row.value.decode("utf-8", "replace") if row and not row.ok else "")
        before = self._before(deployment)
        replaced = search(log, before.id, source.offset).held if before is not None else ()
        stale = tuple(Held(held.log_offset, held.head, Verdict.REPLACED) for held in replaced)
        return Answered(deployment, reply, found, stale, row)

    def _before(self, deployment: Deployment) -> Deployment | None:
        """The deployment that stood in its slot before it."""
        earlier = [
            slot
            for state in self.states.values()
            if (slot := state.slots[deployment.color]) is not None and slot.id < deployment.id
        ]
        return earlier[-1] if earlier else None

    def _choice(
        self, source: Source, state: ControlState, given: Given | None, answers: Mapping[Color, Answered]
    ) -> Choice | None:
        candidate = state.candidate
        if candidate is None or state.rules is None:
            return why.choice_of(state, None)
        rows = [answered.row for answered in answers.values() if answered.row is not None]
        field = state.rules.bucket_field
        keys = [row.key for row in rows] if given is None else [given.key]
        column: list[Carried] | None = None
        if field is not None:
            column = [row.carry.get(field) for row in rows]
            if not column and given is not None and state.rules.decode is None:
                [event] = json_rows([given.value])
                column = [event.get(field) if isinstance(event, dict) else None]
            keys = keys or [None]
            if not column:
                return why.choice_of(state, None)
        if not keys:
            return why.choice_of(state, None)
        # `column` decides where there is one; both colors carry the same
        hashed = bucket_keys(keys[:1], column[:1] if column else None, source.topic, source.partition, [source.offset])
        return why.choice_of(state, bucket(candidate.id, hashed[0]))

    def _why(
        self,
        outcome: Published | Letter | None,
        status: Status,
        choice: Choice | None,
        answers: Mapping[Color, Answered],
        state: ControlState,
    ) -> Why:
        replies = _replies(answers)
        if isinstance(outcome, Published):
            return why.published(outcome.outcome, choice, replies, state)
        if isinstance(outcome, Letter):
            return why.dead(outcome.letter, choice)
        if status == "lost":
            return Why("neither the output nor the dead letters name it", "no outcome")
        return Why(choice.words() if choice is not None else "no cutover names an epoch for it")

    def _waiting(self, source: Source, reached: Reached, choice: Choice, answers: Mapping[Color, Answered]) -> Why:
        """What it waits for; and what the first unsettled event does, which all behind it wait for (P14)."""
        first = reached.settled + 1 if reached.settled is not None else reached.origin
        own = why.waiting(choice, _replies(answers), self.state, first=source.offset == first)
        if source.offset == first:
            return Why(own)
        head = Source(source.topic, source.partition, first)
        heads = {color: self._answered(head, color, self.state) for color in COLORS}
        chosen = self._choice(head, self.state, self._given(head, reached), heads)
        theirs = why.waiting(chosen, _replies(heads), self.state, first=True) if chosen is not None else ""
        return Why(f"{head}, the first that is not settled: {theirs}; this one: {own}")


def _replies(answers: Mapping[Color, Answered]) -> dict[Color, Reply]:
    return {color: answered.reply for color, answered in answers.items()}


def _last_covered(log: Predictions, deployment: Deployment) -> int | None:
    """How far its newest batch among the log's last ones reaches."""
    heads = (log.head(offset) for offset in range(log.high - 1, max(log.low, log.high - 4) - 1, -1))
    return next((head.upto for head in heads if head is not None and head.deployment == deployment.id), None)


def _said(found: Search, counted: Held | None, row: Row | None) -> Said:
    match found.reach:
        case Reach.GONE:
            return "gone"
        case Reach.BEFORE:
            return "later"
        case Reach.NOT_YET:
            return "not yet"
        case _:
            if row is not None:
                return "ok" if row.ok else "error"
            return "sampled" if counted is not None and counted.head.sample else "missing"


def _epoch_of(outcome: Published | Letter) -> int:
    return outcome.outcome.epoch if isinstance(outcome, Published) else outcome.letter.epoch


def _status(outcome: Published | Letter | None, settled: bool, given: Given | None, expired: bool) -> Status:
    if isinstance(outcome, Published):
        return "published"
    if isinstance(outcome, Letter):
        return "dead letter"
    if not settled:
        return "waiting"
    if expired:
        return "expired"
    return "no event" if given is None else "lost"
