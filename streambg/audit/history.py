"""What the control log and the cutovers say, ready to be asked by source offset (P19, P27)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streambg.audit.route import Route, route_of
from streambg.audit.sources import Records
from streambg.audit.tally import Kind, Tally
from streambg.control.fold import ControlFold
from streambg.control.state import AcceptedGap, ControlState
from streambg.errors import Gap
from streambg.records.cutover import Cutover, decode_cutover
from streambg.records.source import Color

NO_EPOCH = -1
# above every source offset of a broker; what claims more is forged
LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class Deployed:
    """One model put into one color; an accepted gap does so in both with one id (P29)."""

    color: Color
    id: int


@dataclass(frozen=True, slots=True)
class History:
    """The fold of the control log: the route of each epoch, and when its command was appended (deployments: likewise).

    gaps: per partition what was given up, in the order of epochs.
    """

    routes: Mapping[int, Route]
    appended_ms: Mapping[int, int]
    deployments: Mapping[Deployed, int]
    gaps: Mapping[int, Sequence[AcceptedGap]]
    state: ControlState


def read_history(records: Records, ignore_records: Collection[int] = ()) -> History:
    """Fold the control log. Raises UpgradeFirst, and Gap where it does not begin at its beginning."""
    span = records.span("control", 0)
    if span.start > 0:
        raise Gap(
            f"the control log begins at offset {span.start}: nothing can be judged without its beginning",
            way_out="it must never be truncated (retention.ms=-1, retention.bytes=-1, cleanup.policy=delete)",
        )
    fold = ControlFold(ignore_records)
    routes: dict[int, Route] = {}
    appended: dict[int, int] = {}
    deployments: dict[Deployed, int] = {}
    gaps: dict[int, list[AcceptedGap]] = {}
    for chunk in records.read("control", 0):
        for offset, time, value in zip(chunk.offsets, chunk.times, chunk.values, strict=True):
            entry = fold.step(offset, time, value)
            route = route_of(entry.state) if entry.accepted else None
            if route is None:
                continue
            routes[offset], appended[offset] = route, time
            deployments.update(
                (Deployed(color, offset), time)
                for color, slot in entry.state.slots.items()
                if slot is not None and slot.id == offset
            )
            for partition, gap in entry.state.gaps.items():
                if gap.epoch == offset:
                    gaps.setdefault(partition, []).append(gap)
    return History(routes, appended, deployments, gaps, fold.state)


@dataclass(frozen=True, slots=True)
class Seen:
    """One cutover record: its log offset, when it was written, what it says."""

    log_offset: int
    time_ms: int
    cutover: Cutover


@dataclass(frozen=True, slots=True)
class CutoverLog:
    """All cutover records by partition, of the input topic as it is now.

    earlier_topics: others are of a topic of the same name that is gone. strays: (log offset, what is wrong) of
    records that belong to no partition.
    """

    by_partition: Mapping[int, list[Seen]]
    earlier_topics: bool
    strays: list[tuple[int, str]] = field(default_factory=list)


def read_cutovers(records: Records) -> CutoverLog:
    """A topic that was made again has another id: what an earlier one settled is no business of this audit (P25)."""
    seen: list[Seen] = []
    strays: list[tuple[int, str]] = []
    for chunk in records.read("cutovers", 0):
        for offset, time, value in zip(chunk.offsets, chunk.times, chunk.values, strict=True):
            try:
                seen.append(Seen(offset, time, decode_cutover(value or b"")))
            except ValueError:
                strays.append((offset, repr((value or b"")[:80])))
    present = records.input_topic_id or (seen[-1].cutover.topic_id if seen else None)
    by_partition: dict[int, list[Seen]] = {}
    for item in seen:
        cutover = item.cutover
        if not 0 <= cutover.partition < records.partitions or not 0 <= cutover.first < LARGEST:
            strays.append((item.log_offset, f"partition {cutover.partition} from {cutover.first} on"))
        elif cutover.topic_id == present:
            by_partition.setdefault(cutover.partition, []).append(item)
    earlier = any(item.cutover.topic_id != present for item in seen)
    return CutoverLog(by_partition, earlier, strays)


@dataclass(frozen=True, slots=True)
class Line:
    """The cutovers of one partition in order: from `firsts[i]` on, `epochs[i]` decides. int64 (n,) each."""

    firsts: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    origin: int | None
    delays_ms: list[int]

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


def line_of(seen: list[Seen], history: History, tally: Tally) -> Line:
    """One partition's cutovers, checked: known epochs, once each, both epochs and offsets ascending."""
    kept: list[Cutover] = []
    delays: list[int] = []
    origin: int | None = None
    for item in seen:
        cutover, record = item.cutover, f"cutovers/0@{item.log_offset}"
        if origin is None:
            origin = cutover.origin
        if cutover.epoch not in history.routes:
            tally.add(Kind.CUTOVER, cutover.first, "an epoch of the control log", f"epoch {cutover.epoch}", record)
            continue
        if kept and (cutover.epoch, cutover.first) == (kept[-1].epoch, kept[-1].first):
            continue
        if kept and (cutover.epoch <= kept[-1].epoch or cutover.first <= kept[-1].first):
            expected = f"an epoch above {kept[-1].epoch} from an offset above {kept[-1].first} on"
            tally.add(Kind.CUTOVER, cutover.first, expected, f"epoch {cutover.epoch} from {cutover.first} on", record)
            continue
        kept.append(cutover)
        if cutover.origin is None:
            delays.append(item.time_ms - history.appended_ms[cutover.epoch])
    return Line(
        np.array([cutover.first for cutover in kept], np.int64),
        np.array([cutover.epoch for cutover in kept], np.int64),
        origin,
        delays,
    )
