"""Everything together: a broker, the processes, a clock that only the walk moves; and the operations of a walk.

An operation is a name and a number that picks among its variants, so a walk is a list that can be shrunk and said
again. Nothing else decides anything: the same list gives the same run.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from simulation.actors import PublisherProcess, ScorerProcess, pipeline
from simulation.broker import Broker
from simulation.comparing import Comparing
from simulation.faults import Faults
from simulation.judge import Judge
from simulation.log import BrokerError
from simulation.people import Operator
from simulation.shape import PARTITIONS, PUBLISHERS, SCORERS
from streambg.records.cutover import decode_publisher_position
from streambg.records.source import COLORS

Op = tuple[str, int]

START_S = 1_000.0
START_MS = 1_760_000_000_000
TICKS_S = (0.005, 0.02, 0.05, 0.05, 0.1, 0.3, 0.7, 2.5, 7.0)
BEAT_S = 0.1  # how often the clients' own threads and the broker look at the time: no timeout here is below 0.5 s
LIMITS = (1, 2, 3, 5, 8, 1_000)
# Once nothing fails any more, the input must be drained within so many turns of all, 0.1 s each: a session timeout, a
# transaction timeout and the longest pauses add up to 30 s.
HEAL_TURNS = 500
HEAL_TURN_S = 0.1
# So many turns without progress, and a person looks (P29).
PATIENCE_TURNS = 60
# `broken` from here on: only a core heals, and the number says which (`World._all_but_a_core`).
CORE = 100


class World(Faults):
    """`run(ops)` raises AssertionError, or whatever a session should not have raised."""

    def __init__(self) -> None:
        self.now = self._beaten_at = START_S
        self.counts: Counter[str] = Counter()
        self.sender_skew_ms = 0  # of the calendar of who sends commands: by it goes a command's age (P5)
        self.network: list[tuple[str, Callable[[], object]]] = []
        self.broker = Broker(lambda: self.now, self.wall_ms)
        topics, groups = pipeline().topics, pipeline().groups
        self.topics, self.publishers_group = topics, groups.publisher
        self.scorer_groups = {color: groups.scorer(color) for color in COLORS}
        for topic in (topics.input, topics.output, topics.dead_letters):
            self.broker.create(topic, PARTITIONS)
        for color in COLORS:
            self.broker.create(topics.predictions(color), PARTITIONS, log_append=True)
        self.broker.create(topics.control, 1, log_append=True)
        self.broker.create(topics.cutovers, 1)
        self.operator = Operator(self)
        self.judge = Judge(self)
        self.comparing = [Comparing(self, number) for number in range(PARTITIONS)]
        self.publishers = [PublisherProcess(self, self.broker, slot, self.counts) for slot in range(PUBLISHERS)]
        self.scorers = {
            color: [ScorerProcess(self, self.broker, color, slot, self.counts) for slot in range(SCORERS)]
            for color in COLORS
        }
        self.processes = [*self.publishers, *(one for color in COLORS for one in self.scorers[color])]
        self.ops: deque[Op] = deque()

    def wall_ms(self) -> int:
        return START_MS + int((self.now - START_S) * 1_000)

    # -- the walk ------------------------------------------------------------------------------------------------

    def run(self, ops: Iterable[Op], broken: int = 0) -> None:
        """The walk, then everything heals but what `broken` names; all must come to an end, and be right."""
        self.ops = deque(ops)
        while self.ops:
            self._next()
            self.judge.look()
        self.heal(broken)
        self.judge.final()
        for comparing in self.comparing:
            comparing.judge()

    def _next(self) -> None:
        name, number = self.ops.popleft()
        self.counts[f"op {name}"] += 1
        getattr(self, f"do_{name}")(number)

    def play(self, count: int) -> None:
        for _ in range(count):
            if self.ops:
                self._next()

    def wait(self, seconds: float) -> None:
        self.tick(seconds)
        if self.broker.transactions.write_mark(0):
            return
        if self.ops:
            self._next()
        else:
            self._all_turn()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for publisher in self.publishers:
            publisher.link.send()
        if self.now - self._beaten_at >= BEAT_S:
            self._beaten_at = self.now
            for process in self.processes:
                process.link.beat()
            self.broker.tick()

    def later(self, what: str, do: Callable[[], object]) -> None:
        self.network.append((what, do))

    # -- operations: the world goes its way ----------------------------------------------------------------------

    def do_grow(self, number: int) -> None:
        """Events; now and then the input has a gap, as a compacted or a transactional one has."""
        count, spot = divmod(number, PARTITIONS)
        log = self.broker.logs[self.topics.input, spot]
        if count % 5 == 4:
            log.gap(1 + count % 2)
        for _ in range(1 + count % 7):
            log.append(self.wall_ms(), event_key(log.end), b"{}")

    def do_step(self, number: int) -> None:
        """One turn of one process, with so many records a poll at the most."""
        limit, which = divmod(number, len(self.processes))
        process = self.processes[which]
        process.link.limit = LIMITS[limit % len(LIMITS)]
        process.step()

    def do_follow(self, number: int) -> None:
        self.processes[number % len(self.processes)].follow()

    def do_spin(self, number: int) -> None:
        """Everybody in turn, somebody else first each time; some do not look at the control log."""
        self.tick(0.02)
        self._all_turn(number)

    def _all_turn(self, number: int = 0, broken: Sequence[Any] = ()) -> None:
        first = number % len(self.processes)
        for index, process in enumerate(self.processes[first:] + self.processes[:first]):
            if process in broken:
                continue
            process.link.limit = LIMITS[(number + index) % len(LIMITS)] if number else LIMITS[-1]
            if not number or (number >> index) % 4:
                process.follow()
            process.step()
        while (number % 3 or not number) and self.broker.transactions.write_mark(0):
            pass

    def do_tick(self, number: int) -> None:
        self.tick(TICKS_S[number % len(TICKS_S)])

    def do_mark(self, number: int) -> None:
        self.broker.transactions.write_mark(number)

    def do_deliver(self, number: int) -> None:
        self.deliver(number)

    def deliver(self, number: int = 0) -> None:
        """A request that was on its way arrives."""
        if self.network:
            _, do = self.network.pop(number % len(self.network))
            try:
                do()
            except BrokerError:
                self.counts["late and refused"] += 1
            else:
                self.counts["late and done"] += 1

    def do_say(self, number: int) -> None:
        self.operator.say(number)

    def do_say_late(self, number: int) -> None:
        self.operator.say_late(number)

    def do_supersede(self, number: int) -> None:
        self.operator.supersede(number)

    def do_foreign(self, number: int) -> None:
        self.operator.foreign(number)

    def do_compare(self, number: int) -> None:
        self.comparing[number % PARTITIONS].turn(number // PARTITIONS)

    # -- and all is well again -----------------------------------------------------------------------------------

    def heal(self, broken: int = 0) -> None:
        """Nothing fails any more; what `broken` names stays as it is for ever (liveness)."""
        self.sender_skew_ms = 0  # else every command is refused as expired, and nobody says anything any more
        for process in self.processes:
            process.link.armed.clear()
            process.link.skips, process.link.stale, process.link.held, process.follower.blocked_until = 0, False, 0, 0.0
        while self.network:
            self.do_deliver(0)
        self.operator.something_live()
        dead, blind = self._broken(broken)
        for process in dead:
            process.crash()
            process.due = float("inf")
        for process in blind:
            process.go_blind()
        if blind:
            self.operator.rescore()  # what they do not see: who is live answers under another deployment now
            for number in range(PARTITIONS):
                self.do_grow(number)
        reached, quiet = -2, 0
        for turn in range(HEAL_TURNS):
            self.tick(HEAL_TURN_S)
            self._all_turn(0, dead)
            self.judge.look()
            if self.judge.drained():
                self.counts["healed"] += 1
                self.counts["turns to heal"] += turn
                return
            settled = sum(self.settled(number) for number in range(PARTITIONS))
            reached, quiet = settled, quiet + 1 if settled == reached else 0
            if quiet >= PATIENCE_TURNS and self.operator.rescore_if_owed():
                quiet = 0
        raise AssertionError(f"I6: not drained: {self.judge.standing()}")

    def _broken(self, number: int) -> tuple[list[Any], list[Any]]:
        """Liveness: who is dead and who cannot read the control log, for ever. Whoever is live keeps one scorer, and
        one publisher is left.
        """
        live = self.operator.state.live
        assert live is not None
        if number >= CORE:
            return self._all_but_a_core(number - CORE)
        choices: list[list[Any]] = [
            [],
            [self.publishers[0]],
            [self.publishers[1]],
            [self.scorers[live][number % SCORERS]],
            self.scorers["green" if live == "blue" else "blue"],
        ]
        return choices[number % len(choices)], []

    def _all_but_a_core(self, number: int) -> tuple[list[Any], list[Any]]:
        """One publisher and one scorer of the live color go on; of the others any number, but not none, is gone: dead,
        or alive without the control log (P6).
        """
        assert self.operator.state.live is not None
        number, publisher = divmod(number, PUBLISHERS)
        number, scorer = divmod(number, SCORERS)
        core = (self.publishers[publisher], self.scorers[self.operator.state.live][scorer])
        others = [process for process in self.processes if process not in core]
        blind, which = divmod(number, 2 ** len(others) - 1)
        gone = [(index, process) for index, process in enumerate(others) if (which + 1) >> index & 1]
        return (
            [process for index, process in gone if not blind >> index & 1],
            [process for index, process in gone if blind >> index & 1],
        )

    def settled(self, partition: int) -> int:
        """By the committed positions."""
        offsets = self.broker.group(self.publishers_group).offsets
        found = [
            position.settled
            for color in COLORS
            if (spot := (self.topics.predictions(color), partition)) in offsets
            and (position := decode_publisher_position(offsets[spot][1])) is not None
        ]
        return max(found, default=-1)


def event_key(offset: int) -> bytes | None:
    """Events carry one of five keys, or none."""
    return None if offset % 6 == 0 else b"key%d" % (offset % 6)
