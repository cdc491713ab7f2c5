"""Where `watch-registry` finds versions: the file registry in the order of adding, MLflow by number or alias."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from control_log import Log
from model_versions import new, river_pickle
from onnx_graphs import logistic
from pipeline_files import loaded, small

from streambg.config import Pipeline
from streambg.continuous.mlflow import Mlflow
from streambg.continuous.versions import InRegistry
from streambg.control.state import ControlState
from streambg.models.mlflowsource import Pulled, Remote
from streambg.models.mlmodel import Described
from streambg.models.policy import Policy
from streambg.models.registry import Registry

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Pipeline:
    found = loaded(tmp_path, small().replace("features: {f1: number}", "features: {x: number, y: number}"))
    Registry.create(found.registry, Policy(allow_pickle=True))
    return found


def add(config: Pipeline, ref: str, days: int) -> None:
    version = new(ref, artifact=river_pickle(), artifact_name="m.pkl")
    Registry(config.registry).add(replace(version, created=BEGAN + timedelta(days=days)))


def refs(found: Any) -> list[str]:
    return [version.ref for version in found]


def test_versions_are_those_of_the_live_models_name_in_the_order_of_adding(config: Pipeline) -> None:
    for ref, days in (("m:1", 0), ("m:aa7f", 2), ("m:3", 1), ("other:9", 5)):
        add(config, ref, days)
    (config.registry / "m" / "4").mkdir()  # half a copy is no version yet
    log = Log()
    assert log.deploy("blue", "m:1").accepted
    assert refs(InRegistry(config, None)(log.fold.state)) == ["m:1", "m:3", "m:aa7f"]
    assert refs(InRegistry(config, "other")(log.fold.state)) == ["other:9"]
    assert refs(InRegistry(config, None)(ControlState())) == []


class Store:
    """What MLflow has: numbers, and an alias; how often bytes were asked for."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.challenger = "1"
        self.fetched: list[str] = []

    def newest(self, name: str) -> Remote | None:
        return Remote(name, self.numbers[-1]) if self.numbers else None

    def resolve(self, ref: str) -> Remote:
        name, _, alias = ref.partition("@")
        assert alias == "challenger"
        return Remote(name, self.challenger)

    def fetch(self, remote: Remote) -> Pulled:
        self.fetched.append(remote.version)
        graph = logistic([float(remote.version), 1.0], output="score")
        return Pulled(remote, Described("onnx", "model.onnx", {"x": "number", "y": "number"}), graph)


def test_of_mlflow_the_newest_is_pulled_once(config: Pipeline) -> None:
    store = Store()
    source = Mlflow(config, "Fraud Model", store)  # type: ignore[arg-type] # as much of it as is asked
    assert refs(source(ControlState())) == []
    store.numbers = ["1"]
    assert refs(source(ControlState())) == ["fraud-model:1"]
    store.numbers = ["1", "2", "3"]
    for _ in range(2):
        assert refs(source(ControlState())) == ["fraud-model:1", "fraud-model:3"]
    assert store.fetched == ["1", "3"]


def test_an_alias_is_one_version_also_where_it_moves_back(config: Pipeline) -> None:
    store = Store()
    source = Mlflow(config, "Fraud@challenger", store)  # type: ignore[arg-type] # likewise
    assert refs(source(ControlState())) == ["fraud:1"]
    store.challenger = "7"
    assert refs(source(ControlState())) == ["fraud:7"]
    store.challenger = "1"
    assert refs(source(ControlState())) == ["fraud:1"]
    assert store.fetched == ["1", "7"]
