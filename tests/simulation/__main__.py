# ruff: noqa: T201 # a command line prints
"""Runs seeds: `PYTHONPATH=tests python -m simulation --seeds 10000`, or one again: `--seed 77`, or a walk: `--ops`.

`--liveness`: behind each walk only a core of the processes heals, all others are gone for ever; nothing may be stuck.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from functools import partial
from multiprocessing import Pool

from simulation.mutants import MUTANTS, Mutant, applied
from simulation.walks import Walk, as_text, failure, from_text, liveness_walk, run, shrink, walk
from simulation.world import Op, World

WORKERS = 2
PIECE = 20  # seeds a worker takes at once
SEARCH = 10_000  # seeds until a mutant counts as not found


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--seed", type=int, help="only this one; where it fails, its shortest form is looked for")
    parser.add_argument("--ops", help="a walk as it was printed, e.g. 'say 0, grow 13, spin 0'")
    parser.add_argument("--broken", type=int, default=0, help="with --ops: what never heals")
    parser.add_argument("--mutants", action="store_true", help="look for the first seed that finds each mutant")
    parser.add_argument("--liveness", action="store_true", help="heal a core only, a random one")
    given = parser.parse_args()
    seeded = liveness_walk if given.liveness else walk
    if given.mutants:
        return _mutants()
    if given.ops is not None:
        return _one(from_text(given.ops), given.broken, shorten=False)
    if given.seed is not None:
        return _one(*seeded(given.seed), shorten=True)
    return _many(range(given.first, given.first + given.seeds), given.workers, seeded)


def _one(ops: list[Op], broken: int, *, shorten: bool) -> int:
    world = World()
    error = run(world, ops, broken)
    if error is None:
        print("right:", dict(world.counts))
        return 0
    traceback.print_exception(error)
    if shorten:
        print("looking for its shortest form ...", flush=True)
        ops = shrink(ops, broken)
        print(f"\n{len(ops)} operations: --broken {broken} --ops '{as_text(ops)}'\n{run(World(), ops, broken)}")
    return 1


def _piece(seeds: range, seeded: Walk = walk) -> tuple[int, Counter[str], list[tuple[int, str]]]:
    counts: Counter[str] = Counter()
    failed = []
    for seed in seeds:
        world = World()
        error = run(world, *seeded(seed))
        counts += world.counts
        if error is not None:
            failed.append((seed, f"{type(error).__name__}: {error}"))
    return len(seeds), counts, failed


def _many(seeds: range, workers: int, seeded: Walk) -> int:
    started, done = time.monotonic(), 0
    counts: Counter[str] = Counter()
    failed: list[tuple[int, str]] = []
    pieces = [seeds[at : at + PIECE] for at in range(0, len(seeds), PIECE)]
    with Pool(workers) as pool:
        for number, more, bad in pool.imap_unordered(partial(_piece, seeded=seeded), pieces):
            done, counts = done + number, counts + more
            for seed, error in bad:
                failed.append((seed, error))
                print(f"\nseed {seed}: {error[:300]}", flush=True)
            rate = done / (time.monotonic() - started)
            print(f"\r{done} of {len(seeds)} seeds, {rate:.1f} a second, {len(failed)} failed", end="", flush=True)
    print()
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    if failed:
        how = " --liveness" if seeded is liveness_walk else ""
        print(f"again: PYTHONPATH=tests python -m simulation --seed {min(failed)[0]}{how}")
    return 1 if failed else 0


def _mutants() -> int:
    survivors = 0
    for mutant in MUTANTS:
        found = next(((seed, told) for seed in range(SEARCH) if (told := _finds(mutant, seed)) is not None), None)
        survivors += found is None
        words = f"seed {found[0]}: {found[1][:80]}" if found is not None else "NOT FOUND"
        print(f"{mutant.rule:4} {mutant.name}: {words}", flush=True)
    return 1 if survivors else 0


def _finds(mutant: Mutant, seed: int) -> str | None:
    """What the seed says of the mutant, where it says nothing without it."""
    with applied(mutant):
        told = failure(seed)
    return told if mutant.explains(told) and failure(seed) is None else None


if __name__ == "__main__":
    sys.exit(main())
