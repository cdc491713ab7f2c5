"""A team's model code and a registry for it: what the tests of the file registry start from."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import compose, linear_model, preprocessing

from streambg.errors import ModelError
from streambg.models.contract import Answers, Events
from streambg.models.registry import NewVersion

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


def river_pickle() -> bytes:
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    for i in range(200):
        model.learn_one({"x": float(i % 7), "y": 1.0}, i % 7 > 3)
    return pickle.dumps(model)


def team_package(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package `name` on the path, with the model in its module `scoring`."""
    package = root / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("def same(scores):\n    return scores\n")
    (package / "scoring.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(root)
    return name


def new(ref: str = "fraud:8", **more: Any) -> NewVersion:
    plain = NewVersion(ref, "river", {"x": "number", "y": "number"}, ("anomaly",), CREATED, artifact=b"")
    return replace(plain, **more)


def linear(team: str, ref: str = "fraud:8", **more: Any) -> NewVersion:
    return replace(new(ref, format="python", entry=f"{team}.scoring:Linear", artifact=None), **more)


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
