"""The control log's follower without its thread: the walk says when it has a turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulation.clients import SimClients
from simulation.link import Link
from streambg.control.commands import NEWEST_FORMAT
from streambg.control.fold import ControlFold, Entry
from streambg.control.follower import ControlFollower, Snapshot
from streambg.errors import StreambgError, Unreachable, UpgradeFirst

# One look while somebody waits for the fold; longer where nothing can come, so that a timeout is a few looks away.
LOOK_S = 0.01
BLOCKED_LOOK_S = 1.0


class OldFold(ControlFold):
    """The code before the newest format: it knows the verbs of format 1, and halts at anything newer (P5)."""

    def step(self, offset: int, appended_ms: int, value: bytes | None) -> Entry:
        for newer in range(2, NEWEST_FORMAT + 1):
            if b'"format": %d' % newer in (value or b""):
                raise UpgradeFirst(f"control record {offset} has format {newer}, this process knows 1")
        return super().step(offset, appended_ms, value)


class SimFollower(ControlFollower):
    """`turn` is what the thread does again and again."""

    def __init__(self, link: Link, clients: SimClients, config: dict[str, Any], topic: str, old: bool) -> None:
        super().__init__(config, topic, clients=clients)
        if old:
            self.fold = OldFold()
        self._link = link
        self.blocked_until = 0.0  # its partition cannot be read (X5)
        self.blind = False  # nor will it ever be

    @property
    def blocked(self) -> bool:
        return self.blind or self._link.world.now < self.blocked_until

    def turn(self) -> None:
        try:
            self._turn()
        except StreambgError as error:
            self._failure = error

    def _ask_end(self, now: float) -> float | None:
        return None if self.blocked else super()._ask_end(now)

    def _consume(self) -> None:
        if not self.blocked:
            super()._consume()

    def _wait(self, done: Callable[[], bool], what: str, timeout: float) -> Snapshot:
        world = self._link.world
        deadline = world.now + timeout
        while self._failure is None and not done():
            if self.blind or world.now > deadline:  # what the blind wait for never comes, and nobody waits for them
                raise Unreachable(f"{what} was not folded within {timeout:g} s")
            self.turn()
            world.tick(BLOCKED_LOOK_S if self.blocked else LOOK_S)
        return self.snapshot()
