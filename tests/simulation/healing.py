"""Nothing fails any more, and whoever is gone stays gone for ever: what is owed must come, and what comes then (L1)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from simulation.shape import PARTITIONS, PUBLISHERS, SCORERS
from streambg.records.source import other

if TYPE_CHECKING:
    from simulation.world import World

# The input must be drained within so many turns of all, 0.1 s each: a session timeout, a transaction timeout and the
# longest pauses add up to 30 s.
TURNS = 500
TURN_S = 0.1
# So many turns without progress, and a person looks (P29).
PATIENCE_TURNS = 60
# `broken` from here on: only a core heals, and the number says which (`Healing._all_but_a_core`).
CORE = 100
# `broken` modulo this many: who is gone for ever.
CHOICES = 6
STANDS_IN = 5


class Healing:
    """Of one world, once."""

    def __init__(self, world: World, broken: int) -> None:
        self._world = world
        self._broken = broken
        self._stands_in = broken < CORE and broken % CHOICES == STANDS_IN

    def run(self) -> None:
        world = self._world
        self._calm()
        world.operator.something_live()
        if self._stands_in:
            self._make_ready()
        dead, blind = self._gone()
        for process in dead:
            process.crash()
            process.due = inf
        for process in blind:
            process.go_blind()
        if blind:
            world.operator.rescore()  # what they do not see: who is live answers under another deployment now
        self._grow()
        self._until_drained()
        world.judge_evidence()  # behind the next command the pair may be another one
        world.operator.say_something(self._broken, harmless=self._stands_in)
        self._grow()
        self._until_drained()
        world.counts["healed"] += 1

    def _calm(self) -> None:
        world = self._world
        world.sender_skew_ms = 0  # else every command is refused as expired, and nobody says anything any more
        for process in world.processes:
            process.link.heal()
            process.follower.blocked_until = 0.0
        for process in world.succeeded:
            process.crash()
        while world.network:
            world.do_deliver(0)

    def _make_ready(self) -> None:
        """The other color may stand in (P16): it has answered everything, and there is a deadline for live (P18)."""
        operator = self._world.operator
        self._until_drained()  # what only a rescore mends comes first: it would take the weight away again
        operator.may_stand_in()
        self._until_drained()
        if self._broken // CHOICES % 2:
            operator.promote()  # and it is the color that was live before, which is kept warm
        self._world.counts["live is gone, the other color stands in"] += 1

    def _grow(self) -> None:
        """Events in every partition; without gaps where live is gone: only live could say that these are none (P14)."""
        for number in range(PARTITIONS):
            self._world.do_grow(number + PARTITIONS * (3 if self._stands_in else 4))

    def _until_drained(self) -> None:
        world = self._world
        reached, quiet = -2, 0
        for turn in range(TURNS):
            world.tick(TURN_S)
            world.all_turn()
            world.judge.look()
            if world.judge.drained():
                world.counts["turns to heal"] += turn
                return
            settled = sum(world.settled(number) for number in range(PARTITIONS))
            reached, quiet = settled, quiet + 1 if settled == reached else 0
            if quiet >= PATIENCE_TURNS and world.operator.rescore_if_owed():
                quiet = 0
        raise AssertionError(f"I6: not drained: {world.judge.standing()}")

    # -- who is gone for ever ------------------------------------------------------------------------------------

    def _gone(self) -> tuple[list[Any], list[Any]]:
        """Liveness: who is dead and who cannot read the control log. One publisher is left, and one scorer of whoever
        is live, or of who may stand in for it.
        """
        world, live = self._world, self._world.operator.state.live
        assert live is not None
        if self._broken >= CORE:
            return self._all_but_a_core(self._broken - CORE)
        number, which = divmod(self._broken, CHOICES)
        choices: list[list[Any]] = [
            [],
            [world.publishers[0]],
            [world.publishers[1]],
            [world.scorers[live][number % SCORERS]],
            world.scorers[other(live)],
            world.scorers[live],
        ]
        return choices[which], []

    def _all_but_a_core(self, number: int) -> tuple[list[Any], list[Any]]:
        """One publisher and one scorer of the live color go on; of the others any number, but not none, is gone: dead,
        or alive without the control log (P6).
        """
        world, live = self._world, self._world.operator.state.live
        assert live is not None
        number, publisher = divmod(number, PUBLISHERS)
        number, scorer = divmod(number, SCORERS)
        core = (world.publishers[publisher], world.scorers[live][scorer])
        others = [process for process in world.processes if process not in core]
        blind, which = divmod(number, 2 ** len(others) - 1)
        gone = [(index, process) for index, process in enumerate(others) if (which + 1) >> index & 1]
        return (
            [process for index, process in gone if not blind >> index & 1],
            [process for index, process in gone if blind >> index & 1],
        )
