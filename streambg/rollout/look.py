"""What the controller sees, put together from the last verdict and the control log. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from streambg.comparing.told import Told
from streambg.control.rollouts import Rollout, Stage
from streambg.rollout.decide import Look, Word

NOTHING = Told("continue", ("there is nobody to judge",), None)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read and asked.

    now_ms: this clock; entered_ms: the broker's, of the record that entered the step; ms since 1970. told: the last
    verdict about the pair in force; None: nobody is to be judged.
    """

    now_ms: int
    entered_ms: int
    told: Told | None
    paused: bool
    lags: tuple[str, ...] = ()
    check: bool | None = None
    broken: str | None = None


def look_of(rollout: Rollout, facts: Facts) -> Look:
    """The verdict as the step in force asks for it."""
    told = facts.told or NOTHING
    record = told.record
    word, reasons = told.word, told.reasons
    if rollout.stage is Stage.RUNNING and word in ("continue", "promote") and record is not None:
        word, reasons = _of_step(rollout, told)
    harmful = rollout.promoted and record is not None and record.watched and word == "abort"
    return Look(
        facts.now_ms,
        facts.entered_ms,
        word,
        reasons,
        evidence=record.digest if record else "",
        events=record.events if record else 0,
        written_ms=record.at_ms if record else None,
        paused=facts.paused,
        harm="; ".join(reasons) if harmful else None,
        lags=facts.lags,
        check=facts.check,
        broken=facts.broken,
    )


def _of_step(rollout: Rollout, told: Told) -> tuple[Word, tuple[str, ...]]:
    """A step may wait for some metrics only: then only they, and what stands in their way, count."""
    assert told.record is not None
    gates = rollout.plan.steps[rollout.step].gates
    ready, reasons = told.record.verdict.step(gates, rollout.approved)
    return ("promote" if ready else "continue"), reasons
