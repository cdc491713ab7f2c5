"""What is loaded is what was deployed: digests, the allow-list, and every way a file could be exchanged."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from river import compose, linear_model, preprocessing, tree

from streambg.errors import ModelError
from streambg.models.contract import Answers, Events, Schema
from streambg.models.formats import RiverModel, river_version
from streambg.models.manifest import FILE, REGISTRY_FILE, from_yaml, parse_ref, sha256, to_yaml
from streambg.models.registry import NewVersion, Policy, Registry

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = """
import json
from dataclasses import dataclass
import numpy as np
from . import helper

@dataclass
class Weights:
    w: list[float]

class Linear:
    def __init__(self, artifact=b'{"w": [1.0, 1.0]}'):
        self.weights = Weights(json.loads(artifact)["w"])
    def predict_many(self, events):
        return helper.same((events.matrix(["x", "y"]) * self.weights.w).sum(axis=1))

def no_model():
    return 3
"""
MARK = "# another byte\n"


def river_pickle() -> bytes:
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    for i in range(200):
        model.learn_one({"x": float(i % 7), "y": 1.0}, i % 7 > 3)
    return pickle.dumps(model)


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A team's package on the path, named after the test so that no import cache knows it."""
    name = f"team_{crc32(request.node.nodeid.encode())}"
    package = tmp_path / "code" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("def same(scores):\n    return scores\n")
    (package / "scoring.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    return name


@pytest.fixture
def registry(tmp_path: Path, team: str) -> Registry:
    return Registry.create(tmp_path / "models", Policy(allow_pickle=True, python_allow=[team]))


def new(ref: str = "fraud:8", **more: Any) -> NewVersion:
    plain = NewVersion(ref, "river", {"x": "number", "y": "number"}, ("anomaly",), CREATED, artifact=b"")
    return replace(plain, **more)


def linear(team: str, ref: str = "fraud:8", **more: Any) -> NewVersion:
    return new(ref, format="python", entry=f"{team}.scoring:Linear", **{"artifact": None, **more})


def scores(model: Any) -> list[float]:
    said = model.predict_many(Events([{"x": 5, "y": 1.0, "more": "z"}, {"x": 0.0, "y": 1.0}], [None] * 2, [0, 0]))
    return np.ravel(said.scores if isinstance(said, Answers) else said).tolist()


def refused(call: Callable[[], object], what: str) -> ModelError:
    with pytest.raises(ModelError, match=what) as caught:
        call()
    return caught.value


def overwrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


# --- what goes in comes out


def test_a_python_version_comes_back_with_its_manifest_and_runs(registry: Registry, team: str) -> None:
    version = linear(team, artifact=b'{"w": [2.0, 0.5]}', artifact_name="w.json", training="May: all", metrics={"a": 1})
    manifest = registry.add(version)
    assert registry.get("fraud:8") == manifest
    assert [listed.manifest for listed in registry.list()] == [manifest]
    loaded = registry.load("fraud:8", manifest.digest)
    assert scores(loaded.model) == [10.5, 0.5]
    assert list(manifest.features) == ["x", "y"]
    assert {"python", "numpy", "streambg"} <= set(manifest.libraries)
    assert sorted(path.name for path in (registry.path / "fraud" / "8").iterdir()) == [FILE, "w.json"]
    assert not list(registry.path.glob(".adding*"))


def test_a_python_version_without_an_artifact_is_made_of_nothing(registry: Registry, team: str) -> None:
    manifest = registry.add(linear(team))
    assert manifest.artifact is None
    assert scores(registry.load("fraud:8", manifest.digest).model) == [6.0, 1.0]


def test_a_river_version_answers_the_probability_of_true_from_the_declared_features(registry: Registry) -> None:
    data = river_pickle()
    manifest = registry.add(new(artifact=data, artifact_name="model.pkl"))
    assert manifest.libraries["river"] == river_version()
    model = pickle.loads(data)
    expected = [model.predict_proba_one({"x": x, "y": 1.0})[True] for x in (5, 0.0)]
    assert scores(registry.load("fraud:8", manifest.digest).model) == expected
    assert expected[0] > 0.5 > expected[1]


def test_a_river_row_that_cannot_be_answered_is_one_error(registry: Registry) -> None:
    class Moody:
        def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
            said: dict[int, dict[Any, float]] = {1: {1: 0.25}, 2: {False: 1.0}, 3: {}, 4: {"yes": 1.0}}
            return said[x["x"]]

    rows = [{"x": x} for x in (1, 2, 3, 4, 5)]
    said = RiverModel(("x",), Moody()).predict_many(Events(rows, [None] * 5, [0] * 5))
    assert np.asarray(said.scores)[:2].tolist() == [0.25, 0.0]
    assert said.errors == {
        2: "ValueError: no class was learnt yet",
        3: "ValueError: the classes are [\"'yes'\"], one must be True or 1",
        4: "KeyError: 5",
    }


def test_versions_are_listed_as_people_count_and_a_broken_one_hides_no_other(registry: Registry, team: str) -> None:
    for version in ("10", "9", "9.1", "v2"):
        registry.add(linear(team, f"fraud:{version}"))
    (registry.path / "fraud" / "11").mkdir()
    overwrite(registry.path / "fraud" / "9.1" / FILE, b"format: [")
    listed = registry.list()
    assert [entry.ref for entry in listed] == ["fraud:v2", "fraud:9", "fraud:9.1", "fraud:10", "fraud:11"]
    assert [bool(entry.problem) for entry in listed] == [False, False, True, False, True]


# --- the digest


def test_the_digest_covers_artifact_code_and_contract_in_order(registry: Registry, team: str, tmp_path: Path) -> None:
    one = linear(team, artifact=b'{"w": [1, 1]}')
    manifests = [
        registry.add(replace(one, ref=f"fraud:{at}", **change))
        for at, change in enumerate(
            [
                {},
                {"artifact": b'{"w": [1, 2]}'},
                {"features": {"y": "number", "x": "number"}},
                {"features": {"x": "number", "y": "boolean"}},
                {"outputs": ("risk",)},
            ]
        )
    ]
    source = tmp_path / "code" / team / "scoring.py"
    source.write_text(SOURCE + MARK)
    manifests.append(registry.add(replace(one, ref="fraud:90")))
    assert len({manifest.digest for manifest in manifests}) == len(manifests)
    note = registry.add(replace(one, ref="fraud:91", training="other words", metrics={"auc": 0.9}))
    assert note.digest == manifests[-1].digest


def test_another_digest_than_the_control_logs_is_not_loaded(registry: Registry, team: str) -> None:
    manifest = registry.add(linear(team))
    error = refused(lambda: registry.load("fraud:8", "sha256:" + "0" * 64), "0000 is expected")
    assert manifest.digest in error.what
    assert error.exit_code == 12
    assert error.way_out


def test_a_swapped_artifact_is_found_whether_or_not_the_manifest_was_changed_too(
    registry: Registry, team: str, tmp_path: Path
) -> None:
    manifest = registry.add(linear(team, artifact=b'{"w": [1, 1]}', artifact_name="w.json"))
    folder = registry.path / "fraud" / "8"
    overwrite(folder / "w.json", b'{"w": [9, 9]}')
    refused(lambda: registry.load("fraud:8", manifest.digest), "w.json has the SHA-256")
    changed = manifest.model_copy(update={"artifact_sha256": sha256(b'{"w": [9, 9]}')})
    overwrite(folder / FILE, to_yaml(changed))
    refused(lambda: registry.load("fraud:8", manifest.digest), "is expected")
    (folder / "w.json").unlink()
    refused(lambda: registry.load("fraud:8", changed.digest), "w.json is missing")


def test_a_pickle_is_hashed_before_it_runs(registry: Registry, tmp_path: Path) -> None:
    manifest = registry.add(new(artifact=river_pickle(), artifact_name="m.pkl"))
    proof = tmp_path / "it-ran"
    overwrite(registry.path / "fraud" / "8" / "m.pkl", pickle.dumps(Runs(str(proof))))
    refused(lambda: registry.load("fraud:8", manifest.digest), "m.pkl has the SHA-256")
    assert not proof.exists()


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_the_source_that_was_hashed_is_the_source_that_runs(registry: Registry, team: str, tmp_path: Path) -> None:
    old = registry.add(linear(team, "fraud:1"))
    source = tmp_path / "code" / team / "scoring.py"
    about = source.stat()
    # same size, same time: what an import cache takes for the same file
    source.write_text(SOURCE.replace("[1.0, 1.0]", "[3.0, 1.0]"))
    os.utime(source, ns=(about.st_atime_ns, about.st_mtime_ns))
    refused(lambda: registry.load("fraud:1", old.digest), "the version was added with")
    fresh = registry.add(linear(team, "fraud:2"))
    assert scores(registry.load("fraud:2", fresh.digest).model) == [16.0, 1.0]
    source.write_text(SOURCE)
    assert scores(registry.load("fraud:1", old.digest).model) == [6.0, 1.0]


# --- what may be loaded at all


def test_nothing_runs_from_a_registry_that_allows_nothing(tmp_path: Path, team: str) -> None:
    closed = Registry(tmp_path / "closed")
    assert closed.policy() == Policy()
    error = refused(lambda: closed.add(new(artifact=river_pickle(), artifact_name="m.pkl")), "is a pickle")
    assert "allow_pickle: true" in error.way_out
    error = refused(lambda: closed.add(linear(team)), "not on the allow-list")
    assert "python_allow" in error.way_out
    assert not closed.path.exists()


def test_a_registry_that_is_closed_later_loads_no_pickle(registry: Registry) -> None:
    manifest = registry.add(new(artifact=river_pickle(), artifact_name="m.pkl"))
    (registry.path / REGISTRY_FILE).write_text("allow_pickle: false\n")
    refused(lambda: registry.load("fraud:8", manifest.digest), "is a pickle")


@pytest.mark.parametrize("text", ["allow_pickle: yes please", "allow_pickel: true", "- x", "a: [", "python_allow: os"])
def test_a_registry_file_with_a_mistake_allows_nothing(registry: Registry, text: str) -> None:
    (registry.path / REGISTRY_FILE).write_text(text)
    refused(registry.policy, REGISTRY_FILE)


def test_create_keeps_to_what_a_person_wrote(registry: Registry, team: str) -> None:
    stands = registry.policy()
    assert Registry.create(registry.path, stands).policy() == stands
    refused(lambda: Registry.create(registry.path, Policy()), "was asked for")


def test_another_rivers_pickle_says_so_and_is_not_opened(registry: Registry) -> None:
    manifest = registry.add(new(artifact=river_pickle(), artifact_name="m.pkl"))
    other = manifest.model_copy(update={"libraries": {"river": "0.1.0"}})
    overwrite(registry.path / "fraud" / "8" / FILE, to_yaml(other))
    error = refused(lambda: registry.load("fraud:8", manifest.digest), "was pickled with river 0.1.0")
    assert "river==0.1.0" in error.way_out


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"artifact": b"no pickle"}, "does not load"),
        ({"artifact": pickle.dumps(3)}, "holds int, which has no predict_proba_one"),
        ({"artifact": pickle.dumps(tree.HoeffdingTreeRegressor())}, "no predict_proba_one"),
        ({"artifact": None}, "format river has an artifact"),
        ({"outputs": ("a", "b")}, "one output"),
        ({"features": {}}, "has features"),
        ({"artifact_name": "../m.pkl"}, "artifact"),
        ({"artifact_name": FILE}, "cannot be named"),
        ({"features": {"x": "float"}}, "features"),
        ({"outputs": ()}, "outputs"),
        ({"libraries": ("no-such-library",)}, "no-such-library"),
        ({"ref": "Fraud:8"}, "names no model version"),
        ({"format": "python", "entry": None}, "format python has an entry"),
        ({"format": "python", "entry": "os:system"}, "not on the allow-list"),
    ],
)
def test_what_cannot_be_a_version_is_not_added(registry: Registry, change: dict[str, Any], what: str) -> None:
    refused(lambda: registry.add(replace(new(artifact=river_pickle()), **change)), what)
    assert registry.list() == []
    assert [path.name for path in registry.path.rglob("*") if path.is_file()] == [REGISTRY_FILE]


@pytest.mark.parametrize(
    ("source", "entry", "what"),
    [
        (SOURCE, "Nothing", "not there"),
        (SOURCE, "no_model", "no method predict_many"),
        ("raise RuntimeError('at import')", "Linear", "cannot be imported: RuntimeError: at import"),
        ("class Linear:\n    def __init__(self):\n        raise RuntimeError('no')\n", "Linear", "RuntimeError: no"),
        ("def Linear(", "Linear", "SyntaxError"),
    ],
)
def test_code_that_makes_no_model_is_not_added(
    registry: Registry, team: str, tmp_path: Path, source: str, entry: str, what: str
) -> None:
    (tmp_path / "code" / team / "scoring.py").write_text(source)
    refused(lambda: registry.add(replace(linear(team), entry=f"{team}.scoring:{entry}")), what)
    refused(lambda: registry.add(replace(linear(team), entry=f"{team}.missing:X")), "cannot be imported")
    assert registry.list() == []


# --- versions never change


def test_adding_the_same_again_changes_nothing_and_adding_other_content_is_refused(
    registry: Registry, team: str
) -> None:
    first = registry.add(linear(team, training="first"))
    before = (registry.path / "fraud" / "8" / FILE).read_bytes()
    assert registry.add(linear(team, training="second")) == first
    refused(lambda: registry.add(linear(team, artifact=b'{"w": [1, 1]}')), "stands already")
    assert (registry.path / "fraud" / "8" / FILE).read_bytes() == before


def test_many_who_add_at_once_leave_one_whole_version(registry: Registry, team: str) -> None:
    def attempt(at: int) -> str:
        try:
            return registry.add(linear(team, artifact=f'{{"w": [{at}, 1]}}'.encode(), artifact_name="w.json")).digest
        except ModelError as error:
            return error.what

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(attempt, range(16)))
    (won,) = {what for what in told if "stands already" not in what}
    assert registry.load("fraud:8", won).manifest.digest == won
    assert not list(registry.path.glob(".adding*"))


# --- no way out of the folder


@pytest.mark.parametrize("what", ["fraud", "fraud/8", f"fraud/8/{FILE}", "fraud/8/w.json"])
def test_a_symbolic_link_anywhere_is_refused(registry: Registry, team: str, tmp_path: Path, what: str) -> None:
    manifest = registry.add(linear(team, artifact=b'{"w": [1, 1]}', artifact_name="w.json"))
    path, elsewhere = registry.path / what, tmp_path / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)
    refused(lambda: registry.load("fraud:8", manifest.digest), "symbolic link")


def test_a_pipe_or_a_folder_in_place_of_a_file_is_refused(registry: Registry, team: str) -> None:
    manifest = registry.add(linear(team, artifact=b'{"w": [1, 1]}', artifact_name="w.json"))
    path = registry.path / "fraud" / "8" / "w.json"
    path.unlink()
    os.mkfifo(path)
    refused(lambda: registry.load("fraud:8", manifest.digest), "no plain file")
    path.unlink()
    path.mkdir()
    refused(lambda: registry.load("fraud:8", manifest.digest), "no plain file")


def test_a_huge_manifest_is_not_read(registry: Registry, team: str) -> None:
    registry.add(linear(team))
    overwrite(registry.path / "fraud" / "8" / FILE, b"#" * (1024 * 1024 + 1))
    refused(lambda: registry.get("fraud:8"), "the limit is 1048576")


@pytest.mark.parametrize(
    "ref",
    ["fraud", "fraud:", ":8", "../x:8", "fraud:..", "fraud:8/..", "Fraud:8", "fraud:8\n", "a:b:c", ".adding:8"]
    + ["a" * 100 + ":8", f"{REGISTRY_FILE}:8"],  # noqa: RUF005 - two lines
)
def test_a_name_that_could_lead_elsewhere_is_no_name(ref: str) -> None:
    assert refused(lambda: parse_ref(ref), "names no model version").way_out


def test_a_version_that_is_not_there_names_those_that_are(registry: Registry, team: str) -> None:
    registry.add(linear(team))
    assert "fraud:8" in refused(lambda: registry.get("fraud:9"), "fraud:9 is not in the registry").way_out
    shutil.copytree(registry.path / "fraud" / "8", registry.path / "fraud" / "9")
    refused(lambda: registry.get("fraud:9"), "is the manifest of fraud:8")


@pytest.mark.parametrize(
    ("old", "text", "what"),
    [
        (b"manifest: 1", b"manifest: 2", "manifest"),
        (b"format: python", b"format: onnx", "format"),
        (b"features:", b"featurs:", "featurs"),
        (b"x: number", b"x: float", "features.x"),
        (b"outputs:\n- anomaly", b"outputs: []", "outputs"),
        (b"created: '2026", b"created: 'x2026", "created"),
        (b"manifest: 1", b"manifest: 1\nartifact: ../../etc/passwd\nartifact_sha256: " + b"0" * 64, "artifact"),
    ],
)
def test_a_manifest_with_a_mistake_names_it(registry: Registry, team: str, old: bytes, text: bytes, what: str) -> None:
    data = to_yaml(registry.add(linear(team)))
    assert old in data
    assert from_yaml(data, FILE) == registry.get("fraud:8")
    refused(lambda: from_yaml(data.replace(old, text), FILE), f"{FILE}: .*{what}")


def test_a_version_must_fit_the_pipelines_contract(registry: Registry, team: str) -> None:
    manifest = registry.add(linear(team))
    manifest.check_fits(Schema({"y": "number", "z": "string", "x": "number"}, ("anomaly",)))
    refused(lambda: manifest.check_fits(Schema({"y": "number"}, ("anomaly",))), "needs the feature x")
    refused(lambda: manifest.check_fits(Schema({"x": "string", "y": "number"}, ("anomaly",))), "declares string")
    refused(lambda: manifest.check_fits(Schema({"x": "number", "y": "number"}, ("risk",))), "outputs are")
