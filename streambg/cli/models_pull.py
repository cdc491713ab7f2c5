"""`streambg models pull`: a version of an MLflow registry becomes a version of the file registry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from streambg.cli.common import DEFAULT_PIPELINE, Output, OutputOption, PipelineOption, print_json, stderr
from streambg.cli.registry import RegistryOption, place_of
from streambg.models.mlflowsource import URI_VARIABLE, MlflowSource
from streambg.models.pulling import add_pulled, uri_of

app = typer.Typer()

MlflowOption = Annotated[
    str | None,
    typer.Option(
        "--mlflow", help=f"The registry's URI. Default: registry.yaml's, else {URI_VARIABLE}.", show_default=False
    ),
]


@app.command(epilog="Example:  streambg models pull Fraud@champion")
def pull(
    remote: Annotated[str, typer.Argument(metavar="NAME@ALIAS|NAME:VERSION", help="For example Fraud@champion")],
    as_: Annotated[
        str | None,
        typer.Option("--as", help="name:version here. Default: MLflow's, in small letters.", show_default=False),
    ] = None,
    outputs: Annotated[
        str | None, typer.Option(help="Names with commas. Default: the pipeline's.", show_default=False)
    ] = None,
    mlflow: MlflowOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    registry: RegistryOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take a version from MLflow into the registry: once, named by the digest of its bytes.

    An onnx model, or a scikit-learn one written as skops. An alias is resolved before anything is read. Pulled again,
    the same bytes change nothing, other bytes are refused.
    """
    place = place_of(pipeline, registry, new=True)
    source = MlflowSource(uri_of(place.registry, mlflow))
    with stderr.status(f"Asking MLflow for {remote} ..."):
        found = source.resolve(remote)
        pulled = source.fetch(found)
    names = tuple(outputs.split(",")) if outputs else None
    manifest = add_pulled(place.registry, place.schema(), pulled, datetime.now(UTC), ref=as_, outputs=names)
    if output is Output.JSON:
        print_json({"ref": manifest.ref, "digest": manifest.digest} | manifest.as_json())
    else:
        typer.echo(f"{manifest.ref} {manifest.digest}\n{remote} is {found}; next: streambg deploy COLOR {manifest.ref}")
