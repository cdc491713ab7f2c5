"""B4-B6: nodes of a cluster die, one leader after the other, two of three at once, or all in turn."""

from __future__ import annotations

import time

from chaos.cluster import NODES
from chaos.scenario import scenario
from chaos.world import World, wait_s
from streambg.records.source import COLORS

# What was on its way when two of three died may still arrive; a client that knows nothing yet gives up within this.
LAST_WORDS_S = 5.0
DOWN_S = 60.0
# Three brokers that copy from each other leave less of two cores to the pipeline.
RATES = (200.0, 500.0, 1_000.0)
# So that 200 events fill a transaction just before its second is over.
BOUNCED_RATE = 220.0
BOUNCED_EVENTS = 10_000


@scenario(
    "B4",
    "kill -9 of the leader of each kind of topic",
    "6 kinds, 0/0, recovery <= 60 s",
    counts=(1, 1, 10),
    home="cluster",
    rates=RATES,
)
def kill_leaders(world: World, count: int) -> bool:
    topics, cluster, slowest = world.run.pipeline.topics, world.cluster, dict[str, float]()
    for _ in range(count):
        kinds = {
            "input": topics.input,
            "predictions": topics.predictions(world.random.choice(COLORS)),
            "output": topics.output,
            "control": topics.control,
            "group coordinator": "__consumer_offsets",
            "transaction coordinator": "__transaction_state",
        }
        for kind, topic in kinds.items():
            world.pause(2, 4)
            node = cluster.nodes[cluster.leader(topic)]
            at = time.monotonic()
            node.kill()
            slowest[kind] = max(world.recovered(at), slowest.get(kind, 0.0))
            world.injections += 1
            node.start()
            cluster.until_whole()
    world.notes.append("all partitions again after " + ", ".join(f"{kind} {s:.1f} s" for kind, s in slowest.items()))
    return max(world.recoveries) <= 60


@scenario(
    "B5",
    "two of three nodes down for 60 s",
    "blocks, 0/0 after their return",
    counts=(1, 1, 3),
    home="cluster",
    rates=RATES,
)
def two_of_three(world: World, count: int) -> bool:
    blocked = True
    for _ in range(count):
        world.pause(2, 4)
        down = [world.cluster.nodes[number] for number in world.random.sample(NODES, 2)]
        at = time.monotonic()
        for node in down:
            node.kill()
        wait_s(at, DOWN_S)
        last = max(arrived for arrived, _ in world.reader.seen.arrivals) - at
        blocked = blocked and last <= LAST_WORDS_S
        world.notes.append(f"last outcome {max(0.0, last):.1f} s after")
        back = time.monotonic()
        for node in down:
            node.start()
        world.recovered(back, 120)
        world.cluster.until_whole()
        world.injections += 1
    return blocked


@scenario(
    "B6",
    "nodes restarted all the time, cleanly and by kill -9 in turn",
    "10,000 events, 200 a transaction, 0/0",
    counts=(1, 1, 6),
    home="cluster",
    rates=(BOUNCED_RATE,) * 3,
    events=(BOUNCED_EVENTS,) * 3,
    publish={"transaction": {"every": "1s", "records": 200}},
)
def rolling_nodes(world: World, count: int) -> bool:
    for turn in range(count):
        for node in world.cluster.nodes.values():
            at = time.monotonic()
            if (turn + node.number) % 2:
                node.stop()
            else:
                node.kill()
            node.start()
            world.recovered(at)
            world.cluster.until_whole()
            world.injections += 1
    return True
