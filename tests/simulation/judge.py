"""What must hold, told by what a read_committed reader sees and by nothing of the publisher's own (I1-I6, I8).

`look` after every operation: one outcome an event, in order, epochs that do not go back, the right deployment's bytes.
`final`: the audit, which recomputes folds and routes with code of its own (P34); and the control log folded again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recorded_topics import Rec, Recording

from simulation.answered import Predictions
from simulation.log import Log, Record
from simulation.shape import PARTITIONS, WAITING_ROWS
from streambg.audit import audit_records
from streambg.audit.sources import Role
from streambg.control.fold import ControlFold
from streambg.control.state import Standing, Supersession
from streambg.records.batch import OK, BadBatch, Batch, decode
from streambg.records.cutover import decode_scorer_position
from streambg.records.source import COLORS, Color

if TYPE_CHECKING:
    from simulation.actors import PublisherProcess
    from simulation.world import World

_HEADER = re.compile(rb"([^/ ]+)/(\d+)@(\d+) (blue|green) (\S+) (\S+) epoch=(\d+) (route|absent|error|late|supersedes)")


@dataclass(frozen=True, slots=True)
class Seen:
    """One outcome that became visible. `color` is "" for a dead letter."""

    epoch: int
    color: str
    model: str
    value: bytes
    key: bytes | None


class Judge:
    """Reads the outcomes as they become visible."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._at = {(topic, number): 0 for topic in self._topics() for number in range(PARTITIONS)}
        self._last = dict.fromkeys(self._at, -1)
        self.seen: list[dict[int, Seen]] = [{} for _ in range(PARTITIONS)]
        self.predictions = Predictions(world)
        self._settled = [-1] * PARTITIONS
        self._committed = [-1] * PARTITIONS
        self._reached = [-1] * PARTITIONS  # the same, and nobody can delete it
        self._epoch = [-1] * PARTITIONS
        self._deployments: dict[tuple[str, int], int] = {}
        self._to_come: dict[tuple[int, int], dict[int, Seen]] = {}  # the same, as the commands want it
        self._superseded: dict[tuple[int, int], dict[int, Seen]] = {}  # (epoch, partition) -> offset -> what was seen

    def _topics(self) -> tuple[str, str]:
        return self._world.topics.output, self._world.topics.dead_letters

    def _log(self, topic: str, number: int) -> Log:
        return self._world.broker.logs[topic, number]

    # -- after every operation -----------------------------------------------------------------------------------

    def look(self) -> None:
        for spot, at in self._at.items():
            log = self._log(*spot)
            if at < log.end:
                records, self._at[spot] = log.read(at, 1_000_000, True)
                for record in records:
                    self._outcome(spot, record)
        self._reached = [max(self._reached[n], self._world.settled(n)) for n in range(PARTITIONS)]
        self.predictions.read()
        self._check_scorers()
        for publisher in self._world.publishers:
            self._check_waiting(publisher)
        for number in range(PARTITIONS):
            if self._all_visible(number):
                self._check_settled(number)

    def forget(self) -> None:
        """Somebody deletes the committed positions."""
        self._reached = [max(self._reached[n], self._world.settled(n)) for n in range(PARTITIONS)]
        self._committed = [-1] * PARTITIONS

    def _all_visible(self, number: int) -> bool:
        """No marker is due, and no older transaction that is still open hides an outcome."""
        logs = [self._log(topic, number) for topic in self._topics()]
        return self._world.broker.transactions.settled and all(log.stable == log.end for log in logs)

    def _outcome(self, spot: tuple[str, int], record: Record) -> None:
        number = spot[1]
        offset, seen, why = self._read(spot, record)
        if why == "supersedes":
            self._superseding(number, offset, seen)
            return
        assert offset not in self.seen[number], f"I1: {number}@{offset} has a second outcome: {seen}"
        assert offset > self._last[spot], f"I2: {number}@{offset} comes behind {self._last[spot]} in {spot[0]}"
        self._last[spot] = offset
        self.seen[number][offset] = seen

    def _read(self, spot: tuple[str, int], record: Record) -> tuple[int, Seen, str]:
        if spot[0] == self._world.topics.dead_letters:
            letter = json.loads(record.value or b"")
            _, position = letter["source"].split("/")
            partition, offset = position.split("@")
            assert int(partition) == spot[1]
            assert not letter["supersedes"], "P36: no dead letter supersedes"
            return int(offset), Seen(letter["epoch"], "", "", b"", record.key), ""
        match = _HEADER.fullmatch((record.headers or [("", b"")])[0][1])
        assert match is not None, f"no header: {record}"
        assert int(match[2]) == spot[1]
        said = Seen(int(match[7]), match[4].decode(), match[5].decode(), record.value or b"", record.key)
        return int(match[3]), said, match[8].decode()

    def _superseding(self, number: int, offset: int, seen: Seen) -> None:
        """P36: as a command says, and once; the rest is judged at the end (`_check_superseded`)."""
        commands = self._world.operator.history[seen.epoch].supersessions
        assert commands, f"P36: {number}@{offset} is superseded and nobody asked for it: {seen}"
        assert commands[-1].epoch == seen.epoch, f"P36: {number}@{offset}: epoch {seen.epoch} supersedes nothing"
        found = self._superseded.setdefault((seen.epoch, number), {})
        assert offset not in found, f"P36: {number}@{offset} is superseded twice by epoch {seen.epoch}"
        assert offset > max(found, default=-1), f"P36: {number}@{offset} comes behind {max(found)}"
        found[offset] = seen

    def begins(self, color: Color, number: int, batch: Batch) -> None:
        """P11: a deployment leaves out nothing that is still to be published. What lies below its first answers is
        unanswered, and where it is live by then may wait for ever.
        """
        history = self._world.operator.history
        deployment = history[batch.deployment].slots[color]
        assert deployment is not None
        if deployment.start:
            limit = deployment.start.get(number, 0) - 1
        else:
            gap_end = max(state.gap_end(number) for state in history[batch.deployment :])
            limit = max(self._reached[number], history[-1].start_of(number) - 1, gap_end - 1)
        assert batch.after <= limit, f"P11: {number}: {color} begins above {batch.after}, settled is {limit}"

    def _check_scorers(self) -> None:
        """P11: no color goes back to an older deployment."""
        for color in COLORS:
            group = self._world.broker.group(self._world.scorer_groups[color])
            for spot, (_, metadata) in group.offsets.items():
                position = decode_scorer_position(metadata)
                assert position is not None
                before = self._deployments.get((color, spot[1]), -1)
                assert position.deployment >= before, f"P11: {color}/{spot[1]} goes back to {position}, was {before}"
                self._deployments[color, spot[1]] = position.deployment

    def _check_waiting(self, publisher: PublisherProcess) -> None:
        """I7: of a color that runs ahead no more is read (P20), by what the log and the client say."""
        reader, session = publisher.reader, publisher.session
        for number, partition in session.partitions.items() if reader is not None else ():
            for color in COLORS:
                spot, slot = (self._world.topics.predictions(color), number), session._state.slots[color]
                in_force, end = slot.id if slot is not None else -1, reader.read_to(spot)
                rows = self.predictions.waiting(color, number, in_force, session._folded, partition.settled, end)
                full = len(rows) > 1 and sum(rows) >= WAITING_ROWS
                assert not full or reader.is_paused(spot), f"I7: {publisher.name} reads on where {rows} wait: {spot}"
                self._world.counts["paused"] += reader.is_paused(spot)

    def _check_settled(self, number: int) -> None:
        """Everything up to the committed settled position has its outcome, and the right one as far as is cheap."""
        settled = self._world.settled(number)
        assert settled >= self._committed[number], f"I1: {number}: settled goes back to {settled}"
        self._committed[number] = settled
        if settled <= self._settled[number]:
            return
        history = self._world.operator.history
        origin = self._world.operator.state.start_of(number)
        log = self._log(self._world.topics.input, number)
        for offset in range(max(origin, self._settled[number] + 1), settled + 1):
            event = log.records[offset - log.start]
            seen = self.seen[number].get(offset)
            if event is None:
                assert seen is None, f"I1: {number}@{offset} is no event and has an outcome: {seen}"
                continue
            assert seen is not None, f"I1: {number}@{offset} is settled and has no outcome (settled {settled})"
            assert seen.epoch >= self._epoch[number], f"I3: {number}@{offset}: epoch goes back: {seen}"
            self._epoch[number] = seen.epoch
            state = history[seen.epoch]
            assert state.epoch == seen.epoch, f"I3: {number}@{offset} names a refused command: {seen}"
            assert seen.key == event.key, f"I4: {number}@{offset} has another key: {seen}"
            if seen.color:
                deployment = state.slots[seen.color]  # type: ignore[index] # one of the colors, by the pattern
                assert deployment is not None
                assert deployment.model == seen.model, f"I3: {number}@{offset}: {seen}, in force was {deployment}"
                told = b"%d answers %d as " % (deployment.id, offset)
                assert seen.value.startswith(told), f"I4: {number}@{offset}: {seen}"
        self._settled[number] = settled

    # -- at the end ----------------------------------------------------------------------------------------------

    def owed(self, number: int) -> int:
        """The last event of a partition, -1 where none is owed."""
        log, origin = self._log(self._world.topics.input, number), self._world.operator.state.start_of(number)
        for record in reversed(log.records):
            if record is not None:
                return record.offset if record.offset >= origin else -1
        return -1

    def drained(self) -> bool:
        return (
            all(
                self._all_visible(number) and self._world.settled(number) >= self.owed(number)
                for number in range(PARTITIONS)
            )
            and all(
                len(self._superseded.get((epoch, number), {})) >= len(rows)
                for number in range(PARTITIONS)
                for epoch, rows in self._to_supersede(number)
            )
            and not self._behind()
        )

    def _behind(self) -> list[str]:
        """Whoever stands in a slot answers everything: a candidate, one that is aborted or kept warm, too (P2, P3)."""
        found = []
        for color in COLORS:
            deployment = self._world.operator.state.slots[color]
            if deployment is None or deployment.standing is Standing.RETIRED:
                continue
            if all(scorer.gone for scorer in self._world.scorers[color]):
                continue
            for number in range(PARTITIONS):
                reach = self._reach(color, number, deployment.id)
                if reach < self.owed(number):
                    found.append(f"{number}: {color} answers up to {reach} of {self.owed(number)}")
        return found

    def _reach(self, color: Color, number: int, deployment: int) -> int:
        """How far its answers go. A seed counts as answered up to there (P11); -1: nobody has begun."""
        found = self.predictions.of(color, number, deployment)
        if found is not None:
            return found.covered
        group = self._world.broker.group(self._world.scorer_groups[color])
        offset, metadata = group.offsets.get((self._world.topics.input, number), (0, ""))
        position = decode_scorer_position(metadata)
        return offset - 1 if position is not None and position.deployment == deployment else -1

    def _to_supersede(self, number: int) -> Iterator[tuple[int, dict[int, Seen]]]:
        """P36: by (epoch) what each command owes here; one whose range is not settled holds up those behind it."""
        for command in self._world.operator.state.supersessions:
            ranges = command.of(number)
            if ranges and ranges[-1].end - 1 > self._world.settled(number):
                return
            if ranges:
                at = (command.epoch, number)
                self._to_come[at] = self._to_come.get(at) or self._stored(command, number)
                yield command.epoch, self._to_come[at]

    def _stored(self, command: Supersession, number: int) -> dict[int, Seen]:
        """What the deployment has answered in the command's range, by a fold from the log's beginning (P8)."""
        deployment, [place] = command.deployment, command.of(number)
        covered: int | None = None
        found: dict[int, Seen] = {}
        for record in self._log(self._world.topics.predictions(deployment.color), number).records:
            try:
                batch = decode(record.value or b"") if record is not None else None
            except BadBatch:
                continue
            if record is None or batch is None or record.offset >= place.answers_end:
                continue
            if batch.deployment != deployment.id:
                continue
            covered = batch.after if covered is None else covered
            if batch.after > covered or batch.upto <= covered:
                continue
            for at, offset in enumerate(batch.offsets.tolist()):
                if offset > covered and place.first <= offset < place.end and batch.statuses[at] == OK:
                    said = (deployment.color, deployment.model, batch.values[at], batch.keys[at])
                    found[offset] = Seen(command.epoch, *said)
            covered = batch.upto
        return found

    def _check_superseded(self) -> None:
        """P36: every commanded position that has a stored answer once, with it; nothing else."""
        for number in range(PARTITIONS):
            owed = dict(self._to_supersede(number))
            found = {epoch: seen for (epoch, spot), seen in self._superseded.items() if spot == number}
            for epoch in {*owed, *found}:
                have, want = found.get(epoch, {}), owed.get(epoch, {})
                assert have == want, f"P36: {number}: epoch {epoch} supersedes {have}, was to {want}"
                self._world.counts["superseded"] += len(have)

    def standing(self) -> str:
        lines = [f"{n}: settled {self._world.settled(n)} of {self.owed(n)}" for n in range(PARTITIONS)]
        lines += self._behind()
        for process in self._world.publishers:
            parts = process.session.partitions if process.session else {}
            lines += [
                f"{process.name}/{n} waits for {p.waiting}, covered {p.covered}, "
                f"{ {color: (a.waiting_batches, dict(a.dropped)) for color, a in p.answers.items()} }"
                for n, p in parts.items()
            ]
        return "; ".join([*lines, self._world.operator.state.summary()])

    def final(self) -> None:
        self.look()
        self._fold_again()
        self._check_superseded()
        report = audit_records(self.recording())
        assert report.verdict != "failed", f"audit: {report.reason}: {report.findings[:3]}"

    def _fold_again(self) -> None:
        """I8: every process folded the same states."""
        fold, history = ControlFold(), self._world.operator.history
        epoch = -1
        for record in self._log(self._world.topics.control, 0).records:
            assert record is not None
            entry = fold.step(record.offset, record.time_ms, record.value)
            assert entry.state == history[record.offset], f"I8: another fold at {record.offset}"
            epoch = record.offset if entry.accepted else epoch
            assert entry.state.epoch == epoch, f"P1: the epoch is not the last accepted command: {entry}"
        for process in self._world.processes:
            folded = process.follower.fold
            if folded.folded >= 0:
                assert folded.state == history[folded.folded], f"I8: {process.name} folded something else"

    def recording(self) -> Recording:
        """The topics as the audit reads them."""
        topics = self._world.topics
        logs: dict[tuple[Role, int], list[Rec]] = {("control", 0): self._visible(topics.control, 0)}
        logs["cutovers", 0] = self._visible(topics.cutovers, 0)
        for number in range(PARTITIONS):
            logs["input", number] = self._visible(topics.input, number)
            logs["output", number] = self._visible(topics.output, number)
            logs["dead-letters", number] = self._visible(topics.dead_letters, number)
            for color in COLORS:
                logs[color, number] = self._visible(topics.predictions(color), number)
        settled = {number: self._world.settled(number) for number in range(PARTITIONS)}
        return Recording(
            logs, settled, PARTITIONS, input_topic=topics.input, input_topic_id=f"id-of-{topics.input}", chunk=1_000
        )

    def _visible(self, topic: str, number: int) -> list[Rec]:
        records, _ = self._log(topic, number).read(0, 1_000_000, True)
        return [Rec(r.offset, r.time_ms, r.key, r.value, r.headers[0][1] if r.headers else None) for r in records]
