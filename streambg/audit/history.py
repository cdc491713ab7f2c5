"""What the control log and the cutovers say, ready to be asked by source offset (P19, P27)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from streambg.audit.route import Route, route_of
from streambg.audit.sources import Chunk, Records
from streambg.audit.tally import Kind, Tally
from streambg.control.fold import ControlFold
from streambg.control.state import AcceptedGap, ControlState, Supersession
from streambg.errors import Gap
from streambg.records.cutover import Cutover, Superseded, decode_cutover
from streambg.records.source import Color

NO_EPOCH = -1
# above every source offset of a broker; what claims more is forged
LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Deployed:
    """One model put into one color; an accepted gap does so in both with one id (P29)."""

    color: Color
    id: int


class History:
    """The fold of the control log: the route of each epoch, and when its command was appended (deployments: likewise).

    It grows with `take`. gaps: per partition what was given up, in the order of epochs. supersessions: by epoch.
    """

    def __init__(self, ignore_records: Collection[int] = ()) -> None:
        self._fold = ControlFold(ignore_records)
        self.routes: dict[int, Route] = {}
        self.appended_ms: dict[int, int] = {}
        self.deployments: dict[Deployed, int] = {}
        self.gaps: dict[int, list[AcceptedGap]] = {}
        self.supersessions: dict[int, Supersession] = {}

    @property
    def state(self) -> ControlState:
        return self._fold.state

    def take(self, chunks: Iterable[Chunk]) -> None:
        """Fold what follows in the log. Raises UpgradeFirst."""
        for chunk in chunks:
            for offset, time, value in zip(chunk.offsets, chunk.times, chunk.values, strict=True):
                self._step(offset, time, value)

    def _step(self, offset: int, time: int, value: bytes | None) -> None:
        entry = self._fold.step(offset, time, value)
        route = route_of(entry.state) if entry.accepted else None
        if route is None:
            return
        self.routes[offset], self.appended_ms[offset] = route, time
        self.deployments.update(
            (Deployed(color, offset), time)
            for color, slot in entry.state.slots.items()
            if slot is not None and slot.id == offset
        )
        self.supersessions.update((each.epoch, each) for each in entry.state.supersessions[-1:])
        for partition, gap in entry.state.gaps.items():
            if gap.epoch == offset:
                self.gaps.setdefault(partition, []).append(gap)


def new_history(records: Records, ignore_records: Collection[int] = ()) -> History:
    """With nothing folded yet. Raises Gap where the control log does not begin at its beginning."""
    span = records.span("control", 0)
    if span.start > 0:
        raise Gap(
            f"the control log begins at offset {span.start}: nothing can be judged without its beginning",
            way_out="it must never be truncated (retention.ms=-1, retention.bytes=-1, cleanup.policy=delete)",
        )
    return History(ignore_records)


@dataclass(frozen=True, slots=True)
class Seen:
    """One cutover record: its log offset, when it was written, what it says."""

    log_offset: int
    time_ms: int
    cutover: Cutover


class CutoverLog:
    """The cutover records by partition, of the input topic as it is now; it grows with `take`.

    A topic that was made again has another id: what an earlier one settled is no business of this audit (P25).
    earlier_topics: some are of such a topic. strays: (log offset, what is wrong) of records of no partition.
    """

    def __init__(self, present: str | None) -> None:
        self._present = present
        self.earlier_topics = False
        self.strays: list[tuple[int, str]] = []
        # how far each `supersede` is carried out, by partition and epoch: up to this source offset (P36)
        self.superseded: dict[int, dict[int, int]] = {}

    def take(self, chunks: Iterable[Chunk], partitions: int) -> dict[int, list[Seen]]:
        """What follows in the log, by partition."""
        seen: list[Seen] = []
        for chunk in chunks:
            for offset, time, value in zip(chunk.offsets, chunk.times, chunk.values, strict=True):
                try:
                    record = decode_cutover(value or b"")
                except ValueError:
                    self.strays.append((offset, repr((value or b"")[:80])))
                    continue
                if isinstance(record, Superseded):
                    self._note(offset, record, partitions)
                else:
                    seen.append(Seen(offset, time, record))
        if self._present is None and seen:
            self._present = seen[-1].cutover.topic_id
        by_partition: dict[int, list[Seen]] = {}
        for item in seen:
            cutover = item.cutover
            if not 0 <= cutover.partition < partitions or not 0 <= cutover.first < LARGEST:
                self.strays.append((item.log_offset, f"partition {cutover.partition} from {cutover.first} on"))
            elif cutover.topic_id == self._present:
                by_partition.setdefault(cutover.partition, []).append(item)
            self.earlier_topics = self.earlier_topics or cutover.topic_id != self._present
        return by_partition

    def _note(self, offset: int, note: Superseded, partitions: int) -> None:
        if not 0 <= note.partition < partitions or not 0 <= note.superseded < LARGEST:
            self.strays.append((offset, f"partition {note.partition} superseded up to {note.superseded}"))
            return
        reached = self.superseded.setdefault(note.partition, {})
        reached[note.epoch] = max(note.superseded, reached.get(note.epoch, -1))


class Line:
    """The cutovers of one partition in order: from `firsts[i]` on, `epochs[i]` decides. int64 (n,) each.

    It grows with `take`. origin: the first source offset owed, None while no record says it. delays_ms: from each
    command to its cutover.
    """

    def __init__(self, history: History, tally: Tally) -> None:
        self._history = history
        self._tally = tally
        self._kept: list[Cutover] = []
        self.firsts = np.empty(0, np.int64)
        self.epochs = np.empty(0, np.int64)
        self.origin: int | None = None
        self.delays_ms: list[int] = []

    def take(self, seen: Iterable[Seen]) -> None:
        """Checked: known epochs, once each, both epochs and offsets ascending."""
        for item in seen:
            self._check(item)
        self.firsts = np.array([cutover.first for cutover in self._kept], np.int64)
        self.epochs = np.array([cutover.epoch for cutover in self._kept], np.int64)

    def _check(self, item: Seen) -> None:
        kept, cutover, record = self._kept, item.cutover, f"cutovers/0@{item.log_offset}"
        if self.origin is None:
            self.origin = cutover.origin
        if cutover.epoch not in self._history.routes:
            self._accuse(cutover, "an epoch of the control log", f"epoch {cutover.epoch}", record)
            return
        if kept and (cutover.epoch, cutover.first) == (kept[-1].epoch, kept[-1].first):
            return
        if kept and (cutover.epoch <= kept[-1].epoch or cutover.first <= kept[-1].first):
            expected = f"an epoch above {kept[-1].epoch} from an offset above {kept[-1].first} on"
            self._accuse(cutover, expected, f"epoch {cutover.epoch} from {cutover.first} on", record)
            return
        kept.append(cutover)
        if cutover.origin is None:
            self.delays_ms.append(item.time_ms - self._history.appended_ms[cutover.epoch])

    def _accuse(self, cutover: Cutover, expected: str, found: str, record: str) -> None:
        self._tally.add(Kind.CUTOVER, cutover.first, expected, found, record)

    def epoch_at(self, offset: int) -> int:
        """The epoch that decides `offset`, NO_EPOCH before the first cutover."""
        at = int(np.searchsorted(self.firsts, offset, "right")) - 1
        return int(self.epochs[at]) if at >= 0 else NO_EPOCH

    def first_of(self, epoch: int) -> int | None:
        """Where `epoch` begins; None where no record says so."""
        at = np.flatnonzero(self.epochs == epoch)
        return int(self.firsts[at[0]]) if len(at) else None

    def segments(self, after: int, upto: int) -> list[tuple[int, int, int]]:
        """(after, upto] cut at the cutovers: (after, upto, epoch) each."""
        cuts = self.firsts[(self.firsts > after + 1) & (self.firsts <= upto)].tolist()
        starts, ends = [after, *(cut - 1 for cut in cuts)], [*(cut - 1 for cut in cuts), upto]
        return [(start, end, self.epoch_at(start + 1)) for start, end in zip(starts, ends, strict=True)]
