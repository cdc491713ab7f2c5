"""X: the control log under attack, by many hands and by garbage."""

from __future__ import annotations

import json
import time

from confluent_kafka import Producer

from chaos.scenario import scenario
from chaos.world import World, wait_s


@scenario("X2", "a command a second, publisher killed meanwhile", "0 epochs back", counts=(1, 3, 20))
def flood(world: World, count: int) -> bool:
    for _ in range(count):
        began = time.monotonic()
        for second in range(10):
            world.say_something()
            wait_s(began, second + 1.0)
        world.recovered(world.members.kill("publisher.0"))
        world.injections += 1
    world.notes.append(f"{world.commands} commands accepted")
    return world.reader.seen.epochs_back == 0


@scenario("X3", "malformed, replayed and expired control records", "0 crashes", counts=(200, 1_000, 1_000))
def garbage(world: World, count: int) -> bool:
    producer = Producer({"bootstrap.servers": world.broker.bootstrap, "linger.ms": 5})
    topic = world.run.pipeline.topics.control
    for number in range(count):
        producer.produce(topic, _record(world, number), partition=0)
        if number % 50 == 0:
            producer.flush(10)
            world.pause(0.1, 0.3)
    producer.flush(10)
    world.injections = count
    world.say_something()
    return all(not world.members[name].ended for name in world.members.names())


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
