"""Rollout plans for tests."""

from __future__ import annotations

from typing import Any

from streambg.records.gate import Gate, Metric
from streambg.rollout.plan import Plan, Step

ERRORS = Metric("errors", "error_rate", "guardrail", 0.0, 1.0, "lower", False, margin=0.01, abort_margin=0.005)
GATE = Gate((ERRORS,), {}, 0.05, 0.01, 0.999, 0.95)
MINUTE = 60_000


def plan(*steps: Step, **more: Any) -> Plan:
    """0 %, 10 %, 50 %, promote; gates at each, 1,000 events, 10 minutes."""
    standard = tuple(Step(weight, 1_000, 0, 10 * MINUTE, ("errors",)) for weight in (0, 1_000, 5_000))
    settings: dict[str, Any] = {
        "promotes": True,
        "gate": GATE,
        "on_abort": "shadow",
        "on_inconclusive": "hold",
        "watch_ms": 60 * MINUTE,
        "keep_warm_ms": 120 * MINUTE,
    }
    return Plan(steps=steps or standard, **{**settings, **more})
