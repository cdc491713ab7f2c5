"""One session of a scorer: consume, answer, write prediction batches, commit behind delivery (P7-P11).

Crash-only like the publisher: whatever is not as expected ends the session, the next one resumes from what was
committed. A repeated batch is folded away by every reader.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, Protocol

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streambg.control.follower import ControlFollower
from streambg.control.state import ControlState, Deployment, Standing
from streambg.errors import Fenced, Gap, SessionEnded, StreambgError
from streambg.kafka.clients import KAFKA, Clients
from streambg.kafka.errors import is_denied, is_fenced, translate
from streambg.kafka.positions import read_settled
from streambg.kafka.profiles import MAX_POLL_INTERVAL_MS
from streambg.process.watch import WATCH
from streambg.records.batch import HEADER_NAME, Batch, Headers, describe, encode
from streambg.records.cutover import ScorerPosition, decode_scorer_position, encode_position
from streambg.records.source import Color
from streambg.scoring import pace, seeding
from streambg.scoring.batching import Polled, Scored, batches
from streambg.scoring.own_topic import Checked, OwnTopic

POLL_S = 0.1
# How often positions are committed and the own topic is folded: what a crash repeats at most.
COMMIT_EVERY_S = 0.5
# Batches handed to the producer and not delivered yet: at 512 KiB each a bound of memory, at 5 ms linger far more
# than a healthy broker ever leaves open.
MAX_IN_FLIGHT = 64
FLUSH_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 10.0
FOLD_TIMEOUT_S = 30.0

log = structlog.get_logger("streambg.scorer")


@dataclass(frozen=True, slots=True)
class Site:
    """What a scorer needs to know of its pipeline; client configurations are complete librdkafka ones."""

    pipeline: str
    color: Color
    input: str
    predictions: str
    all_predictions: tuple[str, ...]
    publisher_group: str
    forward_headers: frozenset[str]
    consumer: Mapping[str, Any]
    reader: Mapping[str, Any]
    producer: Mapping[str, Any]
    admin: Mapping[str, Any]
    rules: str  # `Rules.short` of its own pipeline file, said in every position (P4)
    ways_out: Mapping[str, str]  # topic -> how a person goes on where it was made again
    clients: Clients = KAFKA


class Scoring(Protocol):
    """A loaded model with its decoding and checks: one poll in, answers out."""

    deployment: int

    def score(self, polled: Polled, partition: int, sample: int | None) -> Scored: ...


class Meter(Protocol):
    """What the session reports; the process turns it into metrics."""

    def scored(self, batch: Batch) -> None: ...
    def alarm(self, text: str) -> None: ...


@dataclass(slots=True)
class _Lane:
    """One assigned partition: positions are source offsets; `upto` of what was scored, delivered and committed."""

    scored: int
    delivered: int
    committed: int
    first_delivered: bool = False
    in_flight: deque[int] = field(default_factory=deque)


class Session:
    """Scores with one deployment; ends when another one is in force, so that no poll yields batches of two (P10)."""

    def __init__(self, site: Site, follower: ControlFollower, scoring: Scoring, meter: Meter) -> None:
        self.site = site
        self._follower = follower
        self._scoring = scoring
        self._meter = meter
        self._failure: BaseException | None = None
        self.member_id = ""  # by which it was a member of its group last
        self._lanes: dict[int, _Lane] = {}
        self._own = OwnTopic(site.reader, site.predictions, site.clients)
        self._producer = site.clients.producer(site.producer)
        self._consumer = site.clients.consumer(site.consumer)
        self.rejoin()
        self._committed_at = self.site.clients.now()
        self._in_flight = 0
        self._limit = 1

    def rejoin(self) -> None:
        """Join, or join again as the member that it is: partitions are nobody's (P13)."""
        topics = [self.site.input]
        self._consumer.subscribe(topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self, stopping: Callable[[], bool]) -> None:
        """Until `stopping`: also when another deployment is in force. Raises SessionEnded, Fenced, Gap."""
        try:
            while not stopping():
                self.step()
            self._settle_accounts()
        except KafkaException as error:
            raise ended(error.args[0]) from error
        except SystemError as error:
            # the client raises its fatal error while a delivery callback runs; Python says so of the callback
            if not isinstance(error.__cause__, KafkaException):
                raise
            raise ended(error.__cause__.args[0]) from error
        finally:
            self._end()

    def _end(self) -> None:
        self._lanes = {}  # whatever may be committed is: closing the consumer revokes
        self._producer.purge()
        self.member_id = self._consumer.memberid() or self.member_id
        self._consumer.close()
        self._own.close()

    @property
    def deployment(self) -> Deployment | None:
        """The deployment in force for this color, as the control log says now; None where it is not to score."""
        return in_force(self._follower.snapshot().state, self.site.color)

    def step(self) -> None:
        deployment = self.deployment
        first = self._consumer.poll(POLL_S)
        self._raise_failure()
        # P6. After waiting: the follower's thread has had a turn behind a model that let none
        self._follower.snapshot().require_lease(self.site.clients.now())
        if first is not None and deployment is not None:
            more = self._consumer.consume(self._limit - 1, 0) if self._limit > 1 else []
            self._answer([first, *more], deployment.sample)
        self._producer.poll(0)
        self._raise_failure()
        if self.site.clients.now() - self._committed_at >= COMMIT_EVERY_S:
            self._commit(asynchronous=True)

    def _answer(self, messages: list[Message], sample: int | None) -> None:
        started = self.site.clients.now()
        for partition, polled in self._sorted(messages).items():
            self._score(partition, polled, sample)
        seconds = self.site.clients.now() - started
        self._limit = pace.following(self._limit, len(messages), seconds)
        if seconds > pace.TURN_S:
            self._flush()  # the next poll may end the session, and what took so long would be thrown away

    def _sorted(self, messages: list[Message]) -> dict[int, Polled]:
        """By partition, as columns: the per-event path, without a line of Python for each."""
        if any(map(Message.error, messages)):
            raise self._failed(messages)
        lanes: dict[int, list[Message]] = defaultdict(list)
        for number, together in groupby(messages, Message.partition):
            lanes[number or 0].extend(together)
        # a partition that is not ours was revoked while this `consume` was under way
        return {number: self._columns(lane) for number, lane in lanes.items() if number in self._lanes}

    def _columns(self, messages: list[Message]) -> Polled:
        wanted = self.site.forward_headers
        forwarded: list[Headers] | None = None
        if wanted and any(map(Message.headers, messages)):
            forwarded = [
                [header for header in plain_headers(message.headers()) if header[0] in wanted] for message in messages
            ]
        times = [timestamp for _, timestamp in map(Message.timestamp, messages)]
        return Polled(
            list(map(Message.offset, messages)),  # type: ignore[arg-type] # read messages have one
            list(map(Message.key, messages)),
            times,
            list(map(Message.value, messages)),
            forwarded,
        )

    def _failed(self, messages: list[Message]) -> StreambgError:
        """What the first error among them means."""
        message, error = next((message, error) for message in messages if (error := message.error()) is not None)
        if error.code() != KafkaError._AUTO_OFFSET_RESET:
            return ended(error)
        number = message.partition() or 0
        if number not in self._lanes:  # revoked while this `consume` was under way: whoever has it now will say so
            return SessionEnded(f"{self.site.input}/{number}: what comes next is gone, and so is the partition")
        return self._gone(number, self._lanes[number].scored + 1)

    def _gone(self, number: int, wanted: int) -> Gap:
        """What comes next is no longer in the input: the exact gap, and the ways on."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self.site.input, number), CALL_TIMEOUT_S)
        return Gap(
            f"{self.site.input}/{number}: offset {wanted} comes next, and the input holds {low} to {high - 1} only: "
            f"retention overtook this scorer, or the topic was made again",
            way_out=f"where {self.site.color} is live: streambg accept-gap {number} gives up what is gone (P29); "
            "a new `deploy` of a candidate begins at the publisher's settled position",
        )

    def _score(self, partition: int, polled: Polled, sample: int | None) -> None:
        lane = self._lanes[partition]
        if polled.offsets[0] <= lane.scored:
            raise SessionEnded(f"{self.site.input}/{partition}@{polled.offsets[0]} came again, scored is {lane.scored}")
        with WATCH.work("predict_many", MAX_POLL_INTERVAL_MS / 1_000, partial(self._slow, partition, polled)):
            scored = self._scoring.score(polled, partition, sample)
        for batch in batches(self._scoring.deployment, lane.scored, scored):
            self._send(partition, lane, batch)
            lane.scored = batch.upto
            self._meter.scored(batch)

    def _slow(self, partition: int, polled: Polled, seconds: float) -> None:
        """Said while the model still works, by another thread."""
        where = f"{self.site.input}/{partition}@{polled.offsets[0]}"
        self._meter.alarm(
            f"{where}: the model has worked for {seconds:.0f} s on {len(polled.offsets)} events; the group gives the "
            f"partitions of a member away that does not poll for {MAX_POLL_INTERVAL_MS / 1_000:g} s"
        )

    def _send(self, partition: int, lane: _Lane, batch: Batch) -> None:
        while self._in_flight >= MAX_IN_FLIGHT:
            self._producer.poll(0.05)
            self._raise_failure()
        if lane.in_flight and not lane.first_delivered:
            # P10: librdkafka lets later messages go on after one timed out, and a first batch defines where
            # a deployment's answers begin
            self._flush()
        lane.in_flight.append(batch.upto)
        self._in_flight += 1
        self._producer.produce(
            self.site.predictions,
            encode(batch),
            None,
            partition,
            on_delivery=lambda error, _message: self._delivered(error, lane),
            headers=[(HEADER_NAME, describe(batch, self.site.input, partition))],
        )

    def _delivered(self, error: KafkaError | None, lane: _Lane) -> None:
        self._in_flight -= 1
        upto = lane.in_flight.popleft()
        if error is not None:
            self._failure = self._failure or ended(error)
        elif self._failure is None:
            lane.delivered, lane.first_delivered = upto, True

    def _flush(self) -> None:
        if self._producer.flush(FLUSH_TIMEOUT_S):
            raise SessionEnded(f"predictions were not delivered within {FLUSH_TIMEOUT_S:g} s")
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # -- positions -----------------------------------------------------------------------------------------------

    def _commit(self, *, asynchronous: bool) -> None:
        """Commit what was delivered (P10), after the fold of the own topic has seen no hole (P8)."""
        self._committed_at = self.site.clients.now()
        self._own.check()
        moved = {number: lane for number, lane in self._lanes.items() if lane.delivered > lane.committed}
        if not moved:
            return
        states = self._own.states()
        offsets = [self._position(number, lane.delivered + 1, states[number]) for number, lane in moved.items()]
        if asynchronous:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        else:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        for lane in moved.values():
            lane.committed = lane.delivered

    def _position(self, partition: int, offset: int, checked: Checked) -> TopicPartition:
        metadata = ScorerPosition(self._scoring.deployment, checked.next_offset, checked.covered, self.site.rules)
        return TopicPartition(self.site.input, partition, offset, metadata=encode_position(metadata))

    def _settle_accounts(self) -> None:
        """Before a swap or a clean stop: everything delivered and committed (P10)."""
        self._flush()
        if self._lanes:
            self._commit(asynchronous=False)

    # -- assignment ----------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        try:
            self.member_id = consumer.memberid()
            starts = self._starts([topic_partition.partition for topic_partition in assigned])
            consumer.assign([TopicPartition(self.site.input, number, at) for number, at in starts.items()])
            log.info("assigned", color=self.site.color, deployment=self._scoring.deployment, starts=starts)
        except BaseException as error:
            # an exception must not pass through librdkafka's callback; `step` raises it
            self._failure = error
            consumer.assign([])

    def _starts(self, numbers: list[int]) -> dict[int, int]:
        if not numbers:
            self._lanes = {}
            return {}
        site = self.site
        snapshot = self._follower.wait_caught_up(FOLD_TIMEOUT_S)
        committed = {
            found.partition: (found.offset if found.offset >= 0 else None, decode_scorer_position(found.metadata))
            for found in self._consumer.committed([TopicPartition(site.input, n) for n in numbers], CALL_TIMEOUT_S)
        }
        settled = read_settled(site.reader, site.publisher_group, site.all_predictions, numbers, site.clients)
        lanes: dict[int, _Lane] = {}
        checks: dict[int, Checked] = {}
        first: list[TopicPartition] = []
        for number in numbers:
            offset, position = committed[number]
            at, check, moved = self._start(number, snapshot.state, offset, position, settled.get(number))
            lanes[number] = _Lane(at - 1, at - 1, at - 1)
            checks[number] = check
            if moved or position is None or position.rules != site.rules:
                first.append(self._position(number, at, check))
        if first:
            # P11, P7: where it begins is acknowledged before the first batch; P4: another file is said at once
            self._consumer.commit(offsets=first, asynchronous=False)
        self._own.follow(self._scoring.deployment, checks)
        self._lanes = lanes
        return {number: lane.scored + 1 for number, lane in lanes.items()}

    def _start(
        self,
        number: int,
        state: ControlState,
        offset: int | None,
        position: ScorerPosition | None,
        settled: int | None,
    ) -> tuple[int, Checked, bool]:
        """(first source offset to score, the own topic's fold there, whether that is to be committed first)."""
        deployment = in_force(state, self.site.color)
        if deployment is None or deployment.id != self._scoring.deployment:
            raise SessionEnded("another deployment is in force")
        own_covered, own_end = None, self._own.end(number)
        if position is None or offset is None:
            own_covered, own_end = self._own.scan(number, deployment.id)
        origin, gap_end = state.start_of(number), state.gap_end(number)
        decision = seeding.start(number, deployment, offset, position, own_covered, own_end, settled, origin, gap_end)
        if isinstance(decision, seeding.FoldFirst):
            self._follower.wait_folded(decision.deployment, FOLD_TIMEOUT_S)
            raise SessionEnded(f"partition {number} was scored by deployment {decision.deployment} already (P11)")
        if isinstance(decision, seeding.Seed):
            return decision.offset, Checked(own_end, decision.offset - 1), True
        covered, end = self._own.scan(number, deployment.id, Checked(decision.checked, decision.covered))
        reach = decision.covered if covered is None else covered
        # A hole in the own topic is answered again from its beginning (P8). What stands there beyond the committed
        # position is not: a model that is slower than the group's patience never commits, and would never get on (P7).
        return reach + 1, Checked(end, reach), reach + 1 > decision.offset

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        try:
            self._settle_accounts()
        except (SessionEnded, KafkaException) as error:
            # what was not committed is answered again by the next owner, and folded away
            log.info("revoke", why=str(error))
        self._lanes = {}

    def _lost(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        """Somebody may have this place by now: the client must not join again before anybody has looked (P21)."""
        consumer.unsubscribe()
        self._lanes = {}
        self._failure = self._failure or SessionEnded("the group has expelled this member")


def plain_headers(headers: object) -> Headers:
    """confluent-kafka's headers as (name, bytes); it types them as a list or a dict of str, bytes or None."""
    pairs = headers if isinstance(headers, list) else []
    return [(name, value if isinstance(value, bytes) else str(value or "").encode()) for name, value in pairs]


def in_force(state: ControlState, color: Color) -> Deployment | None:
    """The deployment that this color scores with; None where there is none, or it is retired."""
    deployment = state.slots[color]
    return deployment if deployment is not None and deployment.standing is not Standing.RETIRED else None


def ended(error: KafkaError) -> StreambgError:
    """What ends the session; or, where no new one would mend it, the process."""
    if is_denied(error):
        return translate(error, "scoring")
    if is_fenced(error):
        return Fenced(f"another scorer runs under this name: {error.str()}", way_out="give each scorer its own --slot")
    return SessionEnded(f"{error.name()}: {error.str()}")
