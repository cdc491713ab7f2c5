"""Versions never change, and no name, link or odd file leads out of the registry."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import pytest
from model_versions import linear, overwrite, refused, team_package

from streambg.errors import ModelError
from streambg.models.contract import Schema
from streambg.models.manifest import FILE, REGISTRY_FILE, from_yaml, parse_ref, to_yaml
from streambg.models.policy import Policy
from streambg.models.registry import Registry


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A team's package, named after the test so that no import cache knows it."""
    return team_package(tmp_path / "code", f"team_{crc32(request.node.nodeid.encode())}", monkeypatch)


@pytest.fixture
def registry(tmp_path: Path, team: str) -> Registry:
    return Registry.create(tmp_path / "models", Policy(allow_pickle=True, python_allow=[team]))


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


def test_a_damaged_registry_file_is_not_blamed_on_a_version(registry: Registry, team: str, tmp_path: Path) -> None:
    policy = registry.path / REGISTRY_FILE
    policy.unlink()
    policy.mkdir()
    damaged = [refused(lambda: registry.add(linear(team)), "no plain file")]
    policy.rmdir()
    policy.symlink_to(tmp_path / "elsewhere")
    damaged.append(refused(lambda: registry.add(linear(team)), "symbolic link"))
    policy.unlink()
    policy.write_bytes(b"#" * (1024 * 1024 + 1))
    damaged.append(refused(lambda: registry.add(linear(team)), "the limit is 1048576"))
    for error in damaged:
        assert error.way_out.startswith(f"put a plain file in the place of {policy}: it holds `allow_pickle")


def test_a_file_where_a_folder_belongs_is_called_one(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refused(Registry(tmp_path / "file").policy, f"{tmp_path / 'file'} is a file, not a folder")
    assert error.way_out == "name the folder that holds the versions"
    (registry.path / "fraud").write_text("")
    error = refused(lambda: registry.get("fraud:8"), f"{registry.path / 'fraud'} is a file, not a folder")


def test_a_huge_manifest_is_not_read(registry: Registry, team: str) -> None:
    registry.add(linear(team))
    overwrite(registry.path / "fraud" / "8" / FILE, b"#" * (1024 * 1024 + 1))
    refused(lambda: registry.get("fraud:8"), "the limit is 1048576")


@pytest.mark.parametrize(
    "ref",
    ["fraud", "fraud:", ":8", "../x:8", "fraud:..", "fraud:8/..", "Fraud:8", "fraud:8\n", "a:b:c", ".adding:8"],
)
def test_a_name_that_could_lead_elsewhere_is_no_name(ref: str) -> None:
    assert refused(lambda: parse_ref(ref), "names no model version").way_out


def test_a_name_has_a_limit_and_is_not_the_registrys_own_file() -> None:
    assert parse_ref("a" * 99 + ":8") == ("a" * 99, "8")
    refused(lambda: parse_ref("a" * 100 + ":8"), "names no model version")
    refused(lambda: parse_ref(f"{REGISTRY_FILE}:8"), "names no model version")


def test_a_version_that_is_not_there_names_those_that_are(registry: Registry, team: str) -> None:
    registry.add(linear(team))
    refused(lambda: registry.get("fraud:9"), "fraud:9 is not in the registry .*: of fraud there is fraud:8")
    refused(lambda: registry.get("nope:1"), "of nope there is no version; there is fraud")
    shutil.copytree(registry.path / "fraud" / "8", registry.path / "fraud" / "9")
    refused(lambda: registry.get("fraud:9"), "is the manifest of fraud:8")


@pytest.mark.parametrize(
    ("old", "text", "what"),
    [
        (b"manifest: 1", b"manifest: 2", "manifest"),
        (b"format: python", b"format: pickle", "format"),
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
