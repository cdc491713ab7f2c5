"""The people at the control log, and whoever else writes where he should not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from control_log import digest, envelope

from simulation.log import Log
from simulation.shape import PARTITIONS
from streambg.control.fold import ControlFold, Entry
from streambg.control.state import ControlState, Phase
from streambg.records.batch import BadBatch, Head, decode, decode_head
from streambg.records.coverage import Coverage
from streambg.records.source import COLORS, other
from streambg.superseding.plan import answers_place

if TYPE_CHECKING:
    from simulation.world import World

WEIGHTS = (0, 100, 3_000, 7_000, 10_000)
SAMPLE = 3_000
RULES = [
    json.dumps({"outputs": ["anomaly"], "live_failed": live_failed, "late_live_ms": late_live})
    for live_failed in ("dead-letter", "candidate")
    for late_live in (None, 500)
]
FOR_LIVE = RULES[-1]  # the candidate answers where live does not, or not in time
VERBS = (
    *("deploy", "deploy", "shift", "shift", "shift", "promote", "promote", "rollback", "abort", "retire", "pause"),
    "accept-gap",
)
FOREIGN = (b"", b"no envelope", b"[1]", b'{"format": 1, "id": "x"}', b"\x93\x01\x02\x03")


class _Heads:
    """A predictions partition as the search sees it (`locate.PredictionLog`)."""

    def __init__(self, log: Log) -> None:
        self.low, self.high = log.start, log.end
        self._log = log

    def head(self, offset: int) -> Head | None:
        record = self._log.records[offset - self._log.start]
        try:
            return decode_head(record.value or b"") if record is not None else None
        except BadBatch:
            return None


class Operator:
    """Says verbs at any moment, ready or not. `history[offset]` is the state in force after that record."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.history: list[ControlState] = []
        self.entries: list[Entry] = []
        self._fold = ControlFold()
        self._said = 0

    @property
    def state(self) -> ControlState:
        return self._fold.state

    @property
    def _log(self) -> Log:
        return self._world.broker.logs[self._world.topics.control, 0]

    def append(self, value: bytes) -> None:
        at = self._log.append(self._world.wall_ms(), None, value)
        entry = self._fold.step(at, self._world.wall_ms(), value)
        self.entries.append(entry)
        self.history.append(entry.state)

    # -- operations ----------------------------------------------------------------------------------------------

    def say(self, number: int) -> None:
        self.append(self._command(number))

    def supersede(self, number: int) -> None:
        """What anybody ever deployed answered goes out again; mostly of what is settled, or about to be (P36)."""
        state, world = self.state, self._world
        known = [*state.replaced, *(each for color in COLORS if (each := state.slots[color]) is not None)]
        number, partition = divmod(number, PARTITIONS)
        number, which = divmod(number, max(1, len(known)))
        if not known:
            return
        deployment = known[-1 - which]
        log = world.broker.logs[world.topics.predictions(deployment.color), partition]
        end = max(1, world.settled(partition) + 1 + (2 if number % 5 == 4 else 0))
        first = max(0, end - 1 - number % 40)
        at, covered = answers_place(_Heads(log), deployment.id, first)
        one = {"partition": partition, "first": first, "end": end, "answers_first": at, "covered": covered}
        ranges = [{**one, "answers_end": log.end}]
        self.append(
            self._envelope("supersede", state.epoch, color=deployment.color, deployment=deployment.id, ranges=ranges)
        )

    def say_late(self, number: int) -> None:
        """It was prepared now, and arrives when the world has moved on (P1, P5)."""
        value = self._command(number)
        self._world.later("command", lambda: self.append(value))

    def foreign(self, number: int) -> None:
        """Bytes that mean nothing, where commands or predictions are expected."""
        number, which = divmod(number, 3)
        value = FOREIGN[number % len(FOREIGN)]
        if which == 0:
            self.append(value)
        else:
            world = self._world
            partition = number // len(FOREIGN) % PARTITIONS
            world.broker.logs[world.topics.predictions(COLORS[which - 1]), partition].append(
                world.wall_ms(), None, value
            )

    def something_live(self) -> None:
        """The walk may have deployed nothing."""
        if self.state.live is None:
            self.say(0)

    def say_something(self, number: int, *, harmless: bool) -> None:
        """Whoever is live stays it, for nobody knows here who is gone. harmless: nor is anything deployed."""
        state = self.state
        if harmless or number % 4 == 0:
            self._say("resume" if state.paused else "pause")
        elif number % 4 == 1:
            self.rescore()
        elif number % 4 == 2 or state.candidate is None:
            assert state.live is not None
            self._say("deploy", **self._deploy(other(state.live), 3 * number))
        else:
            self.shift(WEIGHTS[number % len(WEIGHTS)])

    def may_stand_in(self) -> None:
        """A candidate with some weight that may answer for live, behind a deadline (P16, P18)."""
        if self.state.paused:
            self._say("resume")
        assert self.state.live is not None
        rules = RULES.index(FOR_LIVE)
        self._say("deploy", **self._deploy(other(self.state.live), rules) | {"gives_up_rollback": True})
        self.shift(WEIGHTS[2])
        assert self.state.fallback_to_other, "nobody may stand in for live"

    def shift(self, weight: int) -> None:
        candidate = self.state.candidate
        assert candidate is not None
        self._say("shift", weight=weight, candidate=candidate.id)

    def promote(self) -> None:
        candidate = self.state.candidate
        assert candidate is not None
        self._say("promote", candidate=candidate.id)
        assert self.state.phase is Phase.WARM, "a promote was refused"

    def rescore_if_owed(self) -> bool:
        """P29: what live says nobody answered, and so waits for ever, takes a rescore."""
        if not any(self._unanswered(number) for number in range(PARTITIONS)):
            return False
        self.rescore()
        self._world.counts["rescores owed"] += 1
        return True

    def rescore(self) -> None:
        live = self.state.live_deployment
        assert live is not None
        self._say("deploy", **self._deploy(live.color, 0))
        assert self.state.live_deployment != live, "a rescore was refused"

    def _unanswered(self, partition: int) -> bool:
        """Does the partition stand where live's batches begin only later, or were a sample?"""
        live, world = self.state.live_deployment, self._world
        assert live is not None
        fold = Coverage(live.id)
        for record in world.broker.logs[world.topics.predictions(live.color), partition].records:
            try:
                batch = decode(record.value or b"") if record is not None else None
            except BadBatch:
                continue
            if batch is not None and batch.deployment == live.id:
                _, fold = fold.take(batch.after, batch.upto, batch.sample)
        return fold.sample_upto > world.settled(partition)

    # -- commands ------------------------------------------------------------------------------------------------

    def _say(self, verb: str, **args: Any) -> None:
        self.append(self._envelope(verb, self.state.epoch, **args))

    def _envelope(self, verb: str, expected: int, **args: Any) -> bytes:
        self._said += 1
        return envelope(
            verb, expected, f"c{self._said}", time=self._world.wall_ms() + self._world.sender_skew_ms, **args
        )

    def _command(self, number: int) -> bytes:
        number, which = divmod(number, len(VERBS))
        verb, state = VERBS[which], self.state
        expected = state.epoch - (number % 9 == 8)
        other_slot = state.other_deployment
        candidate = other_slot.id if other_slot else -1
        match verb:
            case "deploy":
                return self._envelope(verb, expected, **self._deploy(COLORS[number % 2], number // 2))
            case "shift":
                return self._envelope(verb, expected, weight=WEIGHTS[number % len(WEIGHTS)], candidate=candidate)
            case "promote":
                return self._envelope(verb, expected, candidate=candidate)
            case "retire":
                color = other(state.live) if state.live and number % 8 else COLORS[number % 2]
                return self._envelope(verb, expected, color=color)
            case "accept-gap":
                return self._envelope(verb, expected, **self._gap(number))
            case "pause":
                return self._envelope("resume" if state.paused else "pause", expected)
        return self._envelope(verb, expected)

    def _gap(self, number: int) -> dict[str, Any]:
        """Some of what is not settled yet, as the topics say it now (P29)."""
        number, partition = divmod(number, PARTITIONS)
        world = self._world
        first = max([world.settled(partition), *world.judge.seen[partition]]) + 1
        end = world.broker.logs[world.topics.input, partition].end
        return {"partition": partition, "first": first, "end": max(first, min(end, first + number % 9))}

    def _deploy(self, color: str, number: int) -> dict[str, Any]:
        """To the live color it is a rescore (P29)."""
        live = self.state.live_deployment
        rescore = live is not None and live.color == color
        model = live.model if live is not None and rescore else f"m:{self._said}"
        return {
            "color": color,
            "model": model,
            "digest": digest(model),
            "rules": RULES[number % len(RULES)],
            "start": {"0": number % 5, "1": number % 3} if live is None else {},
            "sample": SAMPLE if number % 8 == 7 and live is not None and not rescore else None,
            "gives_up_rollback": number % 3 == 0,
            "rescore": rescore,
        }
