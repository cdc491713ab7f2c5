"""`streambg init`: a new pipeline's folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from streambg.cli.common import Output, OutputOption, print_json
from streambg.starter.writing import init as write

app = typer.Typer()


@app.command(epilog="Example:  streambg init fraud --dir services/fraud")
def init(
    name: Annotated[str, typer.Argument(help="The pipeline's name: it begins the names of topics and groups.")],
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to write it. Default: a folder of that name.", show_default=False),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a new pipeline: pipeline.yaml, topics/, consumers/, an example model, a test, make and Docker files.

    Nothing is ever overwritten.
    """
    folder = directory if directory is not None else Path(name)
    files = [path.relative_to(folder).as_posix() for path in write(name, folder)]
    steps = _steps(folder)
    if output is Output.JSON:
        print_json({"pipeline": name, "directory": str(folder), "files": files, "next": steps})
        return
    for file in files:
        typer.echo(f"wrote {folder / file}")
    typer.echo("\nNext:")
    for step in steps:
        typer.echo(f"  {step}")


def _steps(folder: Path) -> list[str]:
    return [
        f"cd {shlex.quote(str(folder))}",
        "make test        # the pipeline with its example model, on a broker and a Redis of its own",
        "README.md        # your topics, your model, and how to run it",
    ]
