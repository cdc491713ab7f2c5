"""A pipeline under load while faults happen to it: events at a rate, commands every so often, a concurrent reader."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from pipelines import Running, pipeline
from waiting import until

from chaos.members import Members
from chaos.proxy import Proxy
from chaos.reader import Reader
from chaos.table import Result, percentile
from streambg import audit
from streambg.audit.tally import Kind
from streambg.control import verbs
from streambg.control.state import Phase
from streambg.control.verbs import Said
from streambg.errors import StreambgError
from streambg.process.crash import SESSION_END, VARIABLE
from streambg.records.source import COLORS
from streambg.servers import Launch, LocalKafka

# Events go out in slices of this long, so that a rate is kept without a call an event.
SLICE_S = 0.02
# After the fault has healed, everything must be settled within this time; the slowest recovery allowed is B3's.
DRAIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Load:
    """`events` at `rate` a second on `partitions`; a command every `cutover_s`."""

    events: int = 100_000
    rate: float = 2_000.0
    partitions: int = 6
    cutover_s: float = 15.0
    publishers: int = 1
    publish: dict[str, object] = field(default_factory=dict)
    session_ends: float = 0.01  # share of transactions behind which a session ends on purpose


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
        self.commands = 0
        self._environments = environments
        self._over = threading.Event()
        self._feeding = threading.Lock()
        self._last = float("inf")
        self._threads: list[threading.Thread] = []
        self.began = self.ended = 0.0
        self.broker: LocalKafka
        self.launch: Launch
        self.proxy: Proxy

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
        run.feed(self.load.partitions * 10)
        run.drained()
        self.began = time.monotonic()
        for work in (self._feed, self._command):
            thread = threading.Thread(target=work, name=work.__name__, daemon=True)
            thread.start()
            self._threads.append(thread)

    def publisher(self, slot: int) -> str:
        name = f"publisher.{slot}"
        environment = {
            VARIABLE: f"{SESSION_END}:{self.load.session_ends}",
            **self._environments.get("publisher", {}),
        }
        self.members.start(name, "publisher", "--slot", str(slot), environment=environment)
        return name

    def _feed(self) -> None:
        """At the rate, until `_last` events are out; while faults go on nobody knows how many that will be."""
        begin, sent = time.monotonic(), 0
        while sent < self._last and not self._over.is_set():
            due = int((time.monotonic() - begin) * self.load.rate)
            if due > sent:
                with self._feeding:
                    self.run.feed(due - sent, flush=False)
                sent = due
            self._over.wait(SLICE_S)
        self.run.flush()

    def _command(self) -> None:
        """Cutovers all the time: weights up, promote, back; whatever is refused or unknown meanwhile is said again."""
        while not self._over.wait(self.load.cutover_s):
            self.say_something()

    def say_something(self) -> None:
        """One command that fits the state in force."""
        try:
            with verbs.client(self.run.pipeline) as control:
                state = control.state()
                said = Said("chaos", "a cutover")
                config = self.run.pipeline
                if state.phase is Phase.WARM:
                    sent = verbs.plain(control, "rollback", said)
                elif state.phase is Phase.CANDIDATE and state.weight < 5_000:
                    sent = verbs.shift(control, config, state.weight + 1_500, said, force=True)
                elif state.phase is Phase.CANDIDATE:
                    sent = verbs.promote(control, config, said, force=True)
                else:
                    return
            self.commands += sent.accepted
        except (StreambgError, KafkaException) as error:
            self.notes.append(f"command: {str(error).splitlines()[0][:80]}")

    # -- faults --------------------------------------------------------------------------------------------------

    def restart_broker(self) -> None:
        self.broker.start(self.launch)

    def grow(self, partitions: int) -> None:
        """The load goes to more partitions from here on, and the reader follows them."""
        with self._feeding:
            self.run.grow(partitions)
        self.reader.grow(partitions)

    def pause(self, least: float, most: float) -> None:
        """A random time of load between two injections."""
        self._over.wait(self.random.uniform(least, most))

    def recovered(self, since: float, within: float = 60.0) -> float:
        """Seconds from `since` to the next outcome, counted as a recovery."""
        took = until(lambda: self.reader.first_after(since), within, "the next outcome")
        self.recoveries.append(took)
        return took

    # -- the end -------------------------------------------------------------------------------------------------

    def finish(self, row: str, fault: str, figure: str, met: bool = True) -> Result:
        """All events out and settled; then reader and audit say what came of it."""
        # the faults landed before 80 % of the events
        self._last = max(self.load.events, self.run.sent / 0.8)
        self._threads[0].join(self._last / self.load.rate + DRAIN_S)
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        self.run.drained(DRAIN_S)
        self.ended = time.monotonic()
        owed = sum(self.run.ends.values())
        until(lambda: len(self.reader.seen.counts) >= owed, 30, "the reader has seen every outcome")
        self.members.stop()
        self.reader.stop()
        return self._result(row, fault, figure, met, owed)

    def _result(self, row: str, fault: str, figure: str, met: bool, owed: int) -> Result:
        seen, report = self.reader.seen, audit.run(self.run.pipeline)
        counts = report.counts
        final = self.run.read().counts()
        invisible = sum((seen.counts - final).values())  # seen by the concurrent reader, and not by a final one (I5)
        if invisible:
            self.notes.append(f"{invisible} outcomes were visible and are no longer (I5)")
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
            max(wrong, seen.epochs_back) + invisible + (not report.ok),
            self.reader.longest_silence(self.began, self.ended),
            percentile(self.recoveries, 0.95),
            figure,
            met,
            "; ".join(dict.fromkeys(self.notes)),
        )


def wait_s(since: float, seconds: float) -> None:
    """Until `seconds` have passed since a moment: a fault that lasts is made of time."""
    until(lambda: time.monotonic() - since >= seconds, seconds + 1, f"{seconds:g} s")


@contextmanager
def world(
    bootstrap: str,
    name: str,
    load: Load,
    *,
    seed: int,
    environments: dict[str, dict[str, str]] | None = None,
    versions: Sequence[str] = ("1", "2"),
    folder: Path | None = None,
) -> Iterator[World]:
    """A pipeline on the broker at `bootstrap`; processes named in `environments` (scorer, publisher) get more of it.

    CHAOS_BOOTSTRAP in such an environment leads that process to another address, a proxy's for example.
    """
    with tempfile.TemporaryDirectory(prefix="streambg-chaos-") as made:
        place = folder or Path(made)
        address = f"${{CHAOS_BOOTSTRAP:-{bootstrap}}}"
        publish = {"slots": max(2, load.publishers), **load.publish}
        with pipeline(place, address, name, partitions=load.partitions, publish=publish, versions=versions) as run:
            new = World(run, load, seed, environments or {})
            try:
                yield new
            finally:
                new.members.stop()
