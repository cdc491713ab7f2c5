"""What stands before a publisher, for one partition: the input, the operator's commands, both colors' scorers.

Every operation takes a number 0..9 that picks among its variants, so a walk is a list that can be shrunk.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from control_log import Log, digest
from predictions import Told, answers, key

from streambg.control.state import ControlState, Deployment, Standing
from streambg.publishing.outcomes import Home
from streambg.publishing.resume import Committed
from streambg.records.batch import Batch
from streambg.records.bucket import bucket, identity
from streambg.records.source import COLORS, Color

HOME = Home("in", 3, "topic-id", "cluster-id")
WEIGHTS = (0, 100, 3_000, 7_000, 10_000)
SAMPLE = 3_000
RULES = [
    json.dumps({"outputs": ["anomaly"], "live_failed": live_failed, "late_live_ms": late_live})
    for live_failed in ("dead-letter", "candidate")
    for late_live in (None, 500)
]


def fails(deployment: int, offset: int) -> bool:
    """A seventh of the events is an error row, another seventh for every deployment."""
    return (deployment * 3 + offset) % 7 == 0


def bucket_of(salt: int, offset: int) -> int:
    own = key(offset)
    return bucket(salt, own if own is not None else identity(HOME.topic, HOME.partition, offset))


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


class Upstream:
    """`gaps`: every so many offsets of the input there is none (compacted, or a transaction marker); 0: never."""

    def __init__(self, gaps: int) -> None:
        self.gaps = gaps
        self.end = 0  # of the input
        self.log = Log()
        self.history: list[ControlState] = []  # in force after each record of the control log
        self.scorers: dict[Color, Scorers] = {color: Scorers(color) for color in COLORS}
        self.committed: dict[Color, Committed] = {}  # the publisher's positions: candidates begin there (P11)

    def exists(self, offset: int) -> bool:
        return not self.gaps or offset % self.gaps != 1

    def state(self, folded: int) -> ControlState:
        return self.history[folded] if folded >= 0 else ControlState()

    def grow(self, number: int) -> None:
        self.end += number + 1

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
        deployment = self.in_force(scorers)
        if deployment is not None:
            if deployment.id not in scorers.seeds:
                scorers.seeds[deployment.id] = scorers.reached[deployment.id] = self._seed(scorers, deployment)
            after = scorers.reached[deployment.id]
            self._write(scorers, deployment.id, after, after + 1 + number // 2, deployment.sample)
            scorers.reached[deployment.id] = scorers.written[-1].upto

    def lose(self, number: int) -> None:
        """A delivery fails after later ones went on: a hole, until the group starts over (P8, P10)."""
        scorers = self.scorers[COLORS[number % 2]]
        deployment = self.in_force(scorers)
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

    def in_force(self, scorers: Scorers) -> Deployment | None:
        deployment = self.state(scorers.folded).slots[scorers.color]
        return deployment if deployment is not None and deployment.standing is not Standing.RETIRED else None

    def _seed(self, scorers: Scorers, deployment: Deployment) -> int:
        """P11: the first deploy carries its start, others begin behind settled and a gap; some say more."""
        settled = [c.position.settled for c in self.committed.values() if c.position]
        begin = self.state(scorers.folded).start_of(HOME.partition) - 1
        if not deployment.start and settled:
            begin = max(begin, *settled)
        early = deployment.id % 4 == 3 and not deployment.start and deployment.rescores is None
        gap_end = self.state(scorers.folded).gap_end(HOME.partition)
        return max(begin + (3 if early else 0), gap_end - 1)

    def _write(self, scorers: Scorers, deployment: int, after: int, upto: int, sample: int | None) -> None:
        upto = max(after, min(upto, self.end - 1))
        offsets = [o for o in range(after + 1, upto + 1) if self.exists(o) and self._sampled(deployment, o, sample)]
        errors = {offset for offset in offsets if fails(deployment, offset)}
        batch = answers(deployment, after, upto, offsets, errors=errors, sample=sample is not None)
        scorers.written.append(batch)

    def _sampled(self, deployment: int, offset: int, sample: int | None) -> bool:
        return sample is None or bucket_of(deployment, offset) < sample
