"""The list of scenarios: each is a function that injects its fault into a world under load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from chaos.world import Load

if TYPE_CHECKING:
    from chaos.world import World

Inject = Callable[["World", int], bool]
SHORT, SCALED, FULL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Scenario:
    """`inject(world, count)` returns whether the figure to beat was reached.

    counts: injections of the short form (in `make test`), of `make chaos` and of `make chaos-full`. load: what flows
    meanwhile. proxied: the roles whose connections go through a proxy.
    """

    row: str
    fault: str
    figure: str
    inject: Inject
    counts: tuple[int, int, int]
    load: Load = field(default_factory=Load)
    proxied: tuple[str, ...] = ()


ALL: dict[str, Scenario] = {}
# events of a run: the short form's load lasts a few seconds beside its faults
EVENTS = (6_000, 30_000, 100_000)
RATES = (500.0, 1_000.0, 2_000.0)


def scenario(
    row: str,
    fault: str,
    figure: str,
    *,
    counts: tuple[int, int, int],
    publishers: int = 1,
    proxied: tuple[str, ...] = (),
) -> Callable[[Inject], Inject]:
    """Puts a function into the list."""

    def enter(inject: Inject) -> Inject:
        ALL[row] = Scenario(row, fault, figure, inject, counts, Load(publishers=publishers), proxied)
        return inject

    return enter


def sized(chosen: Scenario, size: int) -> tuple[Scenario, int]:
    """The scenario with the load of a size, and its number of injections."""
    load = replace(chosen.load, events=EVENTS[size], rate=RATES[size], cutover_s=(3.0, 8.0, 15.0)[size])
    return replace(chosen, load=load), chosen.counts[size]
