"""What `streambg models` says of a version beside its manifest: where its code is from, and what will not do."""

from __future__ import annotations

import random
from collections.abc import Iterator

from streambg.errors import ModelError
from streambg.models.contract import Schema
from streambg.models.keeping import of_another_state
from streambg.models.manifest import REGISTRY_FILE, Manifest
from streambg.models.registry import LoadedModel, Registry
from streambg.models.verifying import Verified, answers_one, sample_rows

# Of a contract with many features the first; who knows these knows which list to look at.
MAX_FEATURES = 20
# Answers of another kind (answering.py), or none: it is not for want of a feature.
_SAID_WRONG = ("model answered", "model named", "model raised SystemExit")
# Any other will do as well: the row need not be another one each time.
_SEED = 0


def code_of(registry: Registry, manifest: Manifest) -> str | None:
    """Where a python version's code is from and whether the registry has a copy. Raises ModelError."""
    if manifest.format != "python":
        return None
    origin = manifest.origin or "a file that was not written down"
    if (kept := registry.kept_source(manifest)) is not None:
        return f"{origin}, kept as {kept.file}"
    return (
        f"{origin}, no copy is kept: it loads where that module is found unchanged "
        f"(`keep_source: true` in {registry.path / REGISTRY_FILE} keeps what is added from then on)"
    )


def cares(registry: Registry, loaded: LoadedModel) -> Iterator[str]:
    """What a person should know who has just added this version."""
    lost = [
        other.ref
        for other in of_another_state(
            loaded.manifest, [listed.manifest for listed in registry.list() if listed.manifest is not None]
        )
        if not _has_a_copy(registry, other)
    ]
    if lost:
        yield (
            f"{', '.join(lost)}: added from another state of this module, and no copy was kept; no process that starts "
            "from now on can load them. Is one of them deployed, or the way back? Then put its code back, and give "
            "each version a module of its own"
        )
    schema = loaded.manifest.schema_of(None, None)
    (row,) = sample_rows(schema, random.Random(_SEED), 1)
    if (reason := answers_one(loaded.model, row, schema)) is not None:
        yield (
            f"it does not answer a made up event: {reason}. {expected(schema, reason)}; `streambg models verify "
            f"{loaded.manifest.ref} --sample FILE.jsonl` tries real ones"
        )


def _has_a_copy(registry: Registry, other: Manifest) -> bool:
    try:
        return registry.kept_source(other) is not None
    except ModelError:  # it is damaged; that is said to who loads it
        return False


def expected(schema: Schema, reason: str) -> str:
    """What a model that gave no answer for this reason is to do."""
    if not reason.startswith(_SAID_WRONG):
        return features(schema)
    count = len(schema.outputs)
    return (
        f"predict_many must return finite numbers as float64 of shape (n, {count}){' or (n,)' if count == 1 else ''}, "
        "a row an event, or streambg.models.contract.Answers of them"
    )


def features(schema: Schema) -> str:
    """What a model may ask an event for."""
    names = [f"{name} ({kind})" for name, kind in schema.features.items()]
    more = f" and {len(names) - MAX_FEATURES} more" if len(names) > MAX_FEATURES else ""
    return f"The contract's features are {', '.join(names[:MAX_FEATURES])}{more}"


def not_pure(ref: str, result: Verified) -> ModelError:
    """What is wrong with a model whose answers depend on the batch, and what to do about it."""
    if result.batch_reason:
        return ModelError(
            f"{ref} answers {result.differing} of {result.rows} events alone, and not beside others: "
            f"{result.batch_reason}",
            way_out="predict_many answers one row an event, however many it is given: an array (n, outputs)",
        )
    return ModelError(
        f"{ref} answers {result.differing} of {result.rows} events differently in other batch sizes, 0 are allowed",
        way_out="predict_many must be pure; where only last bits differ, a matrix product rounds by batch size: "
        'write (X * w).sum(axis=1) or np.einsum("ij,j->i", X, w) instead of X @ w',
    )
