"""The labels' reader thread: from a placing to the first thing that is not as expected.

Label partition n is read by who compares input partition n (modulo their number): so every one has one reader, with no
group beside the comparator's. Positions come from the evidence alone (P33); a topic of the user's may be compacted or
transactional, so offsets ascend and need not be dense. It also asks how far the input reaches: where a partition is
quiet, that is how the labels' side knows that nothing is under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streambg.comparing.evidence_log import EvidenceReader
from streambg.comparing.hooks import with_hooks
from streambg.comparing.pair import Pair, Terms, pair_of, terms_of
from streambg.comparing.site import Site
from streambg.control.follower import ControlFollower
from streambg.errors import Misconfigured, SessionEnded
from streambg.kafka.reading import LogReader
from streambg.labelling.desk import Answer, Work
from streambg.labelling.evidence import BadLabelEvidence, LabelEvidence, decode, fits
from streambg.labelling.stream import Fetched
from streambg.records.gate import LabelTerms

POLL_S = 0.1
POLL_RECORDS = 2_000
# One small request a partition; labels of quiet partitions are late by as much.
ENDS_EVERY_S = 1.0
# Partitions that the user added are read from then on.
LOOK_AGAIN_S = 10.0
ASK_S = 5.0

log = structlog.get_logger("streambg.comparator")

HandOver = Callable[[Work], Answer]
# The input partitions this process was assigned, those of them it compares, and how many there are.
Assigned = Callable[[], tuple[frozenset[int], frozenset[int], int]]


class LabelSession:
    """Run it until it ends; then make a new one. `hand_over` blocks until the desk is done with the work."""

    def __init__(
        self,
        site: Site,
        follower: ControlFollower,
        evidence: EvidenceReader,
        assigned: Assigned,
        hand_over: HandOver,
    ) -> None:
        self._site = site
        self._follower = follower
        self._evidence = evidence
        self._assigned = assigned
        self._hand_over = hand_over
        self._pair: Pair | None = None
        self._terms = Terms(1)
        self._placed: tuple[Pair | None, frozenset[int]] = None, frozenset()
        self._next: dict[int, int] = {}  # label partition -> offset
        self._starts: dict[int, int] = {}  # where its evidence begins
        self._paused: set[int] = set()
        self._rewound: list[int] = []
        self._deployed_ms: dict[Pair, int] = {}
        self._partitions: tuple[float, int] = float("-inf"), 0
        self._ends: tuple[float, dict[int, tuple[int, int]], dict[int, int]] = float("-inf"), {}, {}
        self._log = LogReader(site.reader)
        self._consumer = Consumer({**site.reader, "enable.partition.eof": False})

    def run(self, stopping: Callable[[], bool], wait: Callable[[float], object]) -> None:
        """Until `stopping`. Raises SessionEnded, Unreachable and what translates from Kafka's errors."""
        try:
            while not stopping():
                labels = self._look()
                if labels is None:
                    wait(1.0)
                else:
                    self._step(labels)
        finally:
            self._log.__exit__(None, None, None)
            self._consumer.close()

    def _look(self) -> LabelTerms | None:
        """Another pair than before? None: it declares no labels, or there is none yet."""
        snapshot = self._follower.snapshot()
        pair = pair_of(snapshot.state)
        if pair is not None and pair != self._pair:
            self._terms = with_hooks(terms_of(snapshot.state), self._site.registry)
        self._pair = pair
        gate = self._terms.gate
        return None if pair is None or gate is None else gate.labels

    def _step(self, labels: LabelTerms) -> None:
        assigned, compared, inputs = self._assigned()
        if self._pair is None or inputs == 0:
            time.sleep(POLL_S)
            return
        total = self._count(labels.topic)
        mine = frozenset(number for number in range(total) if number % inputs in assigned)
        fresh = self._placed != (self._pair, mine)
        begins = self._place(labels, self._pair, mine) if fresh else []
        fetched = self._poll()
        ends, idle = self._measure(self._pair, assigned, compared)
        rewound, self._rewound = self._rewound, []
        work = Work(self._pair, self._terms, inputs, fresh, begins, rewound, fetched, ends, idle)
        answer = self._hand_over(work)
        self._balance(answer.full)
        for partition, since_ms in answer.rewinds.items():
            self._rewind(labels.topic, partition, since_ms)

    def _count(self, topic: str) -> int:
        """The partitions of the labels' topic."""
        asked, known = self._partitions
        if time.monotonic() - asked < LOOK_AGAIN_S:
            return known
        try:
            found = self._consumer.list_topics(topic, ASK_S).topics[topic]
        except KafkaException as error:
            raise SessionEnded(f"the partitions of {topic}: {error}") from error
        if found.error is not None:
            raise SessionEnded(f"the labels' topic {topic}: {found.error.str()}")
        self._partitions = time.monotonic(), len(found.partitions)
        return len(found.partitions)

    # -- places --------------------------------------------------------------------------------------------------

    def _place(self, labels: LabelTerms, pair: Pair, mine: frozenset[int]) -> list[LabelEvidence]:
        begins = [self._begin(labels, pair, partition) for partition in sorted(mine)]
        self._next = {each.partition: each.position for each in begins}
        self._starts = {each.partition: each.start for each in begins}
        self._paused, self._rewound = set(), []
        self._consumer.assign([TopicPartition(labels.topic, number, at) for number, at in self._next.items()])
        # the client keeps a pause through an assignment
        self._consumer.resume([TopicPartition(labels.topic, number) for number in self._next])
        self._placed = pair, mine
        log.info("labels_assigned", topic=labels.topic, positions=self._next)
        return begins

    def _begin(self, labels: LabelTerms, pair: Pair, partition: int) -> LabelEvidence:
        """Resume from the best snapshot; else a horizon before the younger deployment, which no older label reaches."""
        low, _ = self._log.ends(labels.topic, partition)
        kept = self._kept(pair, partition)
        if kept is None:
            since = max(0, self._deployed(pair) - labels.horizon_ms)
            start = max(low, self._log.since(labels.topic, partition, since))
            return LabelEvidence(partition, pair, start, self._terms.gate)
        if kept.position < low:
            log.warning("labels_expired", partition=partition, position=kept.position, log_begins=low)
            kept.counts["gone"] += low - kept.position
            kept.position = low
        return kept

    def _kept(self, pair: Pair, partition: int) -> LabelEvidence | None:
        value = self._evidence.value(pair.label_key(partition))
        if value is None or self._terms.gate is None:
            return None
        try:
            kept = decode(value)
        except BadLabelEvidence as error:
            log.warning("bad_snapshot", topic=self._site.evidence, labels=partition, why=str(error))
            return None
        return kept if (kept.pair, kept.partition) == (pair, partition) and fits(kept, self._terms.gate) else None

    def _deployed(self, pair: Pair) -> int:
        """When the younger deployment was commanded, by the control log's own time; ms."""
        if pair not in self._deployed_ms:
            offset = max(pair.blue, pair.green)
            record = self._log.at(self._site.control, 0, offset)
            if record is None or record.offset != offset:
                raise SessionEnded(f"{self._site.control} does not show record {offset}")
            self._deployed_ms = {pair: record.time_ms}
        return self._deployed_ms[pair]

    # -- reading -------------------------------------------------------------------------------------------------

    def _poll(self) -> list[Fetched]:
        try:
            first = self._consumer.poll(POLL_S)
            messages = [] if first is None else [first, *self._consumer.consume(POLL_RECORDS - 1, 0)]
        except KafkaException as error:
            raise SessionEnded(f"reading labels: {error}") from error
        return [fetched for message in messages if (fetched := self._accept(message)) is not None]

    def _accept(self, message: Message) -> Fetched | None:
        error = message.error()
        if error is not None:
            raise _ended(error)
        partition, offset = message.partition() or 0, message.offset() or 0
        if offset < self._next.get(partition, offset):
            return None  # on its way before a seek
        self._next[partition] = offset + 1
        return Fetched(partition, offset, message.timestamp()[1], message.value())

    def _balance(self, full: frozenset[int]) -> None:
        topic = self._topic
        for partition in self._next:
            where = [TopicPartition(topic, partition)]
            if partition in full and partition not in self._paused:
                self._consumer.pause(where)
                self._paused.add(partition)
            elif partition not in full and partition in self._paused:
                self._consumer.resume(where)
                self._paused.discard(partition)

    @property
    def _topic(self) -> str:
        gate = self._terms.gate
        return gate.labels.topic if gate is not None and gate.labels is not None else ""

    def _rewind(self, topic: str, partition: int, since_ms: int) -> None:
        """Read again from the first record that is not older."""
        low, _ = self._log.ends(topic, partition)
        at = self._log.since(topic, partition, max(0, since_ms))
        self._next[partition] = max(low, self._starts[partition], at)
        # a new assignment throws away whatever was on its way, of every partition
        self._consumer.assign([TopicPartition(topic, number, offset) for number, offset in self._next.items()])
        self._consumer.resume([TopicPartition(topic, number) for number in self._next])
        self._paused = set()
        self._rewound.append(partition)
        log.info("labels_read_again", partition=partition, offset=self._next[partition])

    # -- the input -----------------------------------------------------------------------------------------------

    def _measure(
        self, pair: Pair, assigned: Sequence[int] | frozenset[int], compared: frozenset[int]
    ) -> tuple[Mapping[int, tuple[int, int]], Mapping[int, int]]:
        """Ends of the partitions that are compared; and which others hold nothing for the pair. As of when, ms."""
        asked, ends, idle = self._ends
        if time.monotonic() - asked >= ENDS_EVERY_S:
            ends, idle = {}, {}
            for partition in sorted(assigned):
                now = int(time.time() * 1_000)
                end = self._log.ends(self._site.input, partition)[1]
                if partition in compared:
                    ends[partition] = end, now
                elif self._log.since(self._site.input, partition, self._deployed(pair)) >= end:
                    idle[partition] = now
            self._ends = time.monotonic(), ends, idle
        return ends, idle


def _ended(error: KafkaError) -> SessionEnded | Misconfigured:
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return Misconfigured(
            f"the labels' topic is gone: {error.str()}", way_out="create it, or take `labels` out of the pipeline file"
        )
    return SessionEnded(f"reading labels: {error.name()}: {error.str()}")
