"""A team's code by name, `package.module:thing`, from allowed modules only.

An entry stands in a file that more people may write than may run code in our processes, hence the allow-list: a
prefix `acme.models` allows that module and those below it, nothing else (not `acme.models_old`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from streambg.errors import ModelError
from streambg.models.foreign import theirs
from streambg.models.reasons import RAISES, words

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
ENTRY = re.compile(rf"(?P<module>{_NAME}(\.{_NAME})*):(?P<thing>{_NAME})")
# Digits of the source's hash in the name that a model's module gets: enough that two sources never share one.
_ALIAS_DIGITS = 32

# Where an allow-list stands, for who does not know the registry's folder.
ANY_REGISTRY = "registry.yaml at the top of the registry's folder"

_NOT_THERE = "install it into this environment, or start from the directory that holds it"
_READABLE = "is the file there, and this user's to read?"

_running = threading.RLock()


@dataclass(frozen=True, slots=True)
class Source:
    """A module's source, read once from `file`; `package` is what its relative imports start from.

    kept: where its copy stands, or will stand, in a registry: what `__file__` says in every process that runs it.
    """

    module: str
    package: str
    file: str
    data: bytes
    kept: str | None = None


def modules_beside(pipeline_file: Path) -> None:
    """A team's own modules (models, decoding, metrics) stand beside its pipeline file, and are found there first.

    Else another folder's module of the same name, such as that of a checkout that is installed, would be taken.
    """
    folder = str(pipeline_file.parent.resolve())
    sys.path[:] = [folder, *(path for path in sys.path if path != folder)]


def parse_entry(entry: str) -> tuple[str, str]:
    """`package.module:thing` in two. Raises ModelError."""
    match = ENTRY.fullmatch(entry)
    if match is None:
        module, _, thing = entry.rpartition(".")
        meant = f"{module}:{thing}" if ENTRY.fullmatch(f"{module}:{thing}") else "package.module:Class"
        raise ModelError(
            f"the entry {entry[:200]!r} does not say which module holds which class",
            way_out=f"it is written with a colon: {meant[:200]}",
        )
    return match["module"], match["thing"]


def check_allowed(module: str, allowed: Sequence[str], what: str, where: str = ANY_REGISTRY) -> None:
    """Raises ModelError unless a prefix of the allow-list, which stands in the file `where`, covers the module."""
    if not any(module == prefix or module.startswith(f"{prefix}.") for prefix in allowed):
        raise ModelError(
            f"the {what}'s module {module} is not on the allow-list {list(allowed)}",
            way_out=f"who trusts that code writes `python_allow: [{', '.join([*allowed, module])}]` into {where}",
        )


def import_entry(entry: str, allowed: Sequence[str], what: str) -> Any:
    """The thing itself, imported in the ordinary way; it is callable. Raises ModelError."""
    module, thing = parse_entry(entry)
    check_allowed(module, allowed, what)
    try:
        with theirs():
            imported = importlib.import_module(module)
    except RAISES as error:  # an import runs the module
        raise _not_imported(module, what, error) from error
    return attribute(imported, module, thing, what, getattr(imported, "__file__", None) or module)


def find_source(module: str, what: str) -> Source:
    """The module's source, read once; runs the packages above it, not the module. Raises ModelError."""
    spec = _find(module, what)
    if not spec.origin or not spec.origin.endswith(".py"):
        raise ModelError(
            f"the {what}'s module {module} is no Python source file ({spec.origin})",
            way_out="put the class into a .py file of its own, which may import what is compiled",
        )
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    try:
        return Source(module, package, spec.origin, Path(spec.origin).read_bytes())
    except OSError as error:
        raise _not_imported(module, what, error, _READABLE) from error


def code_sha256(entry: str, allowed: Sequence[str], what: str) -> str:
    """Of the file that the entry's module is, compiled ones too, in hex digits; what that imports is not looked at.

    Runs the packages above it, not the module. Raises ModelError.
    """
    module, _ = parse_entry(entry)
    check_allowed(module, allowed, what)
    origin = _find(module, what).origin
    try:
        return hashlib.sha256(Path(origin or "").read_bytes()).hexdigest()
    except OSError as error:
        raise _not_imported(module, what, error, _READABLE) from error


def run_source(source: Source, sha256: str, what: str) -> ModuleType:
    """Exactly these bytes as a module: not what a cache, or a write since they were hashed, would give.

    It stands in sys.modules under a name of its own, so that two versions of one source live in one process.
    Raises ModelError where the code raises.
    """
    alias = f"{source.module}@{sha256[:_ALIAS_DIGITS]}"
    with _running:  # nobody else may see a module that has run by half
        if alias in sys.modules:
            return sys.modules[alias]
        module = ModuleType(alias)
        module.__file__ = source.kept or source.file
        module.__package__ = source.package
        sys.modules[alias] = module  # dataclasses look their own module up
        try:
            with theirs():
                exec(compile(source.data, source.file, "exec", dont_inherit=True), module.__dict__)
        except RAISES as error:  # it is the team's code
            del sys.modules[alias]
            raise _not_imported(source.module, what, error) from error
        return module


def attribute(module: ModuleType, name: str, thing: str, what: str, file: str) -> Any:
    """A callable of a module that was read from `file`. Raises ModelError."""
    found = getattr(module, thing, None)
    if not callable(found):
        raise ModelError(
            f"the {what} {name}:{thing} is {'not there' if found is None else 'not callable'}: {file} was looked into",
            way_out=f"define the class or function {thing} there; modules beside the pipeline file are found first",
        )
    return found


def _find(module: str, what: str) -> ModuleSpec:
    importlib.invalidate_caches()  # a file written a moment ago is there
    try:
        with theirs():
            spec = importlib.util.find_spec(module)
    except RAISES as error:  # finding it imports the packages above
        raise _not_imported(module, what, error) from error
    if spec is None:
        raise _not_imported(module, what, ModuleNotFoundError(f"no module named {module!r}", name=module))
    return spec


def _not_imported(module: str, what: str, error: BaseException, way_out: str | None = None) -> ModelError:
    return ModelError(
        f"the {what}'s module {module} cannot be imported: {type(error).__name__}: {words(error)[:500]}",
        way_out=way_out or _mend(module, error),
    )


def _mend(module: str, error: BaseException) -> str:
    """What to do about a module that was not found, or that raises while it runs."""
    if isinstance(error, SyntaxError):
        line = f":{error.lineno}" if error.lineno else ""
        return f"mend {error.filename or module}{line}, then the same again"
    lines = _lines(error)
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        if f"{module}.".startswith(f"{error.name}."):
            return _NOT_THERE
        imported_by = f"{lines[-1]} imports {error.name}" if lines else f"it imports {error.name}"
        return f"{imported_by}, which is not there: {_NOT_THERE}"
    return f"its own code raises that{f' at {lines[0]}' if lines else ''}: mend it, then the same again"


def _lines(error: BaseException) -> list[str]:
    """`file:line` of what ran, from the module on: neither ours nor of the import machinery."""
    return [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if (name := str(frame.f_globals.get("__name__"))) != __name__ and name.partition(".")[0] != "importlib"
    ]
