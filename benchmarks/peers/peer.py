"""What the driver knows of a peer: how it is run, what it promises, what it cannot do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Guarantee = Literal["at-least-once", "exactly-once"]
Work = Literal["hop", "join", "publish"]
Row = Literal["hop", "latency", "join", "publish", "crash"]
ROWS: tuple[Row, ...] = ("hop", "latency", "join", "publish", "crash")
GUARANTEES: tuple[Guarantee, ...] = ("at-least-once", "exactly-once")


@dataclass(frozen=True, slots=True)
class Job:
    """One run: what to read (`right`: the other color's answers, for the join), where to write, under which name.

    state: a folder of this run for what the peer keeps on disk.
    """

    work: Work
    guarantee: Guarantee
    bootstrap: str
    input: str
    output: str
    group: str
    state: Path
    right: str = ""

    def environment(self) -> dict[str, str]:
        """As the programs read it."""
        return {
            "PEER_WORK": self.work,
            "PEER_GUARANTEE": self.guarantee,
            "PEER_BOOTSTRAP": self.bootstrap,
            "PEER_INPUT": self.input,
            "PEER_RIGHT": self.right,
            "PEER_OUTPUT": self.output,
            "PEER_GROUP": self.group,
            "PEER_STATE": str(self.state),
        }


@dataclass(frozen=True, slots=True)
class Launchable:
    """Its environment is made: how a job is started, and how the job's state is prepared once before."""

    argv: Callable[[Job], list[str]]
    prepare: Callable[[Job], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Pace:
    """How much of each row a peer gets: so many events first, unmeasured, then about `seconds` at this speed.

    Speeds are what was seen on two cores, rounded up: they only decide how much is written beforehand.
    """

    warm: int
    hop: int
    join: int
    join_warm: int = 20_000
    crash: int = 2_000  # events a second while it is killed


@dataclass(frozen=True, slots=True)
class Peer:
    """`guarantees`: its own words by ours. `works`: what it takes part in. settings, cannot: sentences for the page."""

    name: str
    title: str
    make: Callable[[Path], Launchable]
    version: Callable[[], str]
    pace: Pace
    settings: str
    guarantees: Mapping[Guarantee, str]
    cannot: tuple[str, ...] = ()
    works: tuple[Work, ...] = ("hop", "join")

    @property
    def strongest(self) -> Guarantee:
        """The guarantee it is killed under."""
        return "exactly-once" if "exactly-once" in self.guarantees else "at-least-once"
