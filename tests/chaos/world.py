"""A pipeline under load while faults happen to it: events, commands every so often, a concurrent reader."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from outcomes import Read
from pipelines import Running, pipeline
from waiting import until

from chaos.cluster import Cluster
from chaos.disk import Disk
from chaos.judging import MOVES_LIVE, not_judged, spoken, wrongly_accepted
from chaos.load import Feeder, Load
from chaos.members import Members
from chaos.proxy import Proxy
from chaos.reader import Reader
from chaos.table import Result, percentile
from streambg import audit
from streambg.audit.report import Report
from streambg.audit.tally import Kind
from streambg.control import verbs
from streambg.control.sender import ControlClient, Sent
from streambg.control.state import Phase
from streambg.control.verbs import Said
from streambg.errors import Fenced, StreambgError
from streambg.process.crash import EXIT_CODE, SESSION_END, VARIABLE
from streambg.records.source import COLORS
from streambg.servers import Launch, LocalKafka

# After the fault has healed, everything must be settled within this time; the slowest recovery allowed is B3's.
DRAIN_S = 180.0
# From a rate to full load: what waited at first is settled, and batches have grown.
WARM_UP_S = 3.0
# Of the candidate, before it is promoted: every second command moves the live color.
WEIGHT = 3_300
# Events in each partition by which it shows that the last command is in force there.
LAST_EVENTS = 10
# Exit codes that are not worth a word: an armed end, and somebody else has the place.
MEANT = (EXIT_CODE, Fenced.exit_code)
# Why an outcome is not the chosen color's (P15).
INSTEAD = ("absent", "error", "late")


class World:
    """One run. A scenario injects its fault between `start` and `finish`."""

    def __init__(self, run: Running, load: Load, seed: int, environments: dict[str, dict[str, str]]) -> None:
        self.run = run
        self.load = load
        self.random = random.Random(seed)
        self.members = Members(run)
        self.recoveries: list[float] = []
        self.injections = 0
        self.notes: list[str] = []
        self.commands: Counter[str] = Counter()  # what became of them
        self.letters = 0  # so many dead letters are right
        self.commanding = threading.Lock()  # held by whoever says commands: the world, or a scenario in its place
        self.checks: list[Callable[[], bool]] = []  # asked once everything is settled, while all processes live
        self._environments = environments
        self._over = threading.Event()
        self._commander = threading.Thread(target=self._command, name="commander", daemon=True)
        self._open = ExitStack()
        self.began = self.ended = 0.0
        self._first_epoch = -1
        self.broker: LocalKafka
        self.launch: Launch
        self.proxy: Proxy
        self.cluster: Cluster
        self.disk: Disk

    # -- the load ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Both colors scoring, the first outcome seen, then events and commands in threads of their own."""
        run = self.run
        run.say("deploy", "blue", "m:1", start="earliest")
        for color in COLORS:
            self.members.start(color, "scorer", "--color", color, environment=self._environments.get("scorer"))
        for slot in range(self.load.publishers):
            self.publisher(slot)
        run.say("deploy", "green", "m:2")
        self.reader = Reader(run)
        self._open.callback(self.reader.stop)
        run.feed(self.load.partitions * 10)
        run.drained()
        self._first_epoch, _ = spoken(run)
        self.began = time.monotonic()
        self.feeder = Feeder(run, self.load.rate, self.reader.seen.reached)
        self._open.callback(self.feeder.stop)
        self._commander.start()
        self._open.callback(self._commander.join, 60)

    def publisher(self, slot: int) -> str:
        name = f"publisher.{slot}"
        environment = {
            VARIABLE: f"{SESSION_END}:{self.load.session_ends}",
            **self._environments.get("publisher", {}),
        }
        self.members.start(name, "publisher", "--slot", str(slot), environment=environment)
        return name

    def _command(self) -> None:
        """Cutovers all the time: a weight, promote, back; whatever is refused or unknown meanwhile is said again."""
        while not self._over.wait(self.load.cutover_s):
            with self.commanding:
                self.say_something()

    def say_something(self) -> None:
        """One command that fits the state in force."""
        self.attempt(self._next_command)

    def attempt(self, say: Callable[[ControlClient], Sent | None]) -> None:
        """A command is accepted, refused, or unknown: while faults happen all three are right."""
        try:
            with verbs.client(self.run.pipeline) as control:
                sent = say(control)
            if sent is not None:
                self.commands["accepted" if sent.accepted else "refused"] += 1
        except (StreambgError, KafkaException) as error:
            self.commands[type(error).__name__] += 1

    def _next_command(self, control: ControlClient) -> Sent | None:
        config, state = self.run.pipeline, control.state()
        said = Said("chaos", "a cutover")
        if state.phase is Phase.WARM:
            return verbs.plain(control, "rollback", said)
        if state.phase is not Phase.CANDIDATE:
            return None
        if state.weight == 0:
            return verbs.shift(control, config, WEIGHT, said, force=True)
        return verbs.promote(control, config, said, force=True)

    # -- faults --------------------------------------------------------------------------------------------------

    def restart_broker(self) -> None:
        self.broker.start(self.launch)

    def grow(self, partitions: int) -> None:
        """The load goes to more partitions from here on, and the reader follows them."""
        self.feeder.grow(partitions)
        self.reader.grow(partitions)

    def pause(self, least: float, most: float) -> None:
        """A random time of load between two injections."""
        self._over.wait(self.random.uniform(least, most))

    def recovered(self, since: float, within: float = 60.0) -> float:
        """Seconds from `since` until every partition shows an outcome of an event that was sent after now, counted as a
        recovery: what was already on its way when the fault came is no sign of life.
        """
        goals = dict(self.run.ends)
        reached = self.reader.seen.reached
        until(
            lambda: all(reached.get(number, -1) >= goal for number, goal in goals.items()),
            within,
            f"outcomes of new events in every partition, {goals}",
        )
        took = time.monotonic() - since
        self.recoveries.append(took)
        return took

    def delays(self, since: float, before: float) -> list[float]:
        """Seconds from feeding to the reader, of the events that were fed between two moments and have come.

        Only where all events were fed round the partitions and none was added.
        """
        found, moments = list[float](), self.reader.seen.moments
        for (at, first), (_, end) in itertools.pairwise(self.feeder.fed):
            if since <= at < before:
                spots = (divmod(number, self.run.partitions) for number in range(first, end))
                found += [moments[number, offset] - at for offset, number in spots if (number, offset) in moments]
        return found

    def steady(self, seconds: float) -> float:
        """Outcomes a second under as much load as the pipeline takes, from here on to the end of the run."""
        self.feeder.press()
        wait_s(time.monotonic(), WARM_UP_S)
        return self.throughput(seconds)

    def throughput(self, seconds: float) -> float:
        """Outcomes a second that become visible from here on."""
        began, before = time.monotonic(), self.reader.seen.total
        wait_s(began, seconds)
        return (self.reader.seen.total - before) / (time.monotonic() - began)

    def compared(self, meanwhile: float, steady: float) -> float:
        """The share of the steady throughput that is left; told as a note."""
        assert steady > 0, "no outcomes before the fault"
        self.notes.append(f"{meanwhile:,.0f} outcomes a second of {steady:,.0f}: {meanwhile / steady:.0%}")
        return meanwhile / steady

    # -- the end -------------------------------------------------------------------------------------------------

    def finish(self, row: str, fault: str, figure: str, met: bool = True) -> Result:
        """All events out and settled; then reader and audit say what came of it."""
        try:
            met = self._settle() and met
        except AssertionError as error:  # I6
            self.notes.append(str(error).splitlines()[0][:200])
            met = False
        self.close()
        return self._result(row, fault, figure, met, sum(self.run.ends.values()))

    def close(self) -> None:
        """Everything of it ends but the processes, which the pipeline ends."""
        self._over.set()
        self.members.stop()
        self._open.close()

    def _settle(self) -> bool:
        """Raises AssertionError where something does not come to an end; are the scenario's own checks content?"""
        # the faults landed before 80 % of the events
        events = max(self.load.events, self.run.sent / 0.8)
        self.feeder.finish(events, events / self.load.rate + DRAIN_S)
        self._over.set()
        self._commander.join(60)
        self._all_out(DRAIN_S)
        self.ended = time.monotonic()
        epoch = self._fold_alike()
        self.run.feed(LAST_EVENTS * self.run.partitions)
        self._all_out(DRAIN_S)
        return all([self._in_force(epoch), *(check() for check in self.checks)])  # each one is asked, for its notes

    def _all_out(self, within: float) -> None:
        self.run.drained(within)
        owed = sum(self.run.ends.values())
        until(lambda: len(self.reader.seen.counts) >= owed, 30, "the reader has seen every outcome")

    def _in_force(self, epoch: int) -> bool:
        """Commands were accepted under the faults, and by the last of them every partition publishes."""
        _, said = spoken(self.run)
        self.notes.append(f"live moved {sum(said[verb] for verb in MOVES_LIVE)} times")
        behind = [number for number in range(self.run.partitions) if self.reader.seen.epochs.get(number) != epoch]
        if behind:
            self.notes.append(f"partitions {behind} do not publish by epoch {epoch}")
        if epoch == self._first_epoch:
            self.notes.append("no command was accepted")
        return not behind and epoch > self._first_epoch

    def _fold_alike(self) -> int:
        """I8: every process that lives has come to the epoch that a fold from the beginning says; which is it?"""
        with self.run.control() as control:
            epoch = control.state().epoch
        for name in self.members.names():
            if self.members[name].alive:
                self.run.in_force(self.members.process(name), epoch)
        return epoch

    def _result(self, row: str, fault: str, figure: str, met: bool, owed: int) -> Result:
        seen, report, read = self.reader.seen, audit.run(self.run.pipeline), self.run.read()
        counts, amiss = report.counts, list(self._amiss(report, read))
        self.notes += [*amiss, *self._remarks(report)]
        wrong = sum(
            number for kind, number in counts.items() if kind not in (Kind.LOST, Kind.DOUBLED, Kind.OUT_OF_ORDER)
        )
        return Result(
            row,
            fault,
            self.injections,
            owed,
            max(counts[Kind.LOST], owed - len(seen.counts)),
            max(counts[Kind.DOUBLED], sum(number - 1 for number in seen.counts.values())),
            max(counts[Kind.OUT_OF_ORDER], seen.backwards),
            max(wrong, seen.epochs_back) + len(amiss) + (not report.ok),
            self.reader.longest_silence(self.began, self.ended or time.monotonic()),
            percentile(self.recoveries, 0.95),
            figure,
            met,
            "; ".join(dict.fromkeys(self.notes)),
        )

    def _amiss(self, report: Report, read: Read) -> Iterator[str]:
        """What is wrong beside the audit's findings."""
        yield from wrongly_accepted(self.run)
        yield from not_judged(report, self.run.ends)
        invisible = sum((self.reader.seen.counts - read.counts()).values())
        if invisible:  # the concurrent reader saw them, a final one does not
            yield f"{invisible} outcomes were visible and are no longer (I5)"
        if len(read.letters) > self.letters:
            yield f"{len(read.letters)} dead letters, {self.letters} are right"
        for name in self.members.names():
            if StreambgError.exit_code in self.members[name].ended:  # a traceback's, too
                yield f"{name} crashed"

    def _remarks(self, report: Report) -> Iterator[str]:
        ended = Counter((name, code) for name in self.members.names() for code in self.members[name].ended)
        yield from (
            f"{name} ended with {code}, {times} x" for (name, code), times in ended.items() if code not in MEANT
        )
        if instead := [f"{number} {why}" for why, number in sorted(report.by_why.items()) if why in INSTEAD]:
            yield f"by the other color: {', '.join(instead)}"
        yield "commands: " + ", ".join(f"{number} {what}" for what, number in self.commands.items())


def wait_s(since: float, seconds: float) -> None:
    """Until `seconds` have passed since a moment: a fault that lasts is made of time."""
    until(lambda: time.monotonic() - since >= seconds, seconds + 1, f"{seconds:g} s")


@contextmanager
def world(
    bootstrap: str,
    name: str,
    load: Load,
    folder: Path,
    *,
    seed: int,
    environments: dict[str, dict[str, str]] | None = None,
    versions: Sequence[str] = ("1", "2"),
    params: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[World]:
    """A pipeline on the broker at `bootstrap`; processes named in `environments` (scorer, publisher) get more of it.

    CHAOS_BOOTSTRAP in such an environment leads that process to another address, a proxy's for example.
    """
    address = f"${{CHAOS_BOOTSTRAP:-{bootstrap}}}"
    publish = {"slots": max(2, load.publishers), **load.publish}
    with pipeline(
        folder, address, name, partitions=load.partitions, publish=publish, versions=versions, params=params
    ) as run:
        new = World(run, load, seed, environments or {})
        try:
            yield new
        finally:
            new.close()
