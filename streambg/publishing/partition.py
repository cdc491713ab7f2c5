"""One partition of the publisher: both colors' answers, settled and epoch. Pure.

The session feeds batches (`offer`), switches the control state between transactions (`control`), asks for what may be
published (`advance`), and commits `positions` with it. Time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streambg.control.state import ControlState, Deployment, Phase
from streambg.errors import Gap
from streambg.publishing.answers import Answers, Fetch, View
from streambg.publishing.outcomes import Home, Records, Scene, given_up, records_of
from streambg.publishing.resume import RESCORE
from streambg.publishing.settle import Route, Waiting, settle
from streambg.publishing.superseding import Progress, Superseding
from streambg.publishing.table import Side
from streambg.records.coverage import Coverage
from streambg.records.cutover import Cutover, PublisherPosition
from streambg.records.outcome import header_template
from streambg.records.source import COLORS, Color, other

# P20: what may wait per (partition, color). Two polls of 1,000 rows and one of 512 KiB fit with room for a slow
# second color; 64 partitions of both colors stay below 250 MB: 64 x 2 x 1 MiB, and rows cost about 200 bytes each.
MAX_WAITING_ROWS = 4_000
MAX_WAITING_BYTES = 1024 * 1024
# A member of fewer partitions than these shares what that many may hold (32 MiB of both colors) among its own: one
# partition alone fills transactions of 20,000 rows. And while everything is paused the client sleeps: a resumed
# partition is fetched again after up to a second.
WIDE = 16
# Pausing ends when half of it is gone, so that a color at the limit is not paused and resumed with every batch.
RESUME_SHARE = 0.5


def waiting_rows(among: int) -> int:
    """P20: how many rows of a color may wait in each of the partitions that one reader has."""
    return MAX_WAITING_ROWS * max(1, WIDE // max(1, among))


class Partition:
    """The publisher's core for one partition."""

    def __init__(
        self,
        home: Home,
        settled: int,
        epoch: int,
        starts: Mapping[Color, tuple[int, Coverage | None]],
        origin: int | None = None,
        unrecorded: tuple[int, int] | None = None,
        rereads: Mapping[Color, tuple[int, int]] | None = None,
        superseded: Progress | None = None,
    ) -> None:
        self.home = home
        self.superseding = Superseding(home, superseded or Progress())
        self.settled = settled
        self.epoch = epoch  # of the last outcome; -1: none yet
        self.origin = origin  # to be said in the first cutover record (P27)
        self.answers: dict[Color, Answers] = {color: Answers(*starts[color]) for color in COLORS}
        self._unrecorded = unrecorded  # (epoch, first) of a cutover record that is missing (P25)
        self._rereads = dict(rereads or {})  # colors read again from their log's (start, end), P27
        self.waiting: Waiting | None = None
        self.late: frozenset[tuple[Side, str]] = frozenset()
        self._state = ControlState()
        self._templates: dict[Color, bytes] = {}
        self._stale = True  # something changed since the last decision

    # -- what comes in -------------------------------------------------------------------------------------------

    def control(self, state: ControlState, folded: int) -> None:
        """Switch to the state folded to `folded`; only between transactions (P19)."""
        before, self._state = self._state, state
        changed = state is not before
        if self.origin is not None and self.epoch < 0:
            # nothing was published yet: where the first deploy begins may not have been known at the assignment (P11)
            self.origin = state.start_of(self.home.partition)
            self.settled = max(self.settled, self.origin - 1)
        for color in COLORS:
            deployment = state.slots[color]
            self.answers[color].control(deployment.id if deployment else None, folded)
            self.answers[color].settle(self.settled)
            if deployment is not None and changed:
                self._templates[color] = header_template(
                    self.home.topic, self.home.partition, color, deployment.model, deployment.digest, state.epoch
                )
        if changed:
            self.waiting = None
            self.superseding.control(state)
        if state.live != before.live or _deployments(state) != _deployments(before):
            self.late = frozenset()  # someone else is waited for now; no other command forgives (P18)
        self._stale = True

    def offer(self, color: Color, fetch: Fetch) -> None:
        self.answers[color].offer(fetch)
        # a color that catches up below settled must not fill its queue: the head may wait for it (P20)
        self.answers[color].settle(self.settled)
        if not self._waits_for_another(color):
            self._stale = True

    def _waits_for_another(self, color: Color) -> bool:
        """Whether more of this color's answers decides nothing: it has answered where the other color's is awaited."""
        waiting = self.waiting
        if waiting is None or waiting.what != "answer" or waiting.holder is None:
            return False
        return color == self.color_of(waiting.holder)

    def skip(self, color: Color, log_offset: int) -> None:
        """A record that is no batch is passed. It may be the last of what was read again (P27)."""
        self.answers[color].skip(log_offset)
        self._stale = True

    def fire(self, waiting: Waiting) -> None:
        """The deadline of what it waits for has passed, and that color's log was read to its end (P18).

        Whatever was awaited: where error rows have no deadline of their own, the color's answers are late as well.
        """
        self.late |= {(waiting.side, waiting.what)}
        rules = self._state.rules
        if waiting.side == "other" or (rules is not None and rules.late_live_ms is not None):
            self.late |= {(waiting.side, "answer")}
        self._stale = True

    def wait_again(self) -> None:
        """Nobody can say any more that what is late is not in the log by now (P18, P34)."""
        self.late = frozenset()
        self._stale = True

    # -- what goes out -------------------------------------------------------------------------------------------

    def advance(self, limit: int) -> Records | None:
        """Settle what can be settled, about `limit` rows at the most; None where nothing moved, or a gap comes first.

        Raises Gap where predictions that are owed are gone (P27).
        """
        live = self._state.live
        rules = self._state.rules
        if live is None or rules is None or not self._stale or self.gap is not None:
            return None
        self._check_reread(live)
        self._forgive()
        live_view, other_view = self._views(live, limit, rules.bucket_field)
        run = settle(live_view, other_view, self.settled, self._route())
        moved = run.settled > self.settled
        self._stale = moved  # a run ends at the limit too: look again
        self.waiting = None if moved else run.waiting
        if not moved:
            return None
        cutovers = self._cutovers() if run.outcomes else ()
        records = records_of(run, live_view, other_view, self._scene(live), cutovers)
        self._settle(run.settled)
        return records

    @property
    def gap(self) -> tuple[int, int] | None:
        """P29: [first, end) source offsets up to the end of an accepted gap, where they are not settled yet."""
        accepted = self._state.gaps.get(self.home.partition)
        if accepted is None or accepted.end <= self.settled + 1:
            return None
        return self.settled + 1, accepted.end

    def give_up(self, offsets: Sequence[int], keys: Sequence[bytes | None], upto: int) -> Records:
        """P29: dead letters for the input's records in the gap up to `upto`; settled moves there.

        Raises Gap where one lies before the gap: who sent the command knew another settled offset than the topics.
        (Offsets without a record may: settled passes them, and the tail does not say so when positions were lost.)
        """
        assert self._state.live is not None
        accepted = self._state.gaps[self.home.partition]
        if offsets and offsets[0] < accepted.first:
            raise Gap(
                f"partition {self.home.partition}: the gap accepted at epoch {accepted.epoch} begins at "
                f"{accepted.first}, settled is {self.settled}: {offsets[0]} would be skipped",
                way_out=f"streambg accept-gap {self.home.partition} --from {self.settled + 1} --to {accepted.end}",
            )
        cutovers = self._cutovers() if offsets else ()
        records = given_up(offsets, keys, self._scene(self._state.live), cutovers)
        self._settle(upto)
        self._stale = True
        return records

    def _settle(self, settled: int) -> None:
        self.settled = settled
        for answers in self.answers.values():
            answers.settle(settled)

    def _check_reread(self, live: Color) -> None:
        """P27: live's log, read again because positions are missing, must lead on from settled."""
        if live not in self._rereads:
            return
        answers, (start, end) = self.answers[live], self._rereads[live]
        words = ""
        # what was written since is no loss, and where the log still has its beginning nothing is gone: the deployment's
        # answers do begin there (P9)
        if start > 0 and answers.first is not None and answers.first[0] < end and answers.first[1] > self.settled:
            words = f"the first answers that are left begin above {answers.first[1]}"
        elif answers.next_offset >= end and answers.hole is not None and answers.hole[0] < end:
            words = f"its answers reach {answers.covered} and go on above {answers.hole[1]}"
        elif answers.next_offset >= end:
            del self._rereads[live]
        if words:
            raise Gap(
                f"partition {self.home.partition}: {live}'s predictions were read again from {start} to {end} because "
                f"no position was left: {words}, settled is {self.settled}",
                way_out=RESCORE,
            )

    def _views(self, live: Color, limit: int, bucket_field: str | None) -> tuple[View, View | None]:
        """P15, P16: live's answers, and the other color's where they play a part."""
        deployment, state = self._state.other_deployment, self._state
        lives, others = self.answers[live], self.answers[other(live)]
        if deployment is None or not deployment.answers or (state.weight == 0 and not state.fallback_to_other):
            return lives.view(self.settled, limit, bucket_field), None
        covered = self.covered
        return (
            lives.view(self.settled, limit, bucket_field, covered[other(live)]),
            others.view(self.settled, limit, bucket_field, covered[live]),
        )

    def _route(self) -> Route:
        candidate = self._state.candidate
        return Route(
            self.home.topic,
            self.home.partition,
            self._state.weight if candidate else 0,
            candidate.id if candidate else 0,
            self._state.fallback_to_other,
            self.late,
        )

    def _forgive(self) -> None:
        """P18: a color that answers for settled + 1 is waited for again."""
        if self.late:
            self.late = frozenset(
                (side, what) for side, what in self.late if self.covered[self.color_of(side)] <= self.settled
            )

    def color_of(self, side: Side) -> Color:
        assert self._state.live is not None
        return self._state.live if side == "live" else other(self._state.live)

    def _scene(self, live: Color) -> Scene:
        late = frozenset(side for side, _ in self.late)
        return Scene(self.home, live, self.epoch, self._templates, late, self._state.fallback_to_other)

    def _cutovers(self) -> tuple[Cutover, ...]:
        """P19: the first outcome of a new epoch says where it begins; a missing record is written first (P25)."""
        begins = [] if self._unrecorded is None else [self._unrecorded]
        self._unrecorded = None
        if self._state.epoch > self.epoch:
            self.epoch = self._state.epoch
            begins.append((self.epoch, self.settled + 1))
        return tuple(self._cutover(epoch, first) for epoch, first in begins)

    def _cutover(self, epoch: int, first: int) -> Cutover:
        origin, self.origin = self.origin, None
        return Cutover(self.home.partition, epoch, first, self.home.topic_id, self.home.cluster_id, origin)

    # -- what the session commits and watches --------------------------------------------------------------------

    def positions(self, transactional_id: str, rules: str = "") -> dict[Color, tuple[int, PublisherPosition]]:
        """P26: per color the log offset to commit and its metadata. `rules`: of the process's own file (P4)."""
        result: dict[Color, tuple[int, PublisherPosition]] = {}
        for color, answers in self.answers.items():
            offset, coverage = answers.position()
            fold = (coverage.deployment, coverage.covered, coverage.sample_upto) if coverage else (-1, None, -1)
            result[color] = (offset, PublisherPosition(self.settled, self.epoch, transactional_id, *fold, rules))
        return result

    def deadline(self) -> tuple[Waiting, Color, float] | None:
        """What it waits for with a deadline: (waiting, its color, monotonic second when it passes), P17, P18."""
        waiting, rules = self.waiting, self._state.rules
        if waiting is None or waiting.holder is None or rules is None or (waiting.side, waiting.what) in self.late:
            return None
        limit = rules.late_candidate_ms if waiting.side == "other" else rules.late_live_ms
        if waiting.side == "live" and waiting.what == "error" and limit is None:
            limit = rules.late_candidate_ms
        if waiting.side == "live" and waiting.what == "answer" and not self._state.fallback_to_other:
            return None  # nobody else may answer: it waits, and the alarm names it (P14)
        since = self.answers[self.color_of(waiting.holder)].fetched_at(waiting.offset)
        if limit is None or since is None:
            return None
        return waiting, self.color_of(waiting.side), since + limit / 1_000

    @property
    def late_colors(self) -> list[Color]:
        """Whose deadline has fired and who has not caught up."""
        return [self.color_of(side) for side in {side for side, _ in self.late}] if self.late else []

    def patience(self, color: Color) -> float:
        """How long this color is waited for where it is waited for at all, in seconds (P17, P18)."""
        rules = self._state.rules
        assert rules is not None
        live_ms = rules.late_live_ms if color == self._state.live else None
        limit_ms = live_ms if live_ms is not None else rules.late_candidate_ms
        return float("inf") if limit_ms is None else limit_ms / 1_000

    def overfull(self, color: Color, among: int = WIDE) -> bool:
        """P20: it may wait no more of this color; `among` partitions have one reader. One batch may always wait."""
        return self.answers[color].waiting_batches > 1 and self._filled(color, among) >= 1

    def roomy(self, color: Color, among: int = WIDE) -> bool:
        """P20: a paused color may be read again."""
        return self.answers[color].waiting_batches == 0 or self._filled(color, among) < RESUME_SHARE

    def _filled(self, color: Color, among: int) -> float:
        """How much of its room is taken, 1: all of it."""
        answers, share = self.answers[color], waiting_rows(among) / MAX_WAITING_ROWS
        return max(answers.rows / MAX_WAITING_ROWS, answers.bytes / MAX_WAITING_BYTES) / share

    @property
    def stuck(self) -> Waiting | None:
        """What it waits for although a color has answered there or beyond; None where it is only at the end."""
        if self.waiting is None or max(self.covered.values()) < self.waiting.offset:
            return None
        return self.waiting

    @property
    def covered(self) -> dict[Color, int]:
        """How far each color's answers reach; -1: not at all."""
        return {color: -1 if a.covered is None else a.covered for color, a in self.answers.items()}

    @property
    def pending_epoch(self) -> bool:
        """A command is folded, its cutover comes with the next event (P19)."""
        return self._state.phase is not Phase.EMPTY and self._state.epoch > self.epoch

    @property
    def live_deployment(self) -> Deployment | None:
        return self._state.live_deployment


def _deployments(state: ControlState) -> list[int | None]:
    return [deployment.id if (deployment := state.slots[color]) else None for color in COLORS]
