"""A scikit-learn estimator as a Model, made of a skops file (skopsfile.py): which columns are the contract's outputs.

Features: one matrix (rows, features) in declared order; float64, booleans as 0 and 1, or object where a feature is a
string. An estimator that was fitted on a frame must have been fitted on these columns in this order.

Outputs: `predict_proba` where there is one; a column for each class where the contract has as many names, the
probability of the second class where it has one name and there are two classes. Else `predict`, a column for each name.

numpy's matrix products round by the number of rows (measured: a logistic regression answers 73 of 200 rows alone with
other last bits than among 1,000), and the answer to a row must not depend on its neighbours. So an estimator always
sees BLOCK rows, as an ONNX graph does, on one thread: what is missing is filled with the first row.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streambg.errors import ModelError
from streambg.models.contract import Answers, Events
from streambg.models.manifest import Manifest
from streambg.models.reasons import RAISES, words
from streambg.models.skopsfile import check_types, libraries

# A multiple of the rows that a matrix product takes at once. One row costs what a block costs; measured on two busy
# cores with 12 features: 1 ms of a pipeline, 4 ms of boosted trees, 30 ms of 100 trees; in full blocks 4, 15 and 117 us
# a row.
BLOCK = 256
DISTRIBUTION = "scikit-learn"
_ZEROS: Mapping[str, float | str | bool] = {"number": 0.0, "string": "", "boolean": False}

Array = npt.NDArray[Any]


def load_sklearn(manifest: Manifest, artifact: bytes, allowed: Sequence[str], where: str) -> SklearnModel:
    """The estimator made of these very bytes, on one thread, and tried once on zeros.

    allowed: the registry's `skops_allow`, which stands in the file `where`. Raises ModelError: not installed, no skops
    file, a type that is not declared or not allowed, another scikit-learn, or an estimator that does not fit the
    contract.
    """
    trusted = check_types(manifest.ref, artifact, manifest.types or (), allowed, where)
    _check_version(manifest)
    estimator = _made(manifest.ref, artifact, trusted)
    _one_thread(estimator)
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is not None and list(fitted) != list(manifest.features):
        raise ModelError(
            f"{manifest.ref}: the estimator was fitted on {', '.join(map(str, fitted))}, the version has "
            f"{', '.join(manifest.features)}",
            way_out="give the features it was fitted on, in that order (--feature)",
        )
    texts = "string" in manifest.features.values()
    model = SklearnModel(estimator, tuple(manifest.features), texts)
    zeros = [{name: _ZEROS[kind] for name, kind in manifest.features.items()}]
    try:
        said = model.run(Events(zeros, [None], [0]))
    except RAISES as error:  # the estimator is a team's
        raise ModelError(
            f"{manifest.ref}: the estimator does not answer {BLOCK} rows of zeros: {words(error)[:500]}",
            way_out="fit it on arrays, with columns chosen by number; a frame is not made for it",
        ) from error
    columns = _columns(manifest, said.shape[1], probabilities=model.probabilities)
    return SklearnModel(estimator, tuple(manifest.features), texts, columns)


def _check_version(manifest: Manifest) -> None:
    wanted, here = manifest.libraries.get(DISTRIBUTION, ""), importlib.metadata.version(DISTRIBUTION)
    if wanted != here:
        raise ModelError(
            f"{manifest.ref} was added with {DISTRIBUTION} {wanted}, this process has {here}; an estimator's insides "
            "differ between them",
            way_out=f"install {DISTRIBUTION}=={wanted}, or train anew with {here} and add that as a new version",
        )


def _made(ref: str, artifact: bytes, trusted: Sequence[str]) -> Any:
    skops, sklearn = libraries()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", sklearn.exceptions.InconsistentVersionWarning)
            estimator = skops.loads(artifact, trusted=list(trusted))
    except RAISES as error:  # a schema may name what is not there, and a team's type may raise
        raise ModelError(
            f"{ref}: the file does not load: {type(error).__name__}: {words(error)[:500]}",
            way_out="write it anew with skops.io.dump, with the libraries this process has",
        ) from error
    if not callable(getattr(estimator, "predict", None)):
        raise ModelError(
            f"{ref}: the file holds {type(estimator).__name__}, which has no predict",
            way_out="give a fitted estimator or pipeline; wrap anything else in a class of your own, format python",
        )
    return estimator


def _one_thread(estimator: Any) -> None:
    """Threads add up in the order in which they end, and a scorer is one process a core (as for onnx_threads)."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    threadpool_limits(1)  # of this process, from now on
    # said of every call where an estimator was fitted on a frame; the names are checked when it is loaded
    warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
    if callable(getattr(estimator, "get_params", None)):
        jobs = [name for name in estimator.get_params() if name.rpartition("__")[2] == "n_jobs"]
        estimator.set_params(**dict.fromkeys(jobs, 1))


def _columns(manifest: Manifest, columns: int, *, probabilities: bool) -> tuple[int, ...]:
    """Which columns of the answer are the contract's outputs. Raises ModelError."""
    outputs = len(manifest.outputs)
    if columns == outputs:
        return tuple(range(outputs))
    if probabilities and columns == 2 and outputs == 1:
        return (1,)
    raise ModelError(
        f"{manifest.ref}: {'predict_proba' if probabilities else 'predict'} answers {columns} columns, the contract "
        f"has {outputs}: {', '.join(manifest.outputs)}",
        way_out="one output for each class (for two classes also one: the second's probability), or for each target",
    )


class SklearnModel:
    """An estimator behind `predict_many`, in blocks of one size; see the head of this module."""

    __slots__ = ("_ask", "_columns", "_names", "_texts", "probabilities")

    def __init__(self, estimator: Any, names: tuple[str, ...], texts: bool, columns: tuple[int, ...] = ()) -> None:
        self.probabilities = callable(getattr(estimator, "predict_proba", None))
        self._ask: Callable[[Array], Any] = estimator.predict_proba if self.probabilities else estimator.predict
        self._names = names
        self._texts = texts
        self._columns = list(columns)

    def predict_many(self, events: Events) -> Answers:
        """float64 (n, outputs)."""
        if not len(events):
            return Answers(np.empty((0, len(self._columns))))
        return Answers(self.run(events)[:, self._columns])

    def run(self, events: Events) -> Array:
        """All columns of the answer to n > 0 events, (n, columns). Raises what the estimator does, ValueError."""
        if self._texts:
            values: Array = np.array([[row[name] for name in self._names] for row in events.rows], dtype=object)
        else:
            values = events.matrix(self._names)
        return np.concatenate([self._block(values[start : start + BLOCK]) for start in range(0, len(values), BLOCK)])

    def _block(self, values: Array) -> Array:
        take = np.zeros(BLOCK, np.intp)
        take[: len(values)] = np.arange(len(values))
        said = np.asarray(self._ask(values[take]))
        if said.ndim not in (1, 2) or len(said) != BLOCK:
            raise ValueError(f"the answer has the shape {said.shape} for {BLOCK} rows")
        return said.reshape(BLOCK, -1)[: len(values)]
