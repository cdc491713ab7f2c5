"""T: clocks that are wrong, each process by another amount, and that jump."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from evidence_again import evidence
from waiting import until

from chaos.repeats import bit_equal
from chaos.scenario import scenario
from chaos.world import World, wait_s
from streambg.errors import StreambgError

HOUR_S = 3_600
STEPS_S = (HOUR_S, -HOUR_S, 0, 90, -90, 1)
STEP_EVERY_S = 5.0
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
    library = settable(world.run.folder)
    for name in world.members.names():
        member, clock = world.members[name], _clock(world, name)
        _set(world, name)
        wrong = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(clock)}
        _require_off(wrong, int(clock.read_text()))
        member.environment = {**member.environment, **wrong}
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


def settable(folder: Path) -> Path:
    """The library that makes a process's clock one that can be set. Raises StreambgError without a C compiler."""
    made, source = folder / "set_clock.so", Path(__file__).with_name("set_clock.c")
    asked = ["cc", "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", str(made), str(source)]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise StreambgError("there is no C compiler `cc`", way_out="apt install gcc libc6-dev") from None
    if done.returncode != 0:
        raise StreambgError(f"cc failed: {done.stderr.strip()}", way_out="apt install gcc libc6-dev")
    return made


def _require_off(wrong: dict[str, str], seconds: int) -> None:
    """A Python with this environment has a clock that is off by so much. Raises StreambgError."""
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    before = time.time()
    said = subprocess.run(asked, capture_output=True, text=True, check=True, env={**os.environ, **wrong}).stdout
    if not before <= float(said) - seconds <= time.time():
        raise StreambgError(f"a clock that is to be off by {seconds} s is off by {float(said) - before:.1f} s")


def _clock(world: World, name: str) -> Path:
    return world.run.folder / f"{name}.clock"


def _set(world: World, name: str) -> None:
    """Another offset for its clock."""
    clock = _clock(world, name)
    part = clock.with_suffix(".part")
    part.write_text(str(world.random.choice(STEPS_S)))
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
