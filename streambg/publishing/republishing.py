"""A session's part of `supersede`: reads stored answers beside the loop, without ever waiting for them (P36)."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streambg.publishing.answers import Fetch
from streambg.publishing.facts import WATERMARK_TIMEOUT_S
from streambg.publishing.outcomes import Records
from streambg.publishing.partition import Partition
from streambg.publishing.site import Site
from streambg.publishing.superseding import Errand, Stored
from streambg.records.batch import MAX_ROWS, BadBatch, decode
from streambg.records.cutover import Superseded

# Of a full transaction's records this part may be superseding ones even where live outcomes fill it: a busy pipeline
# must not put a recorded command off for ever, and its own outcomes come first.
SHARE = 0.1
# What one turn of the loop takes: some 15 ms of work, after which the newest outcomes have their turn again.
TURN_ROWS = 4 * MAX_ROWS


class Republishing:
    """One partition at a time: however many partitions a member has, one reader's memory."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._number = -1
        self._stored: Stored | None = None
        self._consumer: Consumer | None = None

    def turn(self, partitions: Iterable[Partition], room: int) -> tuple[int, Records, Superseded] | None:
        """(partition, records, progress) for the open transaction; None where nothing is to be done, or read yet."""
        for partition in partitions:
            errand = partition.superseding.errand(partition.settled)
            if errand is not None:
                return self._work(partition, errand, min(TURN_ROWS, max(room, int(SHARE * self._site.records))))
        self.let_go()
        return None

    def _work(self, partition: Partition, errand: Errand, limit: int) -> tuple[int, Records, Superseded] | None:
        number = partition.home.partition
        if self._stored is None or (self._number, self._stored.errand) != (number, errand):
            self._open(number, errand)
        assert self._stored is not None
        self._read(self._stored, limit)
        done = partition.superseding.advance(self._stored, limit)
        return None if done is None else (number, *done)

    def _open(self, number: int, errand: Errand) -> None:
        self.let_go()
        spot = self._site.predictions[errand.deployment.color], number
        self._consumer = self._site.clients.consumer(self._site.reader)
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(*spot), WATERMARK_TIMEOUT_S)
        self._number, self._stored = number, Stored(errand, int(low))
        if not self._stored.complete:
            self._consumer.assign([TopicPartition(*spot, self._stored.next_offset)])

    def _read(self, stored: Stored, limit: int) -> None:
        """What has come by now, as far as there is room."""
        assert self._consumer is not None
        while not stored.complete and stored.rows < limit:
            messages = self._consumer.consume(1 + (limit - stored.rows) // MAX_ROWS, 0)
            if not messages:
                return
            for message in messages:
                take(stored, message)

    def let_go(self) -> None:
        """Forget what was read; the next session begins anew at the progress that was committed."""
        consumer, self._consumer, self._stored = self._consumer, None, None
        if consumer is not None:
            consumer.close()


def take(stored: Stored, message: Message) -> None:
    """The next record of the predictions' log. Raises KafkaException for an error in its place."""
    error, value, offset = message.error(), message.value() or b"", message.offset() or 0
    if error is not None:
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        return
    try:
        stored.offer(Fetch(offset, len(value), 0.0, decode(value)))
    except BadBatch:
        stored.skip(offset)
