"""The team's own code that a replay's result follows from: metric functions and the decode hook, by their source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streambg.errors import ConfigError
from streambg.models.importing import code_sha256
from streambg.models.registry import Registry
from streambg.records.gate import KINDS
from streambg.records.rules import Rules


def code_of(rules: Rules, registry: Path) -> dict[str, str]:
    """`module:function` -> `sha256:...` of the module's file. Raises ModelError for what may not or cannot be found."""
    kinds = {metric["kind"] for metric in rules.gate["metrics"]} if rules.gate else set()
    wanted = dict.fromkeys(kinds - KINDS.keys(), "metric")
    if rules.decode is not None:
        wanted[rules.decode] = "decode hook"
    if not wanted:
        return {}
    allowed = Registry(registry).policy().python_allow
    return {entry: f"sha256:{code_sha256(entry, allowed, what)}" for entry, what in sorted(wanted.items())}


def check_code(begun_by: Mapping[str, str], rules: Rules, registry: Path) -> None:
    """begun_by: `document.Identity.versions`. Raises ConfigError where a function is not what the replay began with."""
    changed = [entry for entry, digest in code_of(rules, registry).items() if begun_by.get(entry) != digest]
    if changed:
        raise ConfigError(
            f"the source of {', '.join(changed)} was changed since the replay began",
            way_out="begin a new replay, or put the file back as it was",
        )
