"""The list of scenarios: each is a function that injects its fault into a world under load, or a trial of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chaos.load import SESSION_ENDS, Load

if TYPE_CHECKING:
    from chaos.table import Result
    from chaos.world import World

Inject = Callable[["World", int], bool]
Run = Callable[[str, int, Path], "Result"]
Params = Mapping[str, Mapping[str, object]]  # of the models, by version
Home = Literal["broker", "cluster", "small disk", "its own"]
SHORT, SCALED, FULL = 0, 1, 2
# of the three sizes: events of a run (the short form's load lasts a few seconds beside its faults), events a second
EVENTS = (6_000, 24_000, 100_000)
RATES = (500.0, 1_000.0, 2_000.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`inject(world, count)` returns whether the figure to beat was reached; what can only be said once everything is
    settled it adds to `world.checks`.

    counts: injections of the short form (in `make test`), of `make chaos` and of `make chaos-full`. load: what flows
    meanwhile, so many events at least, at the rates of the three sizes. proxied: the roles whose connections go through
    a proxy. params: more parameters of the models. home: one broker behind that proxy, three nodes, a broker whose disk
    is soon full, or none: the row brings its own.
    """

    row: str
    fault: str
    figure: str
    inject: Inject
    counts: tuple[int, int, int]
    load: Load = field(default_factory=Load)
    proxied: tuple[str, ...] = ()
    params: Params = field(default_factory=dict)
    home: Home = "broker"
    rates: tuple[float, float, float] = RATES
    events: tuple[int, int, int] = EVENTS


@dataclass(frozen=True, slots=True)
class Trial:
    """A row that needs no world under load: `run(bootstrap, count, folder)` says what came of it."""

    fault: str
    run: Run
    counts: tuple[int, int, int]
    home: Home = "broker"


ALL: dict[str, Scenario | Trial] = {}


def scenario(
    row: str,
    fault: str,
    figure: str,
    *,
    counts: tuple[int, int, int],
    publishers: int = 1,
    proxied: tuple[str, ...] = (),
    params: Params | None = None,
    home: Home = "broker",
    rates: tuple[float, float, float] = RATES,
    events: tuple[int, int, int] = EVENTS,
    publish: Mapping[str, object] | None = None,
    session_ends: float = SESSION_ENDS,
) -> Callable[[Inject], Inject]:
    """Puts a function into the list."""

    def enter(inject: Inject) -> Inject:
        load = Load(publishers=publishers, publish=dict(publish or {}), session_ends=session_ends)
        ALL[row] = Scenario(row, fault, figure, inject, counts, load, proxied, params or {}, home, rates, events)
        return inject

    return enter


def trial(row: str, fault: str, *, counts: tuple[int, int, int], home: Home = "broker") -> Callable[[Run], Run]:
    """The same for a row that is no world under load."""

    def enter(run: Run) -> Run:
        ALL[row] = Trial(fault, run, counts, home)
        return run

    return enter


def sized(chosen: Scenario, size: int) -> tuple[Scenario, int]:
    """The scenario with the load of a size, and its number of injections."""
    cutover_s = (3.0, 8.0, 15.0)[size]
    load = replace(chosen.load, events=chosen.events[size], rate=chosen.rates[size], cutover_s=cutover_s)
    return replace(chosen, load=load), chosen.counts[size]
