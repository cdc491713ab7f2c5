"""T: clocks that are wrong, each process by another amount, and that jump."""

from __future__ import annotations

import json
import math
import subprocess
import time
from functools import partial
from pathlib import Path

from evidence_again import evidence
from waiting import until

from chaos.repeats import bit_equal
from chaos.scenario import scenario
from chaos.world import World, wait_s
from streambg.errors import StreambgError

# Debian's package libfaketime; the one for programs with threads.
LIBRARY = "*/faketime/libfaketimeMT.so.1"
HOUR_S = 3_600
STEPS_S = (HOUR_S, -HOUR_S, 0, 90, -90, 1)
# How often a process looks at what its clock shall say.
LOOK_S = 1
STEP_EVERY_S = 5.0
# libfaketime 0.9.10 refuses to sleep until a monotonic time, and that is how Python sleeps.
SLEEP = """
import select, time
def sleep(seconds):
    select.select([], [], [], seconds)
time.sleep = sleep
"""
# A score goes through a matrix product whose last bits depend on how many rows it has.
ROUNDING = 1e-9


@scenario(
    "T1",
    "clocks off by an hour, and in steps, each process another",
    "same value per position and color, evidence (so the verdict) bit-equal, 0/0",
    counts=(3, 12, 40),
)
def wrong_clocks(world: World, count: int) -> bool:
    """Scorers, publisher, comparator. Broker and senders of commands agree: a command is judged by both (P5)."""
    world.members.start("comparator", "comparator")
    until(lambda: evidence(world.run), 60, "the first evidence")
    libraries = f"{_waiting_by_the_fake_clock(world.run.folder)} {_library()}"
    (world.run.folder / "sitecustomize.py").write_text(SLEEP)  # the folder stands first on the processes' path
    for name in world.members.names():
        member = world.members[name]
        member.environment = {
            **member.environment,
            "LD_PRELOAD": libraries,
            "FAKETIME_TIMESTAMP_FILE": str(_clock(world, name)),
            "FAKETIME_CACHE_DURATION": str(LOOK_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }
        _set(world, name)
        world.recovered(world.members.terminate(name))
    for _ in range(count):
        at = time.monotonic()
        for name in world.members.names():
            _set(world, name)
        wait_s(at, STEP_EVERY_S)
        world.recovered(at)
        world.injections += 1
    world.checks.append(partial(bit_equal, world))
    return _values_right(world)


def _library() -> Path:
    found = sorted(Path("/usr/lib").glob(LIBRARY))
    if not found:
        raise StreambgError(f"there is no /usr/lib/{LIBRARY}", way_out="apt install libfaketime")
    return found[0]


def _waiting_by_the_fake_clock(folder: Path) -> Path:
    made = folder / "cnd_timedwait.so"
    asked = ["cc", "-shared", "-fPIC", "-pthread", "-o", str(made), str(Path(__file__).with_name("cnd_timedwait.c"))]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise StreambgError("there is no C compiler `cc`", way_out="apt install gcc libc6-dev") from None
    if done.returncode != 0:
        raise StreambgError(f"cc failed: {done.stderr.strip()}", way_out="apt install gcc libc6-dev")
    return made


def _clock(world: World, name: str) -> Path:
    return world.run.folder / f"{name}.clock"


def _set(world: World, name: str) -> None:
    """Another offset for its clock, as libfaketime reads it."""
    clock = _clock(world, name)
    part = clock.with_suffix(".part")
    part.write_text(f"{world.random.choice(STEPS_S):+d}")
    part.replace(clock)


def _values_right(world: World) -> bool:
    """Every answer is what its model says of its event, whatever the time was."""
    read, wrong = world.run.read(), 0
    for outcome, value in zip(read.outcomes, read.values, strict=True):
        source = outcome.source
        number = source.offset * world.run.partitions + source.partition
        f1, f2 = (number % 17) / 8 - 1, (number % 11) / 5 - 1
        bias = int(outcome.model.partition(":")[2]) / 10
        expected = 1 / (1 + math.exp(-(0.5 * f1 - 0.3 * f2 + bias)))
        wrong += abs(json.loads(value)["p"] - expected) > ROUNDING
    world.notes.append(f"{wrong} of {len(read.values):,} values wrong")
    return wrong == 0 and len(read.values) > 0
