"""streambg's side of the work: the same score as a model of the registry, and the same answer as its value."""

from __future__ import annotations

import numpy as np

from streambg.models.contract import Answers, Events

FEATURES = ("amount", "n24", "device")
WEIGHTS = np.array([0.002, 0.1, -1.0])


class Logistic:
    """`artifact`: what the score is multiplied by; it tells green from blue."""

    def __init__(self, artifact: bytes) -> None:
        self._scale = float(artifact)

    def predict_many(self, events: Events) -> Answers:
        z = (events.matrix(list(FEATURES)) * WEIGHTS).sum(axis=1)
        scores = self._scale / (1 + np.exp(-z))
        values = [
            b'{"id":%d,"ts":%d,"p":%.6f}' % (row["id"], row["ts"], score)
            for row, score in zip(events.rows, scores.tolist(), strict=True)
        ]
        return Answers(scores, values)
