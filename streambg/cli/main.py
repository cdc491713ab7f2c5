"""`streambg`: mounts the verbs, and turns what went wrong into one clear message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from inspect import cleandoc
from typing import Annotated

import typer
from typer.models import CommandInfo, TyperInfo

from streambg import __version__
from streambg.cli.listing import LINES, lists
from streambg.cli.tab import COMPLETE, bash_completion, words_before
from streambg.errors import StreambgError

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
# What a disk without room, or without any for this user, says of a write; and as Rich ends where nobody reads.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNHEARD = 1
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


def app_for(words: Sequence[str]) -> typer.Typer:
    """What these arguments need: their verb; where they name none, a list of all. Importing them takes a second."""
    if _verb(words) in LINES:
        from streambg.process import logs  # noqa: PLC0415 - what is only listed logs nothing

        # a verb prints what it found; what the clients and loops would log on the way is for the processes
        logs.configure("streambg", console=True, level="error")
        return build(words)
    app = _app()
    lists(app)
    return app


def build(words: Sequence[str]) -> typer.Typer:
    """The app with the verb that these arguments name, or with everything where they name no verb that is known."""
    app = _app()
    for name in _needed(_verb(words)):
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


def _app() -> typer.Typer:
    app = typer.Typer(
        name="streambg",
        help="Blue-green deployment for models that score Kafka topics: offset-exact, exactly once.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        epilog="Start with:  streambg demo",
    )
    app.callback()(options)
    return app


def _verb(words: Sequence[str]) -> str:
    """The first word that is no option: those before it have no values."""
    return next((word for word in words if not word.startswith("-")), "")


def _needed(verb: str) -> tuple[str, ...]:
    if verb in GROUPS:
        return (verb,)
    if verb in VERBS:
        return (VERBS[verb],)
    if verb in LINES:
        return ("control",)
    return ("control", *VERBS.values(), *GROUPS)


def verbs_of(part: typer.Typer) -> set[str]:
    """As they are typed."""
    return {info.name or info.callback.__name__ for info in part.registered_commands if info.callback}


def main() -> None:
    """Run the verb that the command line names."""
    run(asked())


def asked() -> typer.Typer:
    """What this process's command line, or its TAB, needs."""
    return app_for(words_before(os.environ) if COMPLETE in os.environ else sys.argv[1:])


def run(app: typer.Typer) -> None:
    """Run it; what went wrong is said, and the process ends with its exit code."""
    try:
        with bash_completion(os.environ):
            _flushed(app)
    except StreambgError as error:
        _fail(error)
    except BrokenPipeError:  # nobody reads any more (`| head`)
        _unheard()
        sys.exit(UNHEARD)
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            _unheard()
            _fail(
                StreambgError(
                    f"cannot write the output: {error.strerror}", way_out="free room where it goes to, then ask again"
                )
            )
        if error.filename is None:  # about no file: nothing that a person gave
            raise
        _fail(StreambgError(f"{error.filename}: {error.strerror}", way_out="is the path right, and yours to use?"))
    except Exception as error:
        if (known := _of_kafka(error)) is None:
            raise
        _fail(known)


def _flushed(app: typer.Typer) -> None:
    """What the interpreter would write at its end, and could only complain of, is written here."""
    try:
        app(prog_name="streambg")  # else `python -m streambg` calls itself that, in completion scripts too
    finally:
        if sys.stdout is not None:  # `>&-`
            sys.stdout.flush()


def _unheard() -> None:
    """Nothing more can be said on stdout: what is left in its buffer goes nowhere, without a complaint."""
    with suppress(OSError, ValueError):  # a test's has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_kafka(error: Exception) -> StreambgError | None:
    """What a client's error means; None: it is none."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - what is only listed needs no client

    from streambg.kafka.errors import translate  # noqa: PLC0415 - the same

    return translate(error) if isinstance(error, KafkaException) else None


def _fail(error: StreambgError) -> None:
    from streambg.cli.common import stderr  # noqa: PLC0415 - the same

    stderr.print(f"[red]{type(error).__name__}[/]: {_plain(error.what)}", highlight=False, soft_wrap=True)
    if error.way_out:
        stderr.print(f"[yellow]way out[/]: {_plain(error.way_out)}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)


def _plain(text: str) -> str:
    """Square brackets in messages are no markup."""
    return text.replace("[", r"\[")
