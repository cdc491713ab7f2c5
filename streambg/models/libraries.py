"""What a version's `model.yaml` records of the environment it was added in."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

from streambg import __version__
from streambg.errors import ModelError
from streambg.models.manifest import Format

# The distribution that a format's answers come from, by format.
_LIBRARIES: Mapping[Format, tuple[str, ...]] = {
    "python": (),
    "river": ("river",),
    "onnx": ("onnxruntime",),
    "sklearn": ("scikit-learn", "skops"),
}


def recorded_versions(format_: Format, more: Sequence[str]) -> dict[str, str]:
    """Distribution -> version, of what the format's answers come from and of `more`. Raises ModelError: not there."""
    versions = {"python": platform.python_version(), "streambg": __version__}
    for name in dict.fromkeys(("numpy", *_LIBRARIES[format_], *more)):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise ModelError(
                f"the library {name!r} is not installed here, so it has no version to record",
                way_out="install it, or leave --library out",
            ) from error
    return versions
