"""What the verbs about models share: where the registry is, and files given on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from streambg.cli.common import DEFAULT_PIPELINE, load_pipeline
from streambg.config import Pipeline
from streambg.control.verbs import schema
from streambg.errors import ModelError
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


def place_of(pipeline: Path, registry: Path | None) -> Place:
    """The registry, and the pipeline where there is one: --registry needs none. Raises ConfigError."""
    modules_beside(pipeline)
    if registry is not None and pipeline == DEFAULT_PIPELINE and not pipeline.exists():
        return Place(Registry(registry), None)
    loaded = load_pipeline(pipeline)
    return Place(Registry(registry or loaded.registry), loaded)


def read_file(path: Path) -> bytes:
    """A file given on the command line. Raises ModelError: not readable, too large."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_ARTIFACT_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", way_out="is the path right?") from error
    if len(data) > MAX_ARTIFACT_BYTES:
        raise ModelError(f"{path} has more than {MAX_ARTIFACT_BYTES} bytes, the limit", way_out="give a smaller file")
    return data


def read_sample(path: Path) -> list[Row | str]:
    """Events, one JSON object a line; an empty line is none. Raises ModelError."""
    lines = [line for line in read_file(path).splitlines() if line.strip()]
    if len(lines) > MAX_SAMPLE_ROWS:
        raise ModelError(
            f"{path} has {len(lines)} events, the limit is {MAX_SAMPLE_ROWS}", way_out="give a part of it: head -n"
        )
    return json_rows(lines)
