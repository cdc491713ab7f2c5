"""X: the control log under attack, by many hands and by garbage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter

from confluent_kafka import Producer
from pipelines import ROOT
from raw_topics import visible

from chaos.judging import EXPIRES_MS
from chaos.scenario import scenario
from chaos.world import World
from streambg.control import verbs
from streambg.control.sender import ControlClient, Sent
from streambg.control.state import ControlState, Phase
from streambg.control.verbs import Said
from streambg.errors import Refused

CROWD = 50
# What a flood says in each phase; shift and promote most often, for they move the route.
VERBS = {
    Phase.CANDIDATE: ("shift", "shift", "promote", "promote", "abort", "pause", "deploy"),
    Phase.WARM: ("rollback", "rollback", "pause", "resume", "deploy"),
    Phase.ABORTED: ("deploy",),
    Phase.ALONE: ("deploy",),
}


@scenario("X1", "50 people promote at once, or roll back", "1 of 50 accepted, each time", counts=(1, 3, 10))
def crowd(world: World, count: int) -> bool:
    """All expect the same epoch; each is a command line of its own, let go at one moment."""
    fair = True
    with world.commanding:
        for _ in range(count):
            world.pause(1, 2)
            before = _state(world)
            verb = "rollback" if before.phase is Phase.WARM else "promote"
            codes = _at_once(world, verb, before.epoch)
            after = _state(world)
            for name in world.members.names():
                world.run.in_force(world.members.process(name), after.epoch)
            told = Counter(codes)
            world.notes.append(f"{verb}: {told[0]} accepted, {told[Refused.exit_code]} refused")
            one_epoch = after.epoch > before.epoch and after.live != before.live
            fair = fair and one_epoch and told == {0: 1, Refused.exit_code: CROWD - 1}
            world.recovered(time.monotonic())
            world.injections += CROWD
    return fair


def _state(world: World) -> ControlState:
    with world.run.control() as control:
        return control.state()


def _at_once(world: World, verb: str, epoch: int) -> list[int]:
    """Exit codes of the crowd."""
    words = [verb, "--expected-epoch", str(epoch), "--reason", "a crowd", *(["--force"] if verb == "promote" else [])]
    done = subprocess.run(
        [sys.executable, "-m", "chaos.crowd", str(CROWD), *words],
        cwd=world.run.folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return [int(code) for code in json.loads(done.stdout.splitlines()[-1])]


@scenario("X2", "a command a second, publisher killed meanwhile", "0 epochs back", counts=(1, 2, 20))
def flood(world: World, count: int) -> bool:
    """Whatever the state allows: weights, promote, rollback, abort, pause, resume, a new deployment."""
    over = threading.Event()

    def commands() -> None:
        while not over.wait(1.0):
            world.attempt(lambda control: _anything(world, control))

    flooding = threading.Thread(target=commands, name="flood", daemon=True)
    with world.commanding:
        flooding.start()
        try:
            for _ in range(count):
                for _ in range(3):
                    world.pause(3, 8)
                    world.recovered(world.members.kill("publisher.0"))
                    world.injections += 1
        finally:
            over.set()
            flooding.join(60)
    return world.commands["accepted"] > 0 and world.reader.seen.epochs_back == 0


def _anything(world: World, control: ControlClient) -> Sent:
    """One verb out of those that the phase allows, by lot."""
    config, said, state = world.run.pipeline, Said("chaos", "a flood"), control.state()
    verb = world.random.choice(VERBS[state.phase])
    if state.paused and verb in ("shift", "promote"):
        verb = "resume"
    match verb:
        case "shift":
            return verbs.shift(control, config, world.random.randrange(0, 10_001, 500), said, force=True)
        case "promote":
            return verbs.promote(control, config, said, force=True)
        case "deploy":
            other = "green" if state.live == "blue" else "blue"
            model = world.random.choice(["m:1", "m:2"])
            return verbs.deploy(control, config, other, model, said, gives_up_rollback=state.phase is Phase.WARM)
        case _:
            return verbs.plain(control, verb, said)


@scenario("X3", "malformed, replayed and expired control records", "0 crashes", counts=(200, 1_000, 1_000))
def garbage(world: World, count: int) -> bool:
    """Two of them would be right but for their age and for their id: nothing else tells that they do not count."""
    producer = Producer({"bootstrap.servers": world.broker.bootstrap, "linger.ms": 5})
    topic = world.run.pipeline.topics.control
    unmoved = _late_and_again(world, producer)
    for number in range(count):
        producer.produce(topic, _record(world, number), partition=0)
        if number % 50 == 0:
            producer.flush(10)
            world.pause(0.1, 0.3)
    producer.flush(10)
    world.injections = count
    world.say_something()
    return unmoved and all(not world.members[name].ended for name in world.members.names())


def _late_and_again(world: World, producer: Producer) -> bool:
    """A weight that expired on its way, and an accepted one's id once more; both expect the epoch in force."""
    run, topic = world.run, world.run.pipeline.topics.control
    with world.commanding:
        run.say("shift", 1_000, force=True)
        accepted = json.loads(visible(run.pipeline.kafka.bootstrap, topic, 1)[-1].value() or b"")
        before = _state(world)
        right = {**accepted, "expected_epoch": before.epoch, "args": {**accepted["args"], "weight": 9_000}}
        expired = {**right, "id": "late", "time": int(time.time() * 1_000) - 2 * EXPIRES_MS}
        for each in (right, expired):
            producer.produce(topic, json.dumps(each).encode(), partition=0)
        producer.flush(10)
        refusals = [entry.refusal or "" for entry in verbs.entries(run.pipeline)[-2:]]
        world.notes.append("; ".join(refusals))
        told = "was folded already" in refusals[0] and refusals[1].startswith("expired")
        return told and _state(world) == before


def _record(world: World, number: int) -> bytes | None:
    """Half of an envelope, the wrong types, a stale or an expired command, bytes of no meaning, or nothing at all."""
    chance = world.random
    whole = {
        "format": 1,
        "id": f"fuzz {number // 3}",  # two of three are repeats
        "verb": chance.choice(["shift", "promote", "retire", "leap", "deploy", "rollback", ""]),
        "actor": "nobody",
        "time": chance.choice([0, 10**13, int(time.time() * 1_000)]),
        "expected_epoch": chance.choice([-1, 0, 10**9, "1"]),
        "args": chance.choice([{}, {"weight": -1}, {"candidate": "x"}, [], None, {"color": "red"}]),
    }
    kind = number % 5
    if kind == 0:
        return chance.randbytes(chance.randint(0, 200))
    if kind == 1:
        return None
    for name in chance.sample(list(whole), chance.randint(0, 3)):
        if name != "format":
            del whole[name]
    if kind == 2:
        whole["format"] = chance.choice([0, -1, True, "1", 1.5, None])
    text = json.dumps(whole).encode()
    return text[: chance.randint(0, len(text))] if kind == 3 else text
