"""What the verbs share: the pipeline option, output forms, who is speaking."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleDimensions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from streambg import topicplan
from streambg.config import Pipeline, load
from streambg.control.commands import MAX_TEXT
from streambg.errors import ConfigError
from streambg.looking.words import parse_since
from streambg.models.importing import modules_beside
from streambg.topicplan import Role

# Of a text that is said back.
SHOWN = 80
# Longer than any line that is printed.
UNWRAPPED = 100_000


class Printer(Console):
    """Wraps at a terminal's width, or at COLUMNS; in a pipe or a file, where Rich takes 80, not at all: a search there
    finds whole words.
    """

    @property
    def unwrapped(self) -> bool:
        """Is there no width to keep to?"""
        return self._width is None and not self.is_terminal and not os.environ.get("COLUMNS")

    @property
    def size(self) -> ConsoleDimensions:
        found = super().size
        return ConsoleDimensions(UNWRAPPED, found.height) if self.unwrapped else found

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        self._width, self._height = size

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Without the blanks that fill a table's last column."""
        text = super()._render_buffer(buffer)
        return re.sub(r" +$", "", text, flags=re.MULTILINE) if self.unwrapped else text


stdout = Printer()
stderr = Printer(stderr=True)


class Output(str, Enum):  # noqa: UP042 - Typer wants a str that is an Enum
    """How data is printed."""

    TEXT = "text"
    JSON = "json"


PipelineOption = Annotated[Path, typer.Option("--pipeline", "-p", help="The pipeline file.")]
OutputOption = Annotated[Output, typer.Option("--output", help="text or json")]


def _storable(what: str, text: str) -> str:
    """What the control log takes. Raises ConfigError."""
    if len(text) > MAX_TEXT:
        raise ConfigError(f"{what} has {len(text):,} characters, the limit is {MAX_TEXT:,}", way_out="say it shorter")
    check_utf8(what, text)
    return text


def check_utf8(what: str, text: str) -> None:
    """An argument that is no UTF-8 cannot be written anywhere. Raises ConfigError."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what} {text[:SHOWN]!r}: character {error.start + 1} is no UTF-8", way_out="give it as UTF-8 text"
        ) from error


ReasonOption = Annotated[
    str,
    typer.Option(
        "--reason",
        help="Why; stands in the control log for ever.",
        callback=lambda text: _storable("--reason", text),
    ),
]
DEFAULT_PIPELINE = Path("pipeline.yaml")
NO = 1


def load_pipeline(path: Path, ignore_records: Collection[int] = ()) -> Pipeline:
    """The pipeline file with this process's environment. Raises ConfigError."""
    modules_beside(path)
    return load(path, os.environ, ignore_records)


def connected_pipeline(
    path: Path, role: Role | None = None, *, by_offsets: bool = False, ignore_records: Collection[int] = ()
) -> Pipeline:
    """The pipeline file, its broker reachable and its topics there. Raises ConfigError, Unreachable, Misconfigured.

    role: whose rights are enough; only the topics that it reads and writes are looked at. by_offsets: what is asked or
    said is about the input's offsets, so the file must name the input that this pipeline reads.
    """
    pipeline = load_pipeline(path, ignore_records)
    topicplan.check(pipeline, topicplan.connect(pipeline), role, by_offsets=by_offsets)
    return pipeline


def since_of(text: str, option: str = "--since") -> int:
    """`2h` or a time, as ms since 1970. Raises ConfigError."""
    try:
        return parse_since(text, int(time.time() * 1_000))
    except ValueError as error:
        raise ConfigError(f"{option}: {error}", way_out=f"{option} 2h") from None


def only_with(context: typer.Context, switch: str, *names: str) -> None:
    """Raises ConfigError where one of these options was given, and has no effect without `switch`."""
    if given := typed_of(context, names):
        raise ConfigError(
            f"{', '.join(given)} has no effect without {switch}", way_out=f"add {switch}, or leave it out"
        )


def typed_of(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of these parameters that stand on the command line, as they are typed."""
    options = {each.name: each.opts[0] for each in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in names}
    return [options[name] for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def events_of(last: str, most: int) -> int:
    """A `--last` that counts events, where that of other verbs is a time. Raises ConfigError."""
    count = int(last) if last.isdecimal() and len(last) <= len(str(most)) else 0
    if not 1 <= count <= most:
        raise ConfigError(f"--last {last}: here it is a number of events, 1 to {most:,}", way_out="--last 5000")
    return count


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while something is read: call it with (so many, of how many)."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
    there = stderr.is_interactive  # elsewhere the end of a bar is an empty line
    with Progress(*columns, TimeRemainingColumn(), console=stderr, transient=True, disable=not there) as bars:
        task = bars.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=max(1, total))

        yield show


def actor() -> str:
    """Who says it: STREAMBG_ACTOR, else user@host."""
    given = os.environ.get("STREAMBG_ACTOR")
    if given:
        return _storable("STREAMBG_ACTOR", given)
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
