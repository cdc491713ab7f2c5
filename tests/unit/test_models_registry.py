"""What is loaded is what was deployed: digests, and what may be loaded at all."""

from __future__ import annotations

import inspect
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from model_versions import SOURCE, linear, new, overwrite, refused, river_pickle, scores, team_package
from river import tree

from streambg.errors import ModelError
from streambg.models.contract import Events
from streambg.models.formats import RiverModel, river_version
from streambg.models.manifest import FILE, REGISTRY_FILE, sha256, to_yaml
from streambg.models.policy import Policy
from streambg.models.registry import Registry


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A team's package, named after the test so that no import cache knows it."""
    return team_package(tmp_path / "code", f"team_{crc32(request.node.nodeid.encode())}", monkeypatch)


@pytest.fixture
def registry(tmp_path: Path, team: str) -> Registry:
    return Registry.create(tmp_path / "models", Policy(allow_pickle=True, python_allow=[team]))


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


def test_what_a_model_prints_is_no_output_of_ours(
    registry: Registry, tmp_path: Path, team: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "code" / team / "loud.py").write_text(
        "print('imported')\nclass Loud:\n    def __init__(self): print('made')\n"
        "    def predict_many(self, events):\n        print('asked')\n        return events.column('x')\n"
    )
    manifest = registry.add(linear(team, entry=f"{team}.loud:Loud"))
    assert scores(registry.load("fraud:8", manifest.digest).model) == [5.0, 0.0]
    said = capsys.readouterr()
    assert said.out == ""
    assert {"imported", "made", "asked"} <= set(said.err.split())


def test_a_model_that_exits_while_it_is_made_says_so(registry: Registry, tmp_path: Path, team: str) -> None:
    (tmp_path / "code" / team / "leaving.py").write_text("import sys\ndef make(): sys.exit(0)\n")
    (tmp_path / "code" / team / "left.py").write_text("import sys\nsys.exit(0)\n")
    refused(lambda: registry.add(linear(team, entry=f"{team}.leaving:make")), "cannot be made: SystemExit: 0")
    refused(lambda: registry.add(linear(team, entry=f"{team}.left:make")), "cannot be imported: SystemExit: 0")


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
    changes: list[dict[str, Any]] = [
        {},
        {"artifact": b'{"w": [1, 2]}'},
        {"features": {"y": "number", "x": "number"}},
        {"features": {"x": "number", "y": "boolean"}},
        {"outputs": ("risk",)},
    ]
    manifests = [registry.add(replace(one, ref=f"fraud:{at}", **change)) for at, change in enumerate(changes)]
    source = tmp_path / "code" / team / "scoring.py"
    source.write_text(SOURCE + "# another byte\n")
    manifests.append(registry.add(replace(one, ref="fraud:90")))
    assert len({manifest.digest for manifest in manifests}) == len(manifests)
    note = registry.add(replace(one, ref="fraud:91", training="other words", metrics={"auc": 0.9}))
    assert note.digest == manifests[-1].digest


def test_another_digest_than_the_control_logs_is_not_loaded(registry: Registry, team: str) -> None:
    manifest = registry.add(linear(team))
    error = refused(lambda: registry.load("fraud:8", "sha256:" + "0" * 64), "0000 is expected")
    assert manifest.digest in error.what
    assert error.exit_code == 15
    assert error.way_out


def test_a_swapped_artifact_is_found_whether_or_not_the_manifest_was_changed_too(
    registry: Registry, team: str, tmp_path: Path
) -> None:
    manifest = registry.add(linear(team, artifact=b'{"w": [1, 1]}', artifact_name="w.json"))
    folder = registry.path / "fraud" / "8"
    assert registry.mismatch("fraud:8", manifest.digest) is None
    overwrite(folder / "w.json", b'{"w": [9, 9]}')
    refused(lambda: registry.load("fraud:8", manifest.digest), "w.json has the SHA-256")
    assert "w.json has the SHA-256" in str(registry.mismatch("fraud:8", manifest.digest))
    changed = manifest.model_copy(update={"artifact_sha256": sha256(b'{"w": [9, 9]}')})
    overwrite(folder / FILE, to_yaml(changed))
    refused(lambda: registry.load("fraud:8", manifest.digest), "is expected")
    assert f"{manifest.digest} was deployed" in str(registry.mismatch("fraud:8", manifest.digest))
    (folder / "w.json").unlink()
    refused(lambda: registry.load("fraud:8", changed.digest), "w.json is missing")
    refused(lambda: registry.mismatch("fraud:8", changed.digest), "w.json is missing")


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


# --- a version's own copy of its code


@pytest.fixture
def keeping(tmp_path: Path, team: str) -> Registry:
    return Registry.create(tmp_path / "keeping", Policy(python_allow=[team], keep_source=True))


def test_the_copy_is_what_runs_whatever_becomes_of_the_module(keeping: Registry, team: str, tmp_path: Path) -> None:
    """Its neighbours are imported as ever: what they are is not covered."""
    source = tmp_path / "code" / team / "scoring.py"
    old = keeping.add(linear(team, "fraud:1"))
    assert (keeping.path / "fraud" / "1" / "scoring.py").read_bytes() == SOURCE.encode()
    assert old.digest == Registry.create(tmp_path / "plain", Policy(python_allow=[team])).add(linear(team)).digest
    source.write_text(SOURCE.replace("[1.0, 1.0]", "[3.0, 1.0]"))
    fresh = keeping.add(linear(team, "fraud:2"))
    source.unlink()
    for manifest, expected in ((old, [6.0, 1.0]), (fresh, [16.0, 1.0])):
        model = keeping.load(manifest.ref, manifest.digest).model
        assert scores(model) == expected
        assert inspect.getfile(type(model.model)) == str(keeping.path / "fraud" / manifest.version / "scoring.py")


def test_a_package_is_kept_as_one(keeping: Registry, team: str, tmp_path: Path) -> None:
    """What its relative imports start from is another thing than for a module."""
    (tmp_path / "code" / team / "__init__.py").write_text(SOURCE)
    manifest = keeping.add(replace(linear(team), entry=f"{team}:Linear"))
    assert (keeping.path / "fraud" / "8" / "__init__.py").exists()
    (tmp_path / "code" / team / "__init__.py").write_text("")
    assert scores(keeping.load("fraud:8", manifest.digest).model) == [6.0, 1.0]


def test_versions_without_a_copy_load_as_before_and_a_copy_counts_only_where_it_may(
    registry: Registry, team: str, tmp_path: Path
) -> None:
    source = tmp_path / "code" / team / "scoring.py"
    before = registry.add(linear(team, "fraud:1"))
    (registry.path / REGISTRY_FILE).write_text(f"python_allow: [{team}]\nkeep_source: true\n")
    assert scores(registry.load("fraud:1", before.digest).model) == [6.0, 1.0]
    kept = registry.add(linear(team, "fraud:2"))
    source.write_text(SOURCE + "# another state")
    assert scores(registry.load("fraud:2", kept.digest).model) == [6.0, 1.0]
    error = refused(lambda: registry.load("fraud:1", before.digest), f"{source} has the SHA-256")
    assert "keep_source: true" in error.way_out
    (registry.path / REGISTRY_FILE).write_text(f"python_allow: [{team}]\n")
    refused(lambda: registry.load("fraud:2", kept.digest), f"{source} has the SHA-256")
    (registry.path / REGISTRY_FILE).write_text("keep_source: true\n")
    refused(lambda: registry.load("fraud:2", kept.digest), "not on the allow-list")


def test_an_artifact_that_is_called_as_the_copy_is_refused(keeping: Registry, team: str) -> None:
    artifact = b'{"w": [1, 1]}'
    refused(lambda: keeping.add(linear(team, artifact=artifact, artifact_name="scoring.py")), "is called scoring.py")
    assert keeping.list() == []


def test_too_much_code_is_not_kept(keeping: Registry, team: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streambg.models.keeping.MAX_SOURCE_BYTES", 10)
    assert (
        "--artifact" in refused(lambda: keeping.add(linear(team)), "the limit of a module that is kept is 10").way_out
    )


# --- what may be loaded at all


def test_nothing_runs_from_a_registry_that_allows_nothing(tmp_path: Path, team: str) -> None:
    closed = Registry(tmp_path / "closed")
    assert closed.policy() == Policy()
    error = refused(lambda: closed.add(new(artifact=river_pickle(), artifact_name="m.pkl")), "is a pickle")
    assert "allow_pickle: true" in error.way_out
    error = refused(lambda: closed.add(linear(team)), "not on the allow-list")
    assert f"`python_allow: [{team}.scoring]` into {closed.path / REGISTRY_FILE}" in error.way_out
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
        ({"outputs": ()}, "one output"),
        ({"libraries": ("no-such-library",)}, "no-such-library"),
        ({"ref": "Fraud:8"}, "names no model version"),
        ({"format": "python", "entry": None}, "format python has an entry"),
        ({"format": "python", "entry": "os:system"}, "not on the allow-list"),
        ({"format": "python", "entry": "acme.Linear"}, "does not say which module holds which class"),
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


@pytest.mark.parametrize(
    ("source", "way_out"),
    [
        ("import json\ndef Linear(\n", "mend {file}:2, then the same again"),
        ("import json\n\nimport no_such_library\n", "{file}:3 imports no_such_library, which is not there: install it"),
        ("from . import helper\nfrom .gone import x\n", "{file}:2 imports {team}.gone, which is not there: install it"),
        ("\nraise RuntimeError('no')\n", "its own code raises that at {file}:2: mend it, then the same again"),
        ("open('/no/such/file')\n", "its own code raises that at {file}:1: mend it, then the same again"),
    ],
)
def test_the_way_out_of_code_that_does_not_run_names_the_line(
    registry: Registry, team: str, tmp_path: Path, source: str, way_out: str
) -> None:
    file = tmp_path / "code" / team / "scoring.py"
    file.write_text(source)
    error = refused(lambda: registry.add(linear(team)), f"{team}.scoring cannot be imported")
    assert error.way_out.startswith(way_out.format(file=file, team=team))


@pytest.mark.parametrize("entry", ["{team}.missing:X", "{team}.missing.more:X"])
def test_a_module_that_is_not_there_is_to_be_installed(registry: Registry, team: str, entry: str) -> None:
    error = refused(lambda: registry.add(linear(team, entry=entry.format(team=team))), "cannot be imported")
    assert error.way_out == "install it into this environment, or start from the directory that holds it"


@pytest.mark.parametrize("metric", [float("nan"), float("inf"), -float("inf")])
def test_a_metric_that_is_no_number_of_json_is_refused(registry: Registry, team: str, metric: float) -> None:
    refused(lambda: registry.add(linear(team, metrics={"auc": metric})), f"the metric auc is {metric}")
    assert registry.list() == []


TAKES = "class Linear:\n    def __init__(self{args}):\n        {body}\n"
OWN = "its own code raises that"


@pytest.mark.parametrize(
    ("source", "artifact", "way_out"),
    [
        (TAKES.format(args="", body="raise RuntimeError('no weights for you')"), None, OWN),
        (TAKES.format(args=", data", body="raise RuntimeError('no weights for you')"), b"{}", OWN),
        (TAKES.format(args="", body="len(1)"), None, OWN),
        (TAKES.format(args="", body="len()"), None, OWN),
        (TAKES.format(args=", data", body="pass"), None, "without an --artifact it is called with nothing"),
        (TAKES.format(args="", body="pass"), b"{}", "it is called with the artifact's bytes and nothing else"),
    ],
)
def test_the_way_out_speaks_of_arguments_only_where_they_are_wrong(
    registry: Registry, team: str, tmp_path: Path, source: str, artifact: bytes | None, way_out: str
) -> None:
    (tmp_path / "code" / team / "scoring.py").write_text(source)
    given = {} if artifact is None else {"artifact": artifact, "artifact_name": "w.json"}
    with pytest.raises(ModelError, match="cannot be made") as caught:
        registry.add(replace(linear(team), **given))
    assert caught.value.way_out.startswith(way_out)
