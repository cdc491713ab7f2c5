"""What a publisher does about partitions that it is assigned, before it reads the first answer (P24, in its order)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, TopicPartition

from streambg.control.follower import ControlFollower
from streambg.control.state import ControlState
from streambg.errors import Gap
from streambg.kafka.coreader import Position
from streambg.kafka.membership import members
from streambg.process.crash import CRASH
from streambg.publishing import resume
from streambg.publishing.facts import read_facts
from streambg.publishing.fencing import fence_the_dead, writers
from streambg.publishing.forgotten import ending_forgotten
from streambg.publishing.outcomes import Home
from streambg.publishing.partition import Partition
from streambg.publishing.resume import Facts
from streambg.publishing.site import Site
from streambg.publishing.transaction import CALL_TIMEOUT_S, Meter, Transaction
from streambg.records.source import COLORS

log = structlog.get_logger("streambg.publisher")


@dataclass(frozen=True, slots=True)
class Assigned:
    """starts: the log offset of the predictions to read first, of each color and partition. state, folded: the control
    log as all partitions know it. group_metadata: used unchanged until revoke (P22).
    """

    partitions: dict[int, Partition]
    starts: dict[Position, int]
    state: ControlState
    folded: int
    group_metadata: Any


class Assignment:
    """Of one session; runs within the group's rebalance."""

    def __init__(
        self,
        site: Site,
        follower: ControlFollower,
        transaction: Transaction,
        meter: Meter,
        believe: Callable[[], None],
    ) -> None:
        """believe: raises Gap where the control log is not the one that this process began with, SessionEnded where
        nobody says it.
        """
        self._site = site
        self._follower = follower
        self._transaction = transaction
        self._meter = meter
        self._believe = believe
        self._admin = site.clients.admin(site.admin)

    def stand_by(self) -> None:
        """There are more members than partitions. What this one had open when it was revoked would hide the tail from
        whoever has the partition now, until the broker ends it.
        """
        self._transaction.start(TopicPartition(self._site.predictions["blue"], 0))

    def take_up(self, consumer: Consumer, numbers: frozenset[int]) -> Assigned:
        """Raises SessionEnded where nobody knows where to go on, Gap where the control log knows less than needed."""
        site = self._site
        started = site.clients.now()
        positions = [TopicPartition(site.predictions[color], number) for number in sorted(numbers) for color in COLORS]
        suspects = set(site.all_transactional_ids) | writers(site, positions)
        suspects.discard(site.transactional_id)
        dead = suspects - (alive := members(self._admin, site.group))
        fence_the_dead(site, dead)
        CRASH.at("fenced-the-dead")
        self._transaction.start(positions[0])
        CRASH.at("initialised")
        group_metadata = consumer.consumer_group_metadata()
        # the log's end before the tails are read: whoever published before us had folded no further (P25)
        known = self._follower.wait_caught_up(CALL_TIMEOUT_S).state
        alarm, alone = self._meter.alarm, alive <= {site.transactional_id}
        with ending_forgotten(site, self._admin, dead | {site.transactional_id}, positions[0], alarm):
            facts = read_facts(site, self._admin, consumer, numbers, known, alarm, alone=alone)
        CRASH.at("positions-read")
        snapshot = self._follower.wait_caught_up(CALL_TIMEOUT_S)
        self._believe()
        for fact in facts:
            _require_folded(fact, snapshot.folded)
        taken = Assigned({}, {}, snapshot.state, snapshot.folded, group_metadata)
        for fact in facts:
            self._go_on(fact, taken)
        CRASH.at("taken-up")
        log.info("assigned", partitions=sorted(numbers), seconds=round(site.clients.now() - started, 3))
        return taken

    def _go_on(self, facts: Facts, taken: Assigned) -> None:
        plan = resume.plan(facts, taken.state)
        for alarm in plan.alarms:
            self._meter.alarm(alarm)
        home = Home(self._site.input, facts.partition, facts.topic_id, facts.cluster_id)
        partition = Partition(
            home,
            plan.settled,
            plan.epoch,
            plan.starts,
            plan.origin,
            plan.unrecorded,
            plan.rereads,
            plan.superseded,
        )
        partition.control(taken.state, taken.folded)
        taken.partitions[facts.partition] = partition
        for color in COLORS:
            taken.starts[color, facts.partition] = plan.starts[color][0]


def _require_folded(facts: Facts, folded: int) -> None:
    needed = resume.needed_epoch(facts)
    if needed > folded:
        raise Gap(
            f"partition {facts.partition} was published under epoch {needed}, the control log ends at {folded}: it was "
            "truncated or made again",
            way_out="restore the control log",
        )
