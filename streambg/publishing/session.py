"""One session of the publisher: from an assignment to the first thing that is not as expected (P21-P28).

Crash-only: nothing is retried and nothing aborted by hand. Whatever goes wrong ends the session; the next one's
`init_transactions` ends what was open, and the tail tells where to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import KafkaException, TopicPartition

from streambg.control.follower import ControlFollower
from streambg.control.state import ControlState
from streambg.errors import Fenced, SessionEnded, StreambgError
from streambg.kafka.coreader import CoReader, Position
from streambg.kafka.errors import is_denied, is_fenced, translate
from streambg.publishing.answers import Fetch
from streambg.publishing.assignment import Assignment
from streambg.publishing.deadlines import Deadlines
from streambg.publishing.gap import read_events
from streambg.publishing.outcomes import Records
from streambg.publishing.partition import Partition, waiting_rows
from streambg.publishing.republishing import Republishing
from streambg.publishing.site import Site
from streambg.publishing.transaction import CALL_TIMEOUT_S, Meter, Transaction
from streambg.records.batch import MAX_ROWS, BadBatch, decode
from streambg.records.cutover import encode_position
from streambg.records.source import COLORS, Color

# One wait for records. Short while a transaction is open, so that it commits on time; longer when idle.
BUSY_POLL_S = 0.005
IDLE_POLL_S = 0.05
# Records taken at once: a full transaction of small batches, and still a fraction of the transaction interval of work.
POLL_RECORDS = 500
# Rows that may wait before less is taken: what two full transactions hold of both colors; and of the room of all queues
# half, so that a color that is read first finds twice its half. More would only be paused, and with it what was fetched
# ahead thrown away.
READ_AHEAD = 4
FILLED = 0.5
# How long positions may be behind what was read while nothing is published. Predictions live for days: a position that
# stayed until they are gone would say that answers are missing (P27). One small transaction behind the last event.
TIDY_S = 60.0

log = structlog.get_logger("streambg.publisher")


class Session:
    """Run it until it ends; then make a new one."""

    def __init__(self, site: Site, follower: ControlFollower, meter: Meter, believe: Callable[[], None]) -> None:
        """believe: as Assignment's."""
        self.site = site
        self._believe = believe
        self.partitions: dict[int, Partition] = {}
        self._follower = follower
        self._meter = meter
        self._transaction = Transaction(site, meter)
        self._clients = site.clients
        self._assignment = Assignment(site, follower, self._transaction, meter, believe)
        self._rows_a_record = MAX_ROWS  # of the last poll's; before it, the most there can be
        self._hurry = False  # a command was folded: commit without waiting for the interval
        self._more = False  # the last transaction was full: there is more to publish without waiting
        self._claim = False
        self._turn = 0
        self._dirty: set[int] = set()  # read or settled since their positions were committed
        self._committed_at = self._clients.now()
        self._deadlines = Deadlines()
        self._republishing = Republishing(site)
        self._state = ControlState()
        self._folded = -2
        trouble = self._transaction.trouble
        consumer = {**site.consumer, "logger": trouble.logger, "error_cb": trouble.consumer_error}
        self._reader = CoReader(consumer, site.predictions, self._assume, self._drop, site.clients)

    @property
    def member_id(self) -> str:
        """By which it is, or was, a member of its group."""
        return self._reader.member_id

    def rejoin(self) -> None:
        """Partitions are nobody's (P13). What is open is committed first: a revoke would end the session (P21)."""
        if self._transaction.open:
            self._commit()
        self._reader.rejoin()
        deadline = self._clients.now() + CALL_TIMEOUT_S
        while self.partitions and self._clients.now() < deadline:
            for each in self._reader.poll(BUSY_POLL_S, self._room()):
                self._offer(each.color, each.partition, each.offset, each.value)

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self, stopping: Callable[[], bool]) -> None:
        """Until `stopping`; raises SessionEnded, Fenced, Gap."""
        try:
            while not stopping():
                self.step()
            if self._transaction.open:
                self._commit()
        except KafkaException as error:
            raise self._translated(error) from error
        finally:
            self._end()

    def step(self) -> None:
        busy = self._transaction.open or self._claim
        wait = 0.0 if self._more else BUSY_POLL_S if busy else IDLE_POLL_S
        records = self._reader.poll(wait, self._room())
        self._look()  # after waiting: a command folded meanwhile decides what came meanwhile
        rows = sum(self._offer(each.color, each.partition, each.offset, each.value) for each in records)
        if rows:
            self._rows_a_record = 1 + rows // len(records)
        self._publish()
        self._check_deadlines(self._clients.now())
        self._balance()
        if self._transaction.due or (self._hurry and self._transaction.open):
            self._commit()

    def _room(self) -> int:
        """How many records to take: fewer where much waits already, and where records have many rows; at least one."""
        waiting = sum(each.rows for partition in self.partitions.values() for each in partition.answers.values())
        queues = int(FILLED * waiting_rows(len(self.partitions)) * len(COLORS) * len(self.partitions))
        room = min(READ_AHEAD * self.site.records, queues)
        return max(1, min(POLL_RECORDS, (room - waiting) // self._rows_a_record))

    def _look(self) -> None:
        """The control log's view, no older than the lease (P6); switched only between transactions (P19)."""
        snapshot = self._follower.snapshot()
        snapshot.require_lease(self._clients.now())
        if snapshot.folded == self._folded:
            return
        # a command waits for no interval: what is open is committed with this step, and so is the first of its epoch
        self._hurry = True
        if not self._transaction.open:
            self._believe()  # somebody's own commands in a log that was made again must move nothing
            snapshot.require_lease(self._clients.now())  # the answer may have taken seconds
            self._state, self._folded = snapshot.state, snapshot.folded
            for partition in self.partitions.values():
                partition.control(self._state, self._folded)

    def _offer(self, color: Color, number: int, offset: int, value: bytes) -> int:
        """How many rows it has."""
        partition = self.partitions[number]
        self._dirty.add(number)
        try:
            batch = decode(value)
        except BadBatch as error:
            partition.skip(color, offset)
            self._meter.alarm(f"{self.site.predictions[color]}/{number}@{offset} is no prediction batch: {error}")
            return 0
        partition.offer(color, Fetch(offset, len(value), self._clients.now(), batch))
        return len(batch)

    def _publish(self) -> None:
        if self._state.live is None:
            return  # P28: without a route nothing is committed
        if self._claim or self._behind:
            if self._claim:
                self._transaction.trouble.forget()  # looking for the brokers is no trouble with them
            self._claim = False
            self._transaction.begin()
            for partition in self.partitions.values():
                if (note := partition.superseding.unrecorded()) is not None:
                    self._transaction.note(note)
            self._dirty.update(self.partitions)
            self._commit()
        for partition in self._deadlines.doubted(self.partitions, self._clients.now()):
            partition.wait_again()
        for number in self._turns():
            partition = self.partitions[number]
            while (room := self._transaction.room) > 0:
                before = partition.settled
                records = (
                    partition.advance(room) if partition.gap is None else self._give_up(number, partition.gap, room)
                )
                if records is None:
                    break
                self._dirty.add(number)
                if records:
                    self._deadlines.claim(partition, before)
                    self._transaction.write(number, records)
        self._supersede()
        self._more = self._transaction.room <= 0

    @property
    def _behind(self) -> bool:
        """P26: what is read below settled publishes nothing, and yet moves a position."""
        return bool(self._dirty) and not self._transaction.open and self._clients.now() - self._committed_at >= TIDY_S

    def _supersede(self) -> None:
        """P36: what a command wants published again, beside what is new."""
        done = self._republishing.turn(self.partitions.values(), self._transaction.room)
        if done is not None:
            self._dirty.add(done[0])
            self._transaction.supersede(*done)

    def _give_up(self, number: int, gap: tuple[int, int], room: int) -> Records | None:
        """P29: the next events of an accepted gap as dead letters; None where the input does not show them yet."""
        events = read_events(self.site.reader, self.site.input, number, gap, room, self.site.clients)
        if events.upto < gap[0]:
            return None
        log.info("gap", partition=number, first=gap[0], upto=events.upto, events=len(events.offsets))
        return self.partitions[number].give_up(events.offsets, events.keys, events.upto)

    def _turns(self) -> list[int]:
        """Every partition, another one first each time: a full transaction must not starve the last ones."""
        numbers = list(self.partitions)
        self._turn = (self._turn + 1) % max(1, len(numbers))
        return numbers[self._turn :] + numbers[: self._turn]

    def _commit(self) -> None:
        self._hurry = False
        self._transaction.deliver()
        self._stand_by_late()
        self._transaction.commit(self._positions(), self._group_metadata)
        self._dirty.clear()
        self._committed_at = self._clients.now()
        self._deadlines.committed()

    def _stand_by_late(self) -> None:
        """P34: what reached the log long after the look that calls a color late stands only after another look.

        Where the color has answered meanwhile the session ends, and the next one publishes its answers. One that has
        not is late for good, however slow the broker is: nothing is tried twice for it.
        """
        doubtful = self._deadlines.outlived(self.partitions, self._clients.now())
        if not doubtful:
            return
        ends, until = self._ends(doubtful), self._clients.now() + self.site.trusted_s
        while any(self._reader.next_offset(*spot) < end for spot, end in ends.items()):
            if self._clients.now() > until:
                raise SessionEnded("late colors' logs were not read to the end again with a transaction open (P34)")
            for each in self._reader.poll(BUSY_POLL_S, POLL_RECORDS):
                self._offer(each.color, each.partition, each.offset, each.value)
        for color, number in self._deadlines.refuted(self.partitions, doubtful):
            raise SessionEnded(f"partition {number}: {color} was called late and has answered before the commit (P34)")

    def _positions(self) -> list[TopicPartition]:
        site, found = self.site, list[TopicPartition]()
        for number in sorted(self._dirty):
            positions = self.partitions[number].positions(site.transactional_id, site.rules)
            found += [
                TopicPartition(site.predictions[color], number, offset, metadata=encode_position(position))
                for color, (offset, position) in positions.items()
            ]
        return found

    # -- waiting and balance ------------------------------------------------------------------------------------------

    def _check_deadlines(self, now: float) -> None:
        """P18, P14."""
        late = self._deadlines.fired(self.partitions, now, self._ends, self._reader.next_offset)
        for partition, waiting, color in late:
            self._meter.alarm(f"{partition.home.at(waiting.offset)}: {color}'s answer is late")
            partition.fire(waiting)
        for partition in self.partitions.values():
            words = self._deadlines.standstill(partition, now)
            if words is not None:
                self._meter.alarm(words)

    def _ends(self, positions: list[Position]) -> Mapping[Position, int]:
        return self._reader.end_offsets(positions, CALL_TIMEOUT_S)

    def _balance(self) -> None:
        """P20: read no more of a color that runs ahead."""
        among = len(self.partitions)
        for number, partition in self.partitions.items():
            for color in COLORS:
                if partition.overfull(color, among):
                    self._reader.pause(color, number)
                elif (color, number) in self._reader.paused and partition.roomy(color, among):
                    self._reader.resume(color, number)

    # -- assignment ----------------------------------------------------------------------------------------------

    def _assume(self, numbers: frozenset[int]) -> Mapping[Position, int]:
        if not numbers:
            self._assignment.stand_by()
            return {}
        assigned = self._assignment.take_up(self._reader.consumer, numbers)
        self.partitions.update(assigned.partitions)
        self._state, self._folded = assigned.state, assigned.folded
        self._group_metadata = assigned.group_metadata
        self._claim = True
        return assigned.starts

    def _drop(self) -> None:
        """Revoked or lost: drop everything, commit nothing (P22); an open transaction ends the session (P21)."""
        open_transaction = self._transaction.open
        self.partitions.clear()
        self._dirty.clear()
        self._deadlines.forget()
        self._claim = False
        self._republishing.let_go()
        self._transaction.let_go()
        if open_transaction:
            raise SessionEnded("partitions were revoked with a transaction open (P21)")

    def _end(self) -> None:
        self.partitions.clear()
        self._republishing.let_go()
        self._transaction.let_go()
        self._reader.close()

    def _translated(self, error: KafkaException) -> StreambgError:
        cause = self._transaction.cause_of(error.args[0])
        if is_fenced(cause):
            return Fenced(
                f"another publisher runs as {self.site.transactional_id}: {cause.str()}",
                way_out="give each publisher its own --slot; this one stops",
            )
        if is_denied(cause):
            return translate(cause, "publishing")
        return SessionEnded(f"{cause.name()}: {cause.str()}")
