"""What the verbs about models share: where the registry is, and files given on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from streambg.cli.common import DEFAULT_PIPELINE, load_pipeline
from streambg.config import Pipeline
from streambg.control.verbs import schema
from streambg.errors import ConfigError, ModelError
from streambg.models.contract import Row, Schema
from streambg.models.decoding import json_rows
from streambg.models.importing import modules_beside
from streambg.models.manifest import MAX_ARTIFACT_BYTES
from streambg.models.registry import Registry

# a minute of a river model at 40 us an event, in all batch sizes
MAX_SAMPLE_ROWS = 500_000

RegistryOption = Annotated[
    Path | None, typer.Option("--registry", help="The registry's folder. Default: the pipeline's.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class Place:
    """A registry, and the pipeline it was asked for; None where only a folder was named."""

    registry: Registry
    pipeline: Pipeline | None

    def schema(self) -> Schema | None:
        """The pipeline's contract."""
        return None if self.pipeline is None else schema(self.pipeline)


@contextmanager
def typed() -> Iterator[None]:
    """What is refused in here was typed, and is no model's fault: a ModelError becomes a ConfigError."""
    try:
        yield
    except ModelError as error:
        raise ConfigError(error.what, way_out=error.way_out) from error


def place_of(pipeline: Path, registry: Path | None, *, new: bool = False) -> Place:
    """The registry, and the pipeline where there is one: --registry needs none. Raises ConfigError.

    new: a folder that is not there yet will do for --registry, as it does for the pipeline's.
    """
    modules_beside(pipeline)
    if registry is not None and not new:
        check_there(registry, "--registry")
    if registry is not None and pipeline == DEFAULT_PIPELINE and not pipeline.exists():
        return Place(Registry(_no_file(registry, "--registry")), None)
    loaded = load_pipeline(pipeline)
    said_by = "--registry" if registry is not None else f"`registry:` in {pipeline}, or --registry"
    return Place(Registry(_no_file(registry or loaded.registry, said_by)), loaded)


def check_there(folder: Path, option: str) -> None:
    """A folder that a person named: a mistyped one would look empty. Raises ConfigError."""
    if not _no_file(folder, option).exists():
        raise ConfigError(f"{folder}: there is no such folder", way_out=f"is the path right? {option} FOLDER")


def _no_file(folder: Path, option: str) -> Path:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, not a folder", way_out=f"name the folder: {option} FOLDER")
    return folder


def read_file(path: Path) -> bytes:
    """A file given on the command line. Raises ConfigError: not readable, too large."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_ARTIFACT_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", way_out="is the path right?") from error
    if len(data) > MAX_ARTIFACT_BYTES:
        raise ConfigError(f"{path} has more than {MAX_ARTIFACT_BYTES} bytes, the limit", way_out="give a smaller file")
    return data


def read_sample(path: Path) -> list[Row | str]:
    """Events, one JSON object a line; an empty line is none. What is no event says its line. Raises ConfigError."""
    lines = {at: line for at, line in enumerate(read_file(path).splitlines(), 1) if line.strip()}
    if len(lines) > MAX_SAMPLE_ROWS:
        raise ConfigError(
            f"{path} has {len(lines)} events, the limit is {MAX_SAMPLE_ROWS}", way_out="give a part of it: head -n"
        )
    rows = json_rows([*lines.values()])
    return [f"line {at}: {row}" if isinstance(row, str) else row for at, row in zip(lines, rows, strict=True)]
