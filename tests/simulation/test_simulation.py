"""Seeds of the simulator, its own determinism, and the mutants that it must find."""

from __future__ import annotations

import time

import pytest

from simulation.mutants import MUTANTS, Mutant, applied
from simulation.walks import as_text, failure, from_text, liveness_walk, run, shrink, walk
from simulation.world import World
from streambg.control.follower import Snapshot
from streambg.publishing.deadlines import Deadlines

SEEDS = 500
LIVENESS_SEEDS = 50


@pytest.mark.timeout(600)
def test_P7_to_P34_hold_in_every_walk(capsys: pytest.CaptureFixture[str]) -> None:
    """I1-I6 and I8: P1, P7-P12 and P14-P29 by what readers see, P30-P32 by evidence, P34 by the audit."""
    started = time.monotonic()
    failed = {seed: told for seed in range(SEEDS) if (told := failure(seed)) is not None}
    with capsys.disabled():
        print(f"{SEEDS} seeds, {SEEDS / (time.monotonic() - started):.1f} a second")  # noqa: T201 # what make test shows
    assert not failed, f"again: PYTHONPATH=tests python -m simulation --seed {min(failed)}: {failed}"


def test_L1_a_core_goes_on_when_all_others_are_gone_for_ever() -> None:
    """I6, P6, P14, P18, P24: one publisher and one scorer of the live color drain the input, whoever else is dead or
    cannot read the control log.
    """
    stuck = {seed: told for seed in range(LIVENESS_SEEDS) if (told := failure(seed, liveness_walk)) is not None}
    assert not stuck, f"again: PYTHONPATH=tests python -m simulation --liveness --seed {min(stuck)}: {stuck}"


def test_L1_a_publisher_that_waits_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """P18: without deadlines the keys of a candidate whose scorers are gone wait for ever."""
    monkeypatch.setattr(Deadlines, "fired", lambda *_: [])
    assert any("I6" in (failure(seed, liveness_walk) or "") for seed in range(8))


def test_L1_a_scorer_without_a_lease_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: one that cannot read the control log would keep its partitions, and answer for a deployment of before."""
    monkeypatch.setattr(Snapshot, "require_lease", lambda *_: None)
    assert any("I6" in (failure(seed, liveness_walk) or "") for seed in range(8))


def test_a_seed_is_the_same_run_every_time() -> None:
    ends = []
    for _ in range(2):
        world = World()
        assert run(world, *walk(7)) is None
        ends.append((world.now, world.counts, world.judge.recording()))
    assert ends[0] == ends[1]


def test_a_walk_can_be_said_again() -> None:
    ops, _ = walk(3)
    assert from_text(as_text(ops)) == ops


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{mutant.rule} {mutant.name}" for mutant in MUTANTS])
def test_every_mutant_is_found(mutant: Mutant) -> None:
    """By its seed, which is right without it; `python -m simulation --mutants` looks for these seeds again."""
    with applied(mutant):
        told = failure(mutant.seed)
    assert mutant.explains(told), f"seed {mutant.seed} says of {mutant.name}: {told}"
    # the first ones are walked above
    assert mutant.seed < SEEDS or failure(mutant.seed) is None, "it is the mutant that is found"


def test_a_failing_walk_is_shrunk() -> None:
    mutant = next(one for one in MUTANTS if one.name == "assign() for subscribe()")
    with applied(mutant):
        ops, broken = walk(mutant.seed)
        shortest = shrink(ops, broken)
        assert len(shortest) < len(ops) / 4
        assert run(World(), shortest, broken) is not None
    assert run(World(), shortest, broken) is None
