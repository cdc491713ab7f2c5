"""The operations of a walk that make something go wrong."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from simulation.link import FATES, FROZEN_S, LONG, Armed
from simulation.shape import PUBLISHERS, SCORERS
from streambg.records.source import COLORS, Color

if TYPE_CHECKING:
    from simulation.actors import PublisherProcess, ScorerProcess
    from simulation.broker import Broker
    from simulation.judge import Judge

AWAY_S = 9.0
# An hour, a minute and a half, a millisecond, back and forth, and right: beyond a command's age of 30 s, and within.
JUMPS_MS = (3_600_000, -3_600_000, 90_000, -90_000, 1, 0)
CLOGGED_S = (1.0, 5.0, 12.0, 30.0)  # below and above the lease (P6)
CUT_S = (2.0, 5.0, 8.0, 14.0)  # below and above a session (6 s)
KINDS = ("any", "poll", "produce", "add", "init", "offsets", "end", "end", "committed", "commit", "ends", "begin")


class Faults:
    """The part of the world that breaks it. Each operation takes a number that picks among its variants."""

    now: float
    sender_skew_ms: int
    counts: Counter[str]
    broker: Broker
    judge: Judge
    processes: list[Any]
    succeeded: list[Any]
    publishers: list[PublisherProcess]
    scorers: dict[Color, list[ScorerProcess]]
    publishers_group: str
    scorer_groups: dict[Color, str]

    def do_fault(self, number: int) -> None:
        """Arm one of the next requests of a process."""
        number, which = divmod(number, len(self.processes))
        number, fate = divmod(number, len(FATES))
        number, kind = divmod(number, len(KINDS))
        armed = Armed(KINDS[kind], number % 4, FATES[fate], number // 4)
        self.processes[which].link.armed.append(armed)

    def do_publisher_fault(self, number: int) -> None:
        """The same for the publishers alone: most of what can go wrong goes wrong there."""
        number, which = divmod(number, PUBLISHERS)
        self.do_fault(number * len(self.processes) + which)

    def do_late_end(self, number: int) -> None:
        """The end of a transaction comes when the next one has written something (KAFKA-17754, C1)."""
        number, which = divmod(number, PUBLISHERS)
        dies = Armed("any", number // 16 % 2, "crash") if number // 32 % 3 else None  # before it has sent the rest
        overtaken = Armed("any", number // 2 % 8, "overtaken", then=dies)
        self.publishers[which].link.armed.append(Armed("end", number % 2, "late", number // 96, overtaken))

    def do_freeze(self, number: int) -> None:
        """It stands still for longer than a session lasts, at one of its next requests or between two of them."""
        number, which = divmod(number, len(self.processes))
        number, kind = divmod(number, len(KINDS))
        number, skip = divmod(number, 4)
        count, seconds = divmod(number, len(FROZEN_S) - LONG)
        how = LONG + seconds + count * len(FROZEN_S)
        self.processes[which].link.armed.append(Armed(KINDS[kind], skip, "freeze", how * 3))

    def do_cut(self, number: int) -> None:
        """A member loses the coordinator of its group, and goes on with all else: it is expelled, and neither knows of
        it before its own patience ends nor stops what is under way (P21, P22). Now and then a join is answered to
        nobody as well.
        """
        seconds, which = divmod(number, len(self.processes))
        link = self.processes[which].link
        if seconds % 4 == 3:
            link.lost_joins += 1
        link.cut_until = self.now + CUT_S[seconds // 4 % len(CUT_S)]

    def do_lose(self, number: int) -> None:
        """A scorer's delivery fails after a moment, and those behind it go on (P10)."""
        number, slot = divmod(number, SCORERS)
        number, color = divmod(number, 2)
        link = self.scorers[COLORS[color]][slot].link
        number, fate = divmod(number, 3)
        link.held = 1 + number % 3
        then = Armed("produce", 0, "crash", 1) if number // 9 % 2 else None  # and the hole stays for a while
        link.armed.append(Armed("produce", number // 3 % 3, ("request lost", "answer lost", "late")[fate], 0, then))

    def do_forgotten_end(self, number: int) -> None:
        """The broker dies and comes back without the markers of a transaction whose end is decided (P24).

        No session outlives that, for a lost connection is a sign of trouble (P21); but a call that is under way ends.
        """
        if self.broker.transactions.forget_marks(number):
            self.counts["ends forgotten"] += 1
            for process in self.publishers:
                process.crash()

    def do_jump(self, number: int) -> None:
        """The calendar of who sends commands is set. The broker's is right: by its times the audit judges what is late
        (P34), and where it was set by an hour, an answer stood in the log for an hour longer.
        """
        self.sender_skew_ms = JUMPS_MS[number % len(JUMPS_MS)]
        self.counts["clock jumps"] += 1

    def do_crash(self, number: int) -> None:
        """Every fourth one stays away for longer than a session lasts."""
        number, which = divmod(number, len(self.processes))
        process = self.processes[which]
        if process.crash() and number % 4 == 0:
            process.due = self.now + AWAY_S

    def do_old(self, number: int) -> None:
        """It starts again, with the code of the release before."""
        process = self.processes[number % len(self.processes)]
        if not process.busy:
            process.old = True
            process.crash()

    def do_stop(self, number: int) -> None:
        self.processes[number % len(self.processes)].stop()

    def do_skip(self, number: int) -> None:
        """The client of a publisher leaves a record out without a word (P23)."""
        self.publishers[number % PUBLISHERS].link.skips = 1

    def do_stale(self, number: int) -> None:
        self.publishers[number % PUBLISHERS].link.stale = True

    def do_clog(self, number: int) -> None:
        """The control log cannot be read (X5)."""
        seconds, which = divmod(number, len(self.processes))
        self.processes[which].follower.blocked_until = self.now + CLOGGED_S[seconds % len(CLOGGED_S)]

    def do_forget(self, number: int) -> None:
        """Committed positions are deleted while nobody runs (P27, P11)."""
        groups = [self.publishers_group, *self.scorer_groups.values()]
        members = [self.publishers, *self.scorers.values()]
        which = max(0, number % 5 - 2)
        if any(process.busy for process in (*members[which], *self.succeeded)):
            return
        for process in members[which]:
            process.crash()
        if which == 0:
            self.judge.forget()
        self.broker.group(groups[which]).offsets.clear()
