"""Recordings of anything that an honest pipeline may have done, for Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from recorded import RULES, Shape

VERBS = ["shift", "shift", "shift", "promote", "promote", "rollback", "abort", "retire", "deploy", "garbage", "pause"]


@st.composite
def commands(draw: st.DrawFn) -> tuple[tuple[float, str, dict[str, object]], ...]:
    """A first deploy, a candidate, then anything: what is not allowed is refused, and changes nothing."""
    said: list[tuple[float, str, dict[str, object]]] = [(0.0, "deploy", {"color": "blue", "model": "fraud:1"})]
    at = 0.0
    for number in range(draw(st.integers(0, 12))):
        at = min(0.99, at + draw(st.sampled_from([0.0, 0.02, 0.1, 0.2])))
        verb = draw(st.sampled_from(VERBS)) if number else "deploy"
        said.append((at, verb, _arguments(draw, verb, number)))
    return tuple(said)


def _arguments(draw: st.DrawFn, verb: str, number: int) -> dict[str, object]:
    color = draw(st.sampled_from(["blue", "green"])) if number else "green"
    if verb == "shift":
        return {"weight": draw(st.sampled_from([0, 100, 5_000, 9_000, 10_000]))}
    if verb == "retire":
        return {"color": color}
    if verb != "deploy":
        return {}
    if draw(st.booleans()):
        return {"color": color, "model": "fraud:1", "rescore": draw(st.booleans())}
    args = {"color": color, "model": f"fraud:{number + 2}", "gives_up_rollback": draw(st.booleans())}
    return {**args, "sample": 3_000} if draw(st.booleans()) else args


RATES = st.sampled_from([0.0, 0.05, 0.4])
OUTAGES = st.lists(st.floats(0, 0.9).map(lambda at: (at, at + 0.1)), max_size=2).map(tuple)
RULE_SETS = st.fixed_dictionaries(
    {
        "late_live_ms": st.sampled_from([None, 500]),
        "late_candidate_ms": st.sampled_from([None, 500, 2_000]),
        "live_failed": st.sampled_from(["candidate", "dead-letter"]),
        "bucket_field": st.sampled_from([None, "machine"]),
    }
).map(lambda rules: {**RULES, **rules})


def shapes(**fixed: Any) -> st.SearchStrategy[Shape]:
    parts: dict[str, Any] = {
        "commands": commands(),
        "rules": RULE_SETS,
        "partitions": st.integers(1, 2),
        "events": st.sampled_from([1, 20, 80]),
        "batch": st.sampled_from([1, 5, 30]),
        "errors": RATES,
        "gaps": RATES,
        "null_keys": RATES,
        "silent": RATES,
        "repeats": RATES,
        "outages": OUTAGES,
        "origin": st.sampled_from([0, 0, 7]),
        "seed": st.integers(0, 10**6),
    }
    return st.builds(Shape, **{**parts, **fixed})
