"""A3: what somebody may put in the place of a model is refused, and nothing of it has run.

Each artifact would make a folder, the canary, if it were loaded by who believes it.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import onnx
import pytest
import skops.io
from model_versions import new, overwrite, river_pickle
from onnx_graphs import logistic
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from streambg.errors import ModelError
from streambg.models import registry as registries
from streambg.models.folder import write_version
from streambg.models.manifest import Manifest, sha256
from streambg.models.policy import Policy
from streambg.models.registry import NewVersion, Registry


class Runs:
    """Makes the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "models", Policy())


def evil_pickle(canary: Path) -> bytes:
    return pickle.dumps(Runs(canary))


def evil_joblib(canary: Path) -> bytes:
    path = canary.with_suffix(".joblib")
    joblib.dump(Runs(canary), path)
    return path.read_bytes()


def evil_skops(canary: Path) -> bytes:
    """What is there to be called stands in a transformer, its argument beside it."""
    return bytes(skops.io.dumps(make_pipeline(FunctionTransformer(os.mkdir), LogisticRegression())))


def outside_onnx(where: str) -> bytes:
    graph = onnx.ModelProto.FromString(logistic([1.0, 1.0]))
    weights = graph.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=where)
    return bytes(graph.SerializeToString())


def sklearn_version(data: bytes) -> NewVersion:
    return new(format="sklearn", artifact=data, artifact_name="model.skops")


def onnx_version(data: bytes) -> NewVersion:
    return new(format="onnx", artifact=data, artifact_name="model.onnx")


def refused_unrun(call: Callable[[], object], canary: Path, what: str) -> ModelError:
    with pytest.raises(ModelError, match=what) as caught:
        call()
    assert not canary.exists(), "it ran"
    return caught.value


def test_the_artifacts_would_do_harm_to_who_believes_them(canary: Path) -> None:
    """Else the tests below show nothing."""
    for believed in (lambda: pickle.loads(evil_pickle(canary)), lambda: joblib.load(canary.with_suffix(".joblib"))):
        evil_joblib(canary)
        believed()
        canary.rmdir()
    trusting = skops.io.loads(evil_skops(canary), trusted=["posix.mkdir"])
    trusting.steps[0][1].transform(str(canary))
    assert canary.exists()


@pytest.mark.parametrize(
    ("artifact", "as_version", "what"),
    [
        (evil_pickle, lambda data: new(artifact=data, artifact_name="model.pkl"), "a pickle, and loading one runs"),
        (evil_pickle, sklearn_version, "no skops file"),
        (evil_pickle, onnx_version, "no ONNX file"),
        (evil_joblib, sklearn_version, "no skops file"),
        (evil_skops, sklearn_version, "holds posix.mkdir, which is not declared"),
        (lambda canary: evil_skops(canary)[:-50], sklearn_version, "no skops file"),
        (lambda canary: outside_onnx("../weights.bin"), onnx_version, r"other files \(../weights.bin\)"),
        (lambda canary: outside_onnx(str(canary)), onnx_version, "other files"),
    ],
    ids=[
        "pickle",
        "pickle as skops",
        "pickle as onnx",
        "joblib renamed .skops",
        "skops with a forbidden type",
        "skops cut off",
        "onnx with data ../",
        "onnx with data at a path",
    ],
)
def test_A3_it_is_refused_when_it_is_added_and_when_it_was_put_there(
    registry: Registry, canary: Path, artifact: Callable[[Path], bytes], as_version: Any, what: str
) -> None:
    version: NewVersion = as_version(artifact(canary))
    refused_unrun(lambda: registry.add(version), canary, what)
    assert registry.list() == []
    manifest = put_there(registry, version)
    refused_unrun(lambda: registry.load(manifest.ref, manifest.digest), canary, what)


def put_there(registry: Registry, version: NewVersion) -> Manifest:
    """A version as somebody writes it who may write into the registry, with digests that fit."""
    manifest = registry._describe(harmless(version), "fraud", "8")
    assert version.artifact is not None
    manifest = manifest.model_copy(update={"artifact_sha256": sha256(version.artifact)})
    files = {registries.FILE: registries.to_yaml(manifest), version.artifact_name: version.artifact}
    write_version(registry.path, "fraud", "8", files)
    assert registry.get("fraud:8") == manifest
    return manifest


def harmless(version: NewVersion) -> NewVersion:
    """Describing a graph reads it."""
    return onnx_version(logistic([1.0, 1.0])) if version.format == "onnx" else version


@pytest.fixture
def trusting(tmp_path: Path) -> Registry:
    """A registry whose owner allows pickles: what was not deployed must not run here either."""
    return Registry.create(tmp_path / "trusting", Policy(allow_pickle=True))


@pytest.fixture
def added(trusting: Registry) -> Manifest:
    return trusting.add(new(artifact=river_pickle(), artifact_name="model.pkl"))


def test_A3_a_symbolic_link_is_refused(trusting: Registry, added: Manifest, canary: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.pkl"
    outside.write_bytes(evil_pickle(canary))
    path = trusting.path / "fraud" / "8" / "model.pkl"
    path.unlink()
    path.symlink_to(outside)
    refused_unrun(lambda: trusting.load("fraud:8", added.digest), canary, "is a symbolic link")


def test_A3_a_hard_link_is_refused(trusting: Registry, added: Manifest, canary: Path, tmp_path: Path) -> None:
    """Also while it still holds the right bytes: whoever has the other name can change them at any time."""
    path = trusting.path / "fraud" / "8" / "model.pkl"
    (tmp_path / "other-name.pkl").hardlink_to(path)
    refused_unrun(lambda: trusting.load("fraud:8", added.digest), canary, "hard link: the file has 2 names")


def test_A3_what_is_swapped_after_it_was_hashed_is_not_what_is_loaded(
    trusting: Registry, added: Manifest, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trusting.path / "fraud" / "8" / "model.pkl"

    def hash_and_swap(data: bytes) -> str:
        overwrite(path, evil_pickle(canary))
        return sha256(data)

    monkeypatch.setattr(registries, "sha256", hash_and_swap)
    assert trusting.load("fraud:8", added.digest).manifest == added, "the bytes that were hashed are those that run"
    assert path.read_bytes() == evil_pickle(canary), "it was swapped in time"
    assert not canary.exists()
    monkeypatch.undo()
    refused_unrun(lambda: trusting.load("fraud:8", added.digest), canary, "model.pkl has the SHA-256")


# --- the copy of a python version's code


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, Manifest]:
    """A registry that keeps code, with a version of a module that is gone from the path."""
    monkeypatch.setattr("sys.path", [str(tmp_path / "code"), *sys.path])
    (tmp_path / "code").mkdir()
    source = tmp_path / "code" / "team_kept.py"
    source.write_text("class Zero:\n    def predict_many(self, events):\n        return [0.0] * len(events)\n")
    registry = Registry.create(tmp_path / "keeping", Policy(python_allow=["team_kept"], keep_source=True))
    manifest = registry.add(new(format="python", entry="team_kept:Zero", artifact=None))
    source.unlink()
    assert registry.load("fraud:8", manifest.digest).manifest == manifest
    return registry, manifest


def evil_source(canary: Path) -> bytes:
    return f"import os\nos.mkdir({str(canary)!r})\n".encode()


def test_A3_a_copy_that_was_exchanged_is_refused(kept: tuple[Registry, Manifest], canary: Path) -> None:
    registry, manifest = kept
    path = registry.path / "fraud" / "8" / "team_kept.py"
    overwrite(path, evil_source(canary))
    error = refused_unrun(lambda: registry.load("fraud:8", manifest.digest), canary, "team_kept.py has the SHA-256")
    assert "exchanged or damaged" in error.way_out
    assert "team_kept.py has the SHA-256" in str(registry.mismatch("fraud:8", manifest.digest))
    changed = manifest.model_copy(update={"source_sha256": sha256(evil_source(canary))})
    overwrite(registry.path / "fraud" / "8" / registries.FILE, registries.to_yaml(changed))
    refused_unrun(lambda: registry.load("fraud:8", manifest.digest), canary, "is expected")


def test_A3_a_copy_behind_a_link_is_refused(kept: tuple[Registry, Manifest], canary: Path, tmp_path: Path) -> None:
    registry, manifest = kept
    path = registry.path / "fraud" / "8" / "team_kept.py"
    (tmp_path / "other-name.py").hardlink_to(path)
    refused_unrun(lambda: registry.load("fraud:8", manifest.digest), canary, "hard link: the file has 2 names")
    path.unlink()
    path.symlink_to(tmp_path / "other-name.py")
    refused_unrun(lambda: registry.load("fraud:8", manifest.digest), canary, "is a symbolic link")


def test_A3_a_copy_that_is_swapped_after_it_was_hashed_is_not_what_runs(
    kept: tuple[Registry, Manifest], canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, manifest = kept
    path = registry.path / "fraud" / "8" / "team_kept.py"
    for name in [name for name in sys.modules if name.startswith("team_kept@")]:
        monkeypatch.delitem(sys.modules, name)

    def hash_and_swap(data: bytes) -> str:
        overwrite(path, evil_source(canary))
        return sha256(data)

    monkeypatch.setattr("streambg.models.formats.sha256", hash_and_swap)
    assert registry.load("fraud:8", manifest.digest).manifest == manifest
    assert path.read_bytes() == evil_source(canary), "it was swapped in time"
    assert not canary.exists()


def test_A3_an_artifact_over_the_limit_is_not_read(
    trusting: Registry, added: Manifest, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registries, "MAX_ARTIFACT_BYTES", len(evil_pickle(canary)) - 1)
    overwrite(trusting.path / "fraud" / "8" / "model.pkl", evil_pickle(canary))
    refused_unrun(lambda: trusting.load("fraud:8", added.digest), canary, "bytes, the limit is")
