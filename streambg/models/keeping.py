"""A version's own copy of its code, beside its artifact: who edits the module for the next version takes no older one
away, neither live nor the way back.

Only where `registry.yaml` says `keep_source: true`: code that stands in the registry is run then, so that trusts
everyone who may write there *and* send a `deploy`, as a pickle does. The copy has the module's own file name; what it
is was decided by `source_sha256`, so it needs no line in `model.yaml`, and versions without one load as ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from streambg.errors import ModelError
from streambg.models.folder import read_below
from streambg.models.importing import Source, parse_entry
from streambg.models.manifest import Manifest

# Trees of a forest written out as code come to some MB; whoever has more has data in it, which belongs in an artifact.
MAX_SOURCE_BYTES = 16 * 1024 * 1024
_OF_A_PACKAGE = "__init__.py"


def file_name(source: Source) -> str:
    """What the copy is called; it says whether the module is a package, from which relative imports start."""
    return _OF_A_PACKAGE if source.package == source.module else _of_a_module(source.module)


def to_keep(root: Path, name: str, version: str, source: Source, artifact: str | None) -> Source:
    """The source that is about to be added, with the place of its copy.

    Raises ModelError: over MAX_SOURCE_BYTES, or the artifact has that name.
    """
    if len(source.data) > MAX_SOURCE_BYTES:
        raise ModelError(
            f"{source.file} has {len(source.data)} bytes, the limit of a module that is kept is {MAX_SOURCE_BYTES}",
            way_out="put what the model has learnt into an artifact (--artifact)",
        )
    if artifact == (copy := file_name(source)):
        raise ModelError(f"the artifact is called {artifact}, as the copy of the code is", way_out="rename the file")
    return replace(source, kept=str(root.absolute() / name / version / copy))


def kept_source(root: Path, manifest: Manifest) -> Source | None:
    """The copy of a python version's code, read once and not yet compared with its digest; None: none was kept.

    Raises ModelError: a link, no plain file, not readable, too large.
    """
    module, _ = parse_entry(manifest.entry or "")
    for copy, package in ((_of_a_module(module), module.rpartition(".")[0]), (_OF_A_PACKAGE, module)):
        if copy == manifest.artifact:  # of the time before copies were kept
            continue
        try:
            data = read_below(root, (manifest.name, manifest.version, copy), MAX_SOURCE_BYTES)
        except FileNotFoundError:
            continue
        path = str(root.absolute() / manifest.name / manifest.version / copy)
        return Source(module, package, path, data, path)
    return None


def of_another_state(added: Manifest, others: Iterable[Manifest]) -> list[Manifest]:
    """The versions of the same module whose code was another: without a copy of their own they cannot be loaded."""
    if added.entry is None:
        return []
    module = parse_entry(added.entry)[0]
    return [
        other
        for other in others
        if other.entry is not None
        and parse_entry(other.entry)[0] == module
        and other.source_sha256 != added.source_sha256
    ]


def _of_a_module(module: str) -> str:
    return f"{module.rpartition('.')[2]}.py"
