"""What every row is measured on: one broker without fast-start flags, its topics, and how long a row takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.topics import Topics


@dataclass(frozen=True, slots=True)
class Sizes:
    """seconds: measured in a row of speed. drop_s, latency_s: of a row of latency. `part`: share of the warm-up."""

    seconds: float
    drop_s: float
    latency_s: float
    kills: int
    part: float

    def events(self, warm: int, per_second: int) -> int:
        """How many events a row of speed needs at most."""
        return int(warm * self.part + per_second * self.seconds)


FULL = Sizes(9.0, 6.0, 10.0, 10, 1.0)
# To see that everything runs; its figures say little (Kafka Streams is still being compiled).
QUICK = Sizes(4.0, 2.0, 4.0, 2, 0.1)
# Below the build folder: a folder a run, in it one a contender.
RUNS = "run"
# Of the latency row, events a second.
RATE = 2_000


@dataclass(slots=True)
class Bench:
    """One run. `run` counts up, so that every topic, group and folder has its own name."""

    bootstrap: str
    redis: str
    broker_pid: int
    topics: Topics
    build: Path
    sizes: Sizes
    run: int = 0

    def name(self, what: str) -> str:
        """A name that nothing else of this run has."""
        self.run += 1
        return f"{what}-{self.run}"

    def folder(self, name: str) -> Path:
        """For what processes of that name write."""
        folder = self.build / RUNS / str(os.getpid()) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
