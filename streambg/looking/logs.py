"""One partition of a topic of ours as the searches see it."""

from __future__ import annotations

import numpy as np

from streambg.kafka.reading import LogReader, Record
from streambg.looking.answers import Held
from streambg.looking.event import Letter, Published, Row
from streambg.looking.finding import Mark, first_reaching
from streambg.records.batch import OK, BadBatch, Head, decode, decode_head
from streambg.records.outcome import decode_dead_letter, find_header, parse_header
from streambg.records.source import Source


class Predictions:
    """`locate.PredictionLog` on one partition of a color. ends: where they are known already."""

    def __init__(self, log: LogReader, topic: str, partition: int, ends: tuple[int, int] | None = None) -> None:
        self.low, self.high = log.ends(topic, partition) if ends is None else ends
        self._log, self._topic, self._partition = log, topic, partition
        self._heads: dict[int, Head | None] = {}

    def head(self, offset: int) -> Head | None:
        if offset not in self._heads:
            record = self._log.at(self._topic, self._partition, offset)
            self._heads[offset] = _head(record) if record is not None and record.offset == offset else None
        return self._heads[offset]

    def row(self, held: Held, source: int) -> Row | None:
        """The row of an event in a batch; None where there is none."""
        record = self._log.at(self._topic, self._partition, held.log_offset)
        if record is None or record.offset != held.log_offset:
            return None
        batch = decode(record.value or b"")
        at = int(np.searchsorted(batch.offsets, source))
        if at == len(batch) or batch.offsets[at] != source:
            return None
        return Row(
            bool(batch.statuses[at] == OK),
            batch.keys[at],
            batch.values[at],
            tuple(batch.scores[at].tolist()),
            {name: column[at] for name, column in batch.carry.items()},
            batch.scored_at,
            batch.spent_us,
            len(batch),
        )


def _head(record: Record) -> Head | None:
    try:
        return decode_head(record.value or b"")
    except BadBatch:
        return None


class Outcomes:
    """`finding.OutcomeLog` on one partition of the output or the dead letters. floor: epochs below it are of an
    earlier input topic (P25). ends: where they are known already.
    """

    def __init__(
        self,
        log: LogReader,
        topic: str,
        partition: int,
        floor: int,
        *,
        letters: bool,
        ends: tuple[int, int] | None = None,
    ) -> None:
        self.low, self.high = log.ends(topic, partition) if ends is None else ends
        self._log, self._topic, self._partition, self._floor = log, topic, partition, floor
        self._letters = letters

    def mark(self, offset: int) -> Mark | None:
        while offset < self.high:
            record = self._log.at(self._topic, self._partition, offset)
            if record is None or record.offset >= self.high:
                return None
            parsed = self.parse(record)
            if isinstance(parsed, Letter) and not parsed.letter.supersedes:
                return self._mark(record, parsed.letter.epoch, parsed.letter.source)
            if isinstance(parsed, Published) and parsed.outcome.why != "supersedes":
                return self._mark(record, parsed.outcome.epoch, parsed.outcome.source)
            offset = record.offset + 1
        return None

    def _mark(self, record: Record, epoch: int, source: Source) -> Mark:
        return Mark(record.offset, source.offset if epoch >= self._floor else -1)

    def parse(self, record: Record) -> Published | Letter | None:
        return parse_letter(record) if self._letters else parse_output(record)

    def of(self, source: int) -> Published | Letter | None:
        """The outcome of this source offset; None where this topic has none."""
        mark = first_reaching(self, source)
        if mark is None or mark.source != source:
            return None
        record = self._log.at(self._topic, self._partition, mark.offset)
        return self.parse(record) if record is not None else None

    def again(self, begin: int, epoch: int, source: Source) -> Published | None:
        """What the command at `epoch` had published of an event; in source order, from log offset `begin` on (P36)."""
        offset = begin
        while offset < self.high:
            record = self._log.at(self._topic, self._partition, offset)
            if record is None:
                return None
            found = parse_output(record)
            mine = found is not None and (found.outcome.epoch, found.outcome.why) == (epoch, "supersedes")
            if found is not None and mine and found.outcome.source.offset >= source.offset:
                return found if found.outcome.source == source else None
            offset = record.offset + 1
        return None

    def kept_above(self, source: int) -> bool:
        """May an outcome of this source offset have expired? The log has lost records, and begins above it."""
        first = self.mark(self.low) if self.low > 0 else None
        return self.low > 0 and (first is None or first.source > source)


def parse_output(record: Record) -> Published | None:
    """None where it is nobody's of ours."""
    header = find_header(record.headers) or b""
    try:
        outcome = parse_header(header)
    except ValueError:
        return None
    return Published(record.offset, record.time_ms, record.key, record.value, header.decode(), outcome)


def parse_letter(record: Record) -> Letter | None:
    """None where it is nobody's of ours."""
    try:
        letter = decode_dead_letter(record.value or b"")
    except ValueError:
        return None
    return Letter(record.offset, record.time_ms, record.key, letter)
