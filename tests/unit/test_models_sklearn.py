"""Format sklearn: which columns answer, which types are made, and the same bits whatever stands beside a row."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from model_versions import new, overwrite, refused
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from streambg.models import manifest as manifests
from streambg.models.contract import Answers, Events, Model
from streambg.models.manifest import FILE
from streambg.models.policy import Policy
from streambg.models.registry import NewVersion, Registry
from streambg.models.sklearnmodel import BLOCK
from streambg.models.verifying import verify

ROOT = Path(__file__).parents[2]
XY = {"x": "number", "y": "number"}
X = np.random.default_rng(7).normal(size=(500, 2))
LABEL = (X.sum(axis=1) > 0).astype(int)


def trained(estimator: Any = None, target: Any = LABEL, rows: Any = X) -> Any:
    if estimator is None:
        estimator = make_pipeline(StandardScaler(), LogisticRegression())
    return estimator.fit(rows, target)


def version(estimator: Any = None, **more: Any) -> NewVersion:
    data = skops.io.dumps(trained() if estimator is None else estimator)
    return new(**{"format": "sklearn", "artifact": data, "artifact_name": "model.skops", **more})


def answers(model: Model, rows: list[dict[str, Any]]) -> np.typing.NDArray[np.float64]:
    said = model.predict_many(Events(rows, [None] * len(rows), [0] * len(rows)))
    assert isinstance(said, Answers)
    return np.asarray(said.scores)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "models", Policy())


def loaded(registry: Registry, new_version: NewVersion) -> Model:
    manifest = registry.add(new_version)
    return registry.load(manifest.ref, manifest.digest).model


ROWS = [{"x": x, "y": y} for x, y in X.tolist()]


def test_a_pipeline_answers_as_it_does_by_itself(registry: Registry) -> None:
    estimator = trained()
    model = loaded(registry, version(estimator))
    assert np.allclose(answers(model, ROWS)[:, 0], estimator.predict_proba(X)[:, 1], rtol=1e-12, atol=0)
    manifest = registry.get("fraud:8")
    assert manifest.types == []
    assert {"scikit-learn", "skops", "numpy"} <= set(manifest.libraries)


@pytest.mark.parametrize(
    ("estimator", "outputs", "expected"),
    [
        (trained, ("no", "yes"), lambda fitted: fitted.predict_proba(X)),
        (lambda: trained(LinearRegression(), X[:, 0] * 3), ("p",), lambda fitted: fitted.predict(X).reshape(-1, 1)),
        (lambda: trained(LinearRegression(), X * 3), ("a", "b"), lambda fitted: fitted.predict(X)),
    ],
    ids=["a column for each class", "a regression", "two targets"],
)
def test_which_columns_are_the_outputs(
    registry: Registry, estimator: Callable[[], Any], outputs: tuple[str, ...], expected: Callable[[Any], Any]
) -> None:
    fitted = estimator()
    model = loaded(registry, version(fitted, outputs=outputs))
    assert np.allclose(answers(model, ROWS), expected(fitted), rtol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "types"),
    [(None, ()), (RandomForestClassifier(20, random_state=1, n_jobs=-1), ("sklearn.tree._tree.Tree",))],
    ids=["matrix product", "trees in threads"],
)
def test_the_same_bits_whatever_stands_beside_a_row(tmp_path: Path, estimator: Any, types: tuple[str, ...]) -> None:
    registry = Registry.create(tmp_path / "models", Policy(skops_allow=list(types)))
    manifest = registry.add(version(trained(estimator), types=types))
    model = registry.load(manifest.ref, manifest.digest).model
    result = verify(model, ROWS, manifest.schema_of(None, None), sizes=(1, 7, BLOCK + 3))
    assert result.passed, result.examples
    assert result.answered == len(ROWS)


def test_strings_reach_an_encoder(registry: Registry) -> None:
    rows = np.array([["a", 1.0], ["b", 2.0], ["a", 3.0], ["b", 5.0]], dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore")
    estimator = make_pipeline(encoder, LogisticRegression()).fit(rows, [0, 1, 0, 1])
    model = loaded(registry, version(estimator, features={"word": "string", "y": "number"}))
    asked = [{"word": "a", "y": 1.0}, {"word": "b", "y": 2.0}, {"word": "new", "y": 9.0}]
    low, high, unknown = answers(model, asked)[:, 0].tolist()
    assert low < unknown < high


class Halving:
    """A type of a team's own."""

    def __init__(self) -> None:
        self.by = 2.0

    def predict(self, rows: Any) -> Any:
        return rows.sum(axis=1) / self.by


OWN = f"{Halving.__module__}.Halving"


def test_a_type_is_made_only_where_the_version_declares_it_and_the_registry_allows_it(tmp_path: Path) -> None:
    closed = Registry.create(tmp_path / "closed", Policy())
    error = refused(lambda: closed.add(version(Halving())), f"holds {OWN}, which is not declared with the version")
    assert f"--type {OWN}; who knows" in error.way_out, "all that is missing is said at once"
    assert f"`skops_allow: [{OWN}]` into {closed.path / 'registry.yaml'}" in error.way_out
    error = refused(lambda: closed.add(version(Halving(), types=(OWN,))), f"holds {OWN}, which is not allowed")
    assert "skops_allow" in error.way_out
    assert closed.list() == []
    policy = Policy(skops_allow=[OWN])
    open_ = Registry.create(tmp_path / "open", policy)
    assert open_.policy() == policy
    manifest = open_.add(version(Halving(), types=(OWN,)))
    assert answers(open_.load("fraud:8", manifest.digest).model, [{"x": 1.0, "y": 3.0}]).tolist() == [[2.0]]
    # who edits the declaration has another digest than the one in the control log
    plain = open_.add(version(ref="fraud:9"))
    path = open_.path / "fraud" / "9" / FILE
    overwrite(path, path.read_bytes().replace(b"types: []", b"types: [builtins.eval]"))
    refused(lambda: open_.load("fraud:9", plain.digest), "has the digest")


def zipped(schema: bytes, **members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", schema)
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "change", "what"),
    [
        (b"no zip", {}, "no skops file: BadZipFile"),
        (b"", {}, "no skops file"),
        (skops.io.dumps(trained())[:-40], {}, "no skops file"),
        (zipped(b"{}"), {}, "no skops file"),
        (zipped(b"[" * 100_000), {}, "no skops file: RecursionError"),
        (None, {}, "format sklearn has an artifact"),
        (skops.io.dumps([1, 2]), {}, "holds list, which has no predict"),
        (
            skops.io.dumps(trained()),
            {"outputs": ("a", "b", "c")},
            "predict_proba answers 2 columns, the contract has 3",
        ),
        (
            skops.io.dumps(trained()),
            {"features": {"x": "number"}},
            "does not answer 256 rows of zeros: X has 1 features",
        ),
        (skops.io.dumps(LogisticRegression()), {}, "does not answer 256 rows of zeros: .*not fitted"),
        (skops.io.dumps(trained()), {"entry": "os:system"}, "no entry"),
    ],
)
def test_what_does_not_fit_says_so(registry: Registry, data: Any, change: dict[str, Any], what: str) -> None:
    refused(lambda: registry.add(version(**{"artifact": data, **change})), what)
    assert registry.list() == []


def test_a_small_file_that_holds_much_is_not_unpacked(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streambg.models.skopsfile.MAX_ARTIFACT_BYTES", 1024**2)
    bomb = zipped(b"{}", large=b"0" * 1024**2)
    assert len(bomb) < 10_000
    refused(lambda: registry.add(version(artifact=bomb)), "bytes when unpacked, the limit is 1048576")
    assert manifests.MAX_ARTIFACT_BYTES == 1024**3


def test_names_that_an_estimator_was_fitted_on_must_be_the_features_in_order(registry: Registry) -> None:
    estimator = trained(LogisticRegression())
    estimator.feature_names_in_ = np.array(["y", "x"], dtype=object)
    refused(lambda: registry.add(version(estimator)), "was fitted on y, x, the version has x, y")
    model = loaded(registry, version(estimator, features={"y": "number", "x": "number"}))
    assert len(answers(model, ROWS)) == len(ROWS), "and no warning for each call"


def test_another_scikit_learn_is_refused_by_name(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = registry.add(version())
    path = registry.path / "fraud" / "8" / FILE
    here = manifest.libraries["scikit-learn"]
    overwrite(path, path.read_bytes().replace(f"scikit-learn: {here}".encode(), b"scikit-learn: 1.2.3"))
    error = refused(lambda: registry.load("fraud:8", manifest.digest), f"added with scikit-learn 1.2.3, .* has {here}")
    assert "scikit-learn==1.2.3" in error.way_out
    old = trained()
    state = old.__getstate__() | {"_sklearn_version": "1.2.3"}
    monkeypatch.setattr(type(old), "__getstate__", lambda self: state)
    refused(lambda: registry.add(version(old, ref="fraud:9")), "InconsistentVersionWarning")


def test_without_the_extra_it_says_which(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    made = version()
    monkeypatch.setitem(sys.modules, "skops.io", None)
    error = refused(lambda: registry.add(made), "format sklearn needs the library")
    assert "streambg[sklearn]" in error.way_out


def test_a_function_hidden_in_a_transformer_is_named(registry: Registry) -> None:
    import os  # noqa: PLC0415 - what an attacker would call

    hidden = make_pipeline(FunctionTransformer(os.system), LogisticRegression())
    refused(lambda: registry.add(version(hidden)), "holds posix.system, which is not declared")


def test_the_documented_forest_is_added(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "Forest" in block]
    shutil.copy(ROOT / "pipeline.yaml", tmp_path)
    folder = Registry.create(tmp_path / "models", Policy()).path
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-eu", "-c", block], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True, timeout=120
    )
    model = Registry(folder).load("forest:1", Registry(folder).get("forest:1").digest).model
    assert answers(model, [{f"f{i}": 0.0 for i in range(1, 10)}])[0] < 0.5
