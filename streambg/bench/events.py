"""The events and the models of the benchmark. Events are a function of their number alone."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streambg.models.contract import Events
from streambg.models.policy import Policy
from streambg.models.registry import NewVersion, Registry

# Ten fields of JSON in 144 bytes: an ordinary payment.
EVENT_BYTES = 144
# Enough keys that a weight of 10 % moves 10 % of the events, few enough that a key comes again.
KEYS = 10_000
FEATURES = ("amt", "n24", "dev")
BLUE, GREEN, RIVER = "numpy:1", "numpy:2", "river:1"
# Two versions of one model: they disagree in a few events of a hundred.
WEIGHTS = {BLUE: (0.001, 0.1, -1.0, 0.05), GREEN: (0.001, 0.1, -1.0, 0.0)}
# What river learns from; it costs the same however much it has learnt.
TRAINING_ROWS = 2_000
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int) -> bytes:
    """Event `number`, exactly EVENT_BYTES long below 10**8."""
    return (
        b'{"id":"tx-%08d-5f3a9c7e-b1d2","ts":1763856000123,"uid":%d,"mid":98765,"amt":%d.45,"cur":"EUR",'
        b'"cty":"DEU","ch":"shop","n24":%d,"dev":0.%02d}'
        % (number, 1_000 + number % 9_000, 100 + number % 500, number % 10, number % 100)
    )


def key(number: int) -> bytes:
    """Its record key."""
    return b"k%d" % (number % KEYS)


class Logistic:
    """Three weights and a bias, in numpy: what a scorer costs when the model costs nothing."""

    def __init__(self, artifact: bytes) -> None:
        *weights, self._bias = json.loads(artifact)
        self._weights = np.array(weights)

    def predict_many(self, events: Events) -> npt.NDArray[np.float64]:
        """(n,) probabilities."""
        return np.asarray(1 / (1 + np.exp(-(events.matrix(FEATURES) @ self._weights + self._bias))))


def register(folder: Path) -> None:
    """The three versions in a registry of their own."""
    registry = Registry.create(folder, Policy(allow_pickle=True, python_allow=[__name__]))
    features = dict.fromkeys(FEATURES, "number")
    for ref, weights in WEIGHTS.items():
        registry.add(
            NewVersion(
                ref,
                "python",
                features,
                ("p",),
                CREATED,
                entry=f"{__name__}:{Logistic.__name__}",
                artifact=json.dumps(weights).encode(),
                artifact_name="weights.json",
            )
        )
    registry.add(
        NewVersion(RIVER, "river", features, ("p",), CREATED, artifact=_learnt(), artifact_name="model.pickle")
    )


def _learnt() -> bytes:
    from river import linear_model, preprocessing  # noqa: PLC0415 - river takes a second to import

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for number in range(TRAINING_ROWS):
        fields = json.loads(event(number))
        model.learn_one({name: fields[name] for name in FEATURES}, number % 3 == 0)
    return pickle.dumps(model, protocol=5)
