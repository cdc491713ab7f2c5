"""The file registry: `<registry>/<name>/<version>/` with `model.yaml` and the artifact; a version never changes.

`<registry>/registry.yaml` says what may be loaded from here at all:

    allow_pickle: false          # true: format river may be loaded
    python_allow: [acme.models]  # modules that format python may load, with those below them
    keep_source: false           # true: their code is copied into each version, and run from here
    onnx_threads: 1              # format onnx: threads of one operator
    skops_allow: [acme.Scaler]   # types that format sklearn may make, beyond those that skops trusts by itself
    mlflow: http://host:5000     # where `streambg models pull` asks
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streambg.errors import ModelError
from streambg.models.contract import Model
from streambg.models.folder import DAMAGED, read_below, write_version
from streambg.models.importing import Source
from streambg.models.keeping import file_name, kept_source, to_keep
from streambg.models.libraries import recorded_versions
from streambg.models.loading import allowed_module, found_source, make_model
from streambg.models.manifest import (
    FILE,
    MAX_ARTIFACT_BYTES,
    MAX_YAML_BYTES,
    PART,
    REGISTRY_FILE,
    Format,
    Manifest,
    check_file_name,
    check_metrics,
    explain,
    from_yaml,
    parse_ref,
    sha256,
    to_yaml,
)
from streambg.models.onnxfile import read_opsets
from streambg.models.policy import WAY_OUT as POLICY_WAY_OUT
from streambg.models.policy import Policy, policy_text, read_policy

# Versions, or models, that one message names; whoever has more knows `streambg models list`.
MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What `add` needs. `created`: the time of adding. `libraries`: distributions whose versions are recorded too.

    `types`: format sklearn, see `Manifest`. `origin`: where it was pulled from.
    """

    ref: str
    format: Format
    features: Mapping[str, str]
    outputs: tuple[str, ...]
    created: datetime
    entry: str | None = None
    artifact: bytes | None = None
    artifact_name: str = "artifact"
    training: str = ""
    metrics: Mapping[str, float | int | str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A version folder: its manifest, or what is wrong with it."""

    ref: str
    manifest: Manifest | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model made from bytes whose digest is `manifest.digest`."""

    manifest: Manifest
    model: Model


class Registry:
    """The versions below one folder. Nothing is cached: what is asked is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._policy_file = str(path / REGISTRY_FILE)

    @staticmethod
    def create(path: Path, policy: Policy) -> Registry:
        """A registry under this policy; one that stands already must have the same. Raises ModelError."""
        registry = Registry(path)
        path.mkdir(parents=True, exist_ok=True)
        try:
            with open(path / REGISTRY_FILE, "x", encoding="utf-8") as stream:
                stream.write(policy_text(policy))
        except FileExistsError:
            if (stands := registry.policy()) != policy:
                raise ModelError(
                    f"{path / REGISTRY_FILE} says {stands}, {policy} was asked for",
                    way_out="edit the file; who may run code in the scorers is a person's decision",
                ) from None
        return registry

    def policy(self) -> Policy:
        """What may be loaded from here; nothing, where `registry.yaml` is missing. Raises ModelError."""
        try:
            data = read_below(self.path, (REGISTRY_FILE,), MAX_YAML_BYTES, way_out=self._mend_policy())
        except FileNotFoundError:
            return Policy()
        return read_policy(data, self._policy_file)

    def _mend_policy(self) -> str:
        """No version is damaged where this file is: none is to be added anew."""
        return f"put a plain file in the place of {self._policy_file}: {POLICY_WAY_OUT}"

    def get(self, ref: str) -> Manifest:
        """The manifest of `name:version`. Raises ModelError: not there, not readable, of another version."""
        try:
            return self._read(ref)
        except FileNotFoundError as error:
            raise ModelError(
                f"{ref} is not in the registry {self.path}: {self._instead(parse_ref(ref)[0])}",
                way_out=f"name one of them, or add it: streambg models add {ref} ...",
            ) from error

    def _instead(self, name: str) -> str:
        refs = [listed.ref for listed in self.list()]
        if same := [ref for ref in refs if ref.startswith(f"{name}:")]:
            return f"of {name} there is {', '.join(same[-MAX_NAMED:])}"
        names = sorted({ref.partition(":")[0] for ref in refs})
        return f"of {name} there is no version; there is {', '.join(names[:MAX_NAMED]) or 'none of any model'}"

    def _read(self, ref: str) -> Manifest:
        name, version = parse_ref(ref)
        where = self.path / name / version / FILE
        manifest = from_yaml(read_below(self.path, (name, version, FILE), MAX_YAML_BYTES), str(where))
        if manifest.ref != ref:
            raise ModelError(f"{where} is the manifest of {manifest.ref}", way_out="folders are not copied; add anew")
        return manifest

    def list(self) -> list[Listed]:
        """Every version, by name, then version with numbers as numbers; a broken one says what is wrong."""
        refs = [
            f"{folder.parent.name}:{folder.name}"
            for folder in self.path.glob("*/*")
            if folder.is_dir() and PART.fullmatch(folder.name) and PART.fullmatch(folder.parent.name)
        ]
        return [self._listed(ref) for ref in sorted(refs, key=_natural)]

    def _listed(self, ref: str) -> Listed:
        try:
            return Listed(ref, self._read(ref))
        except FileNotFoundError:
            return Listed(ref, None, f"no {FILE}")
        except ModelError as error:
            return Listed(ref, None, error.what)

    def load(self, ref: str, expected_digest: str) -> LoadedModel:
        """The model, made from the very bytes that were hashed; `expected_digest` is the control log's.

        Raises ModelError: not there, another digest, not allowed here, another library version, code that raises.
        """
        manifest = self.get(ref)
        if manifest.digest != expected_digest:
            raise ModelError(
                f"{ref} in {self.path} has the digest {manifest.digest}, {expected_digest} is expected",
                way_out="restore the version that was deployed, or add the new one under another version and deploy it",
            )
        policy = self.policy()
        artifact, source = self._artifact(manifest), self._source(manifest, policy)
        return LoadedModel(manifest, make_model(manifest, artifact, policy, self._policy_file, source))

    def mismatch(self, ref: str, expected_digest: str) -> str | None:
        """Why no scorer that reads this registry can load what was deployed; None: it stands there, byte for byte.

        Nothing is loaded. Raises ModelError where the version is not here, or cannot be read: that says nothing of it.
        """
        manifest = self.get(ref)
        if manifest.digest != expected_digest:
            return f"{ref} in {self.path} has the digest {manifest.digest}, {expected_digest} was deployed"
        data = self._bytes(manifest)
        if data is not None and (found := sha256(data)) != manifest.artifact_sha256:
            return f"{ref} in {self.path}: {manifest.artifact} has the SHA-256 {found}, not {manifest.artifact_sha256}"
        source = self.kept_source(manifest)
        if source is not None and (found := sha256(source.data)) != manifest.source_sha256:
            return f"{ref}: {source.file} has the SHA-256 {found}, not {manifest.source_sha256}"
        return None

    def kept_source(self, manifest: Manifest) -> Source | None:
        """The version's own copy of its code; None: there is none, or this registry runs none. Raises ModelError."""
        if manifest.format != "python" or not self.policy().keep_source:
            return None
        return kept_source(self.path, manifest)

    def add(self, new: NewVersion) -> Manifest:
        """Write a version, all of it or nothing; it must load here first. The same content again changes nothing.

        Raises ModelError: not allowed here, does not load, cannot be written down, or stands with other content.
        """
        name, version = parse_ref(new.ref)
        if new.artifact is not None and len(new.artifact) > MAX_ARTIFACT_BYTES:
            raise ModelError(
                f"the artifact has {len(new.artifact)} bytes, the limit is {MAX_ARTIFACT_BYTES}",
                way_out="give a smaller file",
            )
        if new.artifact is not None:
            check_file_name(new.artifact_name)
        check_metrics(new.metrics)
        policy = self.policy()
        source = found_source(new.entry, policy, self._policy_file) if new.format == "python" and new.entry else None
        if source is not None and policy.keep_source:
            source = to_keep(self.path, name, version, source, new.artifact_name if new.artifact is not None else None)
        manifest = self._describe(new, name, version, source)
        if (self.path / name / version).exists():
            return self._same(manifest)
        make_model(manifest, new.artifact, policy, self._policy_file, source)
        files = {FILE: to_yaml(manifest)}
        if manifest.artifact is not None and new.artifact is not None:
            files[manifest.artifact] = new.artifact
        if source is not None and source.kept is not None:
            files[file_name(source)] = source.data
        write_version(self.path, name, version, files)
        return self._same(manifest)

    def _describe(self, new: NewVersion, name: str, version: str, source: Source | None = None) -> Manifest:
        opset = read_opsets(new.ref, new.artifact) if new.format == "onnx" and new.artifact is not None else None
        fields: dict[str, Any] = {
            "name": name,
            "version": version,
            "format": new.format,
            "entry": new.entry,
            "features": dict(new.features),
            "outputs": list(new.outputs),
            "opset": opset,
            "libraries": recorded_versions(new.format, new.libraries),
            "types": sorted(set(new.types)) if new.format == "sklearn" or new.types else None,
            "training": new.training,
            "origin": new.origin or (source.file if source else None),
            "metrics": dict(new.metrics),
            "created": new.created,
        }
        if new.artifact is not None:
            fields |= {"artifact": new.artifact_name, "artifact_sha256": sha256(new.artifact)}
        if source is not None:
            fields["source_sha256"] = sha256(source.data)
        try:
            return Manifest.model_validate(fields)
        except ValidationError as error:
            raise ModelError(f"{new.ref}: {explain(error)}", way_out="streambg models add --help") from error

    def _same(self, manifest: Manifest) -> Manifest:
        listed = self._listed(manifest.ref)
        if (stands := listed.manifest) is None:
            raise ModelError(
                f"{manifest.ref} stands in {self.path}, but {listed.problem}",
                way_out="look what it is, remove the folder, add the version anew",
            )
        if stands.digest == manifest.digest:
            return stands
        raise ModelError(
            f"{manifest.ref} stands already with the digest {stands.digest}, this one has {manifest.digest}",
            way_out="versions never change; add it under a new version",
        )

    def _bytes(self, manifest: Manifest) -> bytes | None:
        if manifest.artifact is None:
            return None
        try:
            return read_below(self.path, (manifest.name, manifest.version, manifest.artifact), MAX_ARTIFACT_BYTES)
        except FileNotFoundError as error:
            raise ModelError(f"{manifest.ref}: the artifact {manifest.artifact} is missing", way_out=DAMAGED) from error

    def _artifact(self, manifest: Manifest) -> bytes | None:
        data = self._bytes(manifest)
        if data is None:
            return None
        if (found := sha256(data)) != manifest.artifact_sha256:
            raise ModelError(
                f"{manifest.ref}: {manifest.artifact} has the SHA-256 {found}, {FILE} says {manifest.artifact_sha256}",
                way_out="the file was exchanged or damaged; restore it, or add it as a new version",
            )
        return data

    def _source(self, manifest: Manifest, policy: Policy) -> Source | None:
        """What makes a python version's model: its own copy, else the module as an import finds it."""
        if manifest.format != "python":
            return None
        allowed_module(manifest.entry or "", policy, self._policy_file)
        kept = kept_source(self.path, manifest) if policy.keep_source else None
        return kept or found_source(manifest.entry or "", policy, self._policy_file)


def _natural(ref: str) -> tuple[str, list[tuple[int, str]]]:
    name, _, version = ref.partition(":")
    return name, [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version) if part]
