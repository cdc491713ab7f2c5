"""`streambg`: mounts the verbs, and turns what went wrong into one clear message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from inspect import cleandoc
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from typer.models import CommandInfo, TyperInfo

from streambg import __version__
from streambg.cli import control
from streambg.cli.common import stderr
from streambg.cli.completing import bash_completion
from streambg.errors import StreambgError
from streambg.kafka.errors import translate
from streambg.process import logs

# Verb -> its module in streambg.cli, for modules of one verb; then modules that are a group of verbs.
VERBS = {
    "init": "init",
    "adopt": "adopt",
    "accept-gap": "gap",
    "status": "status",
    "verdict": "verdict",
    "doctor": "doctor",
    "inspect": "inspect",
    "preview": "preview",
    "supersede": "supersede",
    "audit": "audit",
    "up": "up",
    "watch-registry": "watch_registry",
    "demo": "demo",
    "bench": "bench",
}
GROUPS = ("broker", "topics", "models", "dead-letters", "rollout", "plan", "ci", "replay")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"streambg {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it and end.")
    ] = False,
) -> None:
    """Blue-green deployment for models that score Kafka topics: offset-exact, exactly once."""


def build(words: Sequence[str]) -> typer.Typer:
    """The app with what these arguments ask for, or with everything where they ask for no verb that is known.

    Importing every verb takes as long again as importing one.
    """
    app = typer.Typer(
        name="streambg",
        help="Blue-green deployment for models that score Kafka topics: offset-exact, exactly once.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        epilog="Start with:  streambg demo",
    )
    app.callback()(options)
    for name in _needed(words[0] if words else ""):
        part: typer.Typer = import_module(f"streambg.cli.{name.replace('-', '_')}").app
        _flowing(part)
        if name in GROUPS:
            app.add_typer(part, name=name)
        else:
            app.registered_commands.extend(part.registered_commands)
    return app


def _flowing(part: typer.Typer) -> None:
    """Typer keeps the line ends of all but a docstring's first paragraph, wherever the terminal's are."""
    infos: list[CommandInfo | TyperInfo] = [*part.registered_commands]
    if part.registered_callback is not None:
        infos.append(part.registered_callback)
    for info in infos:
        paragraphs = cleandoc(info.help or getattr(info.callback, "__doc__", None) or "").split("\n\n")
        info.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


def _needed(verb: str) -> tuple[str, ...]:
    if verb in GROUPS:
        return (verb,)
    if verb in VERBS:
        return (VERBS[verb],)
    if verb in verbs_of(control.app):
        return ("control",)
    return ("control", *VERBS.values(), *GROUPS)


def verbs_of(part: typer.Typer) -> set[str]:
    """As they are typed."""
    return {info.name or info.callback.__name__ for info in part.registered_commands if info.callback}


def main() -> None:
    """Run the verb that the command line names; what went wrong is said, and the process ends with its exit code."""
    # a verb prints what it found; what the clients and loops would log on the way is for the processes
    logs.configure("streambg", console=True, level="error")
    try:
        with bash_completion(os.environ):
            build(sys.argv[1:])()
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
