"""D: what is in the topics goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pipelines import Running, pipeline
from raw_topics import visible
from waiting import until

from chaos.reader import Reader
from chaos.recreated import PARTITIONS, Flow, Halt
from chaos.scenario import scenario, trial
from chaos.table import Result
from chaos.world import World
from streambg import audit, topicplan
from streambg.control import gaps
from streambg.control.verbs import Said
from streambg.errors import Refused
from streambg.kafka import profiles
from streambg.kafka.reading import LogReader

LARGE = 2_000_000
# More than a stopped scorer has in its queue: it was up to date when it was stopped.
FETCHED = 500
KEYS = 300
POISON = (b"\xff\xfe", b"{}", b'{"id": 1, "f1": NaN, "f2": 1}', None)
RAISES_AT = (17, 71)  # of every hundred ids, blue's and green's


@scenario("D2", "committed positions deleted, publisher down", "resumes from the tail", counts=(1, 2, 5))
def positions_deleted(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(2, 4)
        at = world.members.kill("publisher.0", restart=False)
        until(lambda: _deleted(world), 40, "the broker counts no member any more")
        world.members.begin("publisher.0")
        world.recovered(at)
        world.injections += 1
    return True


def _deleted(world: World) -> bool:
    group = world.run.pipeline.groups.publisher
    try:
        world.run.admin.delete_consumer_groups([group], request_timeout=10)[group].result()
    except KafkaException:
        return False
    return True


@scenario("D3", "two partitions more, in the middle of cutovers", "0/0 from offset 0", counts=(1, 1, 2))
def partitions_added(world: World, count: int) -> bool:
    for _ in range(count):
        world.pause(2, 4)
        run, admin = world.run, topicplan.connect(world.run.pipeline)
        more = topicplan.plan(admin, topicplan.load_topics(run.pipeline), run.partitions + 2)
        topicplan.apply(admin, more, lambda _action: None)
        world.grow(run.partitions + 2)
        world.recovered(time.monotonic())
        world.injections += 1
    return True


@scenario(
    "D6",
    "1 % of the events are poison, the models raise on 1 %",
    "0/0, no restart",
    counts=(100, 300, 1_000),
    params={"1": {"raises_at": RAISES_AT[0]}, "2": {"raises_at": RAISES_AT[1]}},
)
def poison(world: World, count: int) -> bool:
    """Bytes that are no event, a missing feature, a NaN, nothing at all: each is one dead letter, beside what a color
    cannot answer and the other may not.
    """
    for number in range(count):
        world.feeder.put(POISON[number % len(POISON)], b"poison")
        world.pause(0.05, 0.15)
    world.injections = count
    world.checks.append(lambda: _answered(world, count))
    return True


@scenario(
    "D7", "an event in a hundred whose answer has 2 MB", "one dead letter each, <= 1 session", counts=(20, 60, 200)
)
def large_answers(world: World, count: int) -> bool:
    """Over the limit of a batch (512 KiB): an error row says so, and nobody stops."""
    for number in range(count):
        world.feeder.put(json.dumps({"id": number, "f1": 0.5, "f2": 0.5, "large": LARGE}).encode(), b"large")
        world.pause(0.05, 0.15)
    world.injections = count
    world.checks.append(lambda: _one_stub_each(world, count))
    return True


def _one_stub_each(world: World, large: int) -> bool:
    """The sessions that ended on purpose are none of theirs."""
    letters = [
        letter for letter in world.run.read().letters if "over the size limit" in "".join(letter.reasons.values())
    ]
    ended = sum(
        '"session_ended"' in line and "on purpose" not in line
        for name in world.members.names()
        for line in world.members.process(name).log.read_text().splitlines()
    )
    world.letters = large
    world.notes.append(f"{len(letters)} dead letters, {ended} sessions ended")
    restarts = sum(len(world.members[name].ended) for name in world.members.names())
    return len(letters) == large and ended <= 1 and restarts == 0


def _answered(world: World, poison: int) -> bool:
    """A dead letter for each poison, and beside these only for what a model raises on; the other color for some of the
    rest; and nobody was started again.
    """
    read, run = world.run.read(), world.run
    given = {
        (message.partition() or 0, message.offset() or 0): message.value()
        for message in visible(run.pipeline.kafka.bootstrap, run.pipeline.topics.input, run.partitions)
    }
    values = [given[letter.source.partition, letter.source.offset] for letter in read.letters]
    bad = sum(value in POISON for value in values)
    fine = sum(value not in POISON and json.loads(value or b"")["id"] % 100 not in RAISES_AT for value in values)
    instead = sum(outcome.why == "error" for outcome in read.outcomes)
    world.letters = len(values)
    world.notes.append(f"{len(values):,} dead letters, {instead:,} answers by the other color")
    restarts = sum(len(world.members[name].ended) for name in world.members.names())
    return bad == poison and fine == 0 and instead > 0 and restarts == 0


OVERTAKEN = Halt("D1", "retention takes what a stopped scorer has not read", "halt with the exact gap, then 0/0")


@trial(OVERTAKEN.name, OVERTAKEN.fault, counts=(1, 1, 5))
def retention(bootstrap: str, count: int, folder: Path) -> Result:
    """Whoever is behind ends and names the gap; a person gives it up, and everything behind it is answered."""
    return OVERTAKEN.run(bootstrap, count, folder, _overtake)


def _overtake(flow: Flow) -> float:
    run, blue = flow.run, flow.processes["blue"].popen.pid
    os.kill(blue, signal.SIGSTOP)
    _keep(run, ms=5_000)
    with LogReader(profiles.reader(run.pipeline, "chaos")) as log:

        def starts() -> dict[int, int]:
            return {number: log.ends(run.pipeline.topics.input, number)[0] for number in range(PARTITIONS)}

        # what it had fetched when it was stopped, it still answers
        until(lambda: min(starts().values()) > max(run.settled().values()) + FETCHED, 60, "events are gone")
        _keep(run, ms=-1)
        left = starts()
    at = time.monotonic()
    os.kill(blue, signal.SIGCONT)
    flow.halted("blue")
    took = time.monotonic() - at
    said = re.findall(r"/(\d+): offset (\d+) comes next, and the input holds (\d+) to", _log_of(flow))
    for number, first, end in (map(int, gap) for gap in said):
        # green's answers go out behind it, up to the first that blue owes
        until(lambda number=number, first=first: run.settled()[number] >= first - 1, 20, f"settled up to {first}")
        flow.notes.append(f"partition {number}: {first} to {end - 1} are gone, the input begins at {left[number]}")
        flow.wrong += end != left[number]
    if not said:
        flow.wrong += 1
        flow.notes.append(f"no gap is named: {_log_of(flow).splitlines()[-1]}")
    for number in range(PARTITIONS):
        _give_up(flow, number, left[number])
    flow.again("blue")
    flow.feeder.stop()
    run.drained()
    report = audit.run(run.pipeline)
    flow.wrong += not report.ok
    return took


def _log_of(flow: Flow) -> str:
    return flow.processes["blue"].log.read_text()


def _keep(run: Running, ms: int) -> None:
    """How long the input keeps its events, in small segments: only whole ones go."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in (("retention.ms", str(ms)), ("segment.ms", "500"))
    ]
    resource = ConfigResource(ResourceType.TOPIC, run.pipeline.topics.input, incremental_configs=entries)
    run.admin.incremental_alter_configs([resource])[resource].result(20)


def _give_up(flow: Flow, number: int, left: int) -> None:
    """As `streambg accept-gap`: up to the first event that is left."""
    with flow.run.control() as control:
        ground = gaps.measure(flow.run.pipeline, number, control.state())
        try:
            gap = gaps.decide(ground, None, None)
        except Refused:
            return  # it was settled that far
        gaps.accept(control, gap, Said("chaos", "retention")).or_raise()
    flow.given_up |= {(number, at) for at in range(gap.first, left)}


@trial("D5", "a compacted input, a third of its transactions aborted", counts=(60, 200, 600))
def gaps_in_the_input(bootstrap: str, count: int, folder: Path) -> Result:
    """Markers, aborted and compacted records leave gaps: before whoever reads on, and before whoever comes late."""
    config = {"cleanup.policy": "compact", "segment.ms": "500", "min.cleanable.dirty.ratio": "0.01"}
    with pipeline(folder, bootstrap, "chaos-d5", partitions=PARTITIONS, input_config=config) as run:
        run.say("deploy", "blue", "m:1", start="earliest")
        scorers, _ = run.scorers(), run.start("publisher")
        run.say("deploy", "green", "m:2")
        run.say("shift", 5_000, force=True)
        reader = Reader(run)
        try:
            committed = _in_transactions(run, count)
            _settled(run)
            for scorer in scorers:
                scorer.kill()
            committed |= _in_transactions(run, count)
            until(lambda: len(_visible(run)) < len(committed) * 3 // 4, 90, "a quarter is compacted away")
            run.scorers()
            run.say("promote", force=True)
            committed |= _in_transactions(run, count)
            _settled(run)
            owed, seen = _visible(run), reader.seen
            until(lambda: owed <= seen.counts.keys(), 30, "the reader has seen every outcome")
        finally:
            reader.stop()
        report = audit.run(run.pipeline)
        return Result(
            "D5",
            "a compacted input, a third of its transactions aborted",
            3 * count,
            len(owed),
            len(owed - seen.counts.keys()),
            sum(number - 1 for number in seen.counts.values()),
            seen.backwards,
            seen.epochs_back + (not report.ok) + len(seen.counts.keys() - committed),
            0.0,
            None,
            "0/0 over the visible events",
            report.ok,
            f"{len(committed):,} events committed, {len(owed):,} of them still visible, {seen.total:,} outcomes",
        )


def _in_transactions(run: Running, count: int) -> set[tuple[int, int]]:
    """The source positions that were committed: 30 a transaction, every third one aborted."""
    producer = Producer(
        {"bootstrap.servers": run.pipeline.kafka.bootstrap, "transactional.id": f"{run.pipeline.name}.in"}
    )
    producer.init_transactions(20)
    committed, written = set[tuple[int, int]](), set[tuple[int, int]]()

    def delivered(_error: object, message: Message) -> None:
        written.add((message.partition() or 0, message.offset() or 0))

    for number in range(count):
        written.clear()
        producer.begin_transaction()
        for event in range(number * 30, (number + 1) * 30):
            value, key = {"id": event, "f1": event % 30 / 30, "f2": 0.5}, event % KEYS
            topic, where = run.pipeline.topics.input, key % PARTITIONS
            producer.produce(topic, json.dumps(value).encode(), b"k%d" % key, where, on_delivery=delivered)
        producer.flush(20)  # an abort that overtakes the registration of its partitions is refused now and then
        if number % 3 == 2:
            producer.abort_transaction(20)
        else:
            producer.commit_transaction(20)
            committed |= written
    return committed


def _visible(run: Running) -> set[tuple[int, int]]:
    """Source positions that a read_committed reader of the input sees now."""
    messages = visible(run.pipeline.kafka.bootstrap, run.pipeline.topics.input, PARTITIONS)
    return {(message.partition() or 0, message.offset() or 0) for message in messages}


def _settled(run: Running) -> None:
    """Until the last visible event of each partition is."""
    last: dict[int, int] = {}
    for number, offset in _visible(run):
        last[number] = max(offset, last.get(number, -1))

    def done() -> bool:
        settled = run.settled()
        return all(settled.get(number, -1) >= offset for number, offset in last.items())

    until(done, 120, f"settled at {last}")
