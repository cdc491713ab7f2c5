"""Two river models of the Shuttle data, learnt here and now, and their place in the registry."""

from __future__ import annotations

import itertools
import pickle
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from streambg.demo.data import FEATURES, TRAINING_ROWS, Row, shifted
from streambg.demo.stories import Learner
from streambg.errors import ModelError
from streambg.models.manifest import REGISTRY_FILE, Manifest, sha256
from streambg.models.policy import Policy
from streambg.models.registry import NewVersion, Registry
from streambg.records.source import COLORS, Color

NAME = "shuttle"
# What each color learns where no story says otherwise.
LEARNERS: tuple[Learner, Learner] = ("logistic", "tree")
DECISION = 0.5  # as the pipeline file decides
# What makes a tree about 2 points worse (stories.py), and always the same rows.
NOISE, NOISE_SEED = 0.4, 7


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as bytes. `accuracy`: of each answer given before its row was learnt."""

    what: str
    artifact: bytes
    accuracy: float


class Models(Mapping[Color, str]):
    """`shuttle:N` of each color's model, as they come into the registry. `told(color, model, ref)` hears of each.

    learners: blue's and green's; live: blue's model. Green's is learnt when it is first asked for: that takes half a
    second of a processor, which the first event would wait for.
    """

    def __init__(
        self,
        folder: Path,
        rows: Sequence[Row],
        learners: tuple[Learner, Learner],
        live: Trained,
        told: Callable[[Color, Trained, str], None],
    ) -> None:
        self._folder, self._rows, self._told = folder, rows, told
        self._learners = dict(zip(COLORS, learners, strict=True))
        self._trained: dict[Color, Trained] = {"blue": live}
        self._refs: dict[Color, str] = {}

    def __getitem__(self, color: Color) -> str:
        """Raises as `register`."""
        if color not in self._refs:
            if color not in self._trained:
                self._trained[color] = learn(self._learners[color], self._rows)
            manifests = register(self._folder, list(self._trained.values()), datetime.now(UTC))
            self._refs[color] = dict(zip(self._trained, manifests, strict=True))[color].ref
            self._told(color, self._trained[color], self._refs[color])
        return self._refs[color]

    def __iter__(self) -> Iterator[Color]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)


def learn(how: Learner, rows: Sequence[Row]) -> Trained:
    """One model, on the first rows; the same rows give the same bytes."""
    from river import linear_model, preprocessing, tree  # noqa: PLC0415 - as in data.load_rows

    rows = rows[:TRAINING_ROWS]
    if how == "logistic":
        return _learn("logistic regression", preprocessing.StandardScaler() | linear_model.LogisticRegression(), rows)
    # not the default splitter: it carries unseeded randomness, and the same training would give other bytes each time
    model = tree.HoeffdingTreeClassifier(grace_period=100, splitter=tree.splitter.HistogramSplitter())
    match how:
        case "noisy tree":
            flips = random.Random(NOISE_SEED)
            rows = [(features, label != (flips.random() < NOISE)) for features, label in rows]
            return _learn(f"Hoeffding tree, {NOISE:.0%} of whose labels were wrong", model, rows)
        case "tree of both":
            return _learn("Hoeffding tree that knows the shifted sensor", model, _with_shifted(rows, swapped=False))
        case "tree swapped after the shift":
            return _learn(
                "Hoeffding tree that learnt the shifted sensor's labels swapped",
                model,
                _with_shifted(rows, swapped=True),
            )
    return _learn("Hoeffding tree", model, rows)


def _with_shifted(rows: Sequence[Row], *, swapped: bool) -> list[Row]:
    """Each row as it is, and as it is after the shift."""
    return [row for features, label in rows for row in ((features, label), (shifted(features), label != swapped))]


def _learn(what: str, model: Any, rows: Sequence[Row]) -> Trained:
    right = 0
    for features, label in rows:
        right += (model.predict_proba_one(features).get(True, 0.0) >= DECISION) == label
        model.learn_one(features, label)
    return Trained(what, pickle.dumps(model, protocol=5), right / len(rows))


def require_pickles(folder: Path) -> None:
    """Raises ModelError where the registry's owner does not allow what the demo's models are."""
    if (folder / REGISTRY_FILE).exists() and not Registry(folder).policy().allow_pickle:
        raise ModelError(
            f"{folder / REGISTRY_FILE} does not allow pickles, and the demo's two models are some",
            way_out="add `allow_pickle: true` to it, or play the demo in a folder of its own",
        )


def register(folder: Path, models: Sequence[Trained], now: datetime) -> list[Manifest]:
    """Add them as `shuttle:1`, `shuttle:2`; where other content has that number, under the next free one.

    Raises ModelError, also where the registry's owner does not allow pickles.
    """
    require_pickles(folder)
    registry = Registry(folder)
    if not registry.policy().allow_pickle:  # there is none yet
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
