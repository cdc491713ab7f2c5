"""MLflow as a source of versions: what is new there is pulled into the file registry, and deployed from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from streambg.config import Pipeline
from streambg.continuous.decide import Version
from streambg.continuous.versions import in_registry, version_of
from streambg.control.state import ControlState
from streambg.control.verbs import schema
from streambg.models.manifest import Manifest
from streambg.models.mlflowsource import MlflowSource, Remote
from streambg.models.pulling import add_pulled, ref_of, uri_of
from streambg.models.registry import Registry


@dataclass(frozen=True, slots=True)
class Mlflow:
    """`NAME`: the newest version is pulled, older ones never are. `NAME@alias`: what the alias names at each look."""

    config: Pipeline
    ref: str
    source: MlflowSource

    @staticmethod
    def at(config: Pipeline, ref: str, uri: str | None) -> Mlflow:
        """uri: as MLflow takes it; None: as registry.yaml or the environment says. Raises ConfigError."""
        return Mlflow(config, ref, MlflowSource(uri_of(Registry(config.registry), uri)))

    def __call__(self, _state: ControlState) -> Sequence[Version]:
        """Raises Unreachable, Denied, and ModelError where it cannot be taken into the file registry."""
        remote = self.source.resolve(self.ref) if "@" in self.ref else self.source.newest(self.ref)
        if remote is None:
            return []
        pulled = self._pulled(remote)
        if "@" in self.ref:
            return [version_of(pulled)]
        return in_registry(self.config, pulled.name)

    def _pulled(self, remote: Remote) -> Manifest:
        """From the file registry where it stands there; MLflow's versions never change."""
        registry = Registry(self.config.registry)
        ref = ref_of(remote)
        for listed in registry.list():
            if listed.ref == ref and listed.manifest is not None:
                return listed.manifest
        return add_pulled(registry, schema(self.config), self.source.fetch(remote), datetime.now(UTC))
