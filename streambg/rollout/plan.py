"""The rollout plan as the `rollout-start` command carries it (P4): changing a file changes nothing until a new start.

The gate stands in it as well, so that a plan can be read alone; `fits` says whether it is the gate that the candidate's
`deploy` carried. Margins are declared before the run or they mean nothing: with other ones the candidate is deployed
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from streambg.records.foreign import shallow
from streambg.records.gate import Gate, canonical
from streambg.records.rules import Rules

FORMAT = 1

OnAbort = Literal["shadow", "retire"]
OnInconclusive = Literal["hold", "abort"]


@dataclass(frozen=True, slots=True)
class Hours:
    """When a step may be left: on these days (0 is Monday), minutes of the day opens <= t < closes, in this zone."""

    days: tuple[int, ...]
    opens: int
    closes: int
    zone: str


@dataclass(frozen=True, slots=True)
class Step:
    """One weight, and what must be true before the next step.

    weight: hundredths of a percent (P3). events: joined at this weight. at_least_ms, within_ms: how long it takes at
    least, and after how long without a decision it is inconclusive (None: only where there is nothing to decide).
    gates: names of metrics that must be promote-ready, with their segments. approval: then a person is asked. check: an
    address that must answer 2xx.
    """

    weight: int
    events: int = 0
    at_least_ms: int = 0
    within_ms: int | None = None
    gates: tuple[str, ...] = ()
    approval: bool = False
    hours: Hours | None = None
    check: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """promotes: does it end with a promote, or at the last weight, where a person goes on?

    watch_ms: how long harm after the promote rolls back by itself; keep_warm_ms: when the old color is retired.
    """

    steps: tuple[Step, ...]
    promotes: bool
    gate: Gate
    on_abort: OnAbort
    on_inconclusive: OnInconclusive
    watch_ms: int
    keep_warm_ms: int
    format: int = FORMAT

    @staticmethod
    def from_text(text: str) -> Plan:
        """Raises ValueError with what is wrong."""
        plan = msgspec.json.decode(shallow(text), type=Plan)
        names = {metric.name for metric in plan.gate.deciding}
        weights = [step.weight for step in plan.steps]
        if not plan.steps or weights != sorted(set(weights)) or not 0 <= weights[0] <= weights[-1] <= 10_000:
            raise ValueError(f"the weights {weights} of the steps do not rise")
        for number, step in enumerate(plan.steps):
            if set(step.gates) - names:
                raise ValueError(f"step {number} waits for {sorted(set(step.gates) - names)}, which decide nothing")
        return plan

    def text(self) -> str:
        """Canonical JSON: what `rollout-start` carries."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return canonical(plain)

    @property
    def digest(self) -> str:
        """`sha256:...` of `text`."""
        return Rules.digest_of(self.text())

    def fits(self, rules: Rules) -> bool:
        """Is the plan's gate the one that the deploy carried?"""
        return rules.gate is not None and canonical(rules.gate) == canonical(self.gate.data())
