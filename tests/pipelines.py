"""A small pipeline on a real broker for one test: own topics, own processes, ended by their own pids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import urlopen

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from endings import tied
from linear_model import MODEL
from outcomes import Read, read_all
from waiting import until

from streambg import audit, topicplan
from streambg.config import Pipeline, load
from streambg.control import verbs
from streambg.control.verbs import Said
from streambg.errors import Hung
from streambg.kafka import profiles
from streambg.kafka.positions import read_settled
from streambg.models.policy import Policy
from streambg.models.registry import NewVersion, Registry
from streambg.records.source import COLORS

ROOT = Path(__file__).parent.parent

YAML = """
pipeline: {name}
kafka: {{bootstrap: "{bootstrap}"}}
redis: {redis}
input: {{topic: {name}-events, format: json, carry: {carry}}}
output: {{topic: {name}-answers}}
registry: models
model:
  features: {{f1: number, f2: number}}
  outputs: [p]
  decision: {{output: p, threshold: 0.5}}
publish: {publish}
"""


@dataclass
class Process:
    """A child of the test."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    port: int = 0
    environment: Mapping[str, str] | None = None

    def health(self) -> dict[str, Any]:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return dict(json.load(answer))
        except HTTPError as unwell:
            with unwell:
                return dict(json.load(unwell))

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(20)


class Running:
    """A pipeline with its topics; start processes, feed it, ask what came out."""

    def __init__(self, folder: Path, pipeline: Pipeline, partitions: int) -> None:
        self.folder = folder
        self.pipeline = pipeline
        self.partitions = partitions
        self.processes: list[Process] = []
        self._started = 0
        self.sent = 0
        self.first_id = 0  # of the events fed from now on; models misbehave from a number on
        self.ends = dict.fromkeys(range(partitions), 0)
        self._producer = self._new_producer()
        self.admin = AdminClient({**profiles.admin(pipeline), "log_level": 0})

    # -- processes

    def start(
        self, module: str, *options: str, file: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> Process:
        """`python -m consumers.<module>` with a log of its own, a member in slot 0 where no other is named.

        A module with a dot is meant as it stands. file: another pipeline file than this one's; environment: added to
        this process's.
        """
        name = "-".join([module, *(option.strip("-") for option in options)])
        slot = [] if "--slot" in options or module == "controller" else ["--slot", "0"]
        common = [*slot, "-p", str(file or self.pipeline.file), "--log", "json"]
        whole = module if "." in module else f"consumers.{module}"
        return self._run(name, tied(sys.executable, "-m", whole, *options, *common), environment)

    def _run(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None) -> Process:
        self._started += 1
        log = self.folder / f"{name}.{self._started}.log"
        path = os.pathsep.join([str(self.folder), str(ROOT), str(ROOT / "tests")])
        env = {**os.environ, "PYTHONPATH": path, **(environment or {})}
        with log.open("wb") as stream:
            popen = subprocess.Popen(command, cwd=self.folder, env=env, stderr=stream, stdout=stream)
        process = Process(name, popen, log, environment=environment)
        self.processes.append(process)
        return process

    def scorers(self) -> list[Process]:
        return [self.start("scorer", "--color", color) for color in COLORS]

    def with_port(self, process: Process) -> Process:
        """Once it has said where its health is."""

        def said() -> bool:
            for line in process.log.read_text(errors="replace").splitlines():
                if '"health"' in line:
                    process.port = int(json.loads(line)["health"].split(":")[2].split("/")[0])
            return process.port > 0

        until(said, 30, f"health of {process.name}")
        return process

    def in_force(self, process: Process, epoch: int) -> None:
        """Until the process has folded the control log to this epoch."""
        self.with_port(process)
        until(lambda: process.health()["epoch"] == epoch, 30, f"epoch {epoch} at {process.name}")

    def stop(self) -> None:
        for process in self.processes:
            process.popen.terminate()
        for process in self.processes:
            try:
                process.popen.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def last_words(self, lines: int = 15) -> str:
        """The end of each process's log."""
        logs = ((process.name, process.log.read_text(errors="replace").splitlines()) for process in self.processes)
        return "\n".join(f"--- {name}\n" + "\n".join(log[-lines:]) for name, log in logs)

    # -- models and commands

    def model(self, version: str, **params: Any) -> str:
        ref = f"m:{version}"
        contract = self.pipeline.model
        Registry(self.pipeline.registry).add(
            NewVersion(
                ref=ref,
                format="python",
                features=dict(contract.features),
                outputs=tuple(contract.outputs),
                created=datetime(2026, 1, 1, tzinfo=UTC),
                entry="test_models:Linear",
                artifact=json.dumps(params).encode(),
                artifact_name="params.json",
            )
        )
        return ref

    @contextmanager
    def control(self) -> Iterator[verbs.ControlClient]:
        with verbs.client(self.pipeline) as client:
            yield client

    def say(self, what: str, *args: Any, **kwargs: Any) -> Any:
        """One verb, accepted: `say("deploy", "blue", "m:1", start="earliest")`."""
        with self.control() as client:
            said = Said("test", kwargs.pop("reason", "a test"))
            match what:
                case "deploy":
                    sent = verbs.deploy(client, self.pipeline, args[0], args[1], said, **kwargs)
                case "shift":
                    sent = verbs.shift(client, self.pipeline, args[0], said, **kwargs)
                case "promote":
                    sent = verbs.promote(client, self.pipeline, said, **kwargs)
                case "retire":
                    sent = verbs.retire(client, args[0], said, **kwargs)
                case _:
                    sent = verbs.plain(client, what, said, **kwargs)  # type: ignore[arg-type] # one of the other verbs
        return sent.or_raise()

    # -- events

    def grow(self, partitions: int) -> None:
        """Events go to more partitions of the input, which must be there; a new producer knows them at once."""
        self.flush()
        self._producer = self._new_producer()
        topic = self.pipeline.topics.input
        until(lambda: len(self._producer.list_topics(topic, 5).topics[topic].partitions) >= partitions, 20, "them")
        self.ends |= dict.fromkeys(range(self.partitions, partitions), 0)
        self.partitions = partitions

    def _new_producer(self) -> Producer:
        """Idempotent: what a broker took before it died must not stand there twice, or `ends` would be wrong."""
        # silent: it may outlive its broker
        settings: dict[str, str | int | bool] = {
            "message.max.bytes": 8_000_000,
            "enable.idempotence": True,
            "log_level": 0,
        }
        return Producer({"bootstrap.servers": self.pipeline.kafka.bootstrap, **settings})

    def feed(self, count: int, *, flush: bool = True, partition: int | None = None) -> None:
        """Good events, keys k0..k39, spread over the partitions, or all to one."""
        for _ in range(count):
            number = self.sent
            value = json.dumps({"id": self.first_id + number, "f1": (number % 17) / 8 - 1, "f2": (number % 11) / 5 - 1})
            self.put(value.encode(), b"k%d" % (number % 40), partition)
        if flush:
            self._producer.flush(30)
        else:
            self._producer.poll(0)

    def put(self, value: bytes | None, key: bytes | None, partition: int | None = None) -> tuple[int, int]:
        """One event; its source position as (partition, offset), given that nobody else writes the input."""
        number = self.sent % self.partitions if partition is None else partition
        while True:
            try:
                self._producer.produce(self.pipeline.topics.input, value, key, number)
                break
            except BufferError:
                self._producer.poll(0.1)
        self.sent += 1
        offset = self.ends[number]
        self.ends[number] += 1
        return number, offset

    def flush(self) -> None:
        self._producer.flush(30)

    def settled(self) -> dict[int, int]:
        topics = [self.pipeline.topics.predictions(color) for color in COLORS]
        reader = profiles.reader(self.pipeline, "test")
        return read_settled(reader, self.pipeline.groups.publisher, topics, range(self.partitions))

    def start_hung_again(self) -> None:
        """What keeps processes up does this: a call into the client that never returned has ended one (Hung)."""
        for process in list(self.processes):
            if process.popen.poll() == Hung.exit_code:
                self.again(process)

    def again(self, process: Process) -> Process:
        """The same command once more, after it has ended."""
        self.processes.remove(process)
        return self._run(process.name, cast("list[str]", process.popen.args), process.environment)

    def drained(self, timeout: float = 60, *, hung_start_again: bool = False) -> None:
        """Until everything that was fed is settled."""

        def done() -> bool:
            if hung_start_again:
                self.start_hung_again()
            settled = self.settled()
            return all(settled.get(number, -1) >= end - 1 for number, end in self.ends.items())

        until(done, timeout, f"settled at {self.ends}; the logs are in {self.folder}")

    def read(self) -> Read:
        """All that a read_committed reader sees now."""
        return read_all(self.pipeline, range(self.partitions))

    def expect_exactly_once(self) -> Read:
        """Every event fed has one outcome, in source order in each partition, epochs never going back.

        Counted here by a plain reader, and judged by the audit as well.
        """
        read = self.read()
        counts = read.counts()
        assert [spot for spot, count in counts.items() if count > 1] == []
        owed = {(number, offset) for number, end in self.ends.items() for offset in range(end)}
        assert set(counts) == owed
        last: dict[int, tuple[int, int]] = {}
        for outcome in read.outcomes:
            source = outcome.source
            offset, epoch = last.get(source.partition, (-1, -1))
            assert source.offset > offset
            assert outcome.epoch >= epoch
            last[source.partition] = (source.offset, outcome.epoch)
        report = audit.run(self.pipeline)
        assert report.ok, report.to_json()
        return read


def _make_input(kafka: str, topic: str, partitions: int, config: Mapping[str, str]) -> None:
    """The user's topic, made by the user; ours follow its sizes (P13)."""
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.create_topics([NewTopic(topic, partitions, 1, config=dict(config))]).values():
        future.result(20)


@contextmanager
def pipeline(
    folder: Path,
    kafka: str,
    name: str,
    *,
    partitions: int = 3,
    redis: str = "redis://127.0.0.1:1/0",
    publish: Mapping[str, object] | None = None,
    input_config: Mapping[str, str] | None = None,
    versions: Sequence[str] = ("1", "2"),
    params: Mapping[str, Mapping[str, object]] | None = None,
    carry: Sequence[str] = ("id",),
    more: str = "",
) -> Iterator[Running]:
    """Topics and a registry with models m:1, m:2 (bias = version / 10); its processes end with the block.

    params: more parameters of a version's model. carry: event fields that predictions carry. more: sections added to
    the pipeline file.
    """
    (folder / "test_models.py").write_text(MODEL)
    if input_config:
        _make_input(kafka, f"{name}-events", partitions, input_config)
    settings = json.dumps(publish or {"slots": 2})
    text = YAML.format(name=name, bootstrap=kafka, redis=redis, publish=settings.replace('"', ""), carry=[*carry])
    (folder / "pipeline.yaml").write_text(text + more)
    config = load(folder / "pipeline.yaml", os.environ)
    Registry.create(config.registry, Policy(python_allow=["test_models"]))
    topicplan.ensure(config, partitions)
    running = Running(folder, config, partitions)
    sys.path.insert(0, str(folder))
    sys.modules.pop("test_models", None)
    try:
        for version in versions:
            running.model(version, bias=int(version) / 10, **(params or {}).get(version, {}))
        yield running
    except BaseException as error:
        error.add_note(running.last_words())  # the files may be gone when somebody reads of the failure
        raise
    finally:
        running.stop()
        sys.path.remove(str(folder))
