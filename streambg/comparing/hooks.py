"""The team's own metric functions, imported by name from where the registry's policy allows code to come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streambg.comparing.pair import Terms
from streambg.deciding.kinds import Hook
from streambg.models.importing import import_entry
from streambg.models.registry import Registry
from streambg.records.gate import KINDS


def with_hooks(terms: Terms, registry: Path) -> Terms:
    """The terms with the functions of their gate. Raises ModelError for what may not or cannot be imported."""
    wanted = sorted({metric.kind for metric in terms.gate.metrics} - KINDS.keys()) if terms.gate else []
    if not wanted:
        return terms
    allowed = Registry(registry).policy().python_allow
    hooks: dict[str, Hook] = {kind: import_entry(kind, allowed, what="metric") for kind in wanted}
    return replace(terms, hooks=hooks)
