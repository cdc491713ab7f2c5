"""One session of a scorer: consume, answer, write prediction batches, commit behind delivery (P7-P11).

Crash-only like the publisher: whatever is not as expected ends the session, the next one resumes from what was
committed. A repeated batch is folded away by every reader.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streambg.control.follower import ControlFollower
from streambg.control.state import Deployment
from streambg.errors import Gap, SessionEnded, StreambgError
from streambg.kafka.profiles import MAX_POLL_INTERVAL_MS
from streambg.process.watch import WATCH
from streambg.records.batch import HEADER_NAME, Batch, Headers, describe, encode
from streambg.scoring import pace
from streambg.scoring.batching import Polled, batches
from streambg.scoring.own_topic import OwnTopic
from streambg.scoring.positions import CALL_TIMEOUT_S, Positions
from streambg.scoring.site import Meter, Scoring, Site, ended, in_force

POLL_S = 0.1
# How often positions are committed and the own topic is folded: what a crash repeats at most.
COMMIT_EVERY_S = 0.5
# Batches handed to the producer and not delivered yet: at 512 KiB each a bound of memory, at 5 ms linger far more
# than a healthy broker ever leaves open.
MAX_IN_FLIGHT = 64
FLUSH_TIMEOUT_S = 30.0

log = structlog.get_logger("streambg.scorer")


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
        self._positions = Positions(site, follower, self._consumer, self._own, scoring.deployment)
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
            # the client raises its fatal error while a delivery callback runs; Python says so of the callback. Where
            # more callbacks follow nobody knows any more what it was: the next session's client meets it again
            if isinstance(error.__cause__, KafkaException):
                raise ended(error.__cause__.args[0]) from error
            if error.__cause__ is not None:
                raise
            raise SessionEnded(f"the client lost its own error: {error}") from error
        finally:
            self._end()

    def _end(self) -> None:
        self._lanes = {}  # whatever may be committed is: closing the consumer revokes
        self._producer.purge()
        self.member_id = self._consumer.memberid() or self.member_id
        try:
            self._consumer.close()
        finally:
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
        offsets = [self._positions.at(number, lane.delivered + 1, states[number]) for number, lane in moved.items()]
        if asynchronous:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        else:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        for lane in moved.values():
            lane.committed = lane.delivered

    def _settle_accounts(self) -> None:
        """Before a swap or a clean stop: everything delivered and committed (P10)."""
        self._flush()
        if self._lanes:
            self._commit(asynchronous=False)

    # -- assignment ----------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        try:
            self.member_id = consumer.memberid()
            starts = self._take_up([topic_partition.partition for topic_partition in assigned])
            consumer.assign([TopicPartition(self.site.input, number, at) for number, at in starts.items()])
            log.info("assigned", color=self.site.color, deployment=self._scoring.deployment, starts=starts)
        except BaseException as error:
            # an exception must not pass through librdkafka's callback; `step` raises it
            self._failure = error
            consumer.assign([])

    def _take_up(self, numbers: list[int]) -> dict[int, int]:
        """Each partition's first source offset to score."""
        begins = self._positions.begins(numbers) if numbers else {}
        if begins:
            self._own.follow(self._scoring.deployment, {number: begin.checked for number, begin in begins.items()})
        starts = {number: begin.offset for number, begin in begins.items()}
        self._lanes = {number: _Lane(start - 1, start - 1, start - 1) for number, start in starts.items()}
        return starts

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        try:
            self._settle_accounts()
        except (StreambgError, KafkaException) as error:  # no error of the session's may pass through the callback
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
