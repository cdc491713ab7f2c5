"""What a skops file says of itself, read before anything is made of it: that it is one, how large it is, which types.

A pickle runs whatever it says. A skops file is a zip of data with a schema that names the types to be made of it; only
types that skops itself trusts (numpy, scipy, scikit-learn's own estimators) and those that are named as trusted are
made. What a version needs beyond skops' own list stands in its `model.yaml` (`types`), covered by its digest; what a
registry allows at all stands in `registry.yaml` (`skops_allow`), and is a person's decision.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from types import ModuleType

from streambg.errors import ModelError
from streambg.models.manifest import MAX_ARTIFACT_BYTES
from streambg.models.reasons import words

# Types that one refusal names; a file with more of them is another kind of file.
MAX_NAMED = 10


def libraries() -> tuple[ModuleType, ModuleType]:
    """`skops.io` and `sklearn`, imported only where they are needed. Raises ModelError where they are not installed."""
    try:
        import sklearn  # noqa: PLC0415 - and cost a second that no other format should pay
        import skops.io  # noqa: PLC0415 - both come with an extra
    except ImportError as error:
        raise ModelError(
            f"format sklearn needs the library {error.name or 'skops'}, which is not installed here",
            way_out="pip install 'streambg[sklearn]', in every scorer's environment",
        ) from error
    return skops.io, sklearn


def check_types(ref: str, data: bytes, declared: Sequence[str], allowed: Sequence[str], where: str) -> list[str]:
    """The types that may be made of these bytes beyond skops' own: those that the file needs.

    Raises ModelError: no skops file, larger than MAX_ARTIFACT_BYTES when unpacked, or a type that is not declared with
    the version (`declared`), or that the registry does not allow (`allowed`, in the file `where`); nothing of the file
    has run then.
    """
    _check_size(ref, data)
    try:
        needed: list[str] = libraries()[0].get_untrusted_types(data=data)
    except ModelError:
        raise
    except Exception as error:  # the schema is whatever somebody wrote; skops has no error of its own for it
        raise _no_skops_file(ref, error) from error
    if extra := sorted(set(needed) - set(declared)):
        raise ModelError(
            f"{ref}: the file holds {_named(extra)}, {_are(extra)} not declared with the version",
            way_out=f"is that what you trained? then declare it: streambg models add {_options(needed)}"
            + (f"; {_to_write(allowed, lacks, where)}" if (lacks := set(needed) - set(allowed)) else ""),
        )
    if extra := sorted(set(needed) - set(allowed)):
        raise ModelError(
            f"{ref}: the file holds {_named(extra)}, {_are(extra)} not allowed in this registry",
            way_out=_to_write(allowed, extra, where),
        )
    return needed


def _check_size(ref: str, data: bytes) -> None:
    """A small zip may hold much; no member is unpacked beyond the size that the zip says."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except Exception as error:  # bytes that only begin like a zip give errors of many kinds
        raise _no_skops_file(ref, error) from error
    if size > MAX_ARTIFACT_BYTES:
        raise ModelError(
            f"{ref}: the artifact has {size} bytes when unpacked, the limit is {MAX_ARTIFACT_BYTES}",
            way_out="train a smaller model",
        )


def _no_skops_file(ref: str, error: Exception) -> ModelError:
    return ModelError(
        f"{ref}: the artifact is no skops file: {type(error).__name__}: {words(error)[:200]}",
        way_out="write it with skops.io.dump(model, FILE); a pickle or joblib file runs whatever it says: not taken",
    )


def _options(types: Sequence[str]) -> str:
    return " ".join(f"--type {name[:200]}" for name in sorted(types)[:MAX_NAMED])


def _to_write(allowed: Sequence[str], lacks: Iterable[str], where: str) -> str:
    return (
        "who knows that making one runs nothing bad writes "
        f"`skops_allow: [{', '.join([*allowed, *sorted(lacks)[:MAX_NAMED]])}]` into {where}"
    )


def _named(types: Sequence[str]) -> str:
    more = f" and {len(types) - MAX_NAMED} more types" if len(types) > MAX_NAMED else ""
    return ", ".join(name[:200] for name in types[:MAX_NAMED]) + more


def _are(types: Sequence[str]) -> str:
    return "which is" if len(types) == 1 else "which are"
