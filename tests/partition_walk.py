"""A world with one partition: scorers, an operator and a publisher that dies, in any order; pure and in memory.

Every operation is a name and a number 0..9 that picks among its variants, so a walk is a list that can be shrunk.
`partition_judge` says what must hold of what was committed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from control_log import Log, digest
from predictions import Told, answers, fetched, key

from streambg.control.state import ControlState, Deployment, Standing
from streambg.publishing.partition import Home, Partition, Records
from streambg.publishing.resume import Committed, Facts, Tail, plan
from streambg.records.batch import Batch
from streambg.records.bucket import bucket, identity
from streambg.records.cutover import Cutover, decode_publisher_position, encode_position
from streambg.records.outcome import DeadLetter, Outcome, decode_dead_letter, parse_header
from streambg.records.source import COLORS, Color

HOME = Home("in", 3, "topic-id", "cluster-id")
WEIGHTS = (0, 100, 3_000, 7_000, 10_000)
SAMPLE = 3_000
RULES = [
    json.dumps({"outputs": ["anomaly"], "live_failed": live_failed, "late_live_ms": late_live})
    for live_failed in ("dead-letter", "candidate")
    for late_live in (None, 500)
]
LIMITS = (1, 2, 5, 1_000)
Op = tuple[str, int]


def fails(deployment: int, offset: int) -> bool:
    """A seventh of the events is an error row, another seventh for every deployment."""
    return (deployment * 3 + offset) % 7 == 0


@dataclass
class Scorers:
    """One color's group. `reached` and `seeds` per deployment: its committed position - 1, now and at the start."""

    color: Color
    folded: int = -1
    reached: dict[int, int] = field(default_factory=dict)
    seeds: dict[int, int] = field(default_factory=dict)
    written: list[Batch] = field(default_factory=list)

    def told(self, deployment: int) -> Told:
        return Told.of([batch for batch in self.written if batch.deployment == deployment])


@dataclass
class Published:
    """What is committed: one record of the output or one dead letter."""

    outcome: Outcome | DeadLetter
    key: bytes | None
    value: bytes

    @property
    def offset(self) -> int:
        return self.outcome.source.offset


class World:
    """`gaps`: every so many offsets of the input there is none (compacted, or a transaction marker); 0: never."""

    def __init__(self, gaps: int) -> None:
        self.gaps = gaps
        self.end = 0  # of the input
        self.log = Log()
        self.history: list[ControlState] = []  # in force after each record of the control log
        self.scorers: dict[Color, Scorers] = {color: Scorers(color) for color in COLORS}
        self.output: list[Published] = []
        self.dead_letters: list[Published] = []
        self.cutovers: list[Cutover] = []
        self.committed: dict[Color, Committed] = {}
        self.ops: list[Op] = []
        self.take_up(0)

    def __repr__(self) -> str:
        return f"World(gaps={self.gaps}, ops={self.ops})"

    def exists(self, offset: int) -> bool:
        return not self.gaps or offset % self.gaps != 1

    def state(self, folded: int) -> ControlState:
        return self.history[folded] if folded >= 0 else ControlState()

    def do(self, ops: Sequence[Op]) -> World:
        for name, number in ops:
            self.ops.append((name, number))
            getattr(self, name)(number)
        return self

    def grow(self, number: int) -> None:
        self.end += number + 1

    def flow(self, number: int) -> None:
        """A color's answers, from the events to the publisher's hands."""
        self.do([("learn", number), ("score", number), ("read", number)])

    def publish(self, number: int) -> None:
        self.do([("fold", number), ("advance", number), ("commit", number)])

    # -- the operator ------------------------------------------------------------------------------------------------

    def _say(self, verb: str, **args: Any) -> None:
        self.log.say(verb, **args)
        self.history.append(self.log.fold.state)

    def deploy(self, number: int) -> None:
        """To a color; to the live one it is a rescore (P29)."""
        state, color = self.log.fold.state, COLORS[number % 2]
        live = state.live_deployment
        rescore = live is not None and live.color == color
        model = live.model if live is not None and rescore else f"m:{len(self.history)}"
        self._say(
            "deploy",
            color=color,
            model=model,
            digest=digest(model),
            rules=RULES[number % len(RULES)],
            start={"3": number} if live is None else {},
            sample=SAMPLE if number >= 8 and live is not None and not rescore else None,
            gives_up_rollback=number >= 6,
            rescore=rescore,
        )

    def shift(self, number: int) -> None:
        candidate = self.log.fold.state.other_deployment
        self._say("shift", candidate=candidate.id if candidate else -1, weight=WEIGHTS[number % len(WEIGHTS)])

    def promote(self, _number: int) -> None:
        candidate = self.log.fold.state.other_deployment
        self._say("promote", candidate=candidate.id if candidate else -1)

    def rollback(self, _number: int) -> None:
        self._say("rollback")

    def abort(self, _number: int) -> None:
        self._say("abort")

    def retire(self, number: int) -> None:
        self._say("retire", color=COLORS[number % 2])

    # -- the scorers -------------------------------------------------------------------------------------------------

    def learn(self, number: int) -> None:
        scorers = self.scorers[COLORS[number % 2]]
        scorers.folded = min(len(self.history) - 1, scorers.folded + 1 + number // 3)

    def score(self, number: int) -> None:
        scorers = self.scorers[COLORS[number % 2]]
        deployment = self._in_force(scorers)
        if deployment is not None:
            if deployment.id not in scorers.seeds:
                scorers.seeds[deployment.id] = scorers.reached[deployment.id] = self._seed(scorers, deployment)
            after = scorers.reached[deployment.id]
            self._write(scorers, deployment.id, after, after + 1 + number // 2, deployment.sample)
            scorers.reached[deployment.id] = scorers.written[-1].upto

    def lose(self, number: int) -> None:
        """A delivery fails after later ones went on: a hole, until the group starts over (P8, P10)."""
        scorers = self.scorers[COLORS[number % 2]]
        deployment = self._in_force(scorers)
        if deployment is not None and scorers.told(deployment.id).rows:
            reached = scorers.reached[deployment.id]
            scorers.reached[deployment.id] = min(self.end - 1, reached + 1 + number // 4)

    def start_over(self, number: int) -> None:
        """A scorer dies; its group goes on at its committed position, at most at covered + 1."""
        scorers = self.scorers[COLORS[number % 2]]
        for deployment, reached in scorers.reached.items():
            covered = scorers.told(deployment).covered
            back = min(reached, covered if covered is not None else reached) - number // 2
            scorers.reached[deployment] = max(scorers.seeds[deployment], back)

    def zombie(self, number: int) -> None:
        """A member that was thought dead writes once more what it had in hand: any deployment, an old control log."""
        scorers = self.scorers[COLORS[number % 2]]
        old = sorted(d for d in scorers.reached if scorers.told(d).covered is not None)
        if old:
            deployment = old[number % len(old)]
            after = max(scorers.seeds[deployment], scorers.reached[deployment] - number // 3)
            slot = self.history[deployment].slots[scorers.color]
            self._write(scorers, deployment, after, after + 1 + number // 3, slot.sample if slot else None)

    def _in_force(self, scorers: Scorers) -> Deployment | None:
        deployment = self.state(scorers.folded).slots[scorers.color]
        return deployment if deployment is not None and deployment.standing is not Standing.RETIRED else None

    def _seed(self, scorers: Scorers, deployment: Deployment) -> int:
        """P11: the first deploy carries its start, the others begin where the publisher stands; some say more."""
        settled = [c.position.settled for c in self.committed.values() if c.position]
        begin = self.state(scorers.folded).start_of(HOME.partition) - 1
        if not deployment.start and settled:
            begin = max(begin, *settled)
        early = deployment.id % 4 == 3 and not deployment.start and deployment.rescores is None
        return begin + (3 if early else 0)

    def _write(self, scorers: Scorers, deployment: int, after: int, upto: int, sample: int | None) -> None:
        upto = max(after, min(upto, self.end - 1))
        offsets = [o for o in range(after + 1, upto + 1) if self.exists(o) and self._sampled(deployment, o, sample)]
        errors = {offset for offset in offsets if fails(deployment, offset)}
        batch = answers(deployment, after, upto, offsets, errors=errors, sample=sample is not None)
        scorers.written.append(batch)

    def _sampled(self, deployment: int, offset: int, sample: int | None) -> bool:
        return sample is None or bucket_of(deployment, offset) < sample

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
        self.partition = Partition(HOME, go_on.settled, go_on.epoch, go_on.starts, go_on.origin)
        self.folded, self.open, self.claim = folded, list[Records](), True
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
        for offset in range(at, min(len(log), at + 1 + number // 2)):
            self.partition.offer(color, fetched(offset, log[offset]))

    def fold(self, number: int) -> None:
        """P19: only between transactions."""
        if not self.open:
            self.folded = min(len(self.history) - 1, self.folded + 1 + number // 3)
            self.partition.control(self.state(self.folded), self.folded)

    def advance(self, number: int) -> None:
        if self.claim and self.state(self.folded).live is not None:
            self.commit(0)
        records = self.partition.advance(LIMITS[number % len(LIMITS)])
        if records is not None:
            self.open.append(records)
        elif not self.open:
            self.partition.control(self.state(self.folded), self.folded)
            assert self.partition.advance(1_000) is None, "it had more to say and did not look again"

    def commit(self, _number: int) -> None:
        if self.state(self.folded).live is None or not (self.claim or self.open):
            return  # P28
        for records in self.open:
            self.cutovers += [records.cutover] if records.cutover else []
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
            while self.partition.answers[color].next_offset < len(self.scorers[color].written):
                self.read(8 + COLORS.index(color))
            self.advance(number)
            deadline = self.partition.deadline()
            if deadline is not None and deadline[1] == color:
                self.partition.fire(deadline[0])

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
            while (d := self._in_force(self.scorers[color])) and self.scorers[color].reached.get(
                d.id, -1
            ) < self.end - 1:
                self.score(8 + index)
            self.read(9_998 + index)
        settled = -2
        while self.partition.settled > settled or self.partition.deadline() is not None:
            settled = self.partition.settled
            self.fire(0)
            self.advance(3)
        self.commit(0)


def bucket_of(salt: int, offset: int) -> int:
    own = key(offset)
    return bucket(salt, own if own is not None else identity(HOME.topic, HOME.partition, offset))
