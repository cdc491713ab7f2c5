"""What the verbs share: the pipeline option, output forms, who is speaking."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from streambg import topicplan
from streambg.config import Pipeline, load
from streambg.errors import ConfigError

stdout = Console()
stderr = Console(stderr=True)


class Output(str, Enum):  # noqa: UP042 - Typer wants a str that is an Enum
    """How data is printed."""

    TEXT = "text"
    JSON = "json"


PipelineOption = Annotated[Path, typer.Option("--pipeline", "-p", help="The pipeline file.")]
OutputOption = Annotated[Output, typer.Option("--output", help="text or json")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; stands in the control log for ever.")]
DEFAULT_PIPELINE = Path("pipeline.yaml")
NO = 1


def load_pipeline(path: Path) -> Pipeline:
    """The pipeline file with this process's environment. Raises ConfigError."""
    return load(path, os.environ)


def connected_pipeline(path: Path) -> Pipeline:
    """The pipeline file, its broker reachable and its topics there. Raises ConfigError, Unreachable, Misconfigured."""
    pipeline = load_pipeline(path)
    topicplan.check(pipeline, topicplan.connect(pipeline))
    return pipeline


def actor() -> str:
    """Who says it: STREAMBG_ACTOR, else user@host."""
    given = os.environ.get("STREAMBG_ACTOR")
    if given:
        return given
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def confirm(question: str) -> None:
    """Go on after a yes; a no ends the verb with exit code 1, Ctrl-C with 130. Raises ConfigError: nobody answers."""
    try:
        said = typer.confirm(question, err=True)
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Typer makes one thing of two
            raise KeyboardInterrupt from None
        raise ConfigError("the question got no answer: the input is at its end", way_out="add --yes") from None
    if not said:
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(NO)


def print_json(data: Any) -> None:
    """One JSON document on stdout, whatever the terminal's width."""
    sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
