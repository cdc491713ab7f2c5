"""`streambg`: mounts the verbs, and turns what went wrong into one clear message and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from confluent_kafka import KafkaException

from streambg import __version__
from streambg.cli import (
    adopt,
    audit,
    bench,
    broker,
    control,
    dead_letters,
    demo,
    gap,
    init,
    inspect,
    models,
    status,
    topics,
    up,
)
from streambg.cli.common import stderr
from streambg.cli.completing import bash_completion
from streambg.errors import StreambgError
from streambg.kafka.errors import translate
from streambg.process import logs

app = typer.Typer(
    name="streambg",
    help="Blue-green deployment for models that score Kafka topics: offset-exact, exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Start with:  streambg demo",
)
for group in (
    init.app,
    control.app,
    gap.app,
    adopt.app,
    status.app,
    inspect.app,
    audit.app,
    up.app,
    demo.app,
    bench.app,
):
    app.registered_commands.extend(group.registered_commands)
app.add_typer(broker.app, name="broker")
app.add_typer(topics.app, name="topics")
app.add_typer(models.app, name="models")
app.add_typer(dead_letters.app, name="dead-letters")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"streambg {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it and end.")
    ] = False,
) -> None:
    """Blue-green deployment for models that score Kafka topics: offset-exact, exactly once."""


def main() -> None:
    """Run the verb that the command line names; what went wrong is said, and the process ends with its exit code."""
    # a verb prints what it found; what the clients and loops would log on the way is for the processes
    logs.configure("streambg", console=True, level="error")
    try:
        with bash_completion(os.environ):
            app()
    except KafkaException as error:
        _fail(translate(error))
    except StreambgError as error:
        _fail(error)
    except OSError as error:
        if error.filename is None:  # about no file: nothing that a person gave
            raise
        _fail(StreambgError(f"{error.filename}: {error.strerror}", way_out="is the path right, and yours to use?"))


def _fail(error: StreambgError) -> None:
    stderr.print(f"[red]{type(error).__name__}[/]: {_plain(error.what)}", highlight=False, soft_wrap=True)
    if error.way_out:
        stderr.print(f"[yellow]way out[/]: {_plain(error.way_out)}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)


def _plain(text: str) -> str:
    """Square brackets in messages are no markup."""
    return text.replace("[", r"\[")
