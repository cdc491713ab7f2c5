"""Broken variants of the product, as patches: what the simulator must find, and a seed that finds it.

A process on a real broker takes one too (chaos/broken.py).

`python -m simulation --mutants` searches again, for instance after the walks have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from simulation.shape import PARTITIONS
from streambg.control import fold
from streambg.control.moves import Rejected
from streambg.control.state import ControlState, Deployment, Phase, Standing
from streambg.kafka import coreader
from streambg.publishing import answers, assignment, facts, forgotten, partition, resume, tail, transaction
from streambg.publishing import session as publishing
from streambg.publishing.superseding import Progress, Stored
from streambg.records.coverage import Coverage, Take
from streambg.records.coverage import Standing as BatchStanding
from streambg.records.cutover import ScorerPosition
from streambg.scoring import positions, seeding
from streambg.scoring import session as scoring

Patch = Callable[[Any, str, Any], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`rule`: what it breaks; `seed`: one that finds it (and finds nothing wrong without it).

    says: the invariants, or rules, one of which must say so: a patch that no longer fits the product raises other
    errors.
    """

    name: str
    rule: str
    seed: int
    says: tuple[str, ...]
    apply: Callable[[Patch], None]

    def explains(self, told: str | None) -> bool:
        """Is this failure of a walk what the mutant does?"""
        return told is not None and told.startswith(tuple(f"AssertionError: {one}: " for one in self.says))


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    before: list[tuple[Any, str, Any]] = []

    def patch(where: Any, name: str, value: Any) -> None:
        before.append((where, name, where.__dict__[name]))
        setattr(where, name, value)

    try:
        mutant.apply(patch)
        yield
    finally:
        for where, name, value in reversed(before):
            setattr(where, name, value)


# -- where a publisher goes on -----------------------------------------------------------------------------------


def _no_tail(patch: Patch) -> None:
    patch(facts, "read_tails", lambda _config, _output, _letters, floors, *_: dict.fromkeys(floors))


def _no_letters(patch: Patch) -> None:
    patch(tail, "_dead_letter_tail", lambda _message: None)


def _covered_is_settled(patch: Patch) -> None:
    start = resume._start

    def wrong(color: Any, given: Any, state: Any, alarms: Any) -> Any:
        offset, coverage = start(color, given, state, alarms)
        position = given.committed[color].position
        return offset, replace(coverage, covered=position.settled) if coverage and position else coverage

    patch(resume, "_start", wrong)


def _position_past_unread(patch: Patch) -> None:
    patch(answers.Answers, "position", lambda self: (self.next_offset, self.coverage))


def _unassigned_committed(patch: Patch) -> None:
    assume, positions = publishing.Session._assume, publishing.Session._positions

    def remember(self: Any, given: Any) -> Any:
        starts = assume(self, given)
        self.__dict__.setdefault("ever", {}).update(self.partitions)
        return starts

    def all_of_them(self: Any) -> Any:
        held, dirty = self.partitions, self._dirty
        self.partitions, self._dirty = {**self.ever, **held}, {*self.ever, *dirty}
        try:
            return positions(self)
        finally:
            self.partitions, self._dirty = held, dirty

    patch(publishing.Session, "_assume", remember)
    patch(publishing.Session, "_positions", all_of_them)


# -- what it publishes -------------------------------------------------------------------------------------------


def _unfolded_dropped(patch: Patch) -> None:
    standing = answers.standing

    def wrong(*given: Any) -> BatchStanding:
        found = standing(*given)
        return BatchStanding.UNKNOWN if found is BatchStanding.BLOCKED else found

    patch(answers, "standing", wrong)


def _hole_accepted(patch: Patch) -> None:
    take = Coverage.take

    def wrong(self: Coverage, after: int, upto: int, sample: bool = False) -> tuple[Take, Coverage]:
        return take(self, min(after, self.covered) if self.covered is not None else after, upto, sample)

    patch(Coverage, "take", wrong)


def _aborted_falls_back(patch: Patch) -> None:
    right = ControlState.fallback_to_other.fget
    assert right is not None
    patch(ControlState, "fallback_to_other", property(lambda self: self.phase is Phase.ABORTED or right(self)))
    patch(Deployment, "answers", property(lambda self: self.standing is not Standing.RETIRED))


def _cutover_outside(patch: Patch) -> None:
    produce = transaction.Transaction.produce

    def wrong(self: Any, topic: str, value: bytes, key: bytes | None, number: int, *more: Any) -> None:
        if topic != self._site.cutovers:
            produce(self, topic, value, key, number, *more)
            return
        config = {name: setting for name, setting in self._site.producer.items() if not name.startswith("transact")}
        other = self._clients.producer(config)
        other.produce(topic, value, key, number)
        other.flush()

    patch(transaction.Transaction, "produce", wrong)


# -- its session -------------------------------------------------------------------------------------------------


def _no_suspicion(patch: Patch) -> None:
    patch(transaction, "suspicion", lambda *_: None)


def _not_dense(patch: Patch) -> None:
    accept = coreader.CoReader._accept

    def wrong(self: Any, message: Any) -> Any:
        spot = (self._colors.get(message.topic()), message.partition())
        if message.error() is None and spot in self._expected:
            self._expected[spot] = message.offset()
        return accept(self, message)

    patch(coreader.CoReader, "_accept", wrong)


def _assigned(patch: Patch) -> None:
    """Without a group nobody is a member, so this variant also takes nobody for dead: else both fence each other."""
    made, poll = coreader.CoReader.__init__, coreader.CoReader.poll

    def unsubscribed(self: Any, config: Any, topics: Any, *more: Any) -> None:
        made(self, config, topics, *more)
        self.consumer.unsubscribe()
        numbers = range(PARTITIONS)
        self.takes = [coreader.TopicPartition(topic, number) for topic in topics.values() for number in numbers]

    def first_assign(self: Any, *given: Any) -> Any:
        takes, self.takes = self.takes, []
        if takes:
            self._assigned(self.consumer, takes)
        return poll(self, *given)

    patch(coreader.CoReader, "__init__", unsubscribed)
    patch(coreader.CoReader, "poll", first_assign)
    patch(assignment, "fence_the_dead", lambda *_: None)


def _hidden_stands(patch: Patch) -> None:
    patch(forgotten, "_hidden", lambda *_: (False, None))


def _pending_comes_into_force(patch: Patch) -> None:
    patch(transaction, "leave_open", lambda *_, **__: None)


def _late_stands(patch: Patch) -> None:
    patch(publishing.Session, "_stand_by_late", lambda _self: None)


# -- the control log and the scorers -----------------------------------------------------------------------------


def _deploy_no_epoch(patch: Patch) -> None:
    apply = fold.apply

    def wrong(state: ControlState, offset: int, verb: str, *more: Any) -> Any:
        verdict = apply(state, offset, verb, *more)
        if verb == "deploy" and not isinstance(verdict, Rejected) and state.phase is not Phase.EMPTY:
            return replace(verdict, epoch=state.epoch)
        return verdict

    patch(fold, "apply", wrong)


def _seeds_on_another(patch: Patch) -> None:
    start = seeding.start

    def wrong(partition: int, deployment: Any, offset: Any, committed: Any, *more: Any) -> Any:
        if committed is not None and committed.deployment != deployment.id:
            committed = ScorerPosition(-1, committed.checked, committed.covered)
        return start(partition, deployment, offset, committed, *more)

    patch(seeding, "start", wrong)
    made = scoring.Session.__init__

    def with_the_view_at_hand(self: Any, site: Any, follower: Any, *more: Any) -> None:
        made(self, site, ViewAtHand(follower), *more)

    patch(scoring.Session, "__init__", with_the_view_at_hand)


class ViewAtHand:
    """A follower that is not waited for: P11 also says to fold the log first."""

    def __init__(self, follower: Any) -> None:
        self.snapshot = follower.snapshot
        self.wait_folded = follower.wait_folded

    def wait_caught_up(self, _timeout: float) -> Any:
        return self.snapshot()


def _commits_undelivered(patch: Patch) -> None:
    send = scoring.Session._send

    def wrong(self: Any, number: int, lane: Any, batch: Any) -> None:
        send(self, number, lane, batch)
        lane.delivered = batch.upto

    patch(scoring.Session, "_send", wrong)
    patch(scoring.Session, "_raise_failure", lambda _self: None)


# -- what is published again --------------------------------------------------------------------------------------


def _supersedes_anew(patch: Patch) -> None:
    patch(resume, "_superseded", lambda *_: Progress())


def _supersedes_unread(patch: Patch) -> None:
    take = Stored.take

    def wrong(self: Stored, after: int, limit: int) -> Any:
        taken = take(self, after, limit)
        return replace(taken, upto=self.errand.place.end - 1)

    patch(Stored, "take", wrong)


# -- what is owed, whoever is gone ---------------------------------------------------------------------------------


def _seeded_too_high(patch: Patch) -> None:
    start = seeding.start

    def wrong(partition: int, deployment: Any, *more: Any) -> Any:
        found = start(partition, deployment, *more)
        begins = isinstance(found, seeding.Seed) and not deployment.start
        return seeding.Seed(found.offset + 1) if begins else found

    patch(seeding, "start", wrong)


def _aborted_stops(patch: Patch) -> None:
    right = positions.in_force

    def wrong(state: ControlState, color: Any) -> Any:
        found = right(state, color)
        return found if found is None or found.standing is Standing.SCORING else None

    patch(scoring, "in_force", wrong)
    patch(positions, "in_force", wrong)


def _no_deadline_for_live(patch: Patch) -> None:
    right = partition.Partition.deadline

    def wrong(self: Any) -> Any:
        found = right(self)
        return None if found is not None and found[0].side == "live" else found

    patch(partition.Partition, "deadline", wrong)


def _reads_on(patch: Patch) -> None:
    patch(coreader.CoReader, "pause", lambda self, color, number: self._paused.add((color, number)))


def _untold_is_decided(patch: Patch) -> None:
    patch(tail.Settlements, "superseded_to", lambda *_: (2**62, 0))


MUTANTS = (
    Mutant("no output-tail resume", "P25", 1, ("I1", "I6"), _no_tail),
    Mutant("tail without dead letters", "P25", 8, ("I1", "I6"), _no_letters),
    Mutant("covered := settled on restart", "P26", 23, ("I1", "I6", "audit"), _covered_is_settled),
    Mutant("position past unread coverage", "P26", 3, ("I1", "I6", "audit"), _position_past_unread),
    Mutant("a deploy that is no epoch", "P1", 0, ("P1", "I4"), _deploy_no_epoch),
    Mutant("a batch of an unfolded deployment dropped", "P12", 460, ("I1", "I6", "audit"), _unfolded_dropped),
    Mutant("seeding on 'another' instead of 'smaller'", "P11", 9, ("P11",), _seeds_on_another),
    Mutant("a batch with after > covered accepted", "P8", 30, ("I1", "audit"), _hole_accepted),
    Mutant("fallback to an aborted candidate", "P16", 19, ("audit",), _aborted_falls_back),
    Mutant("committing positions of unassigned partitions", "P22", 1, ("I1",), _unassigned_committed),
    Mutant("a cutover outside the transaction", "P19", 3, ("audit", "I6"), _cutover_outside),
    Mutant("no new producer after a suspicious commit", "P21", 208, ("I1",), _no_suspicion),
    Mutant("assign() for subscribe()", "P22", 0, ("I1",), _assigned),
    Mutant("predictions need not be dense", "P23", 125, ("I1", "I6", "audit"), _not_dense),
    Mutant("superseding begins anew at every takeover", "P36", 2, ("P36",), _supersedes_anew),
    Mutant("superseding past answers that were not read", "P36", 2, ("P36", "I6"), _supersedes_unread),
    Mutant("what an open transaction hides is not looked at", "P24", 28, ("I1", "I6", "P36"), _hidden_stands),
    Mutant("forgotten positions come into force", "P24", 62, ("I1",), _pending_comes_into_force),
    Mutant("late without another look before a slow commit", "P34", 61, ("audit",), _late_stands),
    Mutant("a commit that passes an undelivered batch", "P10", 9, ("I1", "I6", "audit"), _commits_undelivered),
    Mutant("a deployment seeded above what is to be published", "P11", 0, ("P11",), _seeded_too_high),
    Mutant("an aborted candidate stops scoring", "P3", 19, ("I6",), _aborted_stops),
    Mutant("no deadline for live", "P18", 1, ("I6",), _no_deadline_for_live),
    Mutant("a color that runs ahead is read on", "P20", 7, ("I7",), _reads_on),
    Mutant("what supersedes and is not told of is taken for decided", "P24", 63, ("I6", "P36"), _untold_is_decided),
)
