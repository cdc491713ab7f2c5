"""Versions pulled from a real MLflow store (a folder's): aliases, digests, and what is refused before it is kept.

What MLflow writes into a version's folder is written here by hand, as a server of 3.17 wrote it: its own flavors need
pandas. The client and the store are MLflow's.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import skops.io
from model_versions import refused
from onnx_graphs import logistic
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from streambg.cli.main import build
from streambg.errors import ConfigError, Denied, ModelError, StreambgError, Unreachable
from streambg.models.contract import Schema
from streambg.models.manifest import Manifest
from streambg.models.mlflowsource import MlflowSource, Remote
from streambg.models.mlmodel import Described, describe
from streambg.models.policy import Policy
from streambg.models.pulling import add_pulled, ref_of, uri_of
from streambg.models.registry import Registry
from streambg.servers.ports import free_port

CONTRACT = Schema({"x": "number", "y": "number"}, ("p",))
COLUMNS = [{"type": "double", "name": "x", "required": True}, {"type": "long", "name": "y", "required": True}]
SKOPS: dict[str, Any] = {"pickled_model": "model.skops", "serialization_format": "skops", "skops_trusted_types": None}


def estimator(bias: float = 0.0) -> bytes:
    fitted = LogisticRegression().fit([[0.0, 0.0], [1.0, 1.0]], [0, 1])
    fitted.intercept_ = fitted.intercept_ + bias
    return bytes(skops.io.dumps(fitted))


def description(columns: Any = COLUMNS, **flavors: Any) -> bytes:
    """JSON is YAML."""
    said: dict[str, Any] = {
        "flavors": {"python_function": {"loader_module": "x"}, **flavors},
        "mlflow_version": "3.17.2",
    }
    if columns:
        said["signature"] = {"inputs": json.dumps(columns), "outputs": None, "params": None}
    return json.dumps(said).encode()


class Store:
    """An MLflow registry in a folder, and the folders of its versions."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # the client sets it, which is gone after the test
        self.folder = folder
        self.source = MlflowSource(f"file:{folder / 'store'}")
        self.client = self.source._client()
        self.client.create_registered_model("Fraud Model")

    def log(self, said: bytes, **files: bytes) -> str:
        """A new version; the number."""
        folder = self.folder / f"logged-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        (folder / "MLmodel").write_bytes(said)
        for name, data in files.items():
            (folder / name.replace("_", ".")).write_bytes(data)
        self.last = folder
        return str(self.client.create_model_version("Fraud Model", str(folder)).version)

    def alias(self, name: str, version: str) -> None:
        self.client.set_registered_model_alias("Fraud Model", name, version)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    (tmp_path / "mlflow").mkdir()
    return Store(tmp_path / "mlflow", monkeypatch)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.create(tmp_path / "models", Policy())


def pull(store: Store, registry: Registry, ref: str) -> Manifest:
    pulled = store.source.fetch(store.source.resolve(ref))
    return add_pulled(registry, CONTRACT, pulled, datetime(2026, 1, 1, tzinfo=UTC))


def test_an_alias_is_the_version_it_names_now(store: Store, registry: Registry) -> None:
    first = store.log(description(sklearn=SKOPS), model_skops=estimator())
    second = store.log(description(onnx={"data": "model.onnx"}), model_onnx=logistic([1.0, 1.0], output="p"))
    store.alias("champion", first)
    store.alias("challenger", second)
    champion = pull(store, registry, "Fraud Model@champion")
    assert (champion.ref, champion.format) == ("fraud-model:1", "sklearn")
    assert champion.origin == "mlflow models:/Fraud Model/1"
    assert champion.features == {"x": "number", "y": "number"}
    assert pull(store, registry, "Fraud Model@challenger").format == "onnx"
    assert registry.load(champion.ref, champion.digest).manifest == champion, "and from here on without MLflow"
    store.alias("champion", second)
    assert store.source.resolve("Fraud Model@champion") == Remote("Fraud Model", second)
    assert store.source.aliases("Fraud Model") == {"champion": "2", "challenger": "2"}
    assert store.source.newest("Fraud Model") == Remote("Fraud Model", "2")
    assert pull(store, registry, "Fraud Model:1").digest == champion.digest, "the same bytes again change nothing"


def test_a_file_that_was_exchanged_in_mlflow_is_refused(store: Store, registry: Registry) -> None:
    store.log(description(sklearn=SKOPS), model_skops=estimator())
    before = pull(store, registry, "Fraud Model:1")
    (store.last / "model.skops").write_bytes(estimator(bias=5.0))
    refused(lambda: pull(store, registry, "Fraud Model:1"), "stands already with the digest")
    assert registry.get(before.ref) == before


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (description(sklearn=SKOPS | {"serialization_format": "cloudpickle"}), "written as cloudpickle, and loading"),
        (description(lightgbm={}), "has the flavors lightgbm, python_function; taken are onnx and sklearn"),
        (description(sklearn=SKOPS | {"pickled_model": "../../etc/passwd"}), "names the file '../../etc/passwd'"),
        (description(sklearn=SKOPS | {"pickled_model": "other.skops"}), "has no Fraud Model:1 other.skops"),
        (description(onnx={"data": "model.skops"}), "no ONNX file"),
        (
            description([{"name": "day", "type": "datetime"}], sklearn=SKOPS),
            "the column day of its signature is a date",
        ),
        (b"flavors: 3", "names no flavors"),
        (b"[", "MLmodel is no YAML"),
    ],
)
def test_what_is_no_model_that_may_be_loaded_is_not_kept(
    store: Store, registry: Registry, said: bytes, what: str
) -> None:
    store.log(said, model_skops=estimator())
    refused(lambda: pull(store, registry, "Fraud Model:1"), what)
    assert registry.list() == []


def test_a_link_in_a_versions_folder_leads_nowhere(store: Store, registry: Registry, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"key")
    store.log(description(sklearn=SKOPS))
    (store.last / "model.skops").symlink_to(secret)
    with pytest.raises(ModelError) as caught:
        pull(store, registry, "Fraud Model:1")
    assert "key" not in str(caught.value)
    assert registry.list() == []


@pytest.mark.parametrize(
    ("ref", "what"),
    [
        ("Fraud Model@nobody", "has no Fraud Model@nobody"),
        ("Fraud Model:7", "has no Fraud Model:7"),
        ("Other@champion", "has no Other@champion"),
        ("Fraud Model", "names no version in MLflow"),
        ("Fraud' OR '1:1", "names no version in MLflow"),
    ],
)
def test_what_is_not_there_says_so(store: Store, ref: str, what: str) -> None:
    refused(lambda: store.source.resolve(ref), what)


def test_a_registry_that_does_not_answer(store: Store) -> None:
    source = MlflowSource(f"http://user:secret@127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match="did not give Fraud:1") as caught:
        source.resolve("Fraud:1")
    assert "secret" not in str(caught.value)
    assert "can be deployed" in caught.value.way_out


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("API request to endpoint /api failed with error code 401 != 200", Denied),
        ("API request to endpoint /api failed with error code 503 != 200", Unreachable),
        ("got unsupported URI 'sqlite:///x.db'", ConfigError),
        ("404 Client Error: No such artifact: 'model.skops'", ModelError),
    ],
)
def test_what_the_client_raises_is_ours(said: str, kind: type[StreambgError]) -> None:
    assert type(MlflowSource("http://h")._translated("Fraud:1", RuntimeError(said))) is kind


def test_the_columns_of_a_signature_are_the_features_in_order() -> None:
    columns = [{"name": "b", "type": "string"}, {"name": "a", "type": "boolean"}]
    types = SKOPS | {"skops_trusted_types": ["acme.Scaler"]}
    assert describe("F:1", description(columns, sklearn=types)) == Described(
        "sklearn", "model.skops", {"b": "string", "a": "boolean"}, ("acme.Scaler",)
    )
    unnamed = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]
    assert describe("F:1", description(unnamed, sklearn=SKOPS)).features is None
    assert describe("F:1", description(None, sklearn=SKOPS)).features is None
    assert ref_of(Remote("Fraud Model (EU)", "12")) == "fraud-model-eu:12"


def test_who_says_where_mlflow_is(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="nobody says where"):
        uri_of(registry, None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment:5000")
    assert uri_of(registry, None) == "http://environment:5000"
    (registry.path / "registry.yaml").write_text("mlflow: http://file:5000\n")
    assert uri_of(registry, None) == "http://file:5000"
    assert uri_of(registry, "http://given:5000") == "http://given:5000"


def test_the_verb(store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.folder.parent)  # no pipeline file stands beside a test
    store.log(description(sklearn=SKOPS), model_skops=estimator())
    store.alias("champion", "1")
    words = ["models", "pull", "Fraud Model@champion", "--registry", str(registry.path), "--outputs", "p"]
    done = CliRunner().invoke(build(()), [*words, "--mlflow", store.source.uri, "--as", "fraud:1", "--output", "json"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert json.loads(done.stdout)["ref"] == "fraud:1"
    shutil.rmtree(store.folder)
    done = CliRunner().invoke(build(()), ["models", "verify", "fraud:1", "--registry", str(registry.path)])
    assert done.exit_code == 0, (done.output, done.exception)
