"""MLflow's description of a version (`MLmodel`): which one file of it is the model, in which format, on which columns.

Only what loads without running what the file says: flavor `onnx`, and flavor `sklearn` written as skops.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streambg.errors import ModelError
from streambg.models.contract import FeatureType
from streambg.models.manifest import Format, read_mapping

# MLflow's column types as features; the others (dates, bytes, arrays, objects) are nothing that an event's field is.
_FEATURES: Mapping[str, FeatureType] = {
    "double": "number",
    "float": "number",
    "long": "number",
    "integer": "number",
    "string": "string",
    "boolean": "boolean",
}


@dataclass(frozen=True, slots=True)
class Described:
    """file: the model's, in the version's folder. features: the signature's named columns; None where it has none.

    types: what the file may hold beyond what skops trusts by itself, as declared when it was logged.
    """

    format: Format
    file: str
    features: Mapping[str, FeatureType] | None
    types: tuple[str, ...] = ()


def describe(ref: str, data: bytes) -> Described:
    """Raises ModelError: no MLmodel, or a model of another kind."""
    try:
        description = read_mapping(data, f"{ref} MLmodel")
    except ModelError as error:
        raise ModelError(error.what, way_out="log the model anew") from error
    flavors = description.get("flavors")
    if not isinstance(flavors, dict) or not all(isinstance(flavor, dict) for flavor in flavors.values()):
        raise ModelError(f"{ref}: MLmodel names no flavors", way_out="log the model anew")
    features = _features(ref, description.get("signature"))
    if (onnx := flavors.get("onnx")) is not None:
        return Described("onnx", str(onnx.get("data")), features)
    if (sklearn := flavors.get("sklearn")) is not None:
        written = sklearn.get("serialization_format")
        if written != "skops":
            raise ModelError(
                f"{ref} is a scikit-learn model written as {written}, and loading one runs whatever it says",
                way_out="log it with serialization_format='skops'",
            )
        types = sklearn.get("skops_trusted_types") or ()
        return Described("sklearn", str(sklearn.get("pickled_model")), features, tuple(map(str, types)))
    raise ModelError(
        f"{ref} has the flavors {', '.join(sorted(map(str, flavors)))}; taken are onnx and sklearn (as skops)",
        way_out="log it as one of them; or add its file yourself: streambg models add",
    )


def _features(ref: str, signature: Any) -> Mapping[str, FeatureType] | None:
    """The columns of a signature in order; None where it has no columns with names."""
    try:
        columns = json.loads(signature["inputs"]) if isinstance(signature, dict) and signature.get("inputs") else []
        named = {str(column["name"]): str(column["type"]) for column in columns if "name" in column}
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{ref}: MLmodel's signature cannot be read: {error}", way_out="log the model anew") from error
    if not named or "tensor" in named.values():
        return None
    for name, kind in named.items():
        if kind not in _FEATURES:
            raise ModelError(
                f"{ref}: the column {name} of its signature is a {kind}, a feature is one of {', '.join(_FEATURES)}",
                way_out="train on such columns; or give the features yourself: --feature NAME=number, repeated",
            )
    return {name: _FEATURES[kind] for name, kind in named.items()}
