"""One partition: a streaming merge of input, answers and outcomes in source order, window by window.

Memory is one window and the chunks around it, however long the topics are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streambg.audit.answers import Lane, Rows
from streambg.audit.columns import Behind, Column
from streambg.audit.events import Events
from streambg.audit.history import History, Line, Seen
from streambg.audit.parsing import HeaderParser, LetterParser, Parsed
from streambg.audit.presence import Presence
from streambg.audit.report import PartitionReport, partition_report
from streambg.audit.segment import Segment, Window
from streambg.audit.since import Since, origin_of
from streambg.audit.sources import PARTITIONED, Chunk, LiveRecords, Records, Role
from streambg.audit.stamps import Stamps
from streambg.audit.stream import Bounds, Stream
from streambg.audit.superseding import Superseding
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
    """Judges the outcomes of one partition: `advance`, as often as more is settled, and `report`.

    settled None: no committed position, judged up to the last outcome. since: where to begin, else at the origin.
    follow: more will be settled later, and the readers go on. superseded: how far each `supersede` is carried out, by
    its epoch; it grows.
    """

    def __init__(
        self,
        records: Records,
        partition: int,
        history: History,
        line: Line,
        settled: int | None,
        *,
        tally: Tally,
        earlier_topics: bool = False,
        since: Since | None = None,
        follow: bool = False,
        superseded: Mapping[int, int] | None = None,
    ) -> None:
        self._records = records
        self._partition = partition
        self._history = history
        self.tally = tally
        self._line = line
        self._origin = origin_of(line, history, partition)
        span = records.span("input", partition)
        floor = 0
        if earlier_topics and len(line.epochs):
            floor = int(line.epochs[0])
        elif earlier_topics:
            # nothing of the topic as it is now was published: positions and outcomes are of the earlier one
            floor, settled = NOWHERE, self._origin - 1
        self._open_ended = settled is None
        self._settled = span.end - 1 if settled is None else settled
        self._output_begin = history.state.output_begin(partition)
        self._since = since or Since(self._origin)
        self._first = max(self._origin, self._since.source)
        self._passed = self._first - 1
        self._starts = {role: records.span(role, partition).start for role in PARTITIONED}
        self._bounds = Bounds(self._origin, self._settled, span.end, floor, self._output_begin, self._first)
        self._follow = follow
        gone = "output" in records.compacted or self._expired("output", self._output_begin or 0)
        whole = not gone and self._first == self._origin
        self._superseding = Superseding(
            records, partition, history, tally, {} if superseded is None else superseded, whole
        )
        self._output = self._stream("output", self._superseding.take)
        self._letters = self._stream("dead-letters", self._superseding.letters)
        self._lanes: dict[Color, Lane] = {
            color: Lane(color, self._read(color), self._begin(color), history.deployments) for color in COLORS
        }
        self._events = Events(records.read("input", partition, keys_only=True, begin=self._first), self._first)
        self._presence = Presence(tally, "input" in records.compacted)
        self._stamps = Stamps(line, self.tally)
        self._prefix = b"%s/%d@" % (records.input_topic.encode(), partition)

    def _begin(self, role: Role) -> int:
        return max(self._starts[role], self._since.logs.get(role, 0))

    def _read(self, role: Role) -> Iterator[Chunk]:
        return self._records.read(role, self._partition, begin=self._begin(role))

    def _stream(self, role: Role, superseding: Callable[[Parsed], None]) -> Stream:
        parser = (HeaderParser if role == "output" else LetterParser)(self._records.input_topic, self._partition)
        return Stream(role, self._read(role), parser, self._bounds, self.tally, self._follow, superseding)

    @property
    def passed(self) -> int:
        """The last source offset that was judged; origin - 1 before the first."""
        return self._passed

    def cut(self, seen: list[Seen]) -> None:
        """Cutover records that came meanwhile."""
        self._line.take(seen)

    def settle(self, settled: int) -> None:
        """More is settled now, and the topics' ends were pinned anew."""
        self._settled = max(self._settled, settled)
        for stream in (self._output, self._letters):
            stream.settle(self._settled, self._records.span("input", self._partition).end)

    def advance(self, progress: Callable[[int], None], limit: int | None = None) -> bool:
        """Judge up to what is settled, or about `limit` source offsets; was that all?

        `progress` is told the number of source offsets passed with each window.
        """
        reach, begun = self._reach(), self._passed
        for window in self._windows(reach):
            self._step(window, reach)
            self._passed = window.upto
            progress(window.upto - window.after)
            if limit is not None and self._passed - begun >= limit and self._passed < self._settled:
                return False
        if self._follow:  # what came behind that was judged before
            self._step(Window(self._passed, self._passed, np.empty(0, np.int64), []), reach)
        self._superseding.finish()
        return True

    def pause(self, records: LiveRecords) -> None:
        """Keep nothing between two rounds that can be read again."""
        for color, lane in self._lanes.items():
            if (offset := lane.pause()) is not None:
                records.rewind(color, self._partition, offset)
        if (offset := self._events.pause()) is not None:
            records.rewind("input", self._partition, offset)

    def close(self) -> None:
        """Forget what was read."""
        for lane in self._lanes.values():
            lane.close()

    def _reach(self) -> _Reach:
        """Anew each time: where outcomes have expired, the first that is left decides."""
        first, first_letter = self._output.begin(), self._letters.begin()
        retained = letters = self._first
        # what expired below the beginning was never ours; and what stands before the place where we begin has not
        if self._expired("output", self._output_begin or 0):
            retained = max(self._first, first) if first is not None else NOWHERE
        # by key, any outcome may have been compacted away
        complete = NOWHERE if "output" in self._records.compacted else retained
        if self._expired("dead-letters", 0) or "dead-letters" in self._records.compacted:
            letters = first_letter if first_letter is not None else NOWHERE
        readable = max(self._first, self._starts["input"])
        return _Reach(readable, retained, complete, letters)

    def _expired(self, role: Role, begin: int) -> bool:
        """May outcomes of what is judged be gone?"""
        return self._starts[role] > begin and self._begin(role) == self._starts[role]

    # -- windows -------------------------------------------------------------------------------------------------

    def _windows(self, reach: _Reach) -> Iterator[Window]:
        """(passed, settled] in pieces; where the input is gone, as far as outcomes are left."""
        if reach.readable > self._first:
            firsts = [first for first in (self._output.first, self._letters.first) if first is not None]
            expired = min(reach.readable - 1, self._settled)
            passed = max(self._passed, min([*(first - 1 for first in firsts), expired]))
            while passed < expired:
                upto = min(passed + WINDOW, expired)
                yield Window(passed, upto, None, [])
                passed = upto
            self._passed = passed
        for offsets, keys in self._events.take(self._settled, WINDOW):
            yield Window(self._passed, int(offsets[-1]), offsets, keys)
        if self._passed < self._settled:
            yield Window(self._passed, self._settled, np.empty(0, np.int64), [])

    def _step(self, window: Window, reach: _Reach) -> None:
        outputs, behind = self._take("output", self._output, window)
        letters, letters_behind = self._take("dead-letters", self._letters, window)
        outputs, letters, missing = self._presence.check(self._owed(window), outputs, letters, reach.complete)
        perhaps, sure = missing[missing < reach.letters], missing[missing >= reach.letters]
        lost: list[int] = []
        for after, upto, epoch in self._line.segments(window.after, window.upto):
            part = perhaps[(perhaps > after) & (perhaps <= upto)].tolist()
            outs, dead = outputs.between(after, upto), letters.between(after, upto)
            if part or len(outs) or len(dead):
                lost += self._segment(window, (after, upto, epoch), outs, dead, part)
        self._presence.missing.add(np.concatenate((np.array(lost, np.int64), sure)))
        self._presence.late(behind + letters_behind)

    def _owed(self, window: Window) -> Int64 | None:
        """The window's events; without a committed position those up to the last outcome."""
        if window.offsets is None or not self._open_ended:
            return window.offsets
        return window.offsets[window.offsets <= max(self._output.highest, self._letters.highest)]

    def _take(self, role: Role, stream: Stream, window: Window) -> tuple[Column, list[tuple[Role, Behind]]]:
        """The window's outcomes, and those that came behind a later one, or behind the window of their own event."""
        column, behind = stream.take(window.upto)
        if passed := int(np.searchsorted(column.offsets, window.after, "right")):
            late = column.cut(slice(passed))
            behind = [*map(Behind, late.offsets.tolist(), late.log_offsets, late.says), *behind]
            column = column.cut(slice(passed, None))
        return column, [(role, item) for item in behind]

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

    def report(self) -> PartitionReport:
        """What was judged so far."""
        reach = self._reach()
        missing = self._presence.missing
        self.tally.missing(Kind.LOST, missing.count, missing.first(SHOWN), "one outcome")
        self._superseding.report()
        if self._follow:
            self.tally.unsettled = self._output.unsettled + self._letters.unsettled
        seen = self._output.first is not None or self._letters.first is not None
        settled = min(self._settled, self._passed) if self._follow else self._settled
        if self._open_ended:
            settled = max(self._origin - 1, self._output.highest, self._letters.highest)
        return partition_report(
            self.tally,
            origin=self._origin,
            since=self._first,
            settled=settled,
            unanchored=self._open_ended and seen,
            readable=reach.readable,
            retained=reach.retained,
            complete=reach.complete,
            delays_ms=list(self._line.delays_ms),
        )
