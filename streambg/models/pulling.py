"""From MLflow's names, numbers and bytes to a version of the file registry."""

from __future__ import annotations

import os
import re
from datetime import datetime

from streambg.errors import ConfigError
from streambg.models.contract import Schema
from streambg.models.manifest import MAX_PART, Manifest
from streambg.models.mlflowsource import URI_VARIABLE, Pulled, Remote
from streambg.models.registry import NewVersion, Registry


def uri_of(registry: Registry, given: str | None) -> str:
    """Which MLflow to ask. Raises ConfigError where nobody says."""
    uri = given or registry.policy().mlflow or os.environ.get(URI_VARIABLE)
    if not uri:
        raise ConfigError(
            "nobody says where the MLflow registry is",
            way_out=f"`mlflow: http://HOST:5000` in {registry.path / 'registry.yaml'}, or --mlflow, or {URI_VARIABLE}",
        )
    return uri


def add_pulled(
    registry: Registry,
    declared: Schema | None,
    pulled: Pulled,
    created: datetime,
    *,
    ref: str | None = None,
    outputs: tuple[str, ...] | None = None,
) -> Manifest:
    """The version in the file registry; its features are those of its signature, else the pipeline's (`declared`).

    Raises ModelError: it does not load here, or stands already with other bytes; ConfigError: no contract.
    """
    described = pulled.described
    features = described.features or (declared.features if declared else None)
    names = outputs or (declared.outputs if declared else None)
    if features is None or names is None:
        raise ConfigError(
            f"no contract: {pulled.remote} has no signature with named columns, or no pipeline file says the outputs",
            way_out="start beside a pipeline.yaml, give -p FILE; log the model with a signature; --outputs",
        )
    return registry.add(
        NewVersion(
            ref or ref_of(pulled.remote),
            described.format,
            features,
            names,
            created,
            artifact=pulled.artifact,
            artifact_name=described.file,
            types=described.types,
            origin=f"mlflow models:/{pulled.remote.name}/{pulled.remote.version}"
            + (f" run {pulled.remote.run}" if pulled.remote.run else ""),
        )
    )


def ref_of(remote: Remote) -> str:
    """MLflow's name and number as a version of the file registry: `Fraud Model` 12 is fraud-model:12."""
    name = re.sub(r"[^a-z0-9._-]+", "-", remote.name.lower()).strip("-._")[:MAX_PART]
    return f"{name}:{remote.version}"
