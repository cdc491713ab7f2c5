"""`model.yaml`: what a version is, what it needs, where it comes from; and the digest that names it everywhere.

    digest = "sha256:" + hex(sha256(canonical JSON of {artifact, entry, features, format, outputs, source}))

`artifact` and `source` are SHA-256 hex digests of the artifact's bytes and (format python) of the source file of the
entry's module, null where there is none; `features` is a list of [name, type] in declared order. Format sklearn has
`types` in it, too. So whoever exchanges the artifact, the code or the contract gets another digest than the one in the
control log. Not covered: what the module imports, notes, metrics, library versions, where it came from.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from streambg.errors import ModelError
from streambg.models.contract import FeatureType, Schema
from streambg.models.importing import ENTRY

FILE = "model.yaml"
REGISTRY_FILE = "registry.yaml"
# the same as the control log's pattern of a model, half of its 200 characters each
MAX_PART = 99
PART = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{MAX_PART - 1}}}")
# one folder down, no path
MAX_FILE_NAME = 200
FILE_NAME = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_FILE_NAME - 1}}}$"
# a note and some metrics; a file of another kind under this name is refused before it is parsed
MAX_YAML_BYTES = 1024 * 1024
# The bytes, the model made of them and the other color's stand in one process's memory for a moment.
MAX_ARTIFACT_BYTES = 1024**3

Format = Literal["python", "river", "onnx", "sklearn"]
_ANEW = "the file was edited or damaged; remove the version's folder and add it anew: streambg models add"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """One version's `model.yaml`. `source_sha256`: the entry's module (format python only). `opset`: the operator sets
    of the graph by domain (format onnx only). `types`: what the artifact may hold beyond what skops trusts by itself
    (format sklearn only). `origin`: where it was pulled from, or its code was read from, for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    manifest: Literal[1] = 1
    name: str
    version: str
    format: Format
    entry: str | None = None
    artifact: Annotated[str, Field(pattern=FILE_NAME)] | None = None
    artifact_sha256: Sha256 | None = None
    source_sha256: Sha256 | None = None
    features: dict[str, FeatureType]
    outputs: list[str]
    opset: dict[str, int] | None = None
    types: list[Annotated[str, Field(max_length=200)]] | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    training: str = ""
    origin: str | None = None
    metrics: dict[str, float | int | str] = Field(default_factory=dict)
    created: datetime

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if (self.artifact is None) != (self.artifact_sha256 is None):
            raise ValueError("artifact and artifact_sha256 come together")
        if self.artifact in (FILE, REGISTRY_FILE):
            raise ValueError(f"an artifact cannot be named {self.artifact}")
        if (why := self._lacks()) is not None:
            raise ValueError(f"format {self.format} has {why}")
        try:
            self.schema_of(None, None)
        except ModelError as error:
            raise ValueError(error.what) from error
        return self

    def _lacks(self) -> str | None:
        """What a manifest of this format holds, where this one does not hold it."""
        if self.types is not None and self.format != "sklearn":
            return "no types"
        if self.format == "python":
            fits = self.entry is not None and self.source_sha256 is not None and ENTRY.fullmatch(self.entry) is not None
            return None if fits else "an entry `package.module:Class` and source_sha256"
        if self.artifact is None or self.entry or self.source_sha256:
            return "an artifact and no entry"
        if self.format == "river":
            fits = len(self.outputs) == 1 and bool(self.features) and "river" in self.libraries
            return None if fits else "features, one output, and its river version under libraries"
        if self.format == "onnx":
            fits = bool(self.features) and bool(self.opset) and "onnxruntime" in self.libraries
            return None if fits else "features, opset, and its onnxruntime version under libraries"
        fits = bool(self.features) and self.types is not None and "scikit-learn" in self.libraries
        return None if fits else "features, types, and its scikit-learn version under libraries"

    @property
    def ref(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def digest(self) -> str:
        """What the control log calls this version (see the head of this module)."""
        contract: dict[str, object] = {
            "artifact": self.artifact_sha256,
            "entry": self.entry,
            "features": [[name, kind] for name, kind in self.features.items()],
            "format": self.format,
            "outputs": self.outputs,
            "source": self.source_sha256,
        }
        if self.types is not None:
            contract["types"] = self.types
        return "sha256:" + sha256(msgspec.json.encode(contract, order="deterministic"))

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON knows it. A metric that is not finite, which `add` once took, is the word for it."""
        metrics = {name: value if _finite(value) else str(value) for name, value in self.metrics.items()}
        return self.model_dump(mode="json") | {"metrics": metrics}

    def schema_of(self, decision_output: str | None, decision_threshold: float | None) -> Schema:
        """The version's own contract with a pipeline's decision. Raises ModelError."""
        return Schema(self.features, tuple(self.outputs), decision_output, decision_threshold)

    def check_fits(self, schema: Schema) -> None:
        """Every version fits the pipeline's contract: no feature it does not check, the same outputs.

        Raises ModelError with both sides.
        """
        for name, kind in self.features.items():
            if schema.features.get(name) != kind:
                raise ModelError(
                    f"{self.ref} needs the feature {name} ({kind}), the pipeline declares "
                    f"{schema.features.get(name, 'none of this name')}",
                    way_out="declare it under model.features, or train without it",
                )
        if tuple(self.outputs) != schema.outputs:
            raise ModelError(
                f"{self.ref} answers {self.outputs}, the pipeline's outputs are {list(schema.outputs)}",
                way_out="add a version with the pipeline's outputs, in its order",
            )


def check_file_name(name: str) -> None:
    """Can an artifact's file be called that? Raises ModelError."""
    if re.fullmatch(FILE_NAME, name) is None:
        raise ModelError(
            f"an artifact cannot be named {name[:80]!r}: a file name is of a-z A-Z 0-9 . _ - (first a letter or "
            f"digit), at most {MAX_FILE_NAME} characters",
            way_out="rename the file, then the same again",
        )
    if name in (FILE, REGISTRY_FILE):
        raise ModelError(
            f"an artifact cannot be named {name}: that is the registry's own file",
            way_out="rename the file, then the same again",
        )


def check_metrics(metrics: Mapping[str, float | int | str]) -> None:
    """JSON has no word for a number that is not finite. Raises ModelError."""
    for name, value in metrics.items():
        if not _finite(value):
            raise ModelError(
                f"the metric {name[:80]} is {value}, a finite number or a word is needed",
                way_out="give the number that was measured, or leave the metric out",
            )


def _finite(value: float | int | str) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def sha256(data: bytes) -> str:
    """As 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def parse_ref(ref: str) -> tuple[str, str]:
    """`fraud:8` in two. Raises ModelError; what passes is safe as two folder names."""
    name, _, version = ref.partition(":")
    if PART.fullmatch(name) is None or PART.fullmatch(version) is None or name == REGISTRY_FILE:
        raise ModelError(
            f"{ref[:120]!r} names no model version",
            way_out="it is written name:version, each of a-z 0-9 . _ - (first a letter or digit), "
            f"at most {MAX_PART} characters",
        )
    return name, version


def to_yaml(manifest: Manifest) -> bytes:
    """The bytes of `model.yaml`, the digest as a comment on top for people."""
    fields = manifest.model_dump(exclude_none=True)
    fields["created"] = manifest.created.astimezone(UTC).isoformat(timespec="seconds")
    text = io.StringIO()
    _yaml().dump(fields, text)
    return f"# {manifest.ref} {manifest.digest}\n{text.getvalue()}".encode()


def from_yaml(data: bytes, where: str) -> Manifest:
    """Raises ModelError with the file and what is wrong in it."""
    fields = read_mapping(data, where)
    if isinstance(created := fields.get("created"), str):
        try:
            fields["created"] = datetime.fromisoformat(created)
        except ValueError as error:
            raise ModelError(f"{where}: created: {created[:80]!r} is no time", way_out=_ANEW) from error
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise ModelError(f"{where}: {explain(error)}", way_out=_ANEW) from error


def explain(error: ValidationError) -> str:
    """Pydantic's findings as one line, without the input."""
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, "))))
        for problem in error.errors()
    )


def read_mapping(data: bytes, where: str) -> dict[str, Any]:
    """A YAML file that is one mapping, as plain dicts. Raises ModelError."""
    try:
        fields = _yaml().load(data)
    except (YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ModelError(f"{where} is no YAML: {str(error)[:300]}", way_out=_ANEW) from error
    if not isinstance(fields, dict):
        raise ModelError(f"{where} holds {type(fields).__name__}, a mapping is needed", way_out=_ANEW)
    return fields


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed None; features have an order
    yaml.width = 120
    return yaml
