"""Where it is played: one broker without the fast-start flags, a folder of pipelines, and who runs on which CPU."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streambg import servers, topicplan
from streambg.bench import events
from streambg.bench.raw import Window
from streambg.bench.usage import Usage
from streambg.bench.workers import Worker, consumer_argv
from streambg.config import Pipeline, load
from streambg.control import verbs
from streambg.control.verbs import Said
from streambg.errors import ConfigError, StreambgError
from streambg.kafka import profiles
from streambg.kafka.positions import read_settled
from streambg.records.source import COLORS, Color
from streambg.running.places import environment
from streambg.servers.cache import Progress

SAID = Said("bench", "a measurement")
CREATE_S = 30.0
FLUSH_S = 60.0
# At a tenth of the slowest rate ever measured here, with room for a start: then it is not slow, it stands still.
SLOWEST_A_SECOND = 5_000
START_S = 60.0

# Members that are started together share the partitions from the first generation on. A kill is no initial rebalance.
OVERRIDES = {"group.initial.rebalance.delay.ms": "500"}

PIPELINE = """\
pipeline: {name}
kafka: {{bootstrap: "{bootstrap}"}}
redis: {redis}
input: {{topic: {input}, format: json}}
output: {{topic: {name}.output, timestamp: {timestamp}}}
registry: {registry}
model:
  features: {{amt: number, n24: number, dev: number}}
  outputs: [p]
  decision: {{output: p, threshold: 0.5}}
"""


def consumers_home() -> Path:
    """The folder in which `consumers/` stands. Raises ConfigError."""
    package = Path(__file__).parents[1]
    for candidate in (Path.cwd(), package.parent, package / "template"):
        if (candidate / "consumers" / "scorer.py").is_file():
            return candidate
    raise ConfigError("no folder consumers/ here", way_out="run it in a checkout of streambg")


class Stage:
    """Use it as a context manager: broker, Redis and every process end with it."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self._progress = progress
        self._stack = ExitStack()
        cpus = sorted(os.sched_getaffinity(0))
        # one CPU for what is measured, the others for the broker; where there is but one, both share it
        self.client_cpus = frozenset(cpus[:1])
        self.broker_cpus = frozenset(cpus[1:] or cpus)
        self._workers = 0

    def __enter__(self) -> Stage:
        try:
            started = servers.start("local", fast_start=False, overrides=OVERRIDES, progress=self._progress)
            self._servers = self._stack.enter_context(started)
            home = consumers_home()
            self.environment = {**environment(self._servers), "PYTHONPATH": str(home)}
            self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
            events.register(self.folder / "models")
            self.pin_broker(pinned=True)
            measured, broker = (", ".join(map(str, sorted(cpus))) for cpus in (self.client_cpus, self.broker_cpus))
            self._progress(f"broker at {self.bootstrap} on CPU {broker}; what is measured on CPU {measured}")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def bootstrap(self) -> str:
        return self._servers.bootstrap or ""

    @property
    def broker_pid(self) -> int:
        assert self._servers.kafka is not None
        assert self._servers.kafka.pid is not None
        return self._servers.kafka.pid

    @property
    def broker_words(self) -> str:
        """What broker it is."""
        assert self._servers.kafka is not None
        return self._servers.kafka.how

    def pin_broker(self, *, pinned: bool) -> None:
        """All of its threads."""
        cpus = self.broker_cpus if pinned else self.client_cpus | self.broker_cpus
        for thread in Path(f"/proc/{self.broker_pid}/task").iterdir():
            try:
                os.sched_setaffinity(int(thread.name), cpus)
            except ProcessLookupError:
                continue  # it ended meanwhile

    # -- topics

    def filled(self, partitions: int, count: int) -> str:
        """The input topic with `count` events, `partitions` partitions; made at the first call."""
        name = f"bench.input.{partitions}.{count}"
        if name not in self.admin.list_topics(timeout=CREATE_S).topics:
            self.create(name, partitions)
            self._fill(name, partitions, count)
        return name

    def create(self, name: str, partitions: int) -> None:
        """A plain topic."""
        self.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(CREATE_S)

    def delete(self, *names: str) -> None:
        """Topics that are no longer needed."""
        for future in self.admin.delete_topics(list(names)).values():
            future.result(CREATE_S)

    def _fill(self, topic: str, partitions: int, count: int) -> None:
        settings = {"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "linger.ms": 20, "log_level": 0}
        producer = Producer(settings)
        for number in range(count):
            while True:
                try:
                    producer.produce(topic, events.event(number), events.key(number), number % partitions)
                    break
                except BufferError:
                    producer.poll(0.1)
        if producer.flush(FLUSH_S):
            raise StreambgError(
                f"{topic} was not filled within {FLUSH_S:g} s", way_out="measure on a machine with less other work"
            )
        producer.close()

    # -- pipelines

    def pipeline(self, name: str, topic: str, partitions: int, *, timestamp: str = "now") -> Pipeline:
        """A pipeline on an input topic, with its topics."""
        file = self.folder / f"{name}.yaml"
        file.write_text(
            PIPELINE.format(
                name=name,
                bootstrap=self.bootstrap,
                redis=self._servers.redis_url,
                input=topic,
                timestamp=timestamp,
                registry=self.folder / "models",
            )
        )
        pipeline = load(file, os.environ)
        topicplan.ensure(pipeline, partitions)
        return pipeline

    def drop(self, pipeline: Pipeline) -> None:
        """Its topics but the input."""
        self.delete(*pipeline.topics.ours, pipeline.topics.output)

    def deploy(self, pipeline: Pipeline, models: Mapping[Color, str], weight: int = 0) -> None:
        """The first goes live from the beginning of the input; the second gets `weight` hundredths of a percent."""
        with verbs.client(pipeline) as control:
            for number, (color, ref) in enumerate(models.items()):
                start: verbs.Start | None = "earliest" if number == 0 else None
                verbs.deploy(control, pipeline, color, ref, SAID, start=start).or_raise()
            if weight:
                verbs.shift(control, pipeline, weight, SAID, force=True).or_raise()

    def settled(self, pipeline: Pipeline, partitions: int) -> int:
        """Events settled, over all partitions (offsets begin at 0)."""
        topics = [pipeline.topics.predictions(color) for color in COLORS]
        found = read_settled(profiles.reader(pipeline, "bench"), pipeline.groups.publisher, topics, range(partitions))
        return sum(offset + 1 for offset in found.values())

    # -- processes

    def worker(self, pipeline: Pipeline, module: str, *options: str, pinned: bool = True) -> Worker:
        """A process of the pipeline; the caller ends it."""
        argv, port = consumer_argv(module, options, pipeline.file)
        return Worker(argv, self.folder, self.environment, self._log(module), self._cpus(pinned), port)

    def command(self, *words: str) -> Worker:
        """A verb of the command line, anywhere; the caller ends it."""
        argv = [sys.executable, "-m", "streambg", *words]
        return Worker(argv, self.folder, self.environment, self._log(words[0]), None)

    def loop(self, name: str, *, pinned: bool = True, **arguments: Any) -> tuple[Window, Usage]:
        """One loop of child.py from start to end."""
        said, usage = self.said(name, pinned=pinned, **arguments)
        return Window(**said), usage

    def said(self, name: str, *, pinned: bool = True, **arguments: Any) -> tuple[dict[str, Any], Usage]:
        """What a function of child.py said at its end."""
        argv = [sys.executable, "-m", "streambg.bench.child", name, json.dumps(arguments)]
        with (
            Worker(argv, self.folder, self.environment, self._log(name), self._cpus(pinned)) as worker,
            Usage({"client": [worker.pid], "broker": [self.broker_pid]}) as usage,
        ):
            output = worker.output()
        return dict(json.loads(output.splitlines()[-1])), usage

    def _log(self, name: str) -> Path:
        self._workers += 1
        return self.folder / f"{self._workers:03d}.{name}.log"

    def _cpus(self, pinned: bool) -> frozenset[int] | None:
        return self.client_cpus if pinned else None


def await_all(done: Callable[[], int], count: int, workers: Sequence[Worker], every_s: float) -> None:
    """Ask `done()` every `every_s` seconds until it says `count`. Raises StreambgError where that takes too long."""
    deadline = time.monotonic() + START_S + count / SLOWEST_A_SECOND
    while (found := done()) < count:
        for worker in workers:
            worker.alive()
        if time.monotonic() > deadline:
            raise StreambgError(
                f"{found} of {count} events after {START_S + count / SLOWEST_A_SECOND:.0f} s",
                way_out="\n".join(worker.tail() for worker in workers),
            )
        time.sleep(every_s)
