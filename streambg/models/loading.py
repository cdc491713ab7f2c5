"""From what a registry holds to a model: the loader of each format, under the registry's policy."""

from __future__ import annotations

from streambg.models.contract import Model
from streambg.models.formats import load_python, load_river
from streambg.models.importing import Source, check_allowed, find_source, parse_entry
from streambg.models.manifest import Manifest
from streambg.models.onnxmodel import load_onnx
from streambg.models.policy import Policy
from streambg.models.sklearnmodel import load_sklearn


def allowed_module(entry: str, policy: Policy, where: str) -> str:
    """The module of an entry; `where`: the file that allows it. Raises ModelError."""
    module, _ = parse_entry(entry)
    check_allowed(module, policy.python_allow, "model", where)
    return module


def found_source(entry: str, policy: Policy, where: str) -> Source:
    """The source of an entry's module as an import finds it, read once. Raises ModelError: not allowed, not there."""
    return find_source(allowed_module(entry, policy, where), "model")


def make_model(manifest: Manifest, artifact: bytes | None, policy: Policy, where: str, source: Source | None) -> Model:
    """The model of checked bytes. where: the file of the policy. source: format python's, of an allowed module.

    Raises ModelError.
    """
    if source is not None:
        return load_python(manifest, artifact, source)
    if manifest.format == "river":
        return load_river(manifest, artifact or b"", policy.allow_pickle)
    if manifest.format == "onnx":
        return load_onnx(manifest, artifact or b"", policy.onnx_threads)
    return load_sklearn(manifest, artifact or b"", policy.skops_allow, where)
