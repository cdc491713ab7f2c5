"""A thread that folds the control log for one process, and knows how fresh its view is (P6)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streambg.control.fold import ControlFold, Entry
from streambg.control.state import ControlState
from streambg.errors import Gap, SessionEnded, StreambgError, Unreachable
from streambg.kafka.clients import KAFKA, Clients
from streambg.kafka.errors import is_denied, translate

# P6: a view is good while an end offset read within the last 10 s has been folded to. Asking every 2 s leaves room
# for four lost answers.
LEASE_S = 10.0
ASK_END_S = 2.0
# One wait for records. It bounds how late somebody who asks for the log's end is answered; 50 wakes a second cost
# 0.1 % of a core.
POLL_S = 0.02
# How many folded entries a process keeps for `status`; the log itself has them all.
KEPT_ENTRIES = 50

log = structlog.get_logger("streambg.control")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state in force as this process knows it. `fresh_at`: monotonic seconds when the end folded to was read."""

    state: ControlState
    folded: int
    fresh_at: float

    def age(self, now: float) -> float:
        return now - self.fresh_at

    def require_lease(self, now: float) -> None:
        """P6: raises SessionEnded where it is older than the lease."""
        if self.age(now) > LEASE_S:
            raise SessionEnded(
                f"the control log was last read to its end {self.age(now):.0f} s ago, the lease is {LEASE_S:g} s (P6)"
            )


def _stopped(error: BaseException) -> StreambgError:
    return StreambgError(
        f"the control log is not folded any more: {type(error).__name__}: {error}",
        way_out="start the process again; it folds the log from its beginning",
    )


class ControlFollower:
    """Folds the control log from its beginning, for ever.

    `snapshot()` raises what stopped the fold: UpgradeFirst, Gap where the log was truncated or recreated.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        ignore_records: Collection[int] = (),
        on_entry: Callable[[Entry], None] | None = None,
        clients: Clients = KAFKA,
    ) -> None:
        self.topic = topic
        self.entries: deque[Entry] = deque(maxlen=KEPT_ENTRIES)
        self.fold = ControlFold(ignore_records)
        self.on_entry = on_entry
        self._clients = clients
        self._settings = {**config, "enable.partition.eof": False, "auto.offset.reset": "error"}
        self._consumer = clients.consumer(self._settings)
        # asks for the log's end on a connection of its own: on the reader's it would wait behind the fetch
        self._asker = clients.consumer(self._settings)
        self._asker_since = clients.now()
        self._partition = TopicPartition(topic, 0)
        # Nothing was ever taken from this log, so it begins at 0. Asked for its beginning, a client that does not know
        # the leader yet asks again after half a second only.
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._snapshot = Snapshot(self.fold.state, -1, float("-inf"))
        self._failure: BaseException | None = None
        self._stopping = threading.Event()
        self._moved = threading.Condition()
        self._end = 0
        self._end_due = 0.0
        self._wanted = threading.Event()  # somebody waits for an end that is asked for from now on
        self._asked_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="control-follower", daemon=True)

    def start(self) -> ControlFollower:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(5)

    def snapshot(self) -> Snapshot:
        if self._failure is not None:
            raise self._failure
        return self._snapshot

    def wait_folded(self, offset: int, timeout: float) -> Snapshot:
        """Until the record at `offset` is folded; Unreachable after `timeout` seconds."""
        return self._wait(lambda: self._snapshot.folded >= offset, f"control record {offset}", timeout)

    def wait_caught_up(self, timeout: float) -> Snapshot:
        """Until an end offset read after this call is folded to; Unreachable after `timeout` seconds."""
        asked = self._clients.now()
        self._wanted.set()
        return self._wait(lambda: self._snapshot.fresh_at >= asked, "the control log's end", timeout)

    def _wait(self, done: Callable[[], bool], what: str, timeout: float) -> Snapshot:
        with self._moved:
            if not self._moved.wait_for(lambda: self._failure is not None or done(), timeout):
                raise Unreachable(
                    f"{what} was not folded within {timeout:g} s; folded is {self._snapshot.folded}",
                    way_out=f"is the broker up, and may this process read {self.topic}?",
                )
        return self.snapshot()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
        except BaseException as error:
            # whatever ends this thread ends the process: a session that started over would fold nothing any more
            self._failure = error if isinstance(error, StreambgError) else _stopped(error)
            with self._moved:
                self._moved.notify_all()
        finally:
            self._consumer.close()
            self._asker.close()

    def _turn(self) -> None:
        if self._wanted.is_set() or self._clients.now() >= self._end_due:
            self._wanted.clear()  # before the clock is read: who asks behind this is heard in the next turn
            now = self._clients.now()
            self._end_due = now + ASK_END_S
            self._asked_at = self._ask_end(now) or self._asked_at
            self._refresh()  # nearly always all of it is folded already: nobody waits for the poll
        self._consume()
        self._refresh()

    def _refresh(self) -> None:
        """P6: the view is as fresh as the last end read, once that is folded to."""
        if self.fold.folded >= self._end - 1 and self._asked_at > self._snapshot.fresh_at:
            self._publish(self._asked_at)

    def _ask_end(self, now: float) -> float | None:
        try:
            low, high = self._asker.get_watermark_offsets(self._partition, 1.0)
        except KafkaException as error:
            # the lease runs out by itself; one lost answer is no news
            log.debug("control_end_unknown", why=str(error))
            self._ask_anew(now)
            return None
        if low > 0:
            raise Gap(
                f"{self.topic} begins at offset {low}: records of the control log are gone",
                way_out="it must never be truncated (retention.ms=-1, retention.bytes=-1, cleanup.policy=delete)",
            )
        if high <= self.fold.folded:
            raise Gap(
                f"{self.topic} ends at {high}, but record {self.fold.folded} was folded: it was deleted and made again",
                way_out="restore the control log, or start a new pipeline name",
            )
        self._end = int(high)
        return now

    def _ask_anew(self, now: float) -> None:
        """A client that lost its broker may time out for ever (seen with a broker that was killed and came back)."""
        if now - max(self._asked_at, self._asker_since) > LEASE_S:
            self._asker.close()
            self._asker, self._asker_since = self._clients.consumer(self._settings), now

    def _consume(self) -> None:
        folded_before = self.fold.folded
        first = self._consumer.poll(POLL_S)
        for message in [] if first is None else [first, *self._consumer.consume(500, 0)]:
            error = message.error()
            if error is not None:
                self._judge(error)
                continue
            offset = message.offset() or 0
            if offset <= self.fold.folded:
                continue
            if offset != self.fold.folded + 1:
                raise Gap(
                    f"{self.topic}: expected record {self.fold.folded + 1}, got {offset}: records are gone",
                    way_out="the control log must never be truncated or compacted",
                )
            entry = self.fold.step(offset, message.timestamp()[1], message.value())
            self.entries.append(entry)
            if self.on_entry:
                self.on_entry(entry)
        if self.fold.folded != folded_before:
            self._publish(self._snapshot.fresh_at)

    def _judge(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise Gap(f"{self.topic}: {error.str()}", way_out="the control log must never be truncated or recreated")
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and self.fold.folded >= 0:
            raise Gap(f"{self.topic}: it was deleted", way_out="restore the control log, or start a new pipeline name")
        if is_denied(error) or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise translate(error, f"reading {self.topic}")
        log.warning("control_read", why=error.str())

    def _publish(self, fresh_at: float) -> None:
        self._snapshot = Snapshot(self.fold.state, self.fold.folded, fresh_at)
        with self._moved:
            self._moved.notify_all()
