"""The rows for streambg: the real scorer, publisher and comparator, on the same bench."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.peers import event, measure, model
from benchmarks.peers.bench import RATE, Bench
from benchmarks.peers.contest import HOP_INPUT, stamps
from benchmarks.peers.load import Load, Watch
from benchmarks.peers.peer import Guarantee, Pace, Row
from benchmarks.peers.team import Program, Team
from benchmarks.peers.topics import numbers
from streambg import __version__, audit, topicplan
from streambg.config import Pipeline, load
from streambg.control import verbs
from streambg.control.verbs import Said
from streambg.errors import StreambgError
from streambg.models.policy import Policy
from streambg.models.registry import NewVersion, Registry
from streambg.records.batch import decode
from streambg.records.source import COLORS, Color
from streambg.servers.ports import free_port

ROOT = Path(__file__).parents[2]
NAME, TITLE = "streambg", "streambg"
SAID = Said("bench-peers", "measuring")
SCALES = {"blue": "1.0", "green": "0.99"}
# Speeds as in peer.Pace; what the publisher and the comparator read is written by the scorers beforehand.
PACE = Pace(warm=200_000, hop=300_000, join=0)
PREDICTIONS = 3_000_000
SCORED_S = 240.0
LOOK_S = 0.2

YAML = """\
pipeline: {name}
kafka: {{bootstrap: "{bootstrap}"}}
redis: {redis}
input: {{topic: {input}, format: json}}
output: {{topic: {name}-output}}
registry: models
model:
  features: {{amount: number, n24: number, device: number}}
  outputs: [p]
  decision: {{output: p, threshold: 0.5}}
publish:
  live_failed: candidate
"""


def version() -> str:
    return __version__


@dataclass(frozen=True, slots=True)
class Running:
    """A pipeline with its processes' team and their metrics ports."""

    pipeline: Pipeline
    team: Team
    ports: dict[str, int]

    def gauge(self, process: str, pattern: str) -> list[float]:
        """The values of all series that match; none while the process does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[process]}/metrics", timeout=2) as page:
                text = page.read().decode()
        except OSError:
            return []
        return [float(value) for value in re.findall(rf"^{pattern}\s(\S+)$", text, re.MULTILINE)]

    def scored(self, color: Color) -> int:
        """Events that the color has answered."""
        found = self.gauge(f"scorer-{color}", rf'streambg_scored_events_total{{color="{color}"}}')
        return int(sum(found))

    def compared(self) -> int:
        """Pairs: the source offsets that both colors' answers were compared up to."""
        return int(sum(offset + 1 for offset in self.gauge("comparator", r"streambg_evidence_compared\{[^}]*\}")))


def batch_stamps(value: bytes) -> Iterable[int]:
    """Of the answers in a prediction batch."""
    return [event.decode_answer(answer).ts for answer in decode(value).values]


class Ours:
    """streambg on one bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._scored: Path | None = None

    def pieces(self) -> list[tuple[Guarantee, Row]]:
        return [
            ("at-least-once", "hop"),
            ("at-least-once", "latency"),
            ("exactly-once", "hop"),
            ("exactly-once", "latency"),
            ("exactly-once", "join"),
            ("exactly-once", "publish"),
            ("exactly-once", "crash"),
        ]

    def measure(self, guarantee: Guarantee, row: Row) -> dict[str, Any]:
        """One row's figures. Raises StreambgError where it cannot be had."""
        whole_way = guarantee == "exactly-once"
        match row:
            case "hop":
                return self._hop(whole_way)
            case "latency":
                return self._latency(whole_way)
            case "join":
                return self._join()
            case "publish":
                return self._publish()
            case "crash":
                return self._crash()

    # -- rows ----------------------------------------------------------------------------------------------------

    def _hop(self, whole_way: bool) -> dict[str, Any]:
        sizes, topics = self.bench.sizes, self.bench.topics
        total = sizes.events(PACE.warm, PACE.hop)
        topics.filled(HOP_INPUT, total)
        pipeline = self._pipeline(self.bench.name("hop"), HOP_INPUT)
        self._deploy(pipeline, ["blue"])
        with self._running(pipeline, ["scorer-blue", *(["publisher"] if whole_way else [])]) as running:
            progress = partial(topics.count, pipeline.topics.output) if whole_way else partial(running.scored, "blue")
            warm = int(PACE.warm * sizes.part)
            found = measure.speed(running.team, progress, warm, total, sizes.seconds, self.bench.broker_pid)
        self._forget(pipeline)
        return asdict(found)

    def _latency(self, whole_way: bool) -> dict[str, Any]:
        sizes, topics, bootstrap = self.bench.sizes, self.bench.topics, self.bench.bootstrap
        warm = int(PACE.warm * sizes.part)
        source = topics.filled(self.bench.name("latency-input"), warm)
        pipeline = self._pipeline(self.bench.name("latency"), source)
        self._deploy(pipeline, ["blue"])
        load = Load(bootstrap, source, RATE, warm)
        if whole_way:
            watch = Watch(topics, pipeline.topics.output, stamps)
        else:
            watch = Watch(topics, pipeline.topics.predictions("blue"), batch_stamps)
        with self._running(pipeline, ["scorer-blue", *(["publisher"] if whole_way else [])]) as running:
            progress = partial(topics.count, pipeline.topics.output) if whole_way else partial(running.scored, "blue")
            times = (sizes.drop_s, sizes.latency_s)
            found = measure.latency(running.team, load, watch, progress, warm, times)
        self._forget(pipeline)
        topics.delete(source)
        return asdict(found)

    def _publish(self) -> dict[str, Any]:
        pipeline, total = self._both_scored()
        output, sizes = pipeline.topics.output, self.bench.sizes
        with self._running(pipeline, ["publisher"]) as running:
            found = measure.speed(
                running.team,
                partial(self.bench.topics.count, output),
                int(PACE.warm * sizes.part),
                total,
                sizes.seconds,
                self.bench.broker_pid,
            )
        return asdict(found)

    def _join(self) -> dict[str, Any]:
        pipeline, total = self._both_scored()
        with self._running(pipeline, ["comparator"]) as running:
            found = measure.speed(
                running.team, running.compared, 1, total, self.bench.sizes.seconds, self.bench.broker_pid
            )
        return asdict(found)

    def _crash(self) -> dict[str, Any]:
        topics, bootstrap = self.bench.topics, self.bench.bootstrap
        source = topics.filled(self.bench.name("crash-input"), 0)
        pipeline = self._pipeline(self.bench.name("crash"), source)
        output = pipeline.topics.output
        self._deploy(pipeline, COLORS, weight=5_000)
        watch = Watch(topics, output, stamps)
        with self._running(pipeline, ["scorer-blue", "scorer-green", "publisher"]) as running, watch:
            load = Load(bootstrap, source, PACE.crash, 0)
            found = measure.crash(
                running.team,
                load,
                lambda: watch.count,
                lambda: list(numbers(topics.values(output))),
                self.bench.sizes.kills,
            )
        report = audit.run(pipeline)
        verdict = "its own audit: ok" if report.ok else "its own audit: WRONG"
        self._forget(pipeline)
        topics.delete(source)
        return {**asdict(found), "note": verdict}

    # -- the pipeline --------------------------------------------------------------------------------------------

    def _pipeline(self, name: str, source: str) -> Pipeline:
        """Its file, its registry with one model a color, its topics."""
        folder = self.bench.folder(name)
        text = YAML.format(name=name, bootstrap=self.bench.bootstrap, redis=self.bench.redis, input=source)
        (folder / "pipeline.yaml").write_text(text, encoding="utf-8")
        pipeline = load(folder / "pipeline.yaml", os.environ)
        registry = Registry.create(pipeline.registry, Policy(python_allow=[model.__name__]))
        for color in COLORS:
            registry.add(
                NewVersion(
                    ref=f"{color}:1",
                    format="python",
                    features=dict.fromkeys(model.FEATURES, "number"),
                    outputs=("p",),
                    created=datetime.now(UTC),
                    entry=f"{model.__name__}:Logistic",
                    artifact=SCALES[color].encode(),
                    artifact_name="scale.txt",
                )
            )
        topicplan.ensure(pipeline, event.PARTITIONS)
        return pipeline

    def _deploy(self, pipeline: Pipeline, colors: Sequence[Color], weight: int = 0) -> None:
        with verbs.client(pipeline) as control:
            for number, color in enumerate(colors):
                start: verbs.Start | None = "earliest" if number == 0 else None
                verbs.deploy(control, pipeline, color, f"{color}:1", SAID, start=start).or_raise()
            if weight:
                verbs.shift(control, pipeline, weight, SAID, force=True).or_raise()

    @contextmanager
    def _running(self, pipeline: Pipeline, processes: Sequence[str]) -> Iterator[Running]:
        ports = {name: free_port() for name in processes}
        programs = [_program(name, pipeline.file, port) for name, port in ports.items()]
        with Team(pipeline.file.parent, programs) as team:
            yield Running(pipeline, team, ports)
            team.stop()

    def _both_scored(self) -> tuple[Pipeline, int]:
        """A pipeline whose scorers have answered everything in both colors, green at 10 %; made once."""
        total = int(PREDICTIONS * self.bench.sizes.part)
        if self._scored is None:
            self.bench.topics.filled(HOP_INPUT, total)
            end = self.bench.topics.count(HOP_INPUT)
            pipeline = self._pipeline(self.bench.name("scored"), HOP_INPUT)
            self._deploy(pipeline, COLORS, weight=1_000)
            with self._running(pipeline, [f"scorer-{color}" for color in COLORS]) as running:
                running.team.start()
                _wait(lambda: all(running.scored(color) >= end for color in COLORS), running.team)
            self._scored = pipeline.file
        return load(self._scored, os.environ), self.bench.topics.count(HOP_INPUT)

    def _forget(self, pipeline: Pipeline) -> None:
        topics = pipeline.topics
        self.bench.topics.delete(topics.output, *(topics.predictions(color) for color in COLORS))


def _program(name: str, file: Path, port: int) -> Program:
    module, _, color = name.partition("-")
    options = ["--color", color] if color else []
    common = ["--slot", "0", "-p", str(file), "--log", "json", "--metrics-port", str(port)]
    argv = [sys.executable, "-m", f"consumers.{module}", *options, *common]
    return Program(name, argv, {"PYTHONPATH": str(ROOT)})


def _wait(condition: Callable[[], bool], team: Team) -> None:
    deadline = time.monotonic() + SCORED_S
    while not condition():
        team.check()
        if time.monotonic() > deadline:
            raise StreambgError(f"the scorers did not answer everything within {SCORED_S:g} s")
        time.sleep(LOOK_S)
