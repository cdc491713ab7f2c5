"""Where new versions come from: the file registry; mlflow.py has the other source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streambg.config import Pipeline
from streambg.continuous.decide import Version
from streambg.control.state import ControlState
from streambg.models.manifest import Manifest
from streambg.models.registry import Registry

# What one look finds, oldest first.
Source = Callable[[ControlState], Sequence[Version]]


@dataclass(frozen=True, slots=True)
class InRegistry:
    """The file registry. name: of the model; None: that of the live one."""

    config: Pipeline
    name: str | None

    def __call__(self, state: ControlState) -> Sequence[Version]:
        """Nothing where no model has a name yet. Raises ModelError where the registry cannot be read."""
        live = state.live_deployment
        name = self.name or (live.model.partition(":")[0] if live else None)
        return in_registry(self.config, name) if name else ()


def in_registry(config: Pipeline, name: str) -> Sequence[Version]:
    """Of this name, as they came into the file registry: by the time of adding, then by version."""
    listed = [each for each in Registry(config.registry).list() if each.ref.startswith(f"{name}:")]
    found = [each.manifest for each in listed if each.manifest is not None]
    return [version_of(each) for each in sorted(found, key=lambda manifest: manifest.created)]


def version_of(manifest: Manifest) -> Version:
    """As `decide` wants it."""
    return Version(manifest.ref, manifest.digest)
