"""D4 and X4: topics deleted and made again, or cut, under a running pipeline. Whoever depends on one halts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic
from pipelines import Process, Running, pipeline
from raw_topics import bucket
from waiting import until

from chaos.load import Feeder
from chaos.reader import Reader
from chaos.scenario import trial
from chaos.table import Result, percentile
from streambg.control import verbs
from streambg.errors import Gap

HALT_S = 30.0
PARTITIONS = 3
RATE = 500.0
# Enough for a few dozen transactions before the fault, in every partition.
BEGUN = 1_500
BOTH = ("blue", "green")
# Of `flowing`: where in the control log green's deployment and its weight stand.
GREEN, SHIFTED, WEIGHT = 1, 2, 3_300


@dataclass
class Flow:
    """A pipeline under load, with a reader beside it. `processes`: blue, green, publisher; a row may add some."""

    run: Running
    processes: dict[str, Process]
    reader: Reader
    feeder: Feeder
    notes: list[str] = field(default_factory=list)
    wrong: int = 0
    kept: bool = True  # does the output still hold all that was published?
    given_up: set[tuple[int, int]] = field(default_factory=set)  # source positions that no outcome is owed for

    def again(self, name: str) -> None:
        """It is started again, as its supervisor would."""
        options = ("scorer", "--color", name) if name in BOTH else ("publisher",)
        self.processes[name] = self.run.start(*options)

    def halted(self, *names: str) -> float:
        """Seconds until all of these have ended, each with the code of a gap."""
        began = time.monotonic()
        for name in names:
            until(lambda name=name: self._code(name) is not None, HALT_S + 15, f"the end of {name}")
        self.notes += [f"{name} ended with {self._code(name)}" for name in names if self._code(name) != Gap.exit_code]
        self.wrong += sum(self._code(name) != Gap.exit_code for name in names)
        return time.monotonic() - began

    def _code(self, name: str) -> int | None:
        return self.processes[name].popen.poll()

    def remake(self, topic: str, partitions: int) -> None:
        """Deleted and made again, with the broker's own settings but for the count."""
        self.run.admin.delete_topics([topic])[topic].result(20)
        until(lambda: self._made(topic, partitions), 20, f"{topic} is there again")

    def _made(self, topic: str, partitions: int) -> bool:
        try:
            self.run.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(20)
        except KafkaException:
            return False  # the old one is still being deleted
        return True

    def lost(self) -> int:
        """Settled source offsets without a visible outcome: every event here is a good one."""
        if not self.kept:
            return 0
        seen = self.reader.seen.counts
        owed = {(number, at) for number, end in self.run.settled().items() for at in range(end + 1)} - self.given_up
        until(lambda: all(spot in seen for spot in owed) or self._silent(), 20, "the reader has seen all it will")
        return sum(spot not in seen for spot in owed)

    def _silent(self) -> bool:
        arrivals = self.reader.seen.arrivals
        return not arrivals or time.monotonic() - arrivals[-1][0] > 5


@contextmanager
def flowing(bootstrap: str, name: str, folder: Path) -> Iterator[Flow]:
    """Blue live, green with a third of the keys, events at a rate."""
    folder.mkdir(parents=True, exist_ok=True)
    with pipeline(folder, bootstrap, name, partitions=PARTITIONS) as run, ExitStack() as open_:
        run.say("deploy", "blue", "m:1", start="earliest")
        processes = dict(zip(BOTH, run.scorers(), strict=True)) | {"publisher": run.start("publisher")}
        run.say("deploy", "green", "m:2")
        run.say("shift", WEIGHT, force=True)
        reader = Reader(run)
        open_.callback(reader.stop)
        feeder = Feeder(run, RATE, reader.seen.reached)
        open_.callback(feeder.stop)
        until(lambda: reader.seen.total >= BEGUN, 60, "outcomes before the fault")
        yield Flow(run, processes, reader, feeder)


@dataclass(frozen=True, slots=True)
class Halt:
    """A row whose faults halt processes."""

    name: str
    fault: str
    figure: str = f"halt <= {HALT_S:g} s"

    def run(self, bootstrap: str, count: int, folder: Path, once: Callable[[Flow], float]) -> Result:
        """`once(flow)` injects the fault and says how long it took until everybody had halted."""
        took, events, lost, doubled, backwards, wrong, notes = list[float](), 0, 0, 0, 0, 0, list[str]()
        for number in range(count):
            name = f"chaos-{self.name.lower()}-{number}"
            with flowing(bootstrap, name, folder / str(number)) as flow:
                took.append(once(flow))
                seen = flow.reader.seen
                events, lost = events + seen.total, lost + flow.lost()
                doubled += sum(seen - 1 for seen in seen.counts.values())
                backwards, wrong = backwards + seen.backwards, wrong + flow.wrong + seen.epochs_back
                notes += flow.notes
        notes.append(f"halted after {max(took):.1f} s")
        met = max(took) <= HALT_S
        return Result(
            self.name,
            self.fault,
            count,
            events,
            lost,
            doubled,
            backwards,
            wrong,
            0.0,
            percentile(took, 0.95),
            self.figure,
            met,
            "; ".join(dict.fromkeys(notes)),
        )


INPUT = Halt("D4", "input deleted and made again, with more events than before")


@trial(INPUT.name, INPUT.fault, counts=(1, 1, 5))
def input_made_again(bootstrap: str, count: int, folder: Path) -> Result:
    """Every offset that anybody wants next stands in the new topic, so nothing but the topic's id tells of it."""

    def once(flow: Flow) -> float:
        flow.feeder.stop()
        run, before = flow.run, dict(flow.run.ends)
        run.drained()
        at = time.monotonic()
        flow.remake(run.pipeline.topics.input, PARTITIONS)
        producer = Producer({"bootstrap.servers": bootstrap})
        for number, end in before.items():
            for _ in range(end + BEGUN):
                producer.produce(run.pipeline.topics.input, b'{"id": 1, "f1": 0.5, "f2": 0.5}', b"new", number)
        producer.flush(30)
        flow.halted(*BOTH, "publisher")
        took = time.monotonic() - at
        beyond = sum(offset >= before[number] for number, offset in flow.reader.seen.counts)
        flow.notes.append(f"{beyond} events of the new topic were answered before that")
        return took

    return INPUT.run(bootstrap, count, folder, once)


CUT = Halt("X4", "control log truncated", f"halt <= {HALT_S:g} s, 0 records with a wrong epoch")


@trial(CUT.name, CUT.fault, counts=(1, 1, 5))
def control_cut(bootstrap: str, count: int, folder: Path) -> Result:
    def once(flow: Flow) -> float:
        accepted = _accepted(flow.run)
        at = time.monotonic()
        cut = TopicPartition(flow.run.pipeline.topics.control, 0, 2)
        flow.run.admin.delete_records([cut])[cut].result(20)
        flow.halted(*BOTH, "publisher")
        flow.wrong += _wrong_epochs(flow, accepted) + _wrong_routes(flow)
        return time.monotonic() - at

    return CUT.run(bootstrap, count, folder, once)


AGAIN = Halt("X4b", "control log deleted and made again, longer than before", CUT.figure)


@trial(AGAIN.name, AGAIN.fault, counts=(1, 1, 5))
def control_made_again(bootstrap: str, count: int, folder: Path) -> Result:
    """Somebody's own commands stand in it; followed, they would move the traffic."""

    def once(flow: Flow) -> float:
        run = flow.run
        accepted, at = _accepted(run), time.monotonic()
        flow.remake(run.pipeline.topics.control, 1)
        run.say("deploy", "blue", "m:1", start="latest")
        run.say("deploy", "green", "m:2")
        for number in range(len(accepted)):
            run.say("shift", 1_000 * (number + 1), force=True)
        flow.halted(*BOTH, "publisher")
        flow.wrong += _wrong_epochs(flow, accepted) + _wrong_routes(flow)
        return time.monotonic() - at

    return AGAIN.run(bootstrap, count, folder, once)


def _accepted(run: Running) -> set[int]:
    """Epochs of the control log as it stands."""
    return {entry.offset for entry in verbs.entries(run.pipeline) if entry.accepted}


def _wrong_epochs(flow: Flow, accepted: set[int]) -> int:
    """Outcomes that name a command nobody had given before the fault."""
    return sum(outcome.epoch not in accepted for outcome in flow.run.read().outcomes)


def _wrong_routes(flow: Flow) -> int:
    """Outcomes by another weight than the one that their epoch had before the fault, computed without streambg."""
    read, weights = flow.run.read(), {SHIFTED: WEIGHT}
    outcomes = zip(read.outcomes, read.keys, strict=True)
    return sum(
        outcome.why == "route"
        and (outcome.color == "green") != (bucket(GREEN, key or b"") < weights.get(outcome.epoch, 0))
        for outcome, key in outcomes
    )


OUTPUT = Halt("D4b", "output deleted and made again", f"halt <= {HALT_S:g} s, then no gap behind it")


@trial(OUTPUT.name, OUTPUT.fault, counts=(1, 1, 5))
def output_made_again(bootstrap: str, count: int, folder: Path) -> Result:
    """Started again, it goes on where it stopped: the new topic has every event from some offset on, once each."""

    def once(flow: Flow) -> float:
        run, at = flow.run, time.monotonic()
        flow.kept = False
        flow.remake(run.pipeline.topics.output, PARTITIONS)
        flow.halted("publisher")
        took, settled = time.monotonic() - at, run.settled()
        flow.again("publisher")
        flow.feeder.stop()
        run.feed(300)
        run.drained()
        counts = run.read().counts()
        for number, end in run.ends.items():
            there = sorted(offset for partition, offset in counts if partition == number)
            whole = bool(there) and there[0] <= settled[number] + 1 and there == list(range(there[0], end))
            flow.wrong += not whole
        flow.wrong += sum(seen - 1 for seen in counts.values())
        return took

    return OUTPUT.run(bootstrap, count, folder, once)


PREDICTIONS = Halt("D4c", "the live color's predictions deleted and made again", f"halt <= {HALT_S:g} s, then 0/0")


@trial(PREDICTIONS.name, PREDICTIONS.fault, counts=(1, 1, 5))
def predictions_made_again(bootstrap: str, count: int, folder: Path) -> Result:
    """A person has them given again (P29), and nothing is lost or doubled; who compares halts, too."""

    def once(flow: Flow) -> float:
        run = flow.run
        comparator = flow.processes["comparator"] = run.with_port(run.start("comparator"))
        until(lambda: len(comparator.health()["partitions"]) == PARTITIONS, 60, "evidence of every partition")
        at = time.monotonic()
        flow.remake(run.pipeline.topics.predictions("blue"), PARTITIONS)
        flow.halted("blue", "publisher", "comparator")
        took = time.monotonic() - at
        flow.feeder.stop()
        run.say("deploy", "blue", "m:1", rescore=True)
        flow.again("blue")
        flow.again("publisher")
        run.feed(300)
        run.drained()
        return took

    return PREDICTIONS.run(bootstrap, count, folder, once)
