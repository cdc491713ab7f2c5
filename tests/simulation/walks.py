"""From a seed to a walk, and from a walk that fails to its shortest form."""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Callable, Sequence

import structlog

from simulation.healing import CHOICES, CORE
from simulation.people import VERBS
from simulation.shape import WAITING_ROWS
from simulation.world import Op, World
from streambg.process.frame import GC_THRESHOLDS
from streambg.publishing import answers, partition, republishing

DEPLOY, SHIFT = VERBS.index("deploy"), VERBS.index("shift")

# name -> how often. Most of a walk is ordinary life, or nothing would be at stake when something goes wrong.
CALM = {
    "spin": 40,
    "step": 30,
    "grow": 12,
    "tick": 10,
    "mark": 6,
    "follow": 4,
    "say": 6,
    "deliver": 3,
    "compare": 3,
}
FAULTS = {
    "publisher_fault": 5,
    "fault": 3,
    "say_late": 1,
    "foreign": 1,
    "crash": 2,
    "stop": 1,
    "skip": 0.5,
    "stale": 1,
    "clog": 0.7,
    "forget": 1,
    "late_end": 1,
    "lose": 1.5,
    "freeze": 2,
    "cut": 1.5,
}
LENGTH = (40, 160)
# An operation's number: a fault divides it by who, which request, when, what and how long, and has many left.
NUMBERS = 10**9
# Rare among random ones: the second scorer of blue does not see the control log for 30 s, the first one swaps to a new
# deployment and dies for longer than a session; so the second takes over partitions of a deployment it cannot know.
HAND_OVER: list[Op] = [
    ("clog", 21),
    ("say", 0),
    *[("spin", 0)] * 6,
    ("crash", 2),
    ("tick", 8),
    *[("spin", 0)] * 3,
]
# Rarer still: a publisher looks whether a color is late, its commit waits for a slow coordinator, and meanwhile the
# color answers (P34). One of 10,000 random walks did this; this is what was left of it when it was shrunk.
SLOW_COMMIT = """
say 0, grow 13, spin 0, spin 0, say 156, say 50, spin 2009, spin 7381, spin 935, spin 734, say 6853, spin 1492,
spin 707, say_late 8489, spin 2312, publisher_fault 32791, publisher_fault 2088, grow 1684, tick 5442, deliver 4269,
crash 1973, grow 6813, spin 3426, spin 9376, mark 4423, tick 1896, spin 4388, spin 5252, step 4954, spin 7282
"""
# And the rarest: positions whose end was forgotten come into force with a later commit of their producer, when another
# publisher has the partition and has gone on (P24). One of 10,000 random walks; shrunk as well.
OLD_POSITIONS = """
say 0, grow 13, spin 0, say 84, skip 380314945, publisher_fault 529027632, spin 729704965, say_late 958489280,
tick 164902669, spin 133354456, say 281073618, spin 253139923, spin 378995605, tick 328912478, crash 12936178,
spin 70859019, spin 535876425, deliver 452873969, spin 750542570, spin 141168906, forgotten_end 5082, tick 840772770,
tick 692328255, grow 539546272, spin 308093030, tick 735104047, spin 594506304, forgotten_end 9150
"""
# A superseding record whose end alone was forgotten, and which nobody has told of, is written a second time (P24, P36).
# No walk of 2,500 with such ends did this; one of another length of patience did, changed a little and shrunk.
UNTOLD = """
say 0, spin 278868300, forgotten_end 1593, spin 723683645, spin 204891923, spin 28933437, spin 552816473, grow
674568599, spin 348344639, spin 675002079, spin 986231804, spin 4029364, spin 135409536, spin 287736806, spin
683960204, spin 39018519, tick 687098855, spin 357877172, spin 83110306, spin 166154764, spin 683910495, spin
954079267, spin 797253098, spin 978423680, spin 628337999, spin 36469634, supersede 5955, publisher_fault 830555261,
spin 331614535, forgotten_end 7028
"""
# So many commands in a walk that has any (P36): one is often still under way when the next one comes.
SUPERSEDES = 4
# Tries in a walk that has any: markers are due for moments only.
FORGOTTEN = 30
# Of the calendar, in a walk that has any.
JUMPS = 6
# So few that a color which is ahead is not viewed whole, as with the real limits.
BEYOND = 4
# So few are superseded at once that a range of some ten takes several transactions (P36).
TURN_ROWS = 3


def walk(seed: int) -> tuple[list[Op], int]:
    """The operations of a seed, and what stays broken when the others heal."""
    chance = random.Random(seed)
    trouble = chance.choice((0.5, 1.0, 1.0, 2.0))
    weights = CALM | {name: weight * trouble for name, weight in FAULTS.items()}
    names = chance.choices(list(weights), list(weights.values()), k=chance.randint(*LENGTH))
    # a pipeline that is up: blue is live, green is deployed and mostly has some weight
    begin: list[Op] = [
        ("say", DEPLOY),
        ("grow", 13),
        ("grow", 12),
        ("spin", 0),
        ("spin", 0),
        ("say", DEPLOY + len(VERBS) * (1 + 2 * chance.randrange(12))),
        ("say", SHIFT + len(VERBS) * chance.randrange(5)),
    ]
    broken = chance.randrange(4 * CHOICES)
    ops = begin + [(name, chance.randrange(NUMBERS)) for name in names]
    if seed % 8 == 7:  # a rolling upgrade: old and new code fold one log
        ops[10:10] = [("old", chance.randrange(10_000)) for _ in range(3)]
    if seed % 8 == 1:
        ops[10:10] = HAND_OVER
    if seed % 256 == 61:
        ops[: len(begin)] = from_text(SLOW_COMMIT)
    if seed % 256 == 62:
        return from_text(OLD_POSITIONS), 22
    if seed % 256 == 63:
        return from_text(UNTOLD), 3
    if seed % 4 == 2:  # by a chance of its own, so that the rest of the walk stays what it was
        own = random.Random(f"supersede {seed}")
        for _ in range(SUPERSEDES):
            ops.insert(own.randrange(len(begin), len(ops)), ("supersede", own.randrange(10_000)))
    if seed % 16 in (10, 12):  # with a `supersede` and without
        own = random.Random(f"forgotten {seed}")
        for _ in range(FORGOTTEN):
            ops.insert(own.randrange(len(begin), len(ops)), ("forgotten_end", own.randrange(10_000)))
    if seed % 16 in (8, 9):
        own = random.Random(f"jump {seed}")
        for _ in range(JUMPS):
            ops.insert(own.randrange(len(begin), len(ops)), ("jump", own.randrange(10_000)))
    return ops, broken


def liveness_walk(seed: int) -> tuple[list[Op], int]:
    """The same walk with another end: a core heals, and what else is gone stays away for ever (L1)."""
    ops, _ = walk(seed)
    return ops, CORE + random.Random(f"core {seed}").randrange(10_000)


def run(world: World, ops: Sequence[Op], broken: int) -> Exception | None:
    """What goes wrong in a walk; None where all is right. The sessions' own log lines are left out."""
    before = structlog.get_config()
    rows, wide, thresholds = partition.MAX_WAITING_ROWS, partition.WIDE, gc.get_threshold()
    turn, beyond = republishing.TURN_ROWS, answers.BEYOND
    gc.set_threshold(*GC_THRESHOLDS)  # as the processes do; a seed costs 10 to 20 % less
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    partition.MAX_WAITING_ROWS, partition.WIDE, republishing.TURN_ROWS = WAITING_ROWS, 1, TURN_ROWS
    answers.BEYOND = BEYOND
    try:
        world.run(ops, broken)
    except Exception as error:
        return error
    finally:
        structlog.configure(**before)
        partition.MAX_WAITING_ROWS, partition.WIDE, republishing.TURN_ROWS = rows, wide, turn
        answers.BEYOND = beyond
        gc.set_threshold(*thresholds)
    return None


Walk = Callable[[int], tuple[list[Op], int]]


def failure(seed: int, walk: Walk = walk) -> str | None:
    """What goes wrong with a seed, in a line."""
    error = run(World(), *walk(seed))
    return None if error is None else f"{type(error).__name__}: {error}"


def shrink(ops: list[Op], broken: int) -> list[Op]:
    """Leave out as much as possible, in pieces that get smaller; what is left fails still, in the same way."""
    kind = _kind(run(World(), ops, broken))
    size = max(1, len(ops) // 2)
    while size:
        at = 0
        while at < len(ops):
            shorter = ops[:at] + ops[at + size :]
            if _kind(run(World(), shorter, broken)) == kind:
                ops = shorter
            else:
                at += size
        size //= 2
    return ops


def _kind(error: Exception | None) -> str:
    """The invariant, or the class of the error."""
    if error is None:
        return ""
    return str(error).partition(":")[0] if isinstance(error, AssertionError) else type(error).__name__


def as_text(ops: Sequence[Op]) -> str:
    return ", ".join(f"{name} {number}" for name, number in ops)


def from_text(text: str) -> list[Op]:
    """The reverse of `as_text`."""
    words = [op.split() for op in text.split(",")]
    return [(name, int(number)) for name, number in words]
