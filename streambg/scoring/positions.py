"""Where a scorer's deployment goes on in the partitions it is given, and what it commits of them (P7, P8, P11)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from streambg.control.follower import ControlFollower
from streambg.control.state import ControlState
from streambg.errors import SessionEnded
from streambg.kafka.positions import read_settled
from streambg.records.cutover import ScorerPosition, decode_scorer_position, encode_position
from streambg.scoring import seeding
from streambg.scoring.own_topic import Checked, OwnTopic
from streambg.scoring.site import Site, in_force

CALL_TIMEOUT_S = 10.0
FOLD_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Begin:
    """Of one partition: the first source offset to score, and the own topic's fold there."""

    offset: int
    checked: Checked


class Positions:
    """One deployment's, for as long as a session lasts. `begins` runs in the client's callback."""

    def __init__(
        self, site: Site, follower: ControlFollower, consumer: Consumer, own: OwnTopic, deployment: int
    ) -> None:
        self._site = site
        self._follower = follower
        self._consumer = consumer
        self._own = own
        self._deployment = deployment

    def begins(self, numbers: Collection[int]) -> dict[int, Begin]:
        """Where each begins. It is committed first where nothing or something else stands committed, or where that was
        done under another file (P4). Raises SessionEnded, and KafkaException where the broker does not answer.
        """
        site = self._site
        state = self._follower.wait_caught_up(FOLD_TIMEOUT_S).state
        committed = {
            found.partition: (found.offset if found.offset >= 0 else None, decode_scorer_position(found.metadata))
            for found in self._consumer.committed([TopicPartition(site.input, n) for n in numbers], CALL_TIMEOUT_S)
        }
        settled = read_settled(site.reader, site.publisher_group, site.all_predictions, numbers, site.clients)
        begins: dict[int, Begin] = {}
        first: list[TopicPartition] = []
        for number in numbers:
            offset, position = committed[number]
            begin, moved = self._begin(number, state, offset, position, settled.get(number))
            begins[number] = begin
            if moved or position is None or position.rules != site.rules:
                first.append(self.at(number, begin.offset, begin.checked))
        if first:
            # P11, P7: where it begins is acknowledged before the first batch
            self._consumer.commit(offsets=first, asynchronous=False)
        return begins

    def _begin(
        self,
        number: int,
        state: ControlState,
        offset: int | None,
        position: ScorerPosition | None,
        settled: int | None,
    ) -> tuple[Begin, bool]:
        """Where it begins, and whether that is to be committed first."""
        deployment = in_force(state, self._site.color)
        if deployment is None or deployment.id != self._deployment:
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
            return Begin(decision.offset, Checked(own_end, decision.offset - 1)), True
        covered, end = self._own.scan(number, deployment.id, Checked(decision.checked, decision.covered))
        reach = decision.covered if covered is None else covered
        # A hole in the own topic is answered again from its beginning (P8). What stands there beyond the committed
        # position is not: a model that is slower than the group's patience never commits, and would never get on (P7).
        return Begin(reach + 1, Checked(end, reach)), reach + 1 > decision.offset

    def at(self, partition: int, offset: int, checked: Checked) -> TopicPartition:
        """To commit: this source offset, and the own topic's fold at that moment (P8)."""
        metadata = ScorerPosition(self._deployment, checked.next_offset, checked.covered, self._site.rules)
        return TopicPartition(self._site.input, partition, offset, metadata=encode_position(metadata))
