"""Two river models of the Shuttle data, learnt here and now, and their place in the registry."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from streambg.demo.data import FEATURES, TRAINING_ROWS, Row
from streambg.models.manifest import Manifest, sha256
from streambg.models.policy import Policy
from streambg.models.registry import NewVersion, Registry

NAME = "shuttle"
DECISION = 0.5  # as the pipeline file decides


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as bytes. `accuracy`: of each answer given before its row was learnt."""

    what: str
    artifact: bytes
    accuracy: float


def train(rows: Sequence[Row]) -> tuple[Trained, Trained]:
    """Blue's logistic regression and green's Hoeffding tree, on the first rows (1 s)."""
    from river import linear_model, preprocessing, tree  # noqa: PLC0415 - as in data.load_rows

    learning = rows[:TRAINING_ROWS]
    # not the default splitter: it carries unseeded randomness, and the same training would give other bytes each time
    hoeffding = tree.HoeffdingTreeClassifier(grace_period=100, splitter=tree.splitter.HistogramSplitter())
    logistic = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return (
        _learn("logistic regression", logistic, learning),
        _learn("Hoeffding tree", hoeffding, learning),
    )


def _learn(what: str, model: Any, rows: Sequence[Row]) -> Trained:
    right = 0
    for features, label in rows:
        right += (model.predict_proba_one(features).get(True, 0.0) >= DECISION) == label
        model.learn_one(features, label)
    return Trained(what, pickle.dumps(model, protocol=5), right / len(rows))


def register(folder: Path, models: Sequence[Trained], now: datetime) -> list[Manifest]:
    """Add them as `shuttle:1`, `shuttle:2`; where other content has that number, under the next free one.

    Raises ModelError, also where the registry's owner does not allow pickles.
    """
    registry = Registry(folder)
    if not registry.policy().allow_pickle:
        registry = Registry.create(folder, Policy(allow_pickle=True))
    standing = {listed.ref: listed.manifest for listed in registry.list()}
    added: list[Manifest] = []
    refs = (f"{NAME}:{number}" for number in itertools.count(1))
    for model in models:
        ref = next(ref for ref in refs if ref not in standing or _holds(standing[ref], model))
        added.append(registry.add(_version(ref, model, now)))
    return added


def _holds(standing: Manifest | None, model: Trained) -> bool:
    return standing is not None and standing.artifact_sha256 == sha256(model.artifact)


def _version(ref: str, model: Trained, now: datetime) -> NewVersion:
    return NewVersion(
        ref,
        "river",
        dict.fromkeys(FEATURES, "number"),
        ("anomaly",),
        now,
        artifact=model.artifact,
        artifact_name="model.pickle",
        training=f"{model.what}; the first {TRAINING_ROWS:,} rows of river's datasets.Shuttle",
        metrics={"accuracy_while_learning": round(model.accuracy, 4), "rows": TRAINING_ROWS},
    )
