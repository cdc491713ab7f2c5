"""The rows for a peer: one program, one topic in (two for the join), one out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from benchmarks.peers import event, measure
from benchmarks.peers.bench import RATE, Bench
from benchmarks.peers.load import Load, Watch
from benchmarks.peers.peer import Guarantee, Job, Peer, Row, Work
from benchmarks.peers.team import Program, Team
from benchmarks.peers.topics import numbers

HOP_INPUT = "hop-input"
PREDICTIONS = ("predictions-blue", "predictions-green")
# One record for every thousand pairs (EVERY in the programs).
PAIRS_A_RECORD = 1_000


def stamps(value: bytes) -> Iterable[int]:
    """Of an answer that is one record."""
    return (event.decode_answer(value).ts,)


@dataclass(frozen=True, slots=True)
class Contest:
    """One peer on one bench."""

    peer: Peer
    bench: Bench

    def pieces(self) -> list[tuple[Guarantee, Row]]:
        """What can be measured of it."""
        found: list[tuple[Guarantee, Row]] = []
        for guarantee in self.peer.guarantees:
            found += [(guarantee, "hop"), (guarantee, "latency"), (guarantee, "join")]
            if guarantee == self.peer.strongest:
                found += [(guarantee, "publish")] if "publish" in self.peer.works else []
                found.append((guarantee, "crash"))
        return found

    def measure(self, guarantee: Guarantee, row: Row) -> dict[str, Any]:
        """One row's figures. Raises StreambgError where it cannot be had."""
        match row:
            case "hop":
                return self._hop(guarantee)
            case "latency":
                return self._latency(guarantee)
            case "crash":
                return self._crash(guarantee)
            case "join" | "publish":
                return self._two_topics(guarantee, row)

    @contextmanager
    def _team(self, work: Work, guarantee: Guarantee, source: str, right: str = "") -> Iterator[tuple[Team, str]]:
        name = self.bench.name(f"{self.peer.name}-{work}")
        output = f"{name}-output"
        self.bench.topics.create(output)
        launchable = self.peer.make(self.bench.build)
        folder = self.bench.folder(name)
        state = folder / "state"
        state.mkdir()
        job = Job(work, guarantee, self.bench.bootstrap, source, output, name, state, right)
        launchable.prepare(job)
        with Team(folder, [Program(self.peer.name, launchable.argv(job), job.environment())]) as team:
            yield team, output
            team.stop()
        self.bench.topics.delete(output)

    def _hop(self, guarantee: Guarantee) -> dict[str, Any]:
        pace, sizes, topics = self.peer.pace, self.bench.sizes, self.bench.topics
        total = sizes.events(pace.warm, pace.hop)
        topics.filled(HOP_INPUT, total)
        with self._team("hop", guarantee, HOP_INPUT) as (team, output):
            warm = int(pace.warm * sizes.part)
            found = measure.speed(
                team, partial(topics.count, output), warm, total, sizes.seconds, self.bench.broker_pid
            )
        return asdict(found)

    def _two_topics(self, guarantee: Guarantee, row: Work) -> dict[str, Any]:
        pace, sizes, topics = self.peer.pace, self.bench.sizes, self.bench.topics
        # the publisher's merge is of the hop's kind
        each = PAIRS_A_RECORD if row == "join" else 1
        unmeasured = pace.join_warm if row == "join" else pace.warm
        warm = int(unmeasured * sizes.part)
        total = sizes.events(unmeasured, pace.join if row == "join" else pace.hop)
        for topic, color in zip(PREDICTIONS, ("blue", "green"), strict=True):
            topics.filled(topic, total, partial(event.answer, color=color))
        with self._team(row, guarantee, *PREDICTIONS) as (team, output):
            found = measure.speed(
                team,
                lambda: topics.count(output) * each,
                warm,
                total,
                sizes.seconds,
                self.bench.broker_pid,
            )
        return asdict(found)

    def _latency(self, guarantee: Guarantee) -> dict[str, Any]:
        sizes, topics, bootstrap = self.bench.sizes, self.bench.topics, self.bench.bootstrap
        warm = int(self.peer.pace.warm * sizes.part)
        source = topics.filled(self.bench.name("latency-input"), warm)
        with self._team("hop", guarantee, source) as (team, output):
            load, watch = Load(bootstrap, source, RATE, warm), Watch(topics, output, stamps)
            times = (sizes.drop_s, sizes.latency_s)
            found = measure.latency(team, load, watch, partial(topics.count, output), warm, times)
        topics.delete(source)
        return asdict(found)

    def _crash(self, guarantee: Guarantee) -> dict[str, Any]:
        topics, bootstrap = self.bench.topics, self.bench.bootstrap
        source = topics.filled(self.bench.name("crash-input"), 0)
        with (
            self._team("hop", guarantee, source) as (team, output),
            Watch(topics, output, stamps) as watch,
        ):
            load = Load(bootstrap, source, self.peer.pace.crash, 0)
            found = measure.crash(
                team, load, lambda: watch.count, lambda: list(numbers(topics.values(output))), self.bench.sizes.kills
            )
        topics.delete(source)
        return asdict(found)
