"""From checked bytes to a model: the formats `python` and `river` (`onnx`: onnxmodel.py).

`python`: an entry `package.module:Class` (or a function that makes the model), called with the artifact's bytes, or
with nothing where the version has no artifact. The module must be on the registry's allow-list (`python_allow`), and
the source that runs is the very bytes whose digest the version was added with: the module's file, found as an import
finds it, or the version's own copy (keeping.py).

`river`: a pickle of a classifier or pipeline with `predict_proba_one`; its answer is the probability of the class True
(or 1). To unpickle is to run whatever the file says. So it is done only in a registry whose `registry.yaml` says
`allow_pickle: true`, and only where the digest is the one in the control log: that trusts everyone who may write to
the registry *and* send a `deploy`.
"""

from __future__ import annotations

import importlib.metadata
import pickle
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streambg.errors import ModelError
from streambg.models.contract import Answers, Events, Model, as_model
from streambg.models.foreign import theirs
from streambg.models.importing import Source, attribute, parse_entry, run_source
from streambg.models.manifest import REGISTRY_FILE, Manifest, sha256
from streambg.models.reasons import RAISES, words

CALLED_WITH_NOTHING = "without an --artifact it is called with nothing: give one, or let it take none"
CALLED_WITH_BYTES = "it is called with the artifact's bytes and nothing else: let it take them, or leave out --artifact"
ITS_OWN = "its own code raises that: mend it, then the same again"


class _Classifier(Protocol):
    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]: ...


def load_python(manifest: Manifest, artifact: bytes | None, source: Source) -> Model:
    """The entry's model, made by this source of an allowed module. Raises ModelError: other source, or it raises."""
    entry = manifest.entry or ""
    module, thing = parse_entry(entry)
    found = sha256(source.data)
    if found != manifest.source_sha256:
        raise ModelError(
            f"{manifest.ref}: the source {source.file} has the SHA-256 {found}, "
            f"the version was added with {manifest.source_sha256}",
            way_out="the copy was exchanged or damaged; restore it, or add the code as a new version"
            if source.file == source.kept
            else "install the code the version was added with, or add the new code as a new version "
            f"(`keep_source: true` in {REGISTRY_FILE} keeps each version's code from then on)",
        )
    make = attribute(run_source(source, found, "model"), module, thing, "model", source.file)
    given = () if artifact is None else (artifact,)
    try:
        with theirs():
            model = make(*given)
    except RAISES as error:  # it is the team's code
        called = CALLED_WITH_BYTES if given else CALLED_WITH_NOTHING
        raise ModelError(
            f"{manifest.ref}: {entry} cannot be made: {type(error).__name__}: {words(error)[:500]}",
            way_out=called if _not_entered(error) else ITS_OWN,
        ) from error
    return Aside(as_model(model, f"{manifest.ref}: what {entry} makes"))


class Aside:
    """A team's model; what it prints is no output of ours."""

    __slots__ = ("model",)

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict_many(self, events: Events) -> Answers | npt.ArrayLike:
        with theirs():
            return self.model.predict_many(events)


def _not_entered(error: BaseException) -> bool:
    """Did it not take what it was called with? Else the error comes from within: its traceback goes on there."""
    trace = error.__traceback__
    return isinstance(error, TypeError) and trace is not None and trace.tb_next is None


def load_river(manifest: Manifest, artifact: bytes, allow_pickle: bool) -> Model:
    """The pickled classifier behind `predict_many`. Raises ModelError: not allowed, other river, no classifier."""
    if not allow_pickle:
        raise ModelError(
            f"{manifest.ref} is a pickle, and loading one runs whatever it says",
            way_out="where everyone who may write to this registry may run code in the scorers, write "
            f"`allow_pickle: true` into {REGISTRY_FILE} at the top of its folder",
        )
    wanted, here = manifest.libraries.get("river", ""), river_version()
    if wanted != here:
        raise ModelError(
            f"{manifest.ref} was pickled with river {wanted}, this process has {here}; pickles load nowhere else",
            way_out=f"install river=={wanted}, or train anew with {here} and add that as a new version",
        )
    try:
        with theirs():
            classifier = pickle.loads(artifact)
    except RAISES as error:  # a pickle can raise anything
        raise ModelError(
            f"{manifest.ref}: the pickle does not load: {type(error).__name__}: {words(error)[:500]}",
            way_out="pickle the model again with the libraries this process has",
        ) from error
    if not callable(getattr(classifier, "predict_proba_one", None)):
        raise ModelError(
            f"{manifest.ref}: the pickle holds {type(classifier).__name__}, which has no predict_proba_one",
            way_out="format river takes river's classifiers; scikit-learn's go into a skops file (skops.io.dump, then "
            "--format sklearn), anything else into a class of your own (--format python)",
        )
    return RiverModel(tuple(manifest.features), classifier)


def river_version() -> str:
    """The river installed here."""
    return importlib.metadata.version("river")


class RiverModel:
    """A river classifier as a Model: the probability of True, row by row, from the declared features only."""

    __slots__ = ("_names", "_predict")

    def __init__(self, names: tuple[str, ...], classifier: _Classifier) -> None:
        self._names = names
        self._predict = classifier.predict_proba_one

    def predict_many(self, events: Events) -> Answers:
        """(n,) probabilities; a row for which river raises, or knows no class True, is an error."""
        scores = np.full(len(events), np.nan)
        errors: dict[int, str] = {}
        for at, row in enumerate(events.rows):
            try:
                scores[at] = _probability(self._predict({name: row[name] for name in self._names}))
            except RAISES as error:  # one row's failure is that row's
                errors[at] = f"{type(error).__name__}: {words(error)}"
        return Answers(scores, errors=errors)


def _probability(probabilities: dict[Any, float]) -> float:
    """Of True or 1, which are one dictionary key; 0.0 where only False or 0 was learnt."""
    if True in probabilities:
        return probabilities[True]
    if False in probabilities:
        return 0.0
    if not probabilities:
        raise ValueError("no class was learnt yet")
    raise ValueError(f"the classes are {sorted(map(repr, probabilities))[:5]}, one must be True or 1")
