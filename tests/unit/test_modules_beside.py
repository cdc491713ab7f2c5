"""A1: whoever resolves a team's module by name looks beside the pipeline file first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consumers import comparator, options
from streambg.cli import common
from streambg.errors import ConfigError
from streambg.models.importing import find_source, modules_beside
from streambg.replaying import worker

# In two folders; named so that no other test's cache knows it.
NAME = "team_in_two_folders"


class Loads(Exception):
    """The pipeline file would be read now."""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pipeline file, behind another folder with a module of the same name on the path."""
    for folder in ("other", "mine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{NAME}.py").write_text(f"WHOSE = {folder!r}\n")
    monkeypatch.setattr("sys.path", [str(tmp_path / "other"), *sys.path, str(tmp_path / "mine")])
    return tmp_path / "mine" / "pipeline.yaml"


def stop(*_: Any) -> None:
    raise Loads


def by_hand(file: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    modules_beside(file)


def by_a_verb(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "load", stop)
    with pytest.raises(Loads):
        common.load_pipeline(file)


def by_a_scorer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scorer, publisher and controller go the same way."""
    monkeypatch.setattr(options, "load", stop)
    monkeypatch.setattr(options.logs, "configure", lambda *_, **__: None)
    monkeypatch.setattr(options.WATCH, "start", lambda: None)
    with pytest.raises(Loads):
        options.run("scorer.blue", argparse.Namespace(pipeline=file, log="auto", ignore_record=[]), lambda *_: 0)


def by_the_comparator(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparator, "load", stop)
    monkeypatch.setattr(comparator.logs, "configure", lambda *_, **__: None)
    monkeypatch.setattr(comparator.WATCH, "start", lambda: None)
    with pytest.raises(Loads):
        comparator.from_environment({"STREAMBG_PIPELINE": str(file)})


def by_a_worker_of_a_replay(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "load", stop)
    monkeypatch.setattr(worker.logs, "configure", lambda *_, **__: None)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker, "Place", lambda *_: SimpleNamespace(plan=lambda: SimpleNamespace(pipeline_file=file)))
    monkeypatch.setattr("sys.argv", ["worker", str(file.parent), "id", "0"])
    with pytest.raises(Loads):
        worker.main()


@pytest.mark.parametrize(
    "who", [by_hand, by_a_verb, by_a_scorer, by_the_comparator, by_a_worker_of_a_replay], ids=lambda who: who.__name__
)
def test_the_module_beside_the_pipeline_file_is_found_first(
    mine: Path, who: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_source(NAME, "model").file == str(mine.parent.with_name("other") / f"{NAME}.py"), (
        "else nothing is shown"
    )
    who(mine, monkeypatch)
    assert find_source(NAME, "model").file == str(mine.parent / f"{NAME}.py")
    assert sys.path.count(str(mine.parent)) == 1


def test_the_folder_is_named_as_a_person_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        common.load_pipeline(Path("pipeline.yaml"))
    assert sys.path[0] == str(tmp_path)
