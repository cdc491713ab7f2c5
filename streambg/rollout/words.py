"""Plans in the words of a person. Pure."""

from __future__ import annotations

from streambg.config.values import show_duration
from streambg.rollout.plan import Hours, Step


def shown_step(step: Step) -> str:
    """`3,000 events, at least 5m, within 10m, gates errors, flips, a person`."""
    needs = []
    if step.events:
        needs.append(f"{step.events:,} events")
    if step.at_least_ms:
        needs.append(f"at least {show_duration(step.at_least_ms)}")
    if step.within_ms is not None:
        needs.append(f"within {show_duration(step.within_ms)}")
    if step.gates:
        needs.append(f"gates {', '.join(step.gates)}")
    if step.hours is not None:
        needs.append(shown(step.hours))
    if step.check is not None:
        needs.append(f"{step.check} answers 2xx")
    if step.approval:
        needs.append("a person")
    return "; ".join(needs) or "nothing"


def shown(hours: Hours) -> str:
    """`mon, tue 09:00-17:00 Europe/Berlin`."""
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    clock = "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (hours.opens, hours.closes))
    return f"{', '.join(names[day] for day in hours.days)} {clock} {hours.zone}"
