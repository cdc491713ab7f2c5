"""The group coordinator: classic protocol, generations, static members, `range`, offsets with metadata."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from simulation.log import BrokerError, Offsets, Spot

REBALANCE_TIMEOUT_S = 15.0  # max.poll.interval.ms of our members


@dataclass(slots=True)
class Member:
    id: str
    instance: str
    client_id: str
    topics: tuple[str, ...]
    session_s: float
    alive_at: float
    joined: bool = True
    assignment: list[Spot] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Membership:
    """What a client sends with its commits (P22): who it is, and of which generation."""

    group: str
    generation: int
    member: str
    instance: str


def range_assignment(members: Sequence[Member], partitions: Mapping[str, int]) -> None:
    """Per topic, in the order of instance ids: the first get one more where it does not come out even."""
    for member in members:
        member.assignment = []
    for topic in sorted({topic for member in members for topic in member.topics}):
        takers = sorted((m for m in members if topic in m.topics), key=lambda m: m.instance or m.id)
        share, more = divmod(partitions.get(topic, 0), len(takers))
        at = 0
        for index, member in enumerate(takers):
            count = share + (index < more)
            member.assignment += [(topic, number) for number in range(at, at + count)]
            at += count


class Group:
    """One group. Every call takes `now`, monotonic seconds of the broker."""

    def __init__(self, name: str, partitions: Callable[[], Mapping[str, int]]) -> None:
        self.name = name
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.offsets: Offsets = {}
        self.pending: dict[int, Offsets] = {}  # producer id -> offsets of its open transaction
        self._partitions = partitions
        self._preparing_since: float | None = None
        self._ids = 0

    @property
    def preparing(self) -> bool:
        return self._preparing_since is not None

    @property
    def shared_out(self) -> list[Spot]:
        """Partitions that are somebody's; none while the rebalance goes on."""
        return [] if self.preparing else [spot for member in self.members.values() for spot in member.assignment]

    # -- membership ----------------------------------------------------------------------------------------------

    def join(
        self, member: str, instance: str, client_id: str, topics: Collection[str], session_s: float, now: float
    ) -> str:
        """The member id. A static member that comes again takes its own place: no rebalance, the old id is fenced."""
        if member and member not in self.members:
            raise BrokerError(self._unknown(instance))
        before = next((m for m in self.members.values() if instance and m.instance == instance), None)
        if member:
            self.members[member].joined = True
            self.members[member].alive_at = now
        else:
            self._ids += 1
            member = f"{client_id}-{self._ids}"
            joined = Member(member, instance, client_id, tuple(sorted(topics)), session_s, now)
            if before is not None:
                del self.members[before.id]
                joined.assignment = before.assignment
            self.members[member] = joined
            if before is None or before.topics != joined.topics:
                self._prepare(now, member)
        self._maybe_complete(now)
        return member

    def heartbeat(self, member: str, instance: str, generation: int, now: float) -> None:
        self._check(member, instance, generation)
        self.members[member].alive_at = now
        if self.preparing:
            raise BrokerError("REBALANCE_IN_PROGRESS")

    def leave(self, member: str, now: float) -> None:
        if self.members.pop(member, None) is not None:
            self._prepare(now)
            self._maybe_complete(now)

    def expire(self, now: float) -> None:
        """Who was silent too long is out; who does not join again in time as well."""
        dead = [m.id for m in self.members.values() if now - m.alive_at > m.session_s]
        if self._preparing_since is not None and now - self._preparing_since > REBALANCE_TIMEOUT_S:
            dead += [m.id for m in self.members.values() if not m.joined]
        for member in dict.fromkeys(dead):
            del self.members[member]
            self._prepare(now)
        self._maybe_complete(now)

    def assignment(self, member: str) -> list[Spot] | None:
        """None while the rebalance goes on."""
        if self.preparing or member not in self.members:
            return None
        return self.members[member].assignment

    def _prepare(self, now: float, newcomer: str = "") -> None:
        if self._preparing_since is None:
            self._preparing_since = now
            for member in self.members.values():
                member.joined = member.id == newcomer

    def _maybe_complete(self, now: float) -> None:
        if self.preparing and all(member.joined for member in self.members.values()):
            self._preparing_since = None
            self.generation += 1
            range_assignment(list(self.members.values()), self._partitions())
            for member in self.members.values():
                member.alive_at = now

    def _unknown(self, instance: str) -> str:
        taken = instance and any(m.instance == instance for m in self.members.values())
        return "FENCED_INSTANCE_ID" if taken else "UNKNOWN_MEMBER_ID"

    def _check(self, member: str, instance: str, generation: int) -> None:
        """Fencing is by generation, never by who owns a partition."""
        if member not in self.members:
            raise BrokerError(self._unknown(instance))
        if generation != self.generation:
            raise BrokerError("ILLEGAL_GENERATION")

    # -- offsets -------------------------------------------------------------------------------------------------

    def commit(self, who: Membership, offsets: Offsets) -> None:
        self._may_commit(who)
        self.offsets |= offsets

    def commit_in_transaction(self, who: Membership, producer: int, offsets: Offsets) -> None:
        self._may_commit(who)
        self.pending.setdefault(producer, {}).update(offsets)

    def _may_commit(self, who: Membership) -> None:
        """Who names no member and no instance always may; who names no generation, while the group is empty."""
        if who.generation < 0 and not self.members:
            return
        if who.generation >= 0 or who.member or who.instance:
            self._check(who.member, who.instance, who.generation)

    def end_transaction(self, producer: int, commit: bool) -> None:
        offsets = self.pending.pop(producer, {})
        if commit:
            self.offsets |= offsets

    def fetch(self, wanted: Collection[Spot], stable: bool) -> Offsets:
        """The committed ones. Raises UNSTABLE_OFFSET_COMMIT where a transaction stands open and `stable` is asked."""
        if stable and any(spot in offsets for offsets in self.pending.values() for spot in wanted):
            raise BrokerError("UNSTABLE_OFFSET_COMMIT")
        return {spot: self.offsets[spot] for spot in wanted if spot in self.offsets}
