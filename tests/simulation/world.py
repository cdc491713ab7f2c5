"""Everything together: a broker, the processes, a clock that only the walk moves; and the operations of a walk.

An operation is a name and a number that picks among its variants, so a walk is a list that can be shrunk and said
again. Nothing else decides anything: the same list gives the same run.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from simulation.actors import PublisherProcess, ScorerProcess, pipeline
from simulation.broker import Broker
from simulation.comparing import Comparing
from simulation.faults import Faults
from simulation.healing import Healing
from simulation.judge import Judge
from simulation.link import Link
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
        self.processes: list[PublisherProcess | ScorerProcess] = []
        self.succeeded: list[PublisherProcess | ScorerProcess] = []  # each stood still, and another one has its slot
        self._line_up()
        self.ops: deque[Op] = deque()

    def _line_up(self) -> None:
        self.processes = [*self.publishers, *(one for color in COLORS for one in self.scorers[color])]

    def wall_ms(self) -> int:
        return START_MS + int((self.now - START_S) * 1_000)

    # -- the walk ------------------------------------------------------------------------------------------------

    def run(self, ops: Iterable[Op], broken: int = 0) -> None:
        """The walk, then everything heals but what `broken` names; all must come to an end, and be right."""
        self.ops = deque(ops)
        while self.ops:
            self._next()
            self.judge.look()
        Healing(self, broken).run()
        self.judge.final()
        self.judge_evidence()

    def judge_evidence(self) -> None:
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
            self.all_turn()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for publisher in self.publishers:
            publisher.link.send()
        for process in self.succeeded:
            process.link.send()
        if self.now - self._beaten_at >= BEAT_S:
            self._beaten_at = self.now
            for process in (*self.processes, *self.succeeded):
                process.link.beat()
            self.broker.tick()

    def later(self, what: str, do: Callable[[], object]) -> None:
        self.network.append((what, do))

    def succeed(self, link: Link) -> None:
        """Whoever is in this slot stands still, is taken for gone, and will wake up (Z1)."""
        for slot, publisher in enumerate(self.publishers):
            if publisher.link is link:
                self._give_way(publisher)
                self.publishers[slot] = PublisherProcess(self, self.broker, slot, self.counts)
        for color, scorers in self.scorers.items():
            for slot, scorer in enumerate(scorers):
                if scorer.link is link:
                    self._give_way(scorer)
                    scorers[slot] = ScorerProcess(self, self.broker, color, slot, self.counts)
        self._line_up()

    def _give_way(self, process: PublisherProcess | ScorerProcess) -> None:
        self.counts["slots given away while frozen"] += 1
        process.succeeded = True
        self.succeeded.append(process)

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
        self.all_turn(number)

    def all_turn(self, number: int = 0) -> None:
        first = number % len(self.processes)
        for index, process in enumerate(self.processes[first:] + self.processes[:first]):
            process.link.limit = LIMITS[(number + index) % len(LIMITS)] if number else LIMITS[-1]
            if not number or (number >> index) % 4:
                process.follow()
            process.step()
        for process in list(self.succeeded):
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
