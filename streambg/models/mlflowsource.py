"""MLflow as a source of versions: one is pulled into the file registry once; scorers load from there, not from MLflow.

So a registry that is down, or a file that is exchanged in it, concerns nobody who scores: what was pulled is named by
the digest of its bytes. An alias (`Fraud@champion`) is resolved once, to the number of a version, before anything is
read. Of a version's folder two files are read: `MLmodel`, which says what it is, and the one file that is the model.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streambg.config.redaction import redact_text
from streambg.errors import ConfigError, Denied, ModelError, StreambgError, Unreachable
from streambg.models.folder import read_below
from streambg.models.manifest import FILE_NAME, MAX_ARTIFACT_BYTES, MAX_YAML_BYTES
from streambg.models.mlmodel import Described, describe
from streambg.models.reasons import words

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "MLFLOW_TRACKING_URI"
DESCRIPTION = "MLmodel"
# What MLflow asks of a name, and no quotes, which its search would take for the end of it.
_REF = re.compile(r"(?P<name>[^/:@'\"\x00-\x1f]{1,200})(?::(?P<version>[0-9]{1,18})|@(?P<alias>[A-Za-z0-9_.-]{1,200}))")
# By default the client asks seven times with doubled pauses, four minutes in all, and tells its makers what it is used
# for. A person waits for this one; who needs more sets the variable.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# What the client says of a name, version, alias or file that is not there; of a file only in words.
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")
# Versions of one model that a search gives at once; the newest come first.
PAGE = 100


@dataclass(frozen=True, slots=True)
class Remote:
    """A version in MLflow. `run`: the run that made it, where it says so."""

    name: str
    version: str
    run: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True)
class Pulled:
    """The bytes of a version and what MLflow says of it."""

    remote: Remote
    described: Described
    artifact: bytes


class MlflowSource:
    """The models of one MLflow registry, asked anew each time. `uri` as MLflow takes it: http://..., or a store's."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._known: MlflowClient | None = None

    def resolve(self, ref: str) -> Remote:
        """`NAME@alias` or `NAME:VERSION` as one version. Raises ModelError (none such), Unreachable, Denied."""
        match = _REF.fullmatch(ref)
        if match is None:
            raise ModelError(
                f"{ref[:120]!r} names no version in MLflow",
                way_out="it is written NAME@alias, for example Fraud@champion, or NAME:VERSION, for example Fraud:12",
            )
        with self._asking(ref):
            name = match["name"]
            if match["alias"] is not None:
                found = self._client().get_model_version_by_alias(name, match["alias"])
            else:
                found = self._client().get_model_version(name, match["version"])
        return Remote(found.name, str(found.version), found.run_id or "")

    def aliases(self, name: str) -> dict[str, str]:
        """Alias -> version number, as they stand now. Raises as `resolve`."""
        with self._asking(name):
            found = self._client().get_registered_model(name).aliases
        return {alias: str(version) for alias, version in found.items()}

    def newest(self, name: str) -> Remote | None:
        """The version with the largest number; None where there is none. Raises as `resolve`."""
        with self._asking(name):
            self._client().get_registered_model(name)  # a search for a name that is not there finds just nothing
            found = self._client().search_model_versions(f"name='{name}'", PAGE, ["version_number DESC"])
        newest = max(found, key=lambda version: int(version.version), default=None)
        return None if newest is None else Remote(newest.name, str(newest.version), newest.run_id or "")

    def fetch(self, remote: Remote) -> Pulled:
        """What stands behind a version, each file downloaded and read once.

        Raises ModelError (no single file that may be loaded, too large), Unreachable, Denied.
        """
        with tempfile.TemporaryDirectory(prefix="streambg-pull-") as folder:
            text = self._file(remote, DESCRIPTION, Path(folder), MAX_YAML_BYTES)
            described = describe(str(remote), text)
            if re.fullmatch(FILE_NAME, described.file) is None:
                raise ModelError(
                    f"{remote}: {DESCRIPTION} names the file {described.file[:120]!r}, which is no plain name",
                    way_out="log the model anew; its folder holds the file itself",
                )
            return Pulled(remote, described, self._file(remote, described.file, Path(folder), MAX_ARTIFACT_BYTES))

    def _file(self, remote: Remote, name: str, folder: Path, limit: int) -> bytes:
        with self._asking(f"{remote} {name}"):
            self._client()
            from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - likewise

            download_artifacts(f"models:/{remote.name}/{remote.version}/{name}", dst_path=str(folder))
        try:
            return read_below(folder, (name,), limit)
        except FileNotFoundError as error:
            raise ModelError(f"{remote} has no file {name}", way_out="log the model anew") from error

    def _client(self) -> MlflowClient:
        if self._known is None:
            for name, value in _ENVIRONMENT.items():
                os.environ.setdefault(name, value)
            try:
                import mlflow  # noqa: PLC0415 - it comes with an extra, and costs seconds
            except ImportError as error:
                raise ModelError(
                    f"this needs the library {error.name or 'mlflow'}, which is not installed here",
                    way_out="pip install 'streambg[mlflow]', where versions are pulled; scorers do not need it",
                ) from error
            mlflow.set_tracking_uri(self.uri)  # a download takes it from nowhere else
            mlflow.set_registry_uri(self.uri)
            self._known = mlflow.MlflowClient()
        return self._known

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Whatever the client raises, as ours."""
        try:
            yield
        except StreambgError:
            raise
        except Exception as error:  # MLflow's, and those of each store's own client
            raise self._translated(what, error) from error

    def _translated(self, what: str, error: Exception) -> StreambgError:
        code, said = str(getattr(error, "error_code", "")), redact_text(words(error))[:500]
        where = f"the MLflow registry {redact_text(self.uri)}"
        if "unsupported URI" in said:
            return ConfigError(
                f"{where}: {said}",
                way_out="give the address of an MLflow server (http://HOST:5000); a database needs all of mlflow here",
            )
        if code in _NOT_THERE or any(word in said for word in (*_NOT_THERE, "No such artifact")):
            return ModelError(
                f"{where} has no {what}: {said}",
                way_out="look which versions, aliases and files it has (MLflow's Models page)",
            )
        if code in ("PERMISSION_DENIED", "UNAUTHENTICATED") or re.search(r"error code 40[13]\b", said):
            return Denied(
                f"{where} refuses {what}: {said}",
                way_out="MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN, say who asks",
            )
        return Unreachable(
            f"{where} did not give {what}: {type(error).__name__}: {said}",
            way_out=f"is it up, and {URI_VARIABLE} (or --mlflow, or registry.yaml's mlflow) right? what was pulled "
            "before stands in the registry and can be deployed",
        )
