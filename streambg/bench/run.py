"""The benchmark from start to end: rounds of the throughput rows, the live rows, the costs of growth."""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streambg.bench import events, failover, machine
from streambg.bench.drained import Recorded
from streambg.bench.live import PARTITIONS, SETTLE_S, Live, live
from streambg.bench.raw import Window
from streambg.bench.result import BY_KEY, MEMBERS, RATES, Figures, Result
from streambg.bench.result import PARTITIONS as GROWTH
from streambg.bench.stage import Stage
from streambg.bench.usage import Usage
from streambg.records.source import Color

# Row -> its loop of raw.py.
COPIES = (
    ("b", "copy"),
    ("b0", "copy_plain"),
    ("c", "copy_transactional"),
    ("c0", "copy_transactional_plain"),
)

# Events a second of a pipeline that is busy, but not to the full.
BUSY = 2_000
# (n) is measured alone, beside, alone, beside: a machine that slows down for a while is seen.
PAIRS = 2

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much of everything. events: of a throughput row; growth rows take half of them."""

    groups: frozenset[str]
    events: int
    rounds: int
    latency_s: float
    settle_s: float
    rates: tuple[int, ...]
    commands: int
    kills: int
    takeovers: int
    starts: int
    growth: tuple[int, ...]


def full(groups: frozenset[str]) -> Wanted:
    """About twenty minutes on two cores."""
    return Wanted(groups, 600_000, 3, 20.0, SETTLE_S, RATES, 200, 20, 3, 3, GROWTH)


def quick(groups: frozenset[str]) -> Wanted:
    """About four minutes: one round of everything, the outermost growth only."""
    return Wanted(groups, 200_000, 1, 10.0, SETTLE_S, (2_000,), 40, 5, 1, 1, (GROWTH[0], GROWTH[-1]))


def run(wanted: Wanted, told: Told) -> Result:
    """Everything; broker, processes and files are gone afterwards. Raises StreambgError."""
    with tempfile.TemporaryDirectory(prefix="streambg-bench-") as folder, Stage(Path(folder), told) as stage:
        bench = Bench(stage, wanted, told)
        bench.rounds()
        bench.evidence()
        bench.live()
        bench.starts()
        bench.growth()
        settings = {
            "events": wanted.events,
            "partitions": PARTITIONS,
            "event_bytes": events.EVENT_BYTES,
            "rounds": wanted.rounds,
            "pinned": {"measured": sorted(stage.client_cpus), "broker": sorted(stage.broker_cpus)},
            "not_pinned": "the rows i, j, k, l-...-m, m1, m2 and n",
        }
        return Result(
            datetime.now(UTC).isoformat(timespec="seconds"), settings, machine.facts(stage.broker_words), bench.runs
        )


class Bench:
    """Runs rows and keeps their figures."""

    def __init__(self, stage: Stage, wanted: Wanted, told: Told) -> None:
        self.runs: dict[str, list[Figures]] = defaultdict(list)
        self._stage = stage
        self._wanted = wanted
        self._told = told
        self._names = (f"bench{number}" for number in itertools.count(1))

    # -- throughput

    def rounds(self) -> None:
        """(a) to (h), and (m), one after the other in each round, so that a slow minute hits them all."""
        if not self._wanted.groups & set("abcdefghm"):
            return
        self._told("warming up")
        self._raw(self._wanted.groups, self._forgotten)  # the broker's compiler has seen such requests then
        for number in range(self._wanted.rounds):
            self._told(f"round {number + 1} of {self._wanted.rounds}")
            self._raw(self._wanted.groups, self._add)
            if self._wanted.groups & set("dfghm"):
                self._recorded()
            if "e" in self._wanted.groups:
                with self._begun(PARTITIONS, self._wanted.events, {"blue": events.RIVER}) as recorded:
                    self._add("e", *recorded.score("blue"))

    def _raw(self, groups: frozenset[str], add: Callable[[str, Window, Usage], None]) -> None:
        stage, count = self._stage, self._wanted.events
        topic = stage.filled(PARTITIONS, count)
        common: dict[str, Any] = {"bootstrap": stage.bootstrap, "topic": topic, "events": count}
        if "a" in groups:
            add("a", *stage.loop("consume", **common))
        for key, loop in COPIES:
            if BY_KEY[key].group in groups:
                output = next(self._names)
                stage.create(output, PARTITIONS)
                add(key, *stage.loop(loop, output=output, **common))
                stage.delete(output)

    def _recorded(self) -> None:
        """Both colors' answers are made once a round; blue's making is row (d)."""
        groups, count = self._wanted.groups, self._wanted.events
        with self._begun(PARTITIONS, count, {"blue": events.BLUE, "green": events.GREEN}) as recorded:
            scored = recorded.score("blue")
            if "d" in groups:
                self._add("d", *scored)
            if not groups & set("fghm"):
                return
            recorded.score("green")
            if groups & set("fhm"):
                published = recorded.publish()
                if "f" in groups:
                    self._add("f", *published)
            file = str(recorded.pipeline.file)
            if "g" in groups:
                for key, drift in (("g1", False), ("g2", True)):
                    merged = self._stage.loop("merge", file=file, events=count, partitions=PARTITIONS, drift=drift)
                    self._add(key, *merged)
                self._add("g3", *recorded.compare())
            if "h" in groups:
                self._audited(recorded, file)
            if "m" in groups:
                self._replayed(file)

    def _audited(self, recorded: Recorded, file: str) -> None:
        """The audit reads every topic of the pipeline but the comparator's."""
        topics = recorded.pipeline.topics
        many = (
            topics.input,
            topics.output,
            topics.dead_letters,
            topics.predictions("blue"),
            topics.predictions("green"),
        )
        read = [*((topic, PARTITIONS) for topic in many), (topics.control, 1), (topics.cutovers, 1)]
        count = self._wanted.events
        self._add("h1", *self._stage.loop("read_all", bootstrap=self._stage.bootstrap, topics=read, events=count))
        self._add("h2", *self._stage.loop("audit", file=file, events=count))

    def _replayed(self, file: str) -> None:
        """Pinned beside the scorer; then one worker and two on what there is, as the growth rows."""
        count = self._wanted.events
        self._add("m", *self._stage.loop("replay", file=file, events=count, workers=1))
        self._stage.pin_broker(pinned=False)
        for workers in MEMBERS:
            window, _ = self._stage.loop("replay", pinned=False, file=file, events=count, workers=workers)
            # its workers are processes that nobody looks at
            self._say(f"m{workers}", {"events_per_s": window.events / (window.ended - window.began)})
        self._stage.pin_broker(pinned=True)

    @contextmanager
    def _begun(self, partitions: int, count: int, models: dict[Color, str]) -> Iterator[Recorded]:
        recorded = Recorded.begin(self._stage, next(self._names), partitions, count, models)
        yield recorded
        recorded.drop()

    def evidence(self) -> None:
        """(o)."""
        if "o" in self._wanted.groups:
            for _ in range(self._wanted.rounds):
                found, _usage = self._stage.said("evidence", events=self._wanted.events)
                self._say("o", found)

    # -- a pipeline under load

    def live(self) -> None:
        """(i), (j), (n), and the kills of (k)."""
        wanted, groups = self._wanted, self._wanted.groups
        if not groups & set("ijkn"):
            return
        self._stage.pin_broker(pinned=False)
        with live(self._stage, next(self._names)) as running:
            if "i" in groups:
                for _ in range(wanted.rounds):
                    for rate in wanted.rates:
                        self._say(f"i{rate}", running.latency(rate, wanted.latency_s, wanted.settle_s))
            if "n" in groups:
                for _ in range(max(PAIRS, wanted.rounds)):
                    self._say("n", self._beside_a_replay(running))
            running.generator.rate = BUSY
            if "j" in groups:
                self._say("j", running.commands(wanted.commands, wanted.settle_s))
            if "k" in groups:
                self._say("k2", failover.restart(running, wanted.kills))
                running.start("publisher", "--slot", "1")
                self._say("k3", failover.takeover(running, wanted.takeovers))
        self._stage.pin_broker(pinned=True)

    def _beside_a_replay(self, running: Live) -> Figures:
        """(n) Alone, then beside a replay of what came before, at the rate of what comes."""
        pipeline, wanted = running.pipeline, self._wanted
        alone = running.latency(BUSY, wanted.latency_s, wanted.settle_s)
        words = ["--model", events.GREEN, "--rate", str(BUSY), "-p", str(pipeline.file), "--dir", "replays"]
        with self._stage.command("replay", *words) as replay:
            beside = running.latency(BUSY, wanted.latency_s, wanted.settle_s)
            replay.alive()  # it had enough to do until now
        return {
            "alone_p50_ms": alone["p50_ms"],
            "p50_ms": beside["p50_ms"],
            "p99_ms": beside["p99_ms"],
            "p50_grown": beside["p50_ms"] / alone["p50_ms"],
        }

    def starts(self) -> None:
        """(k1)."""
        if "k" in self._wanted.groups:
            taken = [failover.demo_start(self._stage, f"demo{number}") for number in range(self._wanted.starts)]
            self._say("k1", failover.seconds(taken))

    # -- growth

    def growth(self) -> None:
        """(l)."""
        if "l" not in self._wanted.groups:
            return
        for partitions in self._wanted.growth:
            for _ in range(
                self._wanted.rounds
            ):  # with more partitions the broker compiles anew, a second of CPU a second
                self._grown(f"p{partitions}", partitions, 1, pinned=True)
        self._stage.pin_broker(pinned=False)
        for members in MEMBERS:
            self._grown(f"m{members}", PARTITIONS, members, pinned=False)
        self._stage.pin_broker(pinned=True)

    def _grown(self, name: str, partitions: int, members: int, *, pinned: bool) -> None:
        # half of the events where one process drains them; two must be joined before they are through
        count = self._wanted.events if members > 1 else self._wanted.events // 2
        with self._begun(partitions, count, {"blue": events.BLUE, "green": events.GREEN}) as recorded:
            self._add(f"l-scorer-{name}", *recorded.score("blue", members, pinned=pinned))
            recorded.score("green")
            self._add(f"l-publisher-{name}", *recorded.publish(members, pinned=pinned))

    # -- figures

    def _add(self, key: str, window: Window, usage: Usage) -> None:
        count = window.events
        self._say(
            key,
            {
                "events_per_s": count / (window.ended - window.began),
                "client_us": usage.cpu("client", window.began, window.ended) / count * 1e6,
                "broker_us": usage.cpu("broker", window.began, window.ended) / count * 1e6,
                "peak_mb": usage.peak("client") / 1e6,
            },
        )

    def _forgotten(self, key: str, window: Window, usage: Usage) -> None:
        """The warm-up's."""

    def _say(self, key: str, figures: Figures) -> None:
        self.runs[key].append(figures)
        words = ", ".join(f"{value:,.4g} {name}" for name, value in figures.items())
        self._told(f"  ({key}) {BY_KEY[key].what}: {words}")
