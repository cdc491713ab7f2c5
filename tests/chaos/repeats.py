"""K4 and Z2: what is done a second time, by a restart or by a zombie, comes to nothing else."""

from __future__ import annotations

from functools import partial

from evidence_again import evidence, uninterrupted
from pipelines import Running
from predictions import Told
from raw_topics import visible
from waiting import until

from chaos.scenario import scenario
from chaos.world import World
from streambg.comparing.pair import Pair
from streambg.comparing.snapshot import encode
from streambg.errors import Fenced
from streambg.records.batch import Batch, decode
from streambg.records.source import COLORS, Color

# A snapshot is written every few seconds; the last one, of a comparator that has nothing left to read, is soon there.
LAST_SNAPSHOT_S = 60.0


@scenario("K4", "kill -9 comparator", "evidence bit-equal to an uninterrupted run", counts=(3, 10, 20))
def kill_comparator(world: World, count: int) -> bool:
    world.members.start("comparator", "comparator")
    until(lambda: evidence(world.run), 60, "the first evidence")
    for _ in range(count):
        world.pause(2, 9)  # before and after a snapshot, one every 5 s
        world.members.kill("comparator")
        world.injections += 1
    world.checks.append(partial(bit_equal, world))
    return True


def bit_equal(world: World) -> bool:
    """Positions, fold states, sums, histograms, alarms; and every event was compared from the candidate's first on."""
    run = world.run
    with run.control() as control:
        slots = control.state().slots
    deployments = [deployment.id for color in COLORS if (deployment := slots[color]) is not None]
    expected = {number: encode(each) for number, each in uninterrupted(run, Pair(*deployments)).items()}

    def same() -> bool:
        found = evidence(run)
        return {number: encode(each) for number, each in found.items()} == expected

    until(same, LAST_SNAPSHOT_S, "the same evidence")
    found = {number: each.evidence for number, each in evidence(run).items()}
    matched = sum(each.figures.counts["matched"] for each in found.values())
    # a candidate begins behind what is settled when its scorer has come up (P11): some hundred events more or fewer
    owed = sum(end - 1 - found[number].start for number, end in run.ends.items())
    world.notes.append(f"{matched:,} pairs, {sum(map(len, expected.values())):,} bytes of evidence equal")
    return matched == owed


@scenario(
    "Z2",
    "scorer stopped, replaced, woken; it never answers the same twice",
    "the first answer in the log goes out in 100 %",
    counts=(2, 6, 20),
    params={"1": {"noise": 0.5}, "2": {"noise": 0.5}},
)
def zombie_scorer(world: World, count: int) -> bool:
    names: dict[Color, str] = {color: color for color in COLORS}
    for number in range(count):
        world.pause(1, 3)
        color = COLORS[number % 2]
        zombie, names[color] = names[color], f"{color}.again{number}"
        world.members.freeze(zombie)
        world.members[zombie].keep = False
        world.members.start(names[color], "scorer", "--color", color)
        world.pause(4, 8)  # shorter and longer than its session
        world.members.thaw(zombie)
        until(partial(world.members.gone, zombie), 40, f"the end of {zombie}")
        if world.members.exit_code(zombie) != Fenced.exit_code:
            world.notes.append(f"{zombie} ended with {world.members.exit_code(zombie)}")
            return False
        world.injections += 1
    world.checks.append(partial(_first_wins, world))
    return True


def _first_wins(world: World) -> bool:
    """The fold of P8 written out, over all that stands in the log; where nothing contradicts, nothing is shown."""
    run = world.run
    read = run.read()
    contradicted: set[tuple[str, int, int]] = set()
    first: dict[tuple[str, int], dict[int, bytes]] = {}
    for color in COLORS:
        for number, batches in enumerate(_batches(run, color)):
            told = Told()
            for batch in batches:
                told.take(batch)
                contradicted |= {
                    (color, number, offset)
                    for offset, value in zip(batch.offsets.tolist(), batch.values, strict=True)
                    if offset in told.rows and told.rows[offset][0] != value
                }
            first[color, number] = {offset: value for offset, (value, _) in told.rows.items()}
    sources = [(outcome.color, outcome.source.partition, outcome.source.offset) for outcome in read.outcomes]
    others = sum(
        first[color, number].get(offset) != value
        for (color, number, offset), value in zip(sources, read.values, strict=True)
    )
    at_stake = len(contradicted.intersection(sources))
    world.notes.append(f"{at_stake:,} published answers were contradicted; {others} published are not the first")
    return at_stake > 0 and others == 0


def _batches(run: Running, color: Color) -> list[list[Batch]]:
    """In log order, of each partition."""
    found: list[list[Batch]] = [[] for _ in range(run.partitions)]
    for message in visible(run.pipeline.kafka.bootstrap, run.pipeline.topics.predictions(color), run.partitions):
        found[message.partition() or 0].append(decode(message.value() or b""))
    return found
