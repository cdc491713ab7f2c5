"""Two river models of the Shuttle data, learnt here and now, and their place in the registry."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from streambg.demo.data import FEATURES, TRAINING_ROWS, Row
from streambg.models.manifest import Manifest, sha256
from streambg.models.registry import NewVersion, Policy, Registry

NAME = "shuttle"
# Numbers tried for a version whose content differs from what stands there: a new river, or other models of that name.
MOST_VERSIONS = 1_000


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as bytes. `accuracy`: of each answer given before its row was learnt."""

    what: str
    artifact: bytes
    accuracy: float
    auc: float


def train(rows: Sequence[Row]) -> tuple[Trained, Trained]:
    """Blue's logistic regression and green's Hoeffding tree, on the first rows (1 s)."""
    from river import linear_model, preprocessing, tree  # noqa: PLC0415 - as in data.load_rows

    learning = rows[:TRAINING_ROWS]
    logistic = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return (
        _learn("logistic regression", logistic, learning),
        _learn("Hoeffding tree", tree.HoeffdingTreeClassifier(grace_period=100), learning),
    )


def _learn(what: str, model: Any, rows: Sequence[Row]) -> Trained:
    from river import metrics  # noqa: PLC0415 - as above

    accuracy, auc = metrics.Accuracy(), metrics.ROCAUC()
    for features, label in rows:
        guess = model.predict_proba_one(features).get(True, 0.0)
        accuracy.update(label, guess >= 0.5)
        auc.update(label, guess)
        model.learn_one(features, label)
    return Trained(what, pickle.dumps(model, protocol=5), accuracy.get(), auc.get())


def register(folder: Path, models: Sequence[Trained], now: datetime) -> list[Manifest]:
    """Add them as `shuttle:1`, `shuttle:2`; where other content has that number, under the next free one.

    Raises ModelError, also where the registry's owner does not allow pickles.
    """
    registry = Registry.create(folder, Policy(allow_pickle=True))
    standing = {listed.ref: listed.manifest for listed in registry.list()}
    added: list[Manifest] = []
    number = 0
    for model in models:
        digest = sha256(model.artifact)
        for number in range(number + 1, number + MOST_VERSIONS):
            ref = f"{NAME}:{number}"
            if ref in standing and (there := standing[ref]) is not None and there.artifact_sha256 == digest:
                break
            if ref not in standing:
                break
        added.append(registry.add(_version(ref, model, now)))
    return added


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
        metrics={"accuracy": round(model.accuracy, 4), "roc_auc": round(model.auc, 4), "rows": TRAINING_ROWS},
    )
