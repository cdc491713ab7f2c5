"""`streambg models`: put versions into the file registry, look at them, try them."""

from __future__ import annotations

import random
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from streambg.cli import models_diff, models_pull
from streambg.cli.common import DEFAULT_PIPELINE, Output, OutputOption, PipelineOption, print_json, stderr, stdout
from streambg.cli.completing import Ref
from streambg.cli.models_given import (
    artifact_of,
    check_contract,
    check_libraries,
    check_parts,
    check_texts,
    features_of,
    metrics_of,
)
from streambg.cli.models_said import cares, code_of, expected, not_pure
from streambg.cli.registry import RegistryOption, place_of, read_sample
from streambg.errors import ConfigError, ModelError
from streambg.models.contract import Row, Schema
from streambg.models.manifest import Manifest
from streambg.models.registry import Listed, NewVersion
from streambg.models.verifying import SAMPLE_ROWS, SIZES, Verified, sample_rows, verify
from streambg.records.outcome import short_digest

_SEED_BITS = 32

app = typer.Typer(
    help="The versions in the file registry.", no_args_is_help=True, epilog="Example:  streambg models list"
)


class FormatChoice(str, Enum):  # noqa: UP042 - Typer wants a str that is an Enum
    """manifest.Format for Typer."""

    PYTHON = "python"
    RIVER = "river"
    ONNX = "onnx"
    SKLEARN = "sklearn"


@app.command(
    epilog="Example:  streambg models add fraud:8 --format river --artifact model.pkl --training 'May, 2 M rows'"
)
def add(  # noqa: PLR0913 - Typer's form: an option is an argument
    ref: Ref,
    format_: Annotated[
        FormatChoice, typer.Option("--format", help="python, river, onnx or sklearn", show_default=False)
    ],
    artifact: Annotated[
        Path | None,
        typer.Option(
            help="The file that is copied into the registry: river a pickle, onnx the graph, sklearn a skops file.",
            show_default=False,
        ),
    ] = None,
    entry: Annotated[str | None, typer.Option(help="Format python: package.module:Class", show_default=False)] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(help="name=number|string|boolean, repeated. Default: the pipeline's.", show_default=False),
    ] = None,
    outputs: Annotated[
        str | None, typer.Option(help="Names with commas. Default: the pipeline's.", show_default=False)
    ] = None,
    type_: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Format sklearn: a type in the file that skops does not trust by itself; repeated.",
            show_default=False,
        ),
    ] = None,
    training: Annotated[str, typer.Option(help="A note on the training data.", show_default=False)] = "",
    metric: Annotated[list[str] | None, typer.Option(help="name=value, repeated.", show_default=False)] = None,
    library: Annotated[
        list[str] | None, typer.Option(help="Record this library's version, too; repeated.", show_default=False)
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    registry: RegistryOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Put a version into the registry. It must load here first; a version never changes afterwards."""
    said = {"--feature": feature, "--type": type_, "--metric": metric, "--library": library}
    check_texts({option: texts or () for option, texts in said.items()})
    check_texts({"--training": [training], "--outputs": [outputs or ""], "--entry": [entry or ""]})
    check_parts(format_.value, entry, artifact, type_ or ())
    place = place_of(pipeline, registry, new=True)
    declared = place.schema()
    wanted = features_of(feature) if feature else declared.features if declared else None
    names = tuple(outputs.split(",")) if outputs else declared.outputs if declared else None
    if wanted is None or names is None:
        raise ConfigError(
            f"no contract: {pipeline} is not there, and --feature and --outputs are not given",
            way_out="start beside a pipeline.yaml, give -p FILE, or give both options",
        )
    check_contract(wanted, names)
    check_libraries(format_.value, library or ())
    manifest = place.registry.add(
        NewVersion(
            ref,
            format_.value,
            wanted,
            names,
            datetime.now(UTC),
            entry,
            artifact_of(artifact),
            artifact.name if artifact else "",
            training,
            metrics_of(metric or ()),
            tuple(library or ()),
            tuple(type_ or ()),
        )
    )
    if output is Output.JSON:
        print_json(_plain(Listed(ref, manifest)))
    else:
        typer.echo(f"{manifest.ref} {manifest.digest}\nin {place.registry.path / manifest.name / manifest.version}")
        if (code := code_of(place.registry, manifest)) is not None:
            typer.echo(f"code from {code}")
    for care in cares(place.registry, place.registry.load(ref, manifest.digest)):
        stderr.print(Text.assemble(("careful", "yellow"), f": {care}"), highlight=False, soft_wrap=True)


@app.command("list", epilog="Example:  streambg models list --output json")
def list_(
    pipeline: PipelineOption = DEFAULT_PIPELINE, registry: RegistryOption = None, output: OutputOption = Output.TEXT
) -> None:
    """Every version with its digest; a version that cannot be read says why."""
    place = place_of(pipeline, registry)
    found = place.registry.list()
    if output is Output.JSON:
        print_json([_plain(listed) for listed in found])
        return
    if not found:
        typer.echo(f"No versions in {place.registry.path}. Add one with: streambg models add")
        return
    table = Table("version", "format", "digest", "outputs", "created", "metrics", box=None, pad_edge=False)
    for listed in found:
        table.add_row(*map(Text, _cells(listed)))  # brackets in a note are no markup
    stdout.print(table, highlight=False)


@app.command(epilog="Example:  streambg models show fraud:8")
def show(
    ref: Ref,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    registry: RegistryOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """All that is known about a version. Whether its files are what they were is for `verify`."""
    place = place_of(pipeline, registry)
    plain = _plain(Listed(ref, manifest := place.registry.get(ref)))
    if output is Output.JSON:
        print_json(plain)
        return
    for name, value in {**plain, "code": code_of(place.registry, manifest)}.items():
        text = ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else value
        if text not in (None, "", []):
            typer.echo(f"{name:<16} {', '.join(text) if isinstance(text, list) else text}")


@app.command("verify", epilog="Example:  streambg models verify fraud:8 --sample events.jsonl")
def verify_(
    ref: Ref,
    sample: Annotated[
        Path | None, typer.Option(help="Events to score, one JSON object a line. Default: made up.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Make the same events up again.", show_default=False)] = None,
    digest: Annotated[
        str | None, typer.Option(help="The digest it must have, for example the control log's.", show_default=False)
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    registry: RegistryOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check the digest, load the version, and score a sample in batches of 1, 7 and 1,000: the same bytes each time?

    Exit code 15 where anything is not as it must be.
    """
    place = place_of(pipeline, registry)
    manifest = place.registry.get(ref)
    if (contract := place.schema()) is not None:
        manifest.check_fits(contract)
    loaded = place.registry.load(ref, digest or manifest.digest)
    schema = manifest.schema_of(None, None)
    seed = secrets.randbits(_SEED_BITS) if seed is None else seed
    rows: list[Row | str] = (
        [*read_sample(sample)] if sample else [*sample_rows(schema, random.Random(seed), SAMPLE_ROWS)]
    )
    result = verify(loaded.model, rows, schema)
    if output is Output.JSON:
        said = {"version": ref, "digest": manifest.digest, "passed": result.passed, "batch_sizes": SIZES}
        print_json(
            said | asdict(result) | {"seed": None if sample else seed, "sample": str(sample) if sample else None}
        )
    else:
        _say(manifest, result, f"from {sample}" if sample else f"made up with --seed {seed}")
    if not result.passed:
        raise _failed(ref, result, schema, made_up=sample is None)


app.registered_commands.extend([*models_diff.app.registered_commands, *models_pull.app.registered_commands])


def _say(manifest: Manifest, result: Verified, sample: str) -> None:
    typer.echo(f"{manifest.ref} {manifest.digest}: the digest holds, it loads")
    typer.echo(f"{result.rows:,} events {sample}, in batches of {', '.join(f'{size:,}' for size in SIZES)}:")
    typer.echo(
        f"  {result.answered} answered, {result.differing} differ between batch sizes, {result.changed} changed by it"
    )
    if result.first_reason:
        typer.echo(f"  {result.rows - result.answered} error rows, the first: {result.first_reason}")
    for example in result.examples:
        typer.echo(f"  event {example.row}: alone {example.first}; in batches of {example.size:,} {example.then}")


def _failed(ref: str, result: Verified, schema: Schema, *, made_up: bool) -> ModelError:
    if result.differing:
        return not_pure(ref, result)
    if result.changed:
        return ModelError(
            f"{ref} writes into {result.changed} of {result.rows} events", way_out="copy a row before changing it"
        )
    return ModelError(
        f"{ref} answered none of {result.rows} events, so nothing was shown: {result.first_reason or 'no events'}",
        way_out=expected(schema, result.first_reason)
        + ("; real events are given with --sample FILE.jsonl" if made_up else ""),
    )


def _cells(listed: Listed) -> list[str]:
    manifest = listed.manifest
    if manifest is None:
        return [listed.ref, "broken", "", "", "", listed.problem]
    return [
        listed.ref,
        manifest.format,
        short_digest(manifest.digest),
        ", ".join(manifest.outputs),
        f"{manifest.created:%Y-%m-%d %H:%M}",
        ", ".join(f"{name} {value}" for name, value in manifest.metrics.items()),
    ]


def _plain(listed: Listed) -> dict[str, Any]:
    if listed.manifest is None:
        return {"ref": listed.ref, "problem": listed.problem}
    return {"ref": listed.ref, "digest": listed.manifest.digest} | listed.manifest.as_json()
