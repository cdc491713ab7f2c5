"""One partition: a streaming merge of input, answers and outcomes in source order, window by window.

Memory is one window and the chunks around it, however long the topics are.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streambg.audit.answers import Lane, Rows
from streambg.audit.history import CutoverLog, History, line_of
from streambg.audit.parsing import HeaderParser, LetterParser, distinct
from streambg.audit.presence import Missing
from streambg.audit.report import PartitionReport, partition_report
from streambg.audit.segment import Segment, Window
from streambg.audit.sources import Records, Role
from streambg.audit.stamps import Stamps
from streambg.audit.stream import Behind, Bounds, Column, Stream
from streambg.audit.tally import SHOWN, Check, Kind, Tally
from streambg.control.state import Deployment
from streambg.records.source import COLORS, Color

Int64 = npt.NDArray[np.int64]

# Events judged at once: enough that the fixed cost of some forty array operations (about 0.3 ms) is small beside
# them, few enough that a window of 1 KiB answers of two colors stays below 20 MB.
WINDOW = 4_096
NOWHERE = 2**62  # above every source offset


@dataclass(frozen=True, slots=True)
class _Reach:
    """From which source offset on this partition can be judged.

    readable: the input's records are there; retained: so are the outcomes; complete: an outcome that is not there was
    never written; letters: so it is with dead letters.
    """

    readable: int
    retained: int
    complete: int
    letters: int


class PartitionAudit:
    """Judges the outcomes of one partition. `settled` None: no committed position, judged up to the last outcome."""

    def __init__(
        self, records: Records, partition: int, history: History, cutovers: CutoverLog, settled: int | None
    ) -> None:
        self._records = records
        self._partition = partition
        self._history = history
        self.tally = Tally(records.input_topic, partition)
        self._line = line_of(cutovers.by_partition.get(partition, []), history, self.tally)
        self._origin = self._line.origin if self._line.origin is not None else history.state.start_of(partition)
        span = records.span("input", partition)
        floor = 0
        if cutovers.earlier_topics and len(self._line.epochs):
            floor = int(self._line.epochs[0])
        elif cutovers.earlier_topics:
            # nothing of the topic as it is now was published: positions and outcomes are of the earlier one
            floor, settled = NOWHERE, self._origin - 1
        self._open_ended = settled is None
        self._settled = span.end - 1 if settled is None else settled
        self._begin = history.state.output_begin(partition)
        bounds = Bounds(self._origin, self._settled, span.end, floor, self._begin)
        # all of it is asked for before any of it is waited for
        self._events = records.read("input", partition, keys_only=True) if self._settled >= self._origin else iter(())
        self._output = self._stream("output", bounds)
        self._letters = self._stream("dead-letters", bounds)
        self._lanes: dict[Color, Lane] = {
            color: Lane(color, records.read(color, partition), records.span(color, partition), history.deployments)
            for color in COLORS
        }
        self._missing = Missing()
        self._stamps = Stamps(self._line, self.tally)
        self._prefix = b"%s/%d@" % (records.input_topic.encode(), partition)

    def _stream(self, role: Role, bounds: Bounds) -> Stream:
        parser = (HeaderParser if role == "output" else LetterParser)(self._records.input_topic, self._partition)
        return Stream(role, self._records.read(role, self._partition), parser, bounds, self.tally)

    def run(self, progress: Callable[[int], None]) -> PartitionReport:
        """Judge it whole. `progress` is told the number of source offsets passed with each window."""
        reach = self._reach()
        for window in self._windows(reach):
            self._step(window, reach)
            progress(window.upto - window.after)
        for lane in self._lanes.values():
            lane.close()
        self.tally.counts[Kind.LOST] += self._missing.count
        for offset in self._missing.first(SHOWN):
            self.tally.show(Kind.LOST, offset, "one outcome", "none")
        return self._report(reach)

    def _reach(self) -> _Reach:
        first, first_letter = self._output.begin(), self._letters.begin()
        retained = letters = self._origin
        # what expired below the beginning was never ours
        if self._records.span("output", self._partition).start > (self._begin or 0):
            retained = max(self._origin, first) if first is not None else NOWHERE
        # by key, any outcome may have been compacted away
        complete = NOWHERE if "output" in self._records.compacted else retained
        if self._records.span("dead-letters", self._partition).start > 0 or "dead-letters" in self._records.compacted:
            letters = first_letter if first_letter is not None else NOWHERE
        readable = max(self._origin, self._records.span("input", self._partition).start)
        return _Reach(readable, retained, complete, letters)

    # -- windows -------------------------------------------------------------------------------------------------

    def _windows(self, reach: _Reach) -> Iterator[Window]:
        """(origin - 1, settled] in pieces; where the input is gone, as far as outcomes are left."""
        passed = self._origin - 1
        if reach.readable > self._origin:
            firsts = [first for first in (self._output.first, self._letters.first) if first is not None]
            expired = min(reach.readable - 1, self._settled)
            passed = max(passed, min([*(first - 1 for first in firsts), expired]))
            while passed < expired:
                upto = min(passed + WINDOW, expired)
                yield Window(passed, upto, None, [])
                passed = upto
        for offsets, keys in self._input():
            last = int(offsets[-1])
            yield Window(passed, last, offsets, keys)
            passed = last
        if passed < self._settled:
            yield Window(passed, self._settled, np.empty(0, np.int64), [])

    def _input(self) -> Iterator[tuple[Int64, list[bytes | None]]]:
        """The owed events, about WINDOW at a time."""
        offsets: list[int] = []
        keys: list[bytes | None] = []
        for chunk in self._events:
            lo = bisect.bisect_left(chunk.offsets, self._origin)
            hi = bisect.bisect_right(chunk.offsets, self._settled)
            offsets += chunk.offsets[lo:hi]
            keys += chunk.keys[lo:hi]
            if len(offsets) >= WINDOW:
                yield np.array(offsets, np.int64), keys
                offsets, keys = [], []
            if chunk.offsets[-1] >= self._settled:
                break
        if offsets:
            yield np.array(offsets, np.int64), keys

    def _step(self, window: Window, reach: _Reach) -> None:
        outputs, behind = self._output.take(window.upto)
        letters, letters_behind = self._letters.take(window.upto)
        self._count(outputs, letters)
        outputs, letters, missing = self._presence(window, reach, outputs, letters)
        perhaps, sure = missing[missing < reach.letters], missing[missing >= reach.letters]
        lost: list[int] = []
        for after, upto, epoch in self._line.segments(window.after, window.upto):
            part = perhaps[(perhaps > after) & (perhaps <= upto)].tolist()
            outs, dead = outputs.between(after, upto), letters.between(after, upto)
            if part or len(outs) or len(dead):
                lost += self._segment(window, (after, upto, epoch), outs, dead, part)
        self._missing.add(np.concatenate((np.array(lost, np.int64), sure)))
        self._late_comers([("output", item) for item in behind] + [("dead-letters", item) for item in letters_behind])

    def _count(self, outputs: Column, letters: Column) -> None:
        tally = self.tally
        tally.outcomes += len(outputs) + len(letters)
        for said, number in distinct(outputs.says):
            tally.by_color[said.color] += number
            tally.by_why[said.why or ""] += number
        if len(letters):
            tally.by_why["dead-letter"] += len(letters)

    # -- is there exactly one? -----------------------------------------------------------------------------------

    def _presence(
        self, window: Window, reach: _Reach, outputs: Column, letters: Column
    ) -> tuple[Column, Column, Int64]:
        """Lost, doubled in both topics, extra. The outcomes that are left to judge, and missing ones that may have
        been dead letters.
        """
        tally, none = self.tally, np.empty(0, np.int64)
        have = outputs.offsets
        if len(letters):
            twice = np.isin(letters.offsets, have, assume_unique=True)
            for row in np.flatnonzero(twice).tolist():
                record = self._at("dead-letters", letters, row)
                tally.add(Kind.DOUBLED, int(letters.offsets[row]), "one outcome", "a dead letter too", record)
            letters = letters.without(twice)
            have = np.union1d(have, letters.offsets)
        if window.offsets is None:
            tally.gone += len(have)
            return outputs, letters, none
        owed = window.offsets
        if self._open_ended:
            owed = owed[owed <= max(self._output.highest, self._letters.highest)]
        tally.events += len(owed)
        if np.array_equal(have, owed):
            return outputs, letters, none
        outputs, letters = self._unasked("output", outputs, owed), self._unasked("dead-letters", letters, owed)
        missing = np.setdiff1d(owed, have, assume_unique=True)
        blind = missing < reach.complete
        if blind.any():
            tally.blind(Check.PRESENCE, int(missing[blind][-1]), int(blind.sum()))
        return outputs, letters, missing[~blind]

    def _unasked(self, role: Role, column: Column, owed: Int64) -> Column:
        """Outcomes of no event: extra, unless the event may have been compacted away (P35)."""
        if not len(column):
            return column
        unasked = ~np.isin(column.offsets, owed, assume_unique=True)
        if "input" in self._records.compacted:
            self.tally.gone += int(unasked.sum())
            return column
        for row in np.flatnonzero(unasked).tolist():
            record = self._at(role, column, row)
            self.tally.add(Kind.EXTRA, int(column.offsets[row]), "no outcome: not in the input", "an outcome", record)
        return column.without(unasked)

    def _late_comers(self, behind: list[tuple[Role, Behind]]) -> None:
        for role, item in behind:
            record = f"{role}/{self._partition}@{item.log_offset}"
            if self._missing.rescue(item.offset):
                kind, expected, found = Kind.OUT_OF_ORDER, "in source order", "behind the outcome of a later event"
                self._count_late(item)
            else:
                kind, expected, found = Kind.DOUBLED, "one outcome", "another one"
            self.tally.add(kind, item.offset, expected, found, record)

    def _count_late(self, item: Behind) -> None:
        self.tally.outcomes += 1
        self.tally.by_why[item.says.why or "dead-letter"] += 1
        if item.says.why:
            self.tally.by_color[item.says.color] += 1

    # -- is it the right one? ------------------------------------------------------------------------------------

    def _segment(
        self, window: Window, part: tuple[int, int, int], outputs: Column, letters: Column, perhaps: list[int]
    ) -> list[int]:
        """Judge one epoch's part. Of `perhaps`, which may have been dead letters, those that cannot have been."""
        after, upto, epoch = part
        outputs, letters = self._stamps.check(epoch, outputs, letters)
        route = self._history.routes.get(epoch)
        if route is None:
            return perhaps

        def fetch(deployment: Deployment) -> Rows:
            return self._lanes[deployment.color].rows(deployment.id, after, upto, route.bucket_field)

        times_say = not self._records.output_times_copied
        gaps = [gap for gap in self._history.gaps.get(self._partition, ()) if gap.epoch <= epoch]
        segment = Segment(route, window, self._prefix, fetch, self.tally, times_say, gaps)
        segment.outputs(outputs)
        segment.letters(letters)
        lost = [offset for offset in perhaps if not segment.may_be_letter(offset)]
        if len(lost) < len(perhaps):
            self.tally.blind(Check.PRESENCE, max(set(perhaps) - set(lost)), len(perhaps) - len(lost))
        return lost

    def _at(self, role: Role, column: Column, row: int) -> str:
        return f"{role}/{self._partition}@{column.log_offsets[row]}"

    def _report(self, reach: _Reach) -> PartitionReport:
        seen = self._output.first is not None or self._letters.first is not None
        settled = self._settled
        if self._open_ended:
            settled = max(self._origin - 1, self._output.highest, self._letters.highest)
        return partition_report(
            self.tally,
            origin=self._origin,
            settled=settled,
            unanchored=self._open_ended and seen,
            readable=reach.readable,
            retained=reach.retained,
            complete=reach.complete,
            delays_ms=self._line.delays_ms,
        )
