"""The reader thread's session: from an assignment to the first thing that is not as expected (P21, P23).

It follows the control log, places every assigned partition (a snapshot's read positions, else P31's search), polls both
predictions topics and hands each poll to the desk. Nothing is ever committed to the group: it only shares out the
partitions. Whatever goes wrong ends the session, and the next one resumes from the last snapshots (P30).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import TopicPartition

from streambg.comparing.comparison import Comparison
from streambg.comparing.desk import Work
from streambg.comparing.evidence_log import EvidenceReader
from streambg.comparing.hooks import with_hooks
from streambg.comparing.locate import PredictionLog, Start, locate
from streambg.comparing.pair import Pair, Terms, pair_of, terms_of
from streambg.comparing.probe import Probe
from streambg.comparing.site import Site
from streambg.comparing.snapshot import Snapshot
from streambg.comparing.tallywire import fit
from streambg.control.follower import ControlFollower
from streambg.deciding import tallies
from streambg.errors import ModelError
from streambg.kafka.coreader import CoReader, Position
from streambg.records.source import COLORS, Color, other

# Records a poll: 64 full batches of both colors are about 60 ms of comparing on the event loop.
POLL_RECORDS = 64
POLL_S = 0.1
# After a poll that was not full: batches of a quiet pipeline have a few rows each, and one look at ten of them costs
# what one look at one does (0.3 ms a partition). Nobody waits for evidence this long.
GATHER_S = 0.05
# So long few rows wait for more of them (pairing.GATHER_ROWS): verdicts are given once a second.
ALL_ROWS_EVERY_S = 0.5
# How often a partition whose pair has not answered yet is looked at again.
LOOK_AGAIN_S = 1.0
LAGS_EVERY_S = 1.0
# Placing runs inside the rebalance callback, which must stay far below max.poll.interval.ms (15 s); what is left over
# is placed one partition a turn.
PLACE_S = 3.0
CONTROL_TIMEOUT_S = 10.0

log = structlog.get_logger("streambg.comparator")

HandOver = Callable[[Work], frozenset[Position]]


class Session:
    """Run it until it ends; then make a new one. `hand_over` blocks until the desk is done with the work."""

    def __init__(self, site: Site, follower: ControlFollower, evidence: EvidenceReader, hand_over: HandOver) -> None:
        self._site = site
        self._follower = follower
        self._evidence = evidence
        self._hand_over = hand_over
        self._pair: Pair | None = None
        self._terms = Terms(1)
        self._folded = -2
        self._fresh = True
        self._begins: list[Comparison] = []
        self.lags: dict[Position, int] = {}  # records in the log that are not read yet, as the last fetch knew it
        self._lags_due = self._all_rows_due = 0.0
        self.unanswered: list[tuple[int, Color]] = []
        self.total = 0  # partitions of the predictions, as of the last assignment
        self._unplaced: dict[int, float] = {}  # partition -> when to look again, monotonic seconds
        self._silent: dict[int, tuple[Color, int]] = {}  # partition -> who has not answered yet, and its log's end
        self._others_end: dict[int, int] = {}  # partition -> the end of the other color's log when that was first seen
        self._probe = Probe(site.reader)
        self._reader = CoReader(site.consumer, site.predictions, self._assume, self._drop)

    @property
    def member_id(self) -> str:
        """By which it is, or was, a member of its group."""
        return self._reader.member_id

    def rejoin(self) -> None:
        """Partitions are nobody's (P13)."""
        self._reader.rejoin()

    @property
    def partitions(self) -> frozenset[int]:
        return self._reader.partitions

    @property
    def unplaced(self) -> list[int]:
        return sorted(self._unplaced)

    @property
    def paused(self) -> frozenset[Position]:
        return self._reader.paused

    def run(self, stopping: Callable[[], bool], wait: Callable[[float], object]) -> None:
        """Until `stopping`; `wait(seconds)` ends early on a stop. Raises SessionEnded, Fenced, Gap, Unreachable."""
        try:
            self._follower.wait_caught_up(CONTROL_TIMEOUT_S)
            while not stopping():
                if self.step() < POLL_RECORDS:
                    wait(GATHER_S)
        except ModelError:
            # it ends the process: that is told first, for a client that is closed before it has joined may never return
            raise
        except BaseException:
            self._close()
            raise
        self._close()

    def _close(self) -> None:
        self._probe.close()
        self._reader.close()

    def step(self) -> int:
        """One poll; how many records it brought."""
        self._look()
        self._place_due()
        fetched = self._reader.poll(POLL_S, POLL_RECORDS)
        all_rows = time.monotonic() >= self._all_rows_due
        if all_rows:
            self._all_rows_due = time.monotonic() + ALL_ROWS_EVERY_S
        work = Work(self._folded, self._fresh, self._begins, fetched, all_rows)
        self._fresh, self._begins = False, []
        self._balance(self._hand_over(work))
        if time.monotonic() >= self._lags_due:
            self._lags_due = time.monotonic() + LAGS_EVERY_S
            self.lags = self._measure_lags()
            self.unanswered = self._unanswered()
        return len(fetched)

    def _measure_lags(self) -> dict[Position, int]:
        lags: dict[Position, int] = {}
        for color in COLORS:
            for partition in self.partitions - self._unplaced.keys():
                topic = TopicPartition(self._site.predictions[color], partition)
                _, high = self._reader.consumer.get_watermark_offsets(topic, cached=True)
                if high >= 0:  # -1001 before the first fetch
                    lags[color, partition] = max(0, int(high) - self._reader.next_offset(color, partition))
        return lags

    # -- the pair in force ---------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Another pair than before: every partition is placed anew."""
        snapshot = self._follower.snapshot()
        snapshot.require_lease(time.monotonic())
        if snapshot.folded == self._folded:
            return
        self._folded = snapshot.folded
        pair = pair_of(snapshot.state)
        if pair == self._pair:
            return
        log.info("pair", blue=pair and pair.blue, green=pair and pair.green)
        self._pair = pair
        if pair is not None:
            self._terms = with_hooks(terms_of(snapshot.state), self._site.registry)
            self._evidence.forget_before(pair)
        self._fresh, self._begins = True, []
        self._unplaced = dict.fromkeys(self.partitions, 0.0)
        self._silent, self._others_end = {}, {}

    # -- places --------------------------------------------------------------------------------------------------

    def _assume(self, partitions: frozenset[int]) -> Mapping[Position, int]:
        """Where to read from, inside the rebalance: as many as can be placed in time, the others from the end."""
        if not partitions:
            return {}
        self._look()
        self._fresh, self._begins = True, []
        self._unplaced = dict.fromkeys(partitions, 0.0)
        self._evidence.catch_up()
        self.total = self._probe.partitions(self._site.predictions["blue"])
        deadline = time.monotonic() + PLACE_S
        starts: dict[Position, int] = {}
        for partition in sorted(partitions):
            placed = self._place(partition) if time.monotonic() < deadline else None
            for color in COLORS:
                if placed is not None:
                    starts[color, partition] = placed.side(color).next_offset
                else:
                    starts[color, partition] = self._probe.range(self._site.predictions[color], partition)[1]
        log.info("assigned", partitions=sorted(partitions), unplaced=self.unplaced)
        return starts

    def _drop(self) -> None:
        self._fresh, self._begins, self._unplaced = True, [], {}

    def _place_due(self) -> None:
        """Place one partition that is due; the reader stands still on it until then."""
        now = time.monotonic()
        due = [partition for partition, at in sorted(self._unplaced.items()) if at <= now]
        if not due or self._pair is None:
            return
        placed = self._place(due[0])
        if placed is not None:
            for color in COLORS:
                # resumed first: a resume puts the client back to where it was paused
                self._reader.resume(color, due[0])
                self._reader.seek(color, due[0], placed.side(color).next_offset)

    def _place(self, partition: int) -> Comparison | None:
        """Resume from a snapshot, else begin where P31 says; None: the pair has not answered there yet."""
        if self._pair is None:
            return None
        logs = {color: self._probe.log(self._site.predictions[color], partition) for color in COLORS}
        snapshot = self._kept(partition)
        if snapshot is not None and all(
            logs[color].low <= snapshot.places[color].log_offset <= logs[color].high for color in COLORS
        ):
            comparison = Comparison.resume(snapshot, self._terms)
        else:
            if snapshot is not None:
                self._say_gone(snapshot)
            start = self._locate(partition, logs)
            if start is None:
                self._unplaced[partition] = time.monotonic() + LOOK_AGAIN_S
                return None
            comparison = Comparison.begin(partition, self._pair, self._terms, dict(start.places), start.compared)
        self._unplaced.pop(partition, None)
        self._begins.append(comparison)
        return comparison

    def _kept(self, partition: int) -> Snapshot | None:
        """The best snapshot, unless an older version wrote it that did not count what the gate declares."""
        snapshot = self._evidence.best(self._pair, partition) if self._pair else None
        if snapshot is None or fit(snapshot.evidence.tallies, tallies.begun(self._terms.gate, labelled=False)):
            return snapshot
        log.warning("evidence_without_the_gate", partition=partition, compared=snapshot.evidence.compared)
        return None

    def _locate(self, partition: int, logs: Mapping[Color, PredictionLog]) -> Start | None:
        """Search only where the log of the color that had not answered has grown."""
        silent = self._silent.get(partition)
        if self._pair is None or (silent is not None and logs[silent[0]].high == silent[1]):
            return None
        found = locate(self._pair, logs)
        if isinstance(found, Start):
            return found
        self._silent[partition] = found, logs[found].high
        self._others_end.setdefault(partition, logs[other(found)].high)
        return None

    def _unanswered(self) -> list[tuple[int, Color]]:
        """Partitions in which one color answers and the other has not begun: evidence is owed there."""
        found = []
        for partition, (color, _) in sorted(self._silent.items()):
            end = self._probe.range(self._site.predictions[other(color)], partition)[1]
            if partition in self._unplaced and end > self._others_end.get(partition, end):
                found.append((partition, color))
        return found

    def _say_gone(self, snapshot: Snapshot) -> None:
        """What the evidence would read next is no longer in the log: it starts over, nothing is guessed."""
        log.warning(
            "evidence_starts_over",
            partition=snapshot.evidence.partition,
            compared=snapshot.evidence.compared,
            places={color: place.log_offset for color, place in snapshot.places.items()},
        )

    def _balance(self, full: frozenset[Position]) -> None:
        """Pause what has run ahead (P20) and what has no place yet; read the rest."""
        for color in COLORS:
            for partition in self.partitions:
                if partition in self._unplaced or (color, partition) in full:
                    self._reader.pause(color, partition)
                else:
                    self._reader.resume(color, partition)
