"""A world with one partition: scorers, an operator and a publisher that dies, in any order; pure and in memory.

`partition_judge` says what must hold of what was committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from predictions import Told, fetched, key
from scoring_world import HOME, Upstream

from streambg.publishing.outcomes import Records
from streambg.publishing.partition import Partition
from streambg.publishing.resume import Committed, Facts, Tail, plan
from streambg.records.cutover import Cutover, decode_publisher_position, encode_position
from streambg.records.outcome import DeadLetter, Outcome, decode_dead_letter, parse_header
from streambg.records.source import COLORS, Color

LIMITS = (1, 2, 5, 1_000)
Op = tuple[str, int]


@dataclass
class Published:
    """What is committed: one record of the output or one dead letter."""

    outcome: Outcome | DeadLetter
    key: bytes | None
    value: bytes

    @property
    def offset(self) -> int:
        return self.outcome.source.offset


class World(Upstream):
    """Operations are named: `do` runs them, `ops` remembers them."""

    def __init__(self, gaps: int) -> None:
        super().__init__(gaps)
        self.output: list[Published] = []
        self.dead_letters: list[Published] = []
        self.cutovers: list[Cutover] = []
        self.ops: list[Op] = []
        self.take_up(0)

    def __repr__(self) -> str:
        return f"World(gaps={self.gaps}, ops={self.ops})"

    def do(self, ops: Sequence[Op]) -> World:
        for name, number in ops:
            self.ops.append((name, number))
            getattr(self, name)(number)
        return self

    def flow(self, number: int) -> None:
        """A color's answers, from the events to the publisher's hands."""
        self.do([("learn", number), ("score", number), ("read", number)])

    def publish(self, number: int) -> None:
        self.do([("fold", number), ("advance", number), ("commit", number)])

    # -- the publisher -----------------------------------------------------------------------------------------------

    def take_up(self, _number: int) -> None:
        """P24-P27: only what is committed is left."""
        folded = len(self.history) - 1
        facts = Facts(
            HOME.partition,
            {color: self.committed.get(color, Committed(None, None)) for color in COLORS},
            self._tail(),
            self.cutovers,
            {color: (0, len(self.scorers[color].written)) for color in COLORS},
            HOME.topic_id,
            HOME.cluster_id,
        )
        go_on = plan(facts, self.state(folded))
        self.partition = Partition(
            HOME, go_on.settled, go_on.epoch, go_on.starts, go_on.origin, go_on.unrecorded, go_on.rereads
        )
        self.folded, self.open, self.claim = folded, list[Records](), True
        self.paused = set[Color]()
        self.partition.control(self.state(folded), folded)

    def _tail(self) -> Tail | None:
        last = [records[-1].outcome for records in (self.output, self.dead_letters) if records]
        return max((Tail(one.source.offset, one.epoch) for one in last), key=lambda tail: tail.offset, default=None)

    def kill(self, number: int) -> None:
        """Die; with an odd number after the commit went through, unheard."""
        if number % 2:
            self.commit(number)
        if number == 8:
            self.committed = {}  # an administrator deleted the positions (P27)
        self.take_up(number)

    def read(self, number: int) -> None:
        color = COLORS[number % 2]
        log, at = self.scorers[color].written, self.partition.answers[color].next_offset
        if color not in self.paused:
            for offset in range(at, min(len(log), at + 1 + number // 2)):
                self.partition.offer(color, fetched(offset, log[offset]))
        self._balance()

    def _balance(self) -> None:
        """P20, as the session does it in every turn."""
        for color in COLORS:
            if self.partition.overfull(color):
                self.paused.add(color)
            elif self.partition.roomy(color):
                self.paused.discard(color)

    def fold(self, number: int) -> None:
        """P19: only between transactions."""
        if not self.open:
            self.folded = min(len(self.history) - 1, self.folded + 1 + number // 3)
            self.partition.control(self.state(self.folded), self.folded)

    def advance(self, number: int) -> None:
        if self.claim and self.state(self.folded).live is not None:
            self.commit(0)
        limit = LIMITS[number % len(LIMITS)]
        records = self.partition.advance(limit) if self.partition.gap is None else self._give_up(limit)
        if records is not None:
            self.open.append(records)
        elif not self.open:
            self.partition.control(self.state(self.folded), self.folded)
            assert self.partition.advance(1_000) is None, "it had more to say and did not look again"

    def _give_up(self, limit: int) -> Records:
        """P29: what the input shows of an accepted gap."""
        assert self.partition.gap is not None
        first, end = self.partition.gap
        shown = [offset for offset in range(first, end) if self.exists(offset)]
        upto = end - 1 if len(shown) <= limit else shown[limit - 1]
        return self.partition.give_up(shown[:limit], [key(offset) for offset in shown[:limit]], upto)

    def accept_gap(self, number: int) -> None:
        """The operator gives up a few events from settled + 1 on, as the topics say it."""
        settled = [c.position.settled for c in self.committed.values() if c.position]
        tail = self._tail()
        known = [*settled, *([tail.offset] if tail else [])]
        first = max(known) + 1 if known else self.log.fold.state.start_of(HOME.partition)
        self._say("accept-gap", partition=HOME.partition, first=first, end=max(first, min(self.end, first + number)))

    def commit(self, _number: int) -> None:
        if self.state(self.folded).live is None or not (self.claim or self.open):
            return  # P28
        for records in self.open:
            self.cutovers += records.cutovers
            for headers, own_key, value in zip(records.headers, records.keys, records.values, strict=True):
                told = headers[0][1]
                assert isinstance(told, bytes)
                self.output.append(Published(parse_header(told), own_key, value))
            self.dead_letters += [Published(decode_dead_letter(data), k, b"") for k, data in records.dead_letters]
        self.open, self.claim = [], False
        for color, (offset, position) in self.partition.positions("tx").items():
            self.committed[color] = Committed(offset, decode_publisher_position(encode_position(position)))

    def fire(self, number: int) -> None:
        """P18: a deadline passes, and that color's log was read to its end, by then at the latest."""
        self.advance(3)
        deadline = self.partition.deadline()
        if deadline is not None:
            color = deadline[1]
            while self._behind(color) and color not in self.paused:
                self.read(8 + COLORS.index(color))
            self.advance(number)
            deadline = self.partition.deadline()
            if deadline is not None and deadline[1] == color and not self._behind(color):
                self.partition.fire(deadline[0])

    def _behind(self, color: Color) -> int:
        return len(self.scorers[color].written) - self.partition.answers[color].next_offset

    # -- and all is well again ---------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Nothing fails any more; what live never answered takes a rescore (P29)."""
        if not self.history or self.log.fold.state.live is None:
            self.do([("deploy", 0)])
        self._drain()
        told = self.live_told()
        if self.partition.settled < self.end - 1 and told.unanswered_upto > self.partition.settled:
            self.do([("deploy", COLORS.index(self.log.fold.state.live or "blue"))])
            self._drain()

    def live_told(self) -> Told:
        live = self.log.fold.state.live_deployment
        assert live is not None
        return self.scorers[live.color].told(live.id)

    def _drain(self) -> None:
        self.commit(0)
        self.fold(9_999)
        self.advance(3)
        for index, color in enumerate(COLORS):
            self.learn(9_998 + index)
            self.start_over(index)
            while self._owes(color):
                self.score(8 + index)
        seen: object = None
        while seen != (seen := self._reached()):
            self.read(8)
            self.read(9)
            self.fire(3)
            self.advance(3)
            self._balance()
        self.commit(0)

    def _reached(self) -> object:
        late, paused = self.partition.late, frozenset(self.paused)
        return self.partition.settled, late, paused, [self._behind(color) for color in COLORS]

    def _owes(self, color: Color) -> bool:
        deployment = self.in_force(self.scorers[color])
        return deployment is not None and self.scorers[color].reached.get(deployment.id, -1) < self.end - 1
