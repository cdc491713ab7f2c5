"""Pipeline files for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streambg.config import Pipeline, load

SMALL = """\
pipeline: {name}
kafka:
  bootstrap: {bootstrap}
redis: redis://127.0.0.1:6379/0
input:
  topic: {name}-events
  format: json
output: {{topic: {name}-alerts}}
model:
  features: {{f1: number}}
  outputs: [score]
  decision: {{output: score, threshold: 0.5}}
"""


def small(name: str = "fraud", bootstrap: str = "127.0.0.1:9092") -> str:
    """The text of a pipeline file with nothing but what it must have."""
    return SMALL.format(name=name, bootstrap=bootstrap)


def write(directory: Path, text: str) -> Path:
    path = directory / "pipeline.yaml"
    path.write_text(text)
    return path


def loaded(directory: Path, text: str, env: Mapping[str, str] | None = None) -> Pipeline:
    return load(write(directory, text), env or {})


DECIDING = """\
labels: {topic: outcomes, key: event_id, value: label, horizon: 60s}
segments: {machine: [m1, m2], tier: [1, 2]}
metrics:
  correct: {kind: correctness, role: goal, margin: 0.5%, segments: [machine, tier], segment_margin: 2%}
  cost: {kind: "kpi:missed", role: diagnostic, better: lower, range: [0, 50]}
  errors: {kind: error_rate, role: guardrail, margin: 1%}
  flips: {kind: flip_rate, role: guardrail, margin: 3%, floor: 0.5%}
  slow: {kind: latency_over, role: guardrail, margin: 2%, limit: 200ms, abort_margin: 0%}
rollout:
  steps:
    - {weight: 0, events: 3000, within: 10m, gates: [errors, flips]}
    - {weight: 12.5, within: 1h, at_least: 5m, hours: mon-fri 09:00-17:00 Europe/Berlin, check: "http://a:1/ok"}
    - {weight: 50, within: 10m, gates: all, approval: true}
    - promote
"""


def deciding(name: str = "fraud") -> str:
    """`small` with everything that decides about a candidate, a key a line where tests change it."""
    return small(name).replace("  format: json\n", "  format: json\n  carry: [event_id, machine, tier]\n") + DECIDING
