"""Measures the pieces that were asked for, on one broker, and keeps what came of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import KafkaException

from benchmarks.peers import ours, results
from benchmarks.peers.bench import FULL, QUICK, RUNS, Bench
from benchmarks.peers.contest import Contest
from benchmarks.peers.peer import ROWS, Guarantee, Row
from benchmarks.peers.results import Cell, Found
from benchmarks.peers.roster import PEERS
from benchmarks.peers.topics import Topics
from streambg import servers
from streambg.errors import ConfigError, StreambgError

BUILD = ours.ROOT / "build" / "peers"

# The contender that needs nothing but our own environment.
WARMS = "raw-client"

Say = Callable[[str], None]


class Contender(Protocol):
    """A peer, or streambg."""

    def pieces(self) -> list[tuple[Guarantee, Row]]: ...
    def measure(self, guarantee: Guarantee, row: Row) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """`only`: names, or name:row; empty: everything."""

    only: tuple[str, ...] = ()
    quick: bool = False
    build: Path = BUILD

    @property
    def results(self) -> Path:
        """Quick figures never mix with real ones."""
        return self.build / ("results-quick" if self.quick else "results")


def names() -> list[str]:
    """Every contender's, streambg first."""
    return [ours.NAME, *(peer.name for peer in PEERS)]


def chosen(only: Sequence[str]) -> dict[str, frozenset[Row]]:
    """Which rows of which contenders. Raises ConfigError for a name or row that there is not."""
    picked: dict[str, set[Row]] = {}
    for word in only or names():
        name, _, row = word.partition(":")
        if name not in names():
            raise ConfigError(f"--only {word}: there is no {name!r}", way_out=f"one of {', '.join(names())}")
        rows = [each for each in ROWS if not row or each == row]
        if not rows:
            raise ConfigError(f"--only {word}: there is no row {row!r}", way_out=f"one of {', '.join(ROWS)}")
        picked.setdefault(name, set()).update(rows)
    return {name: frozenset(picked[name]) for name in names() if name in picked}


def run(wanted: Wanted, say: Say) -> bool:
    """Measure; whether every piece has figures. What went wrong in a piece is kept in its cell."""
    picked = chosen(wanted.only)
    for peer in PEERS:
        if peer.name in picked:
            say(f"{peer.title} {peer.version()}: its environment")
            peer.make(wanted.build)
    _forget_old_runs(wanted.build / RUNS)
    with servers.start("local", fast_start=False, progress=say) as started:
        assert started.kafka is not None
        assert started.kafka.pid is not None
        assert started.bootstrap is not None
        say(f"broker: {started.kafka.how}")
        bench = Bench(
            started.bootstrap,
            started.redis_url or "",
            started.kafka.pid,
            Topics(started.bootstrap),
            wanted.build,
            QUICK if wanted.quick else FULL,
        )
        _warm(bench, say)
        fine = True
        for name, contender in _contenders(bench, picked).items():
            for guarantee, row in contender.pieces():
                if row in picked[name]:
                    fine &= _piece(wanted, name, contender, (guarantee, row), say)
        return fine


def _forget_old_runs(runs: Path) -> None:
    """Each run has a folder named by its process; logs stay until the next run."""
    for old in runs.glob("*"):
        if not Path("/proc", old.name).exists():
            shutil.rmtree(old, ignore_errors=True)


def _warm(bench: Bench, say: Say) -> None:
    """Whoever comes first would else pay for a broker whose JVM has not compiled its way yet."""
    say("warming the broker: the loop by hand, not measured")
    loop = next(peer for peer in PEERS if peer.name == WARMS)
    for guarantee in loop.guarantees:
        Contest(loop, bench).measure(guarantee, "hop")


def _contenders(bench: Bench, picked: Mapping[str, frozenset[Row]]) -> dict[str, Contender]:
    found: dict[str, Contender] = {}
    if ours.NAME in picked:
        found[ours.NAME] = ours.Ours(bench)
    found.update({peer.name: Contest(peer, bench) for peer in PEERS if peer.name in picked})
    return found


def version_of(name: str) -> str:
    """Of what is measured under this name."""
    return next((peer.version() for peer in PEERS if peer.name == name), None) or ours.version()


def _piece(wanted: Wanted, name: str, contender: Contender, piece: tuple[Guarantee, Row], say: Say) -> bool:
    guarantee, row = piece
    figures, error = None, None
    try:
        figures = contender.measure(guarantee, row)
        say(f"{name} {guarantee} {row}: {words(row, figures)}")
    except (StreambgError, KafkaException, ValueError) as problem:
        error = str(problem)
        say(f"{name} {guarantee} {row}: FAILED: {error}")
    found = results.read(wanted.results, name)
    found.cells[piece] = Cell(results.now(), version_of(name), wanted.quick, figures, error)
    results.write(wanted.results, found)
    return error is None


def words(row: Row, figures: Mapping[str, Any]) -> str:
    """A row's figures in a few words."""
    match row:
        case "latency":
            if figures["p50"] is None:
                return f"does not keep up: {figures['seen']:,} of {figures['sent']:,} in time"
            return f"p50 {figures['p50']:.0f} ms, p99 {figures['p99']:.0f} ms"
        case "crash":
            counted = figures["tally"]
            return (
                f"{figures['kills']} kills: lost {counted['lost']:,}, doubled {counted['doubled']:,} "
                f"of {counted['owed']:,}; back after {figures['back_s']:.1f} s; "
                f"ended by itself {figures['ended']} times; {figures['note']}"
            )
        case _:
            rate = figures["rate"]
            return (
                f"{rate['per_second']:,.0f} a second, CPU {rate['cpu_us']:.1f} us (broker {rate['broker_us']:.1f}), "
                f"{figures['peak_mb']:.0f} MB"
            )


def everything(wanted: Wanted) -> dict[str, Found]:
    """What is known of all contenders, from this run and those before."""
    return {name: results.read(wanted.results, name) for name in names()}
