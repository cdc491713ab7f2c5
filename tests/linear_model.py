"""The model of the pipelines in tests, as the text of its module, which stands beside the pipeline file."""

from __future__ import annotations

MODEL = '''
import os
import pathlib
import time
import numpy as np
from streambg.models.contract import Answers

class Linear:
    """Score from two features; `bias` tells versions apart, the other parameters misbehave on purpose.

    raises_on: an id, raises_at: of every hundred ids one. dies_from: an id that ends the process. noise: another answer
    each time it is asked. scale: 100 for percent. A field `large` of an event: an answer of so many bytes. A file of
    the name `pause`: it takes the seconds that stand in it, once.
    """
    def __init__(self, params=None):
        import json
        given = json.loads(params) if params else {}
        self.bias = given.get("bias", 0.0)
        self.raises_on = given.get("raises_on")
        self.raises_at = given.get("raises_at")
        self.noise = given.get("noise", 0.0)
        self.scale = given.get("scale", 1.0)
        self.pause = pathlib.Path(given.get("pause", "no pause"))
        self.fails_from = given.get("fails_from")
        self.dies_from = given.get("dies_from")

    def predict_many(self, events):
        ids = [row.get("id", 0) for row in events.rows]
        if self.raises_on in ids or self.raises_at in [number % 100 for number in ids]:
            raise ValueError("no answer to this one")
        if self.dies_from is not None and max(ids) >= self.dies_from:
            os._exit(1)  # as code in C does that crashes
        if self.pause.exists():
            seconds = float(self.pause.read_text())
            self.pause.unlink()
            time.sleep(seconds)
        z = events.matrix(["f1", "f2"]) @ np.array([0.5, -0.3]) + self.bias
        scores = self.scale / (1 + np.exp(-z - self.noise * np.random.default_rng().normal(size=len(z))))
        if self.fails_from is not None:  # an answer that is no number is an error row
            scores[[number >= self.fails_from for number in ids]] = np.nan
        sizes = [row.get("large", 0) for row in events.rows]
        return Answers(scores, [b"x" * size or b"small" for size in sizes]) if any(sizes) else scores
'''
