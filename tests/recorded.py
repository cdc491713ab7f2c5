"""Recorded pipelines: every topic as lists, written by a small model of scorers and a publisher.

The model has a clock that it moves itself and uses the product's own bucket and fold, so that an audit which passes
its recordings agrees with both, by code of its own.
"""

from __future__ import annotations

import random
from dataclasses import replace

import msgspec
from control_log import Log, envelope
from recorded_scoring import EVENT_MS, RULES, START_MS, Event, Row, Scorers, Shape, Timeline
from recorded_topics import TOPIC, TOPIC_ID, Rec, Recording

from streambg.audit.sources import Role
from streambg.control.fold import Entry
from streambg.control.state import ControlState, Deployment
from streambg.records.bucket import bucket, field_bytes, identity
from streambg.records.cutover import Cutover, encode_cutover
from streambg.records.outcome import DeadLetter, Why, encode_dead_letter, header_template
from streambg.records.source import COLORS, Color, Source, other

NEVER = 10**15


class _Model:
    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.random = random.Random(shape.seed)
        self.recording = Recording({}, {}, shape.partitions, input_topic=shape.topic, input_topic_id=shape.topic_id)
        self.control = Log()
        self.entries: list[tuple[float, Entry]] = []
        self.counts: dict[str, int] = {}

    def run(self) -> Recording:
        self._commands()
        for partition in range(self.shape.partitions):
            _Partition(self, partition).run()
        cutovers = sorted(self.recording.log("cutovers"), key=lambda record: record.time)
        self.recording.logs["cutovers", 0] = [replace(record, offset=at) for at, record in enumerate(cutovers)]
        self.recording.expected = self.counts
        return self.recording

    def _commands(self) -> None:
        for at, verb, args in self.shape.commands:
            time = START_MS + int(at * self.shape.events * EVENT_MS)
            self._say(at, time, verb, dict(args))
        self.recording.logs["control", 0] = [
            Rec(offset, time, None, value) for offset, (time, value) in enumerate(self.control.records)
        ]

    def _say(self, at: float, time: int, verb: str, args: dict[str, object]) -> None:
        state = self.control.fold.state
        if verb == "garbage":
            self.control.raw(b"no command", time)
            return
        if verb in ("shift", "promote") and "candidate" not in args:
            args["candidate"] = state.other_deployment.id if state.other_deployment else 0
        if verb == "deploy":
            args.setdefault("rules", msgspec.json.encode(self.shape.rules).decode())
            args.setdefault("digest", "sha256:" + (str(args["model"]).encode().hex() * 64)[:64])
            if not self.entries:
                args["start"] = {str(partition): self.shape.origin for partition in range(self.shape.partitions)}
        entry = _at(self.control, time, verb, args)
        if entry.accepted:
            self.entries.append((at, entry))


def _at(control: Log, time: int, verb: str, args: dict[str, object]) -> Entry:
    expected = int(str(args.pop("epoch", control.fold.state.epoch)))
    return control.raw(envelope(verb, expected, f"c{len(control.records)}", time=time, **args), time)


class _Partition:
    """One partition: events, both colors' batches, then the publisher's outcomes in time order."""

    def __init__(self, model: _Model, partition: int) -> None:
        self.model, self.shape = model, model.shape
        self.partition = partition
        self.timeline = Timeline(model.shape, model.entries, model.random)
        self.scorers = Scorers(self.timeline, partition)
        self.now = START_MS
        self.fired: set[Color] = set()
        self.epoch = -1
        self.settled = self.shape.origin - 1

    def run(self) -> None:
        self._log("input", [Rec(event.offset, event.time, event.key, b"{}") for event in self.timeline.events])
        for color in COLORS:
            self._log(color, self.scorers.score(color))
        for event in self.timeline.events:
            if event.offset >= self.shape.origin and not self._publish(event):
                break
        self.model.recording.positions[self.partition] = self.settled

    def _log(self, role: Role, records: list[Rec]) -> None:
        self.model.recording.logs[role, self.partition] = records

    def _answer(self, deployment: Deployment | None, offset: int) -> tuple[Row | None, int]:
        """(row or None for unanswered, when that is known); NEVER where it is not covered."""
        pieces = self.scorers.pieces.get((deployment.color, deployment.id), []) if deployment else []
        if pieces and offset <= pieces[0].after:
            return None, pieces[0].time
        for piece in pieces:
            if offset <= piece.upto:
                return piece.rows.get(offset), piece.time
        return None, NEVER

    def _publish(self, event: Event) -> bool:
        """One event's outcome; False where the partition waits for ever."""
        state = self.timeline.state_at(event.offset)
        if state is None or state.live is None or state.rules is None:
            return False
        self.now = max(self.now, event.time + 20)
        wants = self._bucket(state, event) < state.weight
        chosen: Color = other(state.live) if wants else state.live
        stand_in = other(chosen)
        allowed = wants or state.fallback_to_other
        row, row_at = self._answer(state.slots[chosen], event.offset)
        stand, stand_at = self._answer(state.slots[stand_in], event.offset) if allowed else (None, NEVER)
        if self.shape.mischief and row is not None and row[1] is None and stand is not None and stand[1] is None:
            self._mischief(state, event, chosen, stand[0], max(row_at, stand_at))
            return True
        deadline = state.rules.late_candidate_ms if wants else state.rules.late_live_ms
        late = self._wait(chosen, row_at, stand, stand_at, deadline if allowed else None)
        if not late and self.now < row_at:
            return False
        if not late and row is not None and row[1] is None:
            self._output(state, event, chosen, "route", row[0])
            return True
        if late or row is None:
            self.now = max(self.now, stand_at)
            why: Why = "late" if late else "absent"
            reason = "late" if late else "none"
        else:
            why, reason = "error", (row[1] or b"").decode()
            patience = self._patience(state, stand_in)
            until = NEVER if patience is None else max(self.now, row_at + patience)
            if allowed and stand_at > until:
                self.now = until
                self._letter(state, event, {chosen: reason, stand_in: "late"}, chosen)
                return True
            if allowed:
                self.now = max(self.now, stand_at)
        if self.now >= NEVER:
            return False
        if allowed and stand is not None and stand[1] is None:
            self._output(state, event, stand_in, why, stand[0])
            return True
        other_reason = "none" if stand is None else (stand[1] or b"").decode()
        self._letter(state, event, {chosen: reason, stand_in: other_reason}, chosen)
        return True

    def _mischief(self, state: ControlState, event: Event, chosen: Color, value: bytes, there_at: int) -> None:
        """Both could answer, and this publisher does as it likes; slowly, so that all rows stood in the log, but for
        `both late`: at once both may have come too late for it, and then it had nothing to go on by.
        """
        mischief = self.shape.mischief
        if mischief == "both late":
            self.now = max(self.now, there_at)
            self._letter(state, event, {chosen: "late", other(chosen): "late"}, chosen)
            return
        self.now = max(self.now, there_at + 2_001)
        if mischief in ("none", "late letter"):
            reason = "late" if mischief == "late letter" else "none"
            self._letter(state, event, {chosen: reason, other(chosen): "none"}, chosen)
        else:
            self._output(state, event, other(chosen), mischief, value)  # type: ignore[arg-type] # one of the whys

    def _wait(self, chosen: Color, row_at: int, stand: Row | None, stand_at: int, deadline: int | None) -> bool:
        """P18: until the chosen color's answer is there, or its deadline has passed; True where it is late."""
        if row_at <= self.now:
            self.fired.discard(chosen)
            return False
        if deadline is None or stand is None:
            self.now = row_at if row_at < NEVER else self.now
            return False
        fires = max(self.now, stand_at) if chosen in self.fired else max(self.now, stand_at + deadline)
        if row_at <= fires:
            self.now = row_at
            self.fired.discard(chosen)
            return False
        self.now = fires
        self.fired.add(chosen)
        return True

    @staticmethod
    def _patience(state: ControlState, stand_in: Color) -> int | None:
        assert state.rules is not None
        if stand_in == state.live and state.rules.late_live_ms is not None:
            return state.rules.late_live_ms
        return state.rules.late_candidate_ms

    def _bucket(self, state: ControlState, event: Event) -> int:
        candidate = state.candidate
        if candidate is None or state.rules is None or state.weight == 0:
            return 10_000
        hashed = event.key if state.rules.bucket_field is None else field_bytes(event.machine)
        if hashed is None:
            hashed = identity(self.shape.topic, self.partition, event.offset)
        return bucket(candidate.id, hashed)

    def _output(self, state: ControlState, event: Event, color: Color, why: Why, value: bytes) -> None:
        deployment = state.slots[color]
        assert deployment is not None
        self._cutover(state, event)
        template = header_template(
            self.shape.topic, self.partition, color, deployment.model, deployment.digest, state.epoch
        )
        log = self.model.recording.log("output", self.partition)
        header = template % (event.offset, why.encode())
        log.append(Rec(_next(log, self.model.random), self.now, event.key, value, header))
        self._count(event, color, why)

    def _letter(self, state: ControlState, event: Event, reasons: dict[Color, str], chosen: Color) -> None:
        self._cutover(state, event)
        letter = DeadLetter(
            Source(self.shape.topic, self.partition, event.offset),
            state.epoch,
            chosen,
            {str(color): reason for color, reason in reasons.items()},
        )
        log = self.model.recording.log("dead-letters", self.partition)
        log.append(Rec(_next(log, self.model.random), self.now, event.key, encode_dead_letter(letter)))
        self._count(event, "dead-letter")

    def _cutover(self, state: ControlState, event: Event) -> None:
        if state.epoch <= self.epoch:
            return
        origin = self.shape.origin if self.epoch < 0 else None
        self.epoch = state.epoch
        first = next(first for first, at in reversed(self.timeline.line) if first <= event.offset and at is state)
        cutover = Cutover(self.partition, state.epoch, first, self.shape.topic_id, "cluster", origin)
        log = self.model.recording.log("cutovers")
        log.append(Rec(len(log), self.now, cutover.key, encode_cutover(cutover)))

    def _count(self, event: Event, *names: str) -> None:
        self.settled = event.offset
        for name in ("events", *names):
            self.model.counts[name] = self.model.counts.get(name, 0) + 1


def _next(log: list[Rec], chance: random.Random) -> int:
    """Transaction markers take offsets too."""
    return (log[-1].offset + 1 if log else 0) + (chance.random() < 0.1)


def record(shape: Shape) -> Recording:
    """An honest recording."""
    return _Model(shape).run()


COMMANDS: tuple[tuple[float, str, dict[str, object]], ...] = (
    (0.0, "deploy", {"color": "blue", "model": "fraud:1"}),
    (0.1, "garbage", {}),
    (0.1, "deploy", {"color": "green", "model": "fraud:2"}),
    (0.2, "shift", {"weight": 3_000}),
    (0.3, "shift", {"weight": 9_999, "epoch": 0}),  # stale: refused
    (0.4, "shift", {"weight": 6_000}),
    (0.7, "promote", {}),
    (0.8, "rollback", {}),
    (0.85, "promote", {}),
    (0.9, "deploy", {"color": "blue", "model": "fraud:3", "gives_up_rollback": True}),
    (0.95, "shift", {"weight": 10_000}),
)


def standard(**changes: object) -> Recording:
    """Three partitions through eight epochs, with every reason in them."""
    return record(replace(Shape(COMMANDS), **changes))  # type: ignore[arg-type] # the fields of Shape


__all__ = ["COMMANDS", "RULES", "TOPIC", "TOPIC_ID", "Rec", "Recording", "Shape", "record", "standard"]
