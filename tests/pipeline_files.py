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
